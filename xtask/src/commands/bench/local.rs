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

impl Shape {
    /// What the name of a measurement ends with.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Alone => "",
            Self::WithSubkeys => ", key with subkeys",
        }
    }
}

pub(crate) struct LocalKeys {
    workstation: Workstation,
    fingerprints: Vec<(Algorithm, Shape, String)>,
}

impl LocalKeys {
    /// What is measured of an algorithm. With RSA the signature itself takes the time, whatever the key consists of; the
    /// signatures of Ed25519 in a certificate take gpg longer to verify than one takes to make.
    pub(crate) const fn shapes(algorithm: Algorithm) -> &'static [Shape] {
        match algorithm {
            Algorithm::Ed25519 => &[Shape::Alone, Shape::WithSubkeys],
            _ => &[Shape::Alone],
        }
    }

    /// A key of each algorithm in each of its shapes.
    pub(crate) fn make(playground: &Playground, algorithms: &[Algorithm]) -> Result<Self> {
        let workstation = Workstation::new(&playground.binaries, &playground.scratch, "local", Flavour::Machine)?;
        let mut keys = Self { workstation, fingerprints: Vec::new() };
        for algorithm in algorithms {
            for shape in Self::shapes(*algorithm) {
                output::note(&format!("{algorithm}{}", shape.suffix()));
                let fingerprint = keys.generate(*algorithm, *shape)?;
                keys.fingerprints.push((*algorithm, *shape, fingerprint));
            }
        }
        Ok(keys)
    }

    fn generate(&self, algorithm: Algorithm, shape: Shape) -> Result<String> {
        let user_id = format!("Local {algorithm}{} <local@example.org>", shape.suffix());
        let (usage, subkeys): (_, &[_]) = match shape {
            Shape::Alone => ("sign", &[]),
            Shape::WithSubkeys => ("cert", &[("ed25519", "sign"), ("cv25519", "encr"), ("ed25519", "auth")]),
        };
        self.make_key(&["--quick-generate-key", &user_id, algorithm.name(), usage, "never"])?;
        let list = self.workstation.gpg(&["--with-colons", "--list-keys", &format!("={user_id}")])?.text();
        let line = list.lines().find(|line| line.starts_with("fpr:")).context("gpg lists no key")?;
        let fingerprint = line.trim_start_matches("fpr").trim_matches(':').to_owned();
        for (of, usage) in subkeys {
            self.make_key(&["--quick-add-key", &fingerprint, of, usage, "never"])?;
        }
        Ok(fingerprint)
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
