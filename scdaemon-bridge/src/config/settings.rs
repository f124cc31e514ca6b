//! `config.toml`: which server, how it is recognised, where the grant lies.

use std::{fmt, str::FromStr};

use aws_lc_rs::{constant_time, digest};
use data_encoding::{HEXLOWER, HEXUPPER, HEXUPPER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{CertificateFacts, ConfigError, Paths, files};

const HEADER: &str = "\
# Written by `sealcard login` and `sealcard trust`. `sealcard logout` leaves it, so that the next login\n\
# needs no address.\n";

/// What `config.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The server's address, such as `https://sealcard.example.org:8443`, without a path.
    pub server: String,
    /// Who logged in last, offered at the next login.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// Where the grant lies.
    pub grant_store: GrantStore,
    /// Whether a line on the terminal says that a use by gpg waits for people, and for whom.
    #[serde(skip_serializing_if = "Clone::clone", default = "yes")]
    pub notify_waiting: bool,
    /// How the server is recognised.
    pub trust: Trust,
}

const fn yes() -> bool {
    true
}

impl Config {
    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When it can't be read or understood; the error names the line.
    pub fn load(paths: &Paths) -> Result<Option<Self>, ConfigError> {
        let path = paths.config_file();
        let Some(text) = files::read_text(&path)? else { return Ok(None) };
        Self::parse(&text).map(Some).map_err(|reason| ConfigError::invalid(path, reason))
    }

    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The file's text.
    ///
    /// # Errors
    ///
    /// Never for values that [`Self::parse`] could give.
    pub fn render(&self) -> Result<String, String> {
        toml::to_string(self).map(|body| format!("{HEADER}{body}")).map_err(|error| error.to_string())
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn save(&self, paths: &Paths) -> Result<(), ConfigError> {
        let path = paths.config_file();
        let text = self.render().map_err(|reason| ConfigError::invalid(&path, reason))?;
        files::write_login(paths, &path, text.as_bytes())
    }
}

/// Where the grant lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantStore {
    /// In the operating system's keyring.
    Keyring,
    /// In the file `grant` beside `config.toml`, mode 0600.
    File,
    /// In the file `grant` of the machine's folder, mode 0640, for its group. Never renewed: its readers can't write
    /// it.
    Machine,
    /// There is none: its user logged out.
    Nowhere,
}

impl GrantStore {
    /// For a person. `paths` are those of the configuration that names it.
    #[must_use]
    pub fn describe(self, paths: &Paths) -> String {
        match self {
            Self::Keyring => "the system's keyring".to_owned(),
            Self::File => format!("{} (readable only by you)", paths.grant_file().display()),
            Self::Machine => format!("{} (readable by its group)", paths.of_machine().grant_file().display()),
            Self::Nowhere => "no place".to_owned(),
        }
    }
}

/// How the server is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trust {
    /// By the certificate authorities that this machine trusts.
    System {},
    /// By the authorities in `ca.pem` beside `config.toml`, and no others: what `login --ca-file` was given, or the
    /// authority that the server showed and a person or `--fingerprint` vouched for.
    CaFile {},
    /// By its certificate alone: names, dates and authorities are not looked at.
    Certificate {
        /// The certificate's SHA-256.
        sha256: CertificateFingerprint,
    },
}

impl Trust {
    /// For a person. `paths` are those of the configuration that names it.
    #[must_use]
    pub fn describe(&self, paths: &Paths) -> String {
        match self {
            Self::System {} => "the certificate authorities of this machine".to_owned(),
            Self::CaFile {} => match self.authorities(paths).as_slice() {
                [one] => format!("the authority {}, SHA-256 {}", one.name, one.sha256),
                [] => format!("the authority in {}, which can't be read", paths.ca_file().display()),
                several => format!("the {} authorities in {}", several.len(), paths.ca_file().display()),
            },
            Self::Certificate { sha256 } => format!("its own certificate alone, SHA-256 {sha256}"),
        }
    }

