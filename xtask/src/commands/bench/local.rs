//! The peer: ordinary gpg keys without a passphrase, in a GnuPG home with a warm agent.

use anyhow::{Context, Result};
use sealcard_tests::{Algorithm, Flavour, Playground, Workstation};

use super::side::Person;
use crate::output;

/// What a local key consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One key that signs: the least that gpg can have to do.
    Alone,
    /// A primary key that certifies and a subkey for each purpose, as ours are: gpg looks at more before it signs.
    WithSubkeys,
}

pub(crate) struct LocalKeys {
    workstation: Workstation,
    fingerprints: Vec<(Algorithm, Shape, String)>,
}

impl LocalKeys {
    /// A key of each algorithm, and one of Ed25519 with subkeys: with the others the signature itself takes the time.
    pub(crate) fn make(playground: &Playground, algorithms: &[Algorithm]) -> Result<Self> {
        let workstation = Workstation::new(&playground.binaries, &playground.scratch, "local", Flavour::Machine)?;
        let mut keys = Self { workstation, fingerprints: Vec::new() };
        for algorithm in algorithms {
            output::note(algorithm.name());
            let fingerprint = keys.generate(*algorithm, "alone", "sign")?;
            keys.fingerprints.push((*algorithm, Shape::Alone, fingerprint));
        }
        let algorithm = Algorithm::Ed25519;
        output::note(&format!("{algorithm} with subkeys"));
        let fingerprint = keys.generate(algorithm, "with subkeys", "cert")?;
        for (of, usage) in [("ed25519", "sign"), ("cv25519", "encr"), ("ed25519", "auth")] {
            keys.make_key(&["--quick-add-key", &fingerprint, of, usage, "never"])?;
        }
        keys.fingerprints.push((algorithm, Shape::WithSubkeys, fingerprint));
        Ok(keys)
    }

    fn generate(&self, algorithm: Algorithm, shape: &str, usage: &str) -> Result<String> {
        let user_id = format!("Local {algorithm} {shape} <local@example.org>");
        self.make_key(&["--quick-generate-key", &user_id, algorithm.name(), usage, "never"])?;
        let list = self.workstation.gpg(&["--with-colons", "--list-keys", &format!("={user_id}")])?.text();
        let line = list.lines().find(|line| line.starts_with("fpr:")).context("gpg lists no key")?;
        Ok(line.trim_start_matches("fpr").trim_matches(':').to_owned())
    }

    fn make_key(&self, arguments: &[&str]) -> Result<()> {
        let protection = ["-q", "--pinentry-mode", "loopback", "--passphrase", ""];
        self.workstation.gpg(&[protection.as_slice(), arguments].concat()).map(drop)
    }

    pub(crate) fn person(&self, algorithm: Algorithm, shape: Shape) -> Result<Person<'_>> {
        let found = self.fingerprints.iter().find(|(of, like, _)| (*of, *like) == (algorithm, shape));
        let (.., key) = found.with_context(|| format!("no local {algorithm} key"))?;
        Ok(Person { workstation: &self.workstation, key })
    }
}
