//! The token's PIN and where it comes from.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::seal::{Passphrase, SealError, secret_file};

/// The longest PIN, in bytes. Those of tokens end much earlier.
pub const MAX_PIN: usize = 255;

/// A token's PIN: wiped when dropped, never shown.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Pin(String);

impl Pin {
    /// Takes over `text`.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    pub(in crate::pkcs11) fn text(&self) -> &str {
        &self.0
    }

    /// Whether both are the same, found out in constant time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl From<&Passphrase> for Pin {
    /// What a person typed for `unseal`.
    fn from(typed: &Passphrase) -> Self {
        Self(typed.text().to_owned())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

/// Where the PIN comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinSource {
    /// The first line of a file that only its owner may use; a relative path starts in the signer's folder.
    File(PathBuf),
    /// A systemd credential of this name.
    SystemdCredential(String),
    /// A person, with `sealcard-signer unseal` after each start.
    Person,
}

impl PinSource {
    /// The name of the kind, as `token.toml` writes it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::SystemdCredential(_) => "systemd-credential",
            Self::Person => "person",
        }
    }
}

/// Reads the PIN from its source. `None` if a person must give it.
///
/// # Errors
/// If it can't be read, others may read it, or it is no PIN. Retrying helps once that is mended.
pub fn read_pin(folder: &Path, source: &PinSource) -> Result<Option<Pin>, SealError> {
    let (path, bytes) = match source {
        PinSource::Person => return Ok(None),
        PinSource::File(path) => {
            let path = folder.join(path);
            let bytes = secret_file::read_private(&path, MAX_PIN + 2)?;
            (path, bytes)
        }
        PinSource::SystemdCredential(name) => secret_file::read_credential_file(name, MAX_PIN + 2)?,
    };
    first_line(&bytes).map(Some).map_err(|why| secret_file::bad(&path, why))
}

fn first_line(bytes: &[u8]) -> Result<Pin, &'static str> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err("its first line is empty; a PIN is expected there");
    }
    let text = std::str::from_utf8(line).map_err(|_| "a PIN is UTF-8 text")?;
    Ok(Pin(text.to_owned()))
}

impl<'de> Deserialize<'de> for PinSource {
    /// By hand, so that no error repeats what it found: it could be the PIN.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl SourceVisitor {
    fn error<E: de::Error>(self) -> E {
        E::custom(
            "pin is \"person\", { file = \"PATH\" } or { systemd-credential = \"NAME\" }; the PIN itself has no \
             place here",
        )
    }
}

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = PinSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of the PIN")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PinSource, E> {
        if text == "person" { Ok(PinSource::Person) } else { Err(self.error()) }
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<PinSource, E> {
        Err(self.error())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<PinSource, E> {
        Err(self.error())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<PinSource, A::Error> {
        Err(self.error())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<PinSource, E> {
        Err(self.error())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PinSource, A::Error> {
        let key: String = map.next_key()?.ok_or_else(|| SourceVisitor.error())?;
        // Not the deserializer's error, which would repeat a number.
        let value: String = map.next_value().map_err(|_| SourceVisitor.error())?;
        let source = match key.as_str() {
            "file" if !value.is_empty() => PinSource::File(value.into()),
            "systemd-credential" if secret_file::valid_credential_name(&value) => PinSource::SystemdCredential(value),
            "systemd-credential" => return Err(de::Error::custom("a credential's name is a plain file name")),
            _ => return Err(self.error()),
        };
        if map.next_key::<de::IgnoredAny>()?.is_some() {
            return Err(self.error());
        }
        Ok(source)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pin_is_the_first_line_of_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let source = PinSource::File("pin".into());
        let path = folder.path().join("pin");
        let write = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        assert!(matches!(read_pin(folder.path(), &source), Err(SealError::File(_, _))));
        for content in [&b"12 34"[..], b"12 34\n", b"12 34\r\n", b"12 34\nmore"] {
            write(content);
            assert_eq!(read_pin(folder.path(), &source).unwrap().unwrap().text(), "12 34");
        }
        for content in [&b""[..], b"\n1234", b"\xFF\xFE", &[b'1'; MAX_PIN + 3]] {
            write(content);
            assert!(matches!(read_pin(folder.path(), &source), Err(SealError::BadSecretFile { .. })), "{content:?}");
        }
        write(b"1234");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_pin(folder.path(), &source), Err(SealError::LooseMode { .. })));
    }

    #[test]
    fn a_pin_does_not_show_itself() {
        assert_eq!(format!("{:?}", Pin::new("1234".into())), "Pin");
    }
}
