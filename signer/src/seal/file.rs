//! The format of `seal.json`.

use std::path::PathBuf;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The largest `seal.json` that is read, in bytes.
pub const MAX_SEAL_FILE: usize = 64 * 1024;

const VERSION: u32 = 1;

/// Why a `seal.json` can't be used. Retrying can't help: restore it from a backup.
#[derive(Debug, thiserror::Error)]
pub enum SealFormatError {
    /// Not the JSON that is expected: something is missing, misspelled or unknown.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Written by a later release.
    #[error("its format version is {0}, this release knows version {VERSION}")]
    Version(u32),
    /// A value is out of bounds.
    #[error("{0}")]
    Value(&'static str),
}

/// What lies in `seal.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SealFile {
    version: u32,
    seal: SealSource,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    wrapped_master_keys: Vec<u8>,
}

/// Where the secret comes from that opens the seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum SealSource {
    /// A file with 32 random bytes.
    KeyFile {
        /// Its path; a relative one starts in the signer's folder.
        path: PathBuf,
        /// For HKDF, 32 bytes.
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        salt: Vec<u8>,
    },
    /// A passphrase, stretched with argon2id (RFC 9106).
    Passphrase {
        /// For argon2id and HKDF, 32 bytes.
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        salt: Vec<u8>,
        /// The parameters.
        #[serde(rename = "argon2id")]
        cost: Argon2Cost,
    },
    /// A systemd credential.
    SystemdCredential {
        /// Its name, a file in `$CREDENTIALS_DIRECTORY`.
        name: String,
        /// For HKDF, 32 bytes.
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        salt: Vec<u8>,
    },
}

/// What one guess of the passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Argon2Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// The second recommended option of RFC 9106 section 4, on one lane.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl SealFile {
    pub(super) const fn new(seal: SealSource, wrapped_master_keys: Vec<u8>) -> Self {
        Self { version: VERSION, seal, wrapped_master_keys }
    }

    /// Reads the content of a `seal.json`.
    ///
    /// # Errors
    /// If it is not exactly the format of this release.
    pub fn parse(text: &[u8]) -> Result<Self, SealFormatError> {
        #[derive(Deserialize)]
        struct AnyVersion {
            version: u32,
        }
        // The version first: a later release may have other fields.
        let AnyVersion { version } = serde_json::from_slice(text)?;
        if version != VERSION {
            return Err(SealFormatError::Version(version));
        }
        let file: Self = serde_json::from_slice(text)?;
        file.seal.validate()?;
        Ok(file)
    }

    /// The content of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Plain structs with string keys always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Where the secret comes from.
    #[must_use]
    pub const fn source(&self) -> &SealSource {
        &self.seal
    }

    pub(super) fn wrapped_master_keys(&self) -> &[u8] {
        &self.wrapped_master_keys
    }
}

impl SealSource {
    /// Whether one secret opens both, as far as can be known without it: a passphrase is stretched for each salt.
    pub(super) fn same_secret(&self, other: &Self) -> bool {
        self.associated_data() == other.associated_data()
    }

    /// The name of the kind, as `--seal` writes it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::KeyFile { .. } => "key-file",
            Self::Passphrase { .. } => "passphrase",
            Self::SystemdCredential { .. } => "systemd-credential",
        }
    }

    /// What the wrapped master keys are bound to: the format and what derives the key. Not the path or name, which an
    /// administrator may change.
    pub(super) fn associated_data(&self) -> Vec<u8> {
        let (salt, cost) = match self {
            Self::KeyFile { salt, .. } | Self::SystemdCredential { salt, .. } => (salt, [0; 3]),
            Self::Passphrase { salt, cost } => (salt, [cost.memory_kib, cost.passes, cost.lanes]),
        };
        let mut data = format!("sealcard master keys\0{VERSION}\0{}\0", self.kind()).into_bytes();
        for number in cost {
            data.extend_from_slice(&number.to_be_bytes());
        }
        data.extend_from_slice(salt);
        data
    }

    fn validate(&self) -> Result<(), SealFormatError> {
        let salt = match self {
            Self::KeyFile { salt, .. } | Self::Passphrase { salt, .. } | Self::SystemdCredential { salt, .. } => salt,
        };
        if salt.len() != 32 {
            return Err(SealFormatError::Value("the salt must have 32 bytes"));
        }
        match self {
            // Bounds that keep a damaged file from taking the machine's memory.
            Self::Passphrase { cost, .. } => {
                let fine = (8..=1024 * 1024).contains(&cost.memory_kib)
                    && (1..=64).contains(&cost.passes)
                    && (1..=16).contains(&cost.lanes)
                    && cost.memory_kib >= 8 * cost.lanes;
                fine.then_some(()).ok_or(SealFormatError::Value("the argon2id parameters are out of bounds"))
            }
            Self::SystemdCredential { name, .. } => valid_credential_name(name)
                .then_some(())
                .ok_or(SealFormatError::Value("the credential's name is not a plain file name")),
            Self::KeyFile { .. } => Ok(()),
        }
    }
}

