//! `token.toml`: which token an environment uses, and what its module may touch.
//!
//! The file lies in the signer's folder. Whoever may change it decides which code is loaded beside the PIN, so it is
//! only read if nobody but its owner (the signer's user or root) can use it.

mod pin;
mod sandbox;

pub use pin::{MAX_PIN, Pin, PinSource, read_pin};
pub use sandbox::{Host, SandboxConfig};

use std::{
    num::NonZeroU16,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::TokenUri;
use crate::seal::{SealError, secret_file};

/// The file's name in the signer's folder. A folder that has it is a token's, others are sealed stores.
pub const TOKEN_FILE: &str = "token.toml";

/// The largest `token.toml` that is read, in bytes.
pub const MAX_TOKEN_FILE: usize = 64 * 1024;

/// The most sessions that may be configured.
const MAX_SESSIONS: u16 = 256;

/// Why there is no configuration. Retrying helps once the file is mended.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read, or others may change it.
    #[error(transparent)]
    File(#[from] SealError),
    /// Something in it is missing, misspelled, unknown or out of bounds. Says on which line, and never repeats the
    /// line: somebody may have written the PIN there.
    #[error("{}, line {line}: {message}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

/// What is wrong with the text of a `token.toml`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ContentError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// The content of a `token.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenConfig {
    /// The PKCS#11 module, an absolute path.
    #[serde(deserialize_with = "absolute")]
    pub module: PathBuf,
    /// Which of its tokens.
    pub token: TokenSelector,
    /// Where the PIN comes from.
    pub pin: PinSource,
    /// How RSA signatures are asked for.
    #[serde(default)]
    pub rsa: RsaForm,
    /// Sessions that are used at once at most; the token's own limit may be lower.
    #[serde(default = "default_sessions", deserialize_with = "sessions")]
    pub sessions: NonZeroU16,
    /// Tries the PIN also if the token says that one attempt is left. For modules that say so wrongly.
    #[serde(default)]
    pub ignore_pin_flags: bool,
    /// How long the module may take.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// What the module may touch.
    #[serde(default)]
    pub sandbox: SandboxConfig,
}

/// Which token of a module: exactly one must fit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenSelector {
    /// Its label.
    Label(String),
    /// Its serial number, as the module writes it.
    Serial(String),
    /// An RFC 7512 URI.
    Uri(TokenUri),
}

/// Which mechanism makes RSA signatures. In both, Sealcard hands over what is to be signed: the token never hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RsaForm {
    /// `CKM_RSA_PKCS`: Sealcard makes the `DigestInfo`, the token pads it.
    #[default]
    Pkcs1,
    /// `CKM_RSA_X_509`: Sealcard makes the whole encoded message (EMSA-PKCS1-v1_5). For tokens that refuse the other.
    Raw,
}

/// How long the module may take before it counts as hung and the worker is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deadlines {
    /// Loading the module, `C_Initialize` and finding the token. `start-seconds`.
    #[serde(rename = "start-seconds", deserialize_with = "seconds")]
    pub start: Duration,
    /// `C_Login`. `login-seconds`.
    #[serde(rename = "login-seconds", deserialize_with = "seconds")]
    pub login: Duration,
    /// A signature or a decryption. `operation-seconds`.
    #[serde(rename = "operation-seconds", deserialize_with = "seconds")]
    pub operation: Duration,
    /// Making a key. `generation-seconds`.
    #[serde(rename = "generation-seconds", deserialize_with = "seconds")]
    pub generation: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            login: Duration::from_secs(30),
            operation: Duration::from_secs(10),
            generation: Duration::from_secs(300),
        }
    }
}

impl TokenConfig {
    /// Reads the `token.toml` of a signer's folder; relative paths in it start there. `None` if it has none.
    ///
    /// # Errors
    /// If it can't be read, others than its owner may use it, or it is not exactly what this release knows.
    pub fn load(folder: &Path) -> Result<Option<Self>, ConfigError> {
        let path = folder.join(TOKEN_FILE);
        if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let text = secret_file::read_private(&path, MAX_TOKEN_FILE)?;
        let mut config = Self::parse(&text).map_err(|ContentError { line, message }| ConfigError::Content {
            path: path.clone(),
            line,
            message,
        })?;
        config.sandbox.resolve(folder);
        Ok(Some(config))
    }

    /// Reads the text of a `token.toml`.
    ///
    /// # Errors
    /// If it is not exactly what this release knows.
    pub fn parse(text: &[u8]) -> Result<Self, ContentError> {
        let text = std::str::from_utf8(text).map_err(|error| ContentError {
            line: line_of(text, error.valid_up_to()),
            message: "it is not UTF-8".into(),
        })?;
        toml::from_str(text).map_err(|error| ContentError {
            line: line_of(text.as_bytes(), error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })
    }
}

const fn default_sessions() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(7)
}

fn line_of(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() { Ok(path) } else { Err(D::Error::custom("the module's path must begin with /")) }
}

