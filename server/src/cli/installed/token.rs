//! What an installation takes from a `token.toml`; the signer checks all of it.

use std::{
    fmt::Write as _,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, ensure};
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
    /// Reads a description; `file` names it in the error.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn parse(text: &str, file: &Path) -> anyhow::Result<Self> {
        toml::from_str(text).with_context(|| format!("{} is no token.toml: see sealcard-token.toml(5)", file.display()))
    }

    /// The PIN's file, if it is in the signer's folder itself.
    pub(super) fn pin_file(&self) -> Option<&Path> {
        let Pin::File(file) = &self.pin else { return None };
        let mut components = file.components();
        let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        plain.then_some(file)
    }

    /// Whether a person gives the PIN after each start.
    pub(super) const fn asks_a_person(&self) -> bool {
        matches!(self.pin, Pin::Person)
    }

    /// What the signer's unit must allow beside what it allows to all.
    ///
    /// # Errors
    /// If a folder's name can't be written into a unit.
    pub(super) fn drop_in(&self) -> anyhow::Result<Option<String>> {
        let mut text = String::new();
        if !self.sandbox.hosts.is_empty() {
            text.push_str(
                "# The token is in the network.\nPrivateNetwork=no\nIPAddressDeny=\nRestrictAddressFamilies=AF_INET \
                 AF_INET6\n",
            );
        }
        for folder in self.sandbox.write.iter().filter(|folder| folder.is_absolute()) {
            let name = folder.to_string_lossy();
            // Anything else has a meaning of its own there, or ends the line.
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
            ensure!(name.chars().all(plain), "the folder {name:?} under write can't be named in a unit: rename it");
            // Writing to a string can't fail. A folder that is missing does not stop the unit.
            let _ = writeln!(text, "ReadWritePaths=-{name}");
        }
        Ok((!text.is_empty()).then(|| format!("[Service]\n{text}")))
    }
}

/// Whether a person gives the PIN of the token that this file describes, after each start.
///
/// # Errors
/// If the file can't be read or is no description.
pub(in crate::cli) fn person_gives_pin(config: &Path) -> anyhow::Result<bool> {
    let text = fs::read_to_string(config).with_context(|| format!("can't read {}", config.display()))?;
    Ok(TokenFile::parse(&text, config)?.asks_a_person())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unit_gets_what_the_module_needs_and_no_more() {
        let described = |text: &str| toml::from_str::<TokenFile>(text).unwrap();
        let plain = described("module = \"/m.so\"\ntoken = { label = \"t\" }\npin = \"person\"\n");
        assert!(plain.pin_file().is_none() && plain.drop_in().unwrap().is_none() && plain.asks_a_person());
        let network = described(
            "module = \"/m.so\"\ntoken = { label = \"t\" }\npin = { file = \"pin\" }\n[sandbox]\nwrite = [\"/var/hsm\", \
             \"cache\"]\nhosts = [\"hsm.example.org:1792\"]\n",
        );
        assert_eq!(network.pin_file(), Some(Path::new("pin")));
        let drop_in = network.drop_in().unwrap().unwrap();
        assert!(drop_in.contains("PrivateNetwork=no\n") && drop_in.contains("ReadWritePaths=-/var/hsm\n"), "{drop_in}");
        assert!(!drop_in.contains("cache"));
    }

    #[test]
    fn text_of_the_file_enters_a_unit_only_as_a_folder() {
        let with = |pin: &str, folder: &str| {
            toml::from_str::<TokenFile>(&format!("pin = {pin}\n[sandbox]\nwrite = [{folder:?}]\n")).unwrap()
        };
        for folder in ["/x\nExecStartPre=+/bin/sh", "/with space", "/%h", "/\"quoted\""] {
            assert!(with("\"person\"", folder).drop_in().is_err(), "{folder}");
        }
        for pin in ["../pin", "a/b", "/pin", ".."] {
            assert_eq!(with(&format!("{{ file = {pin:?} }}"), "/x").pin_file(), None, "{pin}");
        }
    }
}