/// Whether `name` stays inside `$CREDENTIALS_DIRECTORY`.
pub(crate) fn valid_credential_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.contains(['/', '\0']) && name != "." && name != ".."
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64.decode(text.as_bytes()).map_err(|error| de::Error::custom(format_args!("not base64: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(seal: SealSource) -> SealFile {
        SealFile::new(seal, vec![9; 60])
    }

    fn sources() -> [SealSource; 3] {
        [
            SealSource::KeyFile { path: "master.key".into(), salt: vec![1; 32] },
            SealSource::Passphrase { salt: vec![2; 32], cost: Argon2Cost::default() },
            SealSource::SystemdCredential { name: "sealcard".into(), salt: vec![3; 32] },
        ]
    }

    #[test]
    fn each_kind_survives_its_text() {
        for source in sources() {
            let file = sample(source);
            assert_eq!(SealFile::parse(file.to_text().as_bytes()).unwrap(), file);
        }
    }

    #[test]
    fn an_unknown_field_is_refused_at_every_level() {
        for source in sources() {
            let text = sample(source).to_text();
            for at in ["\"version\"", "\"kind\"", "\"memory-kib\""] {
                if text.contains(at) {
                    let changed = text.replacen(at, &format!("\"surprise\": 1, {at}"), 1);
                    let error = SealFile::parse(changed.as_bytes()).unwrap_err().to_string();
                    assert!(error.contains("surprise"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let text = sample(sources()[0].clone()).to_text().replacen("\"version\": 1", "\"version\": 2", 1);
        assert!(matches!(SealFile::parse(text.as_bytes()), Err(SealFormatError::Version(2))));
    }

    #[test]
    fn hungry_parameters_and_escaping_names_are_refused() {
        let [_, _, _] = sources();
        for cost in [
            Argon2Cost { memory_kib: u32::MAX, ..Argon2Cost::default() },
            Argon2Cost { passes: 0, ..Argon2Cost::default() },
            Argon2Cost { memory_kib: 8, passes: 1, lanes: 2 },
        ] {
            let file = sample(SealSource::Passphrase { salt: vec![0; 32], cost });
            assert!(matches!(SealFile::parse(file.to_text().as_bytes()), Err(SealFormatError::Value(_))), "{cost:?}");
        }
        for name in ["", "..", "../key", "a/b"] {
            let file = sample(SealSource::SystemdCredential { name: name.into(), salt: vec![0; 32] });
            assert!(matches!(SealFile::parse(file.to_text().as_bytes()), Err(SealFormatError::Value(_))), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_error_or_a_seal(bytes: Vec<u8>) {
            if let Ok(file) = SealFile::parse(&bytes) {
                prop_assert!(SealFile::parse(file.to_text().as_bytes()).is_ok());
            }
        }

        #[test]
        fn changed_bytes_never_panic(at in 0_usize..200, byte: u8, which in 0_usize..3) {
            let mut text = sample(sources().into_iter().nth(which).unwrap()).to_text().into_bytes();
            if let Some(b) = text.get_mut(at) {
                *b = byte;
            }
            let _ = SealFile::parse(&text);
        }
    }
}
