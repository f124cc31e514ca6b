//! The peer: ordinary gpg keys without a passphrase, in a GnuPG home with a warm agent.

use anyhow::{Context, Result};
use sealcard_tests::{Algorithm, Flavour, Playground, Workstation};

use crate::side::Person;
use xtask::output;

/// What the two keys consist of that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The local key is one key that signs, the least that gpg can have to do; ours has a subkey for each purpose.
    Alone,
    /// Both have a primary key that certifies and a subkey for each purpose: gpg looks at more before it signs.
    WithSubkeys,
    /// With both the primary key signs.
    PrimarySigns,
}

impl Shape {
    /// What the name of a measurement ends with.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Alone => "",
            Self::WithSubkeys => ", key with subkeys",
            Self::PrimarySigns => ", primary key that signs",
        }
    }

    /// What the local key is for.
    const fn usage(self) -> &'static str {
        match self {
            Self::Alone | Self::PrimarySigns => "sign",
            Self::WithSubkeys => "cert",
        }
    }

    /// Its subkeys: algorithm and use.
    const fn subkeys(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Alone | Self::PrimarySigns => &[],
            Self::WithSubkeys => &[("ed25519", "sign"), ("cv25519", "encr"), ("ed25519", "auth")],
        }
    }
}

pub(crate) struct LocalKeys {
    workstation: Workstation,
    fingerprints: Vec<(Algorithm, Shape, String)>,
}

impl LocalKeys {
    /// What is measured of an algorithm. With RSA the signature itself takes the time, whatever the key consists of;
    /// the signatures of Ed25519 in a certificate take gpg longer to verify than one takes to make.
    pub(crate) const fn shapes(algorithm: Algorithm) -> &'static [Shape] {
        match algorithm {
            Algorithm::Ed25519 => &[Shape::Alone, Shape::WithSubkeys, Shape::PrimarySigns],
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
        self.make_key(&["--quick-generate-key", &user_id, algorithm.name(), shape.usage(), "never"])?;
        let list = self.workstation.gpg(&["--with-colons", "--list-keys", &format!("={user_id}")])?.text();
        let line = list.lines().find(|line| line.starts_with("fpr:")).context("gpg lists no key")?;
        let fingerprint = line.trim_start_matches("fpr").trim_matches(':').to_owned();
        for (of, usage) in shape.subkeys() {
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
