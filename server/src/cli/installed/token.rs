//! What an installation takes from a `token.toml`; the signer checks all of it.

use std::{fmt::Write as _, path::PathBuf};

use serde::{Deserialize, de::IgnoredAny};

/// A description of a token, as far as the installation goes by it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TokenFile {
    pin: Pin,
    #[serde(default)]
    sandbox: Sandbox,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pin {
    File(PathBuf),
    SystemdCredential(IgnoredAny),
    Person,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sandbox {
    write: Vec<PathBuf>,
    hosts: Vec<String>,
}

impl TokenFile {
    /// The PIN's file in the signer's folder, if it is there.
    pub(super) fn pin_file(&self) -> Option<&PathBuf> {
        match &self.pin {
            Pin::File(file) if file.is_relative() => Some(file),
            Pin::File(_) | Pin::SystemdCredential(_) | Pin::Person => None,
        }
    }

    /// What the signer's unit must allow beside what it allows to all.
    pub(super) fn drop_in(&self) -> Option<String> {
        let mut text = String::new();
        if !self.sandbox.hosts.is_empty() {
            text.push_str("# The token is in the network.\nPrivateNetwork=no\nIPAddressDeny=\nRestrictAddressFamilies=AF_INET AF_INET6\n");
        }
        for folder in self.sandbox.write.iter().filter(|folder| folder.is_absolute()) {
            // Writing to a string can't fail.
            let _ = writeln!(text, "ReadWritePaths={}", folder.display());
        }
        (!text.is_empty()).then(|| format!("[Service]\n{text}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unit_gets_what_the_module_needs_and_no_more() {
        let described = |text: &str| toml::from_str::<TokenFile>(text).unwrap();
        let plain = described("module = \"/m.so\"\ntoken = { label = \"t\" }\npin = \"person\"\n");
        assert_eq!((plain.pin_file(), plain.drop_in()), (None, None));
        let network = described(
            "module = \"/m.so\"\ntoken = { label = \"t\" }\npin = { file = \"pin\" }\n[sandbox]\nwrite = [\"/var/hsm\", \
             \"cache\"]\nhosts = [\"hsm.example.org:1792\"]\n",
        );
        assert_eq!(network.pin_file(), Some(&"pin".into()));
        let drop_in = network.drop_in().unwrap();
        assert!(drop_in.contains("PrivateNetwork=no\n") && drop_in.contains("ReadWritePaths=/var/hsm\n"), "{drop_in}");
        assert!(!drop_in.contains("cache"));
    }
}
