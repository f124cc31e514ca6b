//! What a module may touch: everything that is not named here fails.

use std::{
    collections::BTreeMap,
    fmt,
    net::Ipv6Addr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, de::Error as _};

/// The table `[sandbox]`. Relative paths start in the signer's folder. The module's own file and the libraries that the
/// system's loader finds need not be named.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SandboxConfig {
    /// Whether the worker refuses to start where the system can't enforce what follows. It does unless told otherwise.
    pub require: bool,
    /// Files and folders that it may read, with all that is in them.
    pub read: Vec<PathBuf>,
    /// Folders that it may read, change and make files in.
    pub write: Vec<PathBuf>,
    /// Unix sockets that it may connect to, such as that of a vendor's daemon.
    pub unix_sockets: Vec<PathBuf>,
    /// Hosts of a network HSM.
    pub hosts: Vec<Host>,
    /// Environment variables that it needs. Nothing else is in its environment.
    #[serde(deserialize_with = "environment")]
    pub environment: BTreeMap<String, String>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            require: true,
            read: Vec::new(),
            write: Vec::new(),
            unix_sockets: Vec::new(),
            hosts: Vec::new(),
            environment: BTreeMap::new(),
        }
    }
}

impl SandboxConfig {
    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in self.read.iter_mut().chain(&mut self.write).chain(&mut self.unix_sockets) {
            *path = folder.join(&path);
        }
    }
}

/// A host and a TCP port, written `name:port` or `[IPv6 address]:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name or address; an IPv6 address without brackets.
    pub name: String,
    /// Its TCP port, not 0.
    pub port: u16,
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let (name, port) = text.rsplit_once(':')?;
        let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok()).flatten().filter(|p| *p != 0)?;
        let name = match name.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(address) => address.filter(|address| address.parse::<Ipv6Addr>().is_ok())?,
            None => name,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let fine = name.parse::<Ipv6Addr>().is_ok() == text.starts_with('[')
            && !name.is_empty()
            && name.len() <= 253
            && (text.starts_with('[') || name.chars().all(plain));
        fine.then(|| Self { name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom("a host is written with its port, such as hsm.example.com:1792 or [fd00::1]:1792")
        })
    }
}

fn environment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let variables = BTreeMap::<String, String>::deserialize(deserializer)?;
    let fine = |name: &str, value: &str| {
        let mut characters = name.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !value.contains('\0')
    };
    if variables.iter().all(|(name, value)| fine(name, value)) {
        Ok(variables)
    } else {
        Err(D::Error::custom("a variable in environment has a name of letters, digits and _, and a value without NUL"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_need_a_port_and_nothing_else() {
        for text in ["hsm:1", "10.0.0.7:65535", "[::1]:9", "a-b.example.com:1792"] {
            assert_eq!(Host::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            ":1",
            "hsm",
            "hsm:",
            "hsm:0",
            "hsm:65536",
            "hsm:+1",
            "::1:9",
            "[::1]",
            "[::1]:",
            "[hsm]:1",
            "[::1:9",
            "a b:1",
            "tcp://hsm:1",
            "hsm:1/x",
            "[]:1",
        ] {
            assert!(Host::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_host_is_written_as_it_was_read(text in ".{0,40}") {
            if let Some(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Some(host));
            }
        }
    }
}