    /// The authorities of [`Self::CaFile`]; none if the file can't be read.
    #[must_use]
    pub fn authorities(&self, paths: &Paths) -> Vec<CertificateFacts> {
        match self {
            Self::CaFile {} => files::read(&paths.ca_file())
                .ok()
                .flatten()
                .map(|pem| CertificateFacts::all_of(&pem))
                .unwrap_or_default(),
            Self::System {} | Self::Certificate { .. } => Vec::new(),
        }
    }
}

/// SHA-256 of a certificate's DER encoding. Written as people compare it: upper-case pairs with colons, as OpenSSL and
/// browsers show it. Read with or without colons or blanks, in either case.
#[derive(Clone, Copy)]
pub struct CertificateFingerprint([u8; 32]);

impl CertificateFingerprint {
    /// Of this certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut fingerprint = [0; 32];
        for (to, from) in fingerprint.iter_mut().zip(digest::digest(&digest::SHA256, der).as_ref()) {
            *to = *from;
        }
        Self(fingerprint)
    }

    /// 64 lower-case digits without colons, for programs.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl PartialEq for CertificateFingerprint {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for CertificateFingerprint {}

impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            f.write_str(&HEXUPPER.encode(&[*byte]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CertificateFingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = match text.split_at_checked(7) {
            Some((prefix, digits)) if prefix.eq_ignore_ascii_case("sha256:") => digits,
            _ => text,
        };
        let digits: String = digits.chars().filter(|c| *c != ':' && !c.is_ascii_whitespace()).collect();
        HEXUPPER_PERMISSIVE
            .decode(digits.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(FingerprintError)
    }
}

impl Serialize for CertificateFingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CertificateFingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is no SHA-256 fingerprint. Retrying the same text can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons")]
pub struct FingerprintError;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> Config {
        Config {
            server: "https://localhost:8443".to_owned(),
            user: Some("jane".to_owned()),
            grant_store: GrantStore::File,
            notify_waiting: true,
            trust: Trust::Certificate { sha256: CertificateFingerprint::of(b"certificate") },
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_line() {
        let text = config().render().unwrap().replace("grant-store", "grant-storage");
        let error = Config::parse(&text).unwrap_err();
        assert!(error.contains("line 5") && error.contains("grant-storage"), "{error}");
    }

    #[test]
    fn waiting_uses_are_told_of_unless_the_file_says_no() {
        let text = config().render().unwrap();
        assert!(!text.contains("notify-waiting") && Config::parse(&text).unwrap().notify_waiting);
        let silent = Config { notify_waiting: false, ..config() };
        assert_eq!(Config::parse(&silent.render().unwrap()), Ok(silent));
    }

    #[test]
    fn every_kind_of_trust_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("c"), folder.path().join("s")).unwrap();
        assert_eq!(Config::load(&paths).unwrap(), None);
        for trust in [Trust::System {}, Trust::CaFile {}, config().trust] {
            let config = Config { trust, ..config() };
            config.save(&paths).unwrap();
            assert_eq!(Config::load(&paths).unwrap().unwrap(), config);
        }
    }

    #[test]
    fn fingerprints_are_read_as_tools_write_them() {
        let fingerprint = CertificateFingerprint::of(b"x");
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 95);
        let forms = [
            text.clone(),
            text.to_lowercase(),
            text.replace(':', ""),
            text.replace(':', " "),
            format!("SHA256:{text}"),
        ];
        for form in forms {
            assert_eq!(form.parse(), Ok(fingerprint), "{form}");
        }
        for wrong in ["", "00", &text[..92], &format!("{text}:00"), &text.replace('A', "G").replace('1', "Z")] {
            assert!(wrong.parse::<CertificateFingerprint>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_a_configuration(text: String) {
            let _ = Config::parse(&text);
            let _ = text.parse::<CertificateFingerprint>();
        }

        #[test]
        fn any_server_and_user_survive(server in "\\PC*", user in proptest::option::of("\\PC*")) {
            let config = Config { server, user, ..config() };
            prop_assert_eq!(Config::parse(&config.render().unwrap()).unwrap(), config);
        }
    }
}
