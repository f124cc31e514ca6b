//! The peer: ordinary gpg keys without a passphrase, in a GnuPG home with a warm agent.

use anyhow::{Context, Result};
use sealcard_tests::{Algorithm, Flavour, Playground, Workstation};

use super::side::{Person, Task};
use crate::output;

/// What a local key consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One key that signs: the least that gpg can have to do.
    Alone,
    /// A primary key that certifies and a subkey for each purpose, as ours are: gpg looks at more before it signs.
    WithSubkeys,
}

/// Which of our keys is compared with which local key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Our standard key with a local key that is alone.
    Usual,
    /// Our standard key with a local key that has the same subkeys.
    WithSubkeys,
    /// Our key that only signs with a local key that only signs.
    SignOnly,
}

impl Pair {
    /// What the name of a measurement ends with.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::WithSubkeys => ", key with subkeys",
            Self::SignOnly => ", key that only signs",
        }
    }

    /// The local key.
    pub(crate) const fn local(self) -> Shape {
        match self {
            Self::Usual | Self::SignOnly => Shape::Alone,
            Self::WithSubkeys => Shape::WithSubkeys,
        }
    }

    /// What is measured. With RSA the signature itself takes the time, whatever the key consists of; the signatures of
    /// Ed25519 in a certificate take gpg longer to verify than one takes to make.
    pub(crate) const fn all(task: Task, algorithm: Algorithm) -> &'static [Self] {
        match (algorithm, task) {
            (Algorithm::Ed25519, Task::DetachedSignature | Task::GitTag) => {
                &[Self::Usual, Self::WithSubkeys, Self::SignOnly]
            }
            (Algorithm::Ed25519, _) => &[Self::Usual, Self::WithSubkeys],
            _ => &[Self::Usual],
        }
    }
}

pub(crate) struct LocalKeys {
    workstation: Workstation,
    fingerprints: Vec<(Algorithm, Shape, String)>,
}

impl LocalKeys {
    /// A key of each algorithm in each of its shapes.
    pub(crate) fn make(playground: &Playground, algorithms: &[Algorithm]) -> Result<Self> {
        let workstation = Workstation::new(&playground.binaries, &playground.scratch, "local", Flavour::Machine)?;
        let mut keys = Self { workstation, fingerprints: Vec::new() };
        for algorithm in algorithms {
            // The third pair's local key is the first one's.
            for pair in Pair::all(Task::Rebase, *algorithm) {
                output::note(&format!("{algorithm}{}", pair.suffix()));
                let fingerprint = keys.generate(*algorithm, pair.local())?;
                keys.fingerprints.push((*algorithm, pair.local(), fingerprint));
            }
        }
        Ok(keys)
    }

    fn generate(&self, algorithm: Algorithm, shape: Shape) -> Result<String> {
        let (name, usage, subkeys): (_, _, &[_]) = match shape {
            Shape::Alone => ("alone", "sign", &[]),
            Shape::WithSubkeys => {
                ("with subkeys", "cert", &[("ed25519", "sign"), ("cv25519", "encr"), ("ed25519", "auth")])
            }
        };
        let user_id = format!("Local {algorithm} {name} <local@example.org>");
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
