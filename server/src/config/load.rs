//! Reading the configuration.

use std::path::{Path, PathBuf};

use sealcard_signer_protocol::is_origin;
use thiserror::Error;
use toml::{Table, Value};

use super::Config;

/// Why the configuration can't be used. Retrying helps after it was corrected.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or a key or value that is not known. The text names line, column and key.
    #[error("{}: {text}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The place and what is wrong there.
        text: String,
    },
    /// A variable of the environment is not understood.
    #[error("the environment variable {name} can't be used: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A section with a name of its own that makes no sense.
    #[error("[{section}]: {reason}")]
    Section {
        /// The section.
        section: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A value that makes no sense.
    #[error("{key}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

pub(super) fn load(path: &Path, overlay: Vec<(String, Table)>) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text, overlay)
}

/// Reads the text of the file `path`, and lays tables of the environment over it.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse(path: &Path, text: &str, overlay: Vec<(String, Table)>) -> Result<Config, ConfigError> {
    let in_file = |error: toml::de::Error| ConfigError::File { path: path.to_owned(), text: error.to_string() };
    // Typed at once, so that an error names its line.
    let mut config: Config = toml::from_str(text).map_err(in_file)?;
    if !overlay.is_empty() {
        let mut table: Table = toml::from_str(text).map_err(in_file)?;
        for (name, over) in overlay {
            merge(&mut table, over);
            // After each variable, so that an error names it.
            config = table
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| ConfigError::Variable { name, reason: error.message().to_owned() })?;
        }
    }
    check(&config)?;
    Ok(config)
}

fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => merge(inner, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let limits = &config.limits;
    let positive: [(&'static str, u64); 15] = [
        ("limits.handshake-seconds", limits.handshake_seconds),
        ("limits.head-seconds", limits.head_seconds),
        ("limits.request-seconds", limits.request_seconds),
        ("limits.idle-seconds", limits.idle_seconds),
        ("limits.connections", limits.connections as u64),
        ("limits.anonymous-connections", limits.anonymous_connections as u64),
        ("limits.anonymous-requests", limits.anonymous_requests.into()),
        ("limits.requests", limits.requests as u64),
        ("limits.uses-per-minute", limits.uses_per_minute.into()),
        ("limits.denials-per-minute", limits.denials_per_minute.into()),
        ("limits.grant-days", limits.grant_days.into()),
        ("limits.password-checks", limits.password_checks as u64),
        ("limits.free-attempts", limits.free_attempts.into()),
        ("limits.one-time-password-days", limits.one_time_password_days.into()),
        ("limits.body-bytes", limits.body_bytes as u64),
    ];
    for (key, value) in positive {
        if value == 0 {
            return Err(ConfigError::Value { key, reason: "must be at least 1" });
        }
    }
    // Semaphores, memory and additions to the clock have to cope with what is written here.
    let at_most: [(&'static str, u64, u64, &'static str); 8] = [
        ("limits.body-bytes", limits.body_bytes as u64, 16 << 20, "may be 16777216 (16 MiB) at most"),
        ("limits.connections", limits.connections as u64, 1 << 20, "may be 1048576 at most"),
        ("limits.requests", limits.requests as u64, 1 << 20, "may be 1048576 at most"),
        ("limits.denials-per-minute", limits.denials_per_minute.into(), 10_000, "may be 10000 at most"),
        ("limits.password-checks", limits.password_checks as u64, 64, "may be 64 at most"),
        ("limits.request-seconds", limits.request_seconds, 3600, "may be 3600 at most"),
        ("limits.one-time-password-days", limits.one_time_password_days.into(), 90, "may be 90 at most"),
        ("limits.grant-refreshable-days", limits.grant_refreshable_days.into(), 36_500, "may be 36500 at most"),
    ];
    for (key, value, most, reason) in at_most {
        if value > most {
            return Err(ConfigError::Value { key, reason });
        }
    }
    let day_long = [limits.handshake_seconds, limits.head_seconds, limits.idle_seconds, limits.shutdown_seconds];
    if day_long.iter().any(|seconds| *seconds > 86_400) {
        return Err(ConfigError::Value { key: "limits.…-seconds", reason: "may be 86400 (a day) at most" });
    }
    if limits.grant_days > limits.grant_refreshable_days {
        let reason = "must not be more than limits.grant-refreshable-days";
        return Err(ConfigError::Value { key: "limits.grant-days", reason });
    }
    if config.metrics.listen.is_some_and(|metrics| metrics == config.listen && metrics.port() != 0) {
        return Err(ConfigError::Value { key: "metrics.listen", reason: "must not be the server's own address" });
    }
    if limits.password_characters < 8 {
        return Err(ConfigError::Value { key: "limits.password-characters", reason: "must be at least 8" });
    }
    if config.record.origin.as_deref().is_some_and(|origin| !is_origin(origin)) {
        let reason = "must have at most 255 letters, digits and other signs than + and blanks";
        return Err(ConfigError::Value { key: "record.origin", reason });
    }
    if config.record.witnesses.is_some() && config.record.origin.is_none() {
        let reason = "needs record.origin: without it there is no log to cosign";
        return Err(ConfigError::Value { key: "record.witnesses", reason });
    }
    if config.record.witnesses_ca_file.is_some() && config.record.witnesses.is_none() {
        let reason = "needs record.witnesses: nobody else is asked with it";
        return Err(ConfigError::Value { key: "record.witnesses-ca-file", reason });
    }
    config.notices.check()?;
    super::sinks::check(&config.sinks)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{
        super::{LogFormat, overlay},
        *,
    };

    fn read(text: &str, vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse(Path::new("server.toml"), text, overlay(vars)?)
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(read("", &[]).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line() {
        let error = read("listen = \"127.0.0.1:1\"\n\n[limits]\nrequest-secs = 3\n", &[]).unwrap_err().to_string();
        for part in ["server.toml", "line 4", "request-secs", "request-seconds"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let error = read("\nlisten = \"nowhere\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("listen"), "{error}");
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let config = read(
            "listen = \"127.0.0.1:1\"\n[limits]\nrequests = 3\nconnections = 4",
            &[
                ("SEALCARD_SERVER_LISTEN", "[::1]:2"),
                ("SEALCARD_SERVER_LIMITS__REQUEST_SECONDS", "7"),
                ("SEALCARD_SERVER_LIMITS__REQUESTS", "8"),
                ("SEALCARD_SERVER_LOG__FORMAT", "json"),
                ("SEALCARD_SERVER_TLS__NAMES", "[\"a.example\"]"),
                ("SEALCARD_SERVER_DATA", "/somewhere"),
                ("SEALCARD_STATE_FOLDER", "/elsewhere"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen.to_string(), "[::1]:2");
        assert_eq!(config.limits.request_timeout(), Duration::from_secs(7));
        assert_eq!((config.limits.requests, config.limits.connections), (8, 4));
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(config.tls.names, ["a.example"]);
    }

    #[test]
    fn an_unknown_variable_is_named() {
        for name in ["SEALCARD_SERVER_LISTENN", "SEALCARD_SERVER_LIMITS__SPEED", "SEALCARD_SERVER_"] {
            let error = read("", &[(name, "1")]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn origin_must_be_the_name_of_a_key() {
        assert_eq!(read("record.origin = \"sign.example.org/record\"", &[]).unwrap().record.environment, "default");
        for wrong in ["", "sign.example.org/the record", "a+b"] {
            let error = read(&format!("record.origin = \"{wrong}\""), &[]).unwrap_err().to_string();
            assert!(error.contains("record.origin"), "{error}");
        }
    }

    #[test]
    fn witnesses_need_a_log() {
        let config = read("[record]\norigin = \"a/b\"\nwitnesses = \"w.tlog-policy\"", &[]).unwrap();
        assert_eq!(config.record.files().count(), 1);
        for (text, key) in [
            ("[record]\nwitnesses = \"w.tlog-policy\"", "record.witnesses:"),
            ("[record]\norigin = \"a/b\"\nwitnesses-ca-file = \"ca.pem\"", "record.witnesses-ca-file:"),
        ] {
            let error = read(text, &[]).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for text in [
            "requests = 0",
            "grant-days = 400",
            "password-characters = 4",
            "connections = 99999999999",
            "uses-per-minute = 0",
            "denials-per-minute = 0",
            "denials-per-minute = 10001",
        ] {
            let error = read(&format!("[limits]\n{text}"), &[]).unwrap_err().to_string();
            let key = text.split(' ').next().unwrap();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn trusted_proxies_are_addresses_and_networks() {
        let config = read("trusted-proxies = [\"192.0.2.1\", \"2001:db8::/64\"]", &[]).unwrap();
        assert_eq!(
            config.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["192.0.2.1", "2001:db8::/64"]
        );
        let variable = [("SEALCARD_SERVER_TRUSTED_PROXIES", "[\"192.0.2.7\"]")];
        assert_eq!(read("", &variable).unwrap().trusted_proxies, ["192.0.2.7".parse().unwrap()]);
        for wrong in ["0.0.0.0/0", "192.0.2.1/24", "proxy.example.org"] {
            let error = read(&format!("\ntrusted-proxies = [\"{wrong}\"]"), &[]).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(read(&text, &[]).unwrap(), Config::default());
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_a_configuration(text: String, name in "[A-Z_]{0,20}", value: String) {
            let _ = read(&text, &[]);
            let _ = read("", &[(&format!("SEALCARD_SERVER_{name}"), &value)]);
        }

        #[test]
        fn every_key_that_is_not_known_is_refused(key in "[a-z]{3,12}") {
            prop_assume!(!["listen", "tls", "log", "limits", "notices", "sinks"].contains(&key.as_str()));
            let error = read(&format!("{key} = 1"), &[]).unwrap_err().to_string();
            prop_assert!(error.contains(&key) && error.contains("line 1"), "{}", error);
        }
    }
}
