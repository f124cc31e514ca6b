//! The keys that the person said are theirs. Only these are ever trusted ultimately; a card that appears later is not.

use std::collections::BTreeMap;

use anyhow::Context as _;
use sealcard_api::Fingerprint;
use serde::{Deserialize, Serialize};

use super::{Gnupg, ULTIMATE_TRUST, UNKNOWN_TRUST};
use crate::config::{Paths, files};

/// The keys that were trusted here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKeys {
    keys: BTreeMap<Fingerprint, TrustedKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustedKey {
    server: String,
    /// `PROJECT/NAME`.
    name: String,
    /// The owner trust before.
    before: u8,
}

impl TrustedKeys {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it can't be read or understood.
    pub fn load(paths: &Paths) -> anyhow::Result<Self> {
        let path = paths.trusted_keys_file();
        let Some(content) = files::read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&content)
            .with_context(|| format!("{} can't be understood; remove it if it is damaged", path.display()))
    }

    fn save(&self, paths: &Paths) -> anyhow::Result<()> {
        if self.keys.is_empty() {
            files::remove(&paths.trusted_keys_file())?;
            return Ok(());
        }
        Ok(files::write_private(&paths.trusted_keys_file(), &serde_json::to_vec_pretty(self)?)?)
    }

    /// Whether no key was ever trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the person trusts this key.
    #[must_use]
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.keys.contains_key(&fingerprint)
    }

    /// Another key that the person trusted under this name of this server.
    #[must_use]
    pub fn other_of_name(&self, server: &str, name: &str, fingerprint: Fingerprint) -> Option<Fingerprint> {
        let same_name = |key: &TrustedKey| key.server == server && key.name == name;
        self.keys.iter().find(|(other, key)| **other != fingerprint && same_name(key)).map(|(other, _)| *other)
    }

    /// Trusts keys from now on. The person has confirmed them.
    ///
    /// # Errors
    ///
    /// When gpg refuses or the file can't be written.
    pub fn add(
        &mut self,
        paths: &Paths,
        gnupg: &Gnupg,
        server: &str,
        keys: &[(Fingerprint, String)],
    ) -> anyhow::Result<()> {
        let before = gnupg.owner_trust()?;
        for (fingerprint, name) in keys {
            let before = before.get(&fingerprint.to_string()).copied().unwrap_or(UNKNOWN_TRUST);
            let key = TrustedKey { server: server.to_owned(), name: name.clone(), before };
            self.keys.entry(*fingerprint).or_insert(key);
        }
        // Noted before it is done, so that it can be taken back.
        self.save(paths)?;
        let trust: Vec<_> = keys.iter().map(|(fingerprint, _)| (*fingerprint, ULTIMATE_TRUST)).collect();
        Ok(gnupg.set_owner_trust(&trust)?)
    }

    /// Gives keys the owner trust that they had before. One that was changed since keeps it. Gives how many there were.
    ///
    /// # Errors
    ///
    /// When gpg refuses or the file can't be written.
    pub fn remove(
        &mut self,
        paths: &Paths,
        gnupg: &Gnupg,
        which: impl Fn(Fingerprint) -> bool,
    ) -> anyhow::Result<usize> {
        if !self.keys.keys().any(|key| which(*key)) {
            return Ok(0);
        }
        let now = gnupg.owner_trust()?;
        let is_ours = |fingerprint: &Fingerprint| now.get(&fingerprint.to_string()) == Some(&ULTIMATE_TRUST);
        let keys = self.keys.iter().filter(|(key, _)| which(**key) && is_ours(key));
        let trust: Vec<_> = keys.map(|(fingerprint, key)| (*fingerprint, key.before)).collect();
        if !trust.is_empty() {
            gnupg.set_owner_trust(&trust)?;
        }
        self.keys.retain(|key, _| !which(*key));
        self.save(paths)?;
        Ok(trust.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MINE: Fingerprint = Fingerprint([0x93; 20]);
    const OTHER: Fingerprint = Fingerprint([0x94; 20]);

    struct Person {
        _folder: tempfile::TempDir,
        gnupg: Gnupg,
        paths: Paths,
    }

    impl Person {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let gnupg = Gnupg::new(folder.path().join("gnupg"));
            gnupg.make_home().unwrap();
            let paths = Paths::new(folder.path().join("c"), folder.path().join("s")).unwrap();
            Self { _folder: folder, gnupg, paths }
        }

        fn trust(&self, keys: &[(Fingerprint, &str)]) {
            let keys: Vec<_> = keys.iter().map(|(key, name)| (*key, (*name).to_owned())).collect();
            TrustedKeys::load(&self.paths).unwrap().add(&self.paths, &self.gnupg, "https://a", &keys).unwrap();
        }

        fn trust_of(&self, key: Fingerprint) -> Option<u8> {
            self.gnupg.owner_trust().unwrap().get(&key.to_string()).copied()
        }
    }

    #[test]
    fn trust_of_before_comes_back_and_the_list_goes() {
        let person = Person::new();
        person.gnupg.set_owner_trust(&[(OTHER, 5)]).unwrap();
        person.trust(&[(MINE, "release/tags"), (OTHER, "release/rpm")]);
        assert_eq!((person.trust_of(MINE), person.trust_of(OTHER)), (Some(6), Some(6)));
        let mut known = TrustedKeys::load(&person.paths).unwrap();
        assert!(known.contains(MINE) && known.contains(OTHER));
        assert_eq!(known.remove(&person.paths, &person.gnupg, |_| true).unwrap(), 2);
        assert_eq!(person.trust_of(OTHER), Some(5));
        assert!(person.trust_of(MINE).is_none_or(|trust| trust == UNKNOWN_TRUST));
        assert!(!person.paths.trusted_keys_file().exists());
    }

    #[test]
    fn trust_that_was_changed_since_stays() {
        let person = Person::new();
        person.trust(&[(MINE, "release/tags")]);
        person.gnupg.set_owner_trust(&[(MINE, 4)]).unwrap();
        let mut known = TrustedKeys::load(&person.paths).unwrap();
        assert_eq!(known.remove(&person.paths, &person.gnupg, |_| true).unwrap(), 0);
        assert_eq!(person.trust_of(MINE), Some(4));
    }

    #[test]
    fn another_key_of_a_trusted_name_is_noticed() {
        let person = Person::new();
        person.trust(&[(MINE, "release/tags")]);
        let known = TrustedKeys::load(&person.paths).unwrap();
        assert_eq!(known.other_of_name("https://a", "release/tags", OTHER), Some(MINE));
        assert_eq!(known.other_of_name("https://a", "release/tags", MINE), None);
        assert_eq!(known.other_of_name("https://b", "release/tags", OTHER), None);
    }
}