fn sessions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU16, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let number = u16::try_from(number).ok().filter(|number| *number <= MAX_SESSIONS).and_then(NonZeroU16::new);
    number.ok_or_else(|| D::Error::custom(format_args!("sessions must be 1 to {MAX_SESSIONS}")))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let number = u64::try_from(number).ok().filter(|number| (1..=3600).contains(number));
    number.map(Duration::from_secs).ok_or_else(|| D::Error::custom("a deadline must be 1 to 3600 seconds"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    const FULL: &str = r#"module = "/usr/lib/softhsm/libsofthsm2.so"
rsa = "raw"
sessions = 4

[token]
serial = "f3a1"

[pin]
systemd-credential = "token-pin"

[deadlines]
operation-seconds = 3

[sandbox]
read = ["/etc/softhsm", "softhsm2.conf"]
write = ["/var/lib/softhsm/tokens"]
unix-sockets = ["/run/hsm.sock"]
hosts = ["hsm.example.com:1792", "[fd00::1]:1792"]
environment = { SOFTHSM2_CONF = "/etc/softhsm/softhsm2.conf" }
"#;

    const SHORT: &str = "module = \"/m.so\"\ntoken = { label = \"t\" }\npin = \"person\"\n";

    fn error(text: &str) -> ContentError {
        TokenConfig::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn everything_can_be_said() {
        let config = TokenConfig::parse(FULL.as_bytes()).unwrap();
        assert_eq!(config.module, Path::new("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!(config.token, TokenSelector::Serial("f3a1".into()));
        assert_eq!(config.pin, PinSource::SystemdCredential("token-pin".into()));
        assert_eq!(config.rsa, RsaForm::Raw);
        assert_eq!(config.sessions.get(), 4);
        assert_eq!(config.deadlines, Deadlines { operation: Duration::from_secs(3), ..Deadlines::default() });
        let hosts: Vec<_> = config.sandbox.hosts.iter().map(|host| (host.name.as_str(), host.port)).collect();
        assert_eq!(hosts, [("hsm.example.com", 1792), ("fd00::1", 1792)]);
        assert_eq!(config.sandbox.environment.len(), 1);
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        let config = TokenConfig::parse(SHORT.as_bytes()).unwrap();
        assert_eq!((config.rsa, config.sessions.get(), &config.pin), (RsaForm::Pkcs1, 8, &PinSource::Person));
        assert_eq!(config.sandbox, SandboxConfig::default());
        assert!(config.sandbox.require);
    }

    #[test]
    fn an_unknown_key_is_refused_on_its_line_at_every_level() {
        for (line, before) in
            [(2, "rsa"), (6, "serial"), (9, "systemd-credential"), (12, "operation-seconds"), (15, "read")]
        {
            let error = error(&FULL.replacen(before, &format!("surprise = 1\n{before}"), 1));
            let names = ["surprise", "exactly 1", "pin is"];
            assert!(names.iter().any(|name| error.message.contains(name)), "{error}");
            assert!((line - 1..=line).contains(&error.line), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named_on_their_line() {
        for (line, from, to, names) in [
            (1, "/usr/lib", "usr/lib", "begin with /"),
            (2, "raw", "pss", "pss"),
            (3, "4", "0", "1 to 256"),
            (3, "4", "257", "1 to 256"),
            (12, "3\n\n[s", "0\n\n[s", "1 to 3600"),
            (18, ":1792\"", "\"", "hsm.example.com:1792"),
            (19, "SOFTHSM2_CONF", "\"A=B\"", "environment"),
        ] {
            let error = error(&FULL.replacen(from, to, 1));
            assert!(error.message.contains(names) && error.line == line, "{to}: {error}");
        }
    }

    #[test]
    fn a_pin_in_the_file_is_refused_and_not_repeated() {
        for pin in ["pin = \"secret1234\"", "pin = { file = \"a\", value = \"secret1234\" }", "pin = 1234"] {
            let error = error(&SHORT.replace("pin = \"person\"", pin));
            assert_eq!(error.line, 3, "{error}");
            assert!(!error.to_string().contains("1234"), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_relative_paths_start_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(TokenConfig::load(folder.path()).unwrap().is_none());
        let path = folder.path().join(TOKEN_FILE);
        std::fs::write(&path, FULL).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = TokenConfig::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = TokenConfig::load(folder.path()).unwrap().unwrap();
        assert_eq!(config.sandbox.read, [PathBuf::from("/etc/softhsm"), folder.path().join("softhsm2.conf")]);
        std::fs::write(&path, FULL.replace("rsa", "rsx")).unwrap();
        let error = TokenConfig::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("token.toml, line 2: unknown field `rsx`"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: Vec<u8>) {
            let _ = TokenConfig::parse(&text);
        }

        #[test]
        fn a_changed_byte_is_an_error_on_a_line_of_the_file_or_a_configuration(at in 0..FULL.len(), byte: u8) {
            let mut text = FULL.as_bytes().to_vec();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            if let Err(error) = TokenConfig::parse(&text) {
                prop_assert!(error.line <= 1 + text.iter().filter(|b| **b == b'\n').count());
            }
        }
    }
}
