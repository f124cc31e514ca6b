//! The peer: ordinary gpg keys without a passphrase, in a GnuPG home with a warm agent.

use anyhow::{Context, Result};
use sealcard_tests::{Algorithm, Flavour, Playground, Workstation};

use super::side::Person;
use crate::output;

pub(crate) struct LocalKeys {
    workstation: Workstation,
    fingerprints: Vec<(Algorithm, String)>,
}

impl LocalKeys {
    pub(crate) fn make(playground: &Playground, algorithms: &[Algorithm]) -> Result<Self> {
        let workstation = Workstation::new(&playground.binaries, &playground.scratch, "local", Flavour::Machine)?;
        let mut fingerprints = Vec::new();
        for algorithm in algorithms {
            output::note(algorithm.name());
            let user_id = format!("Local {algorithm} <local@example.org>");
            let protection = ["--pinentry-mode", "loopback", "--passphrase", ""];
            let generate = ["--quick-generate-key", &user_id, algorithm.name(), "sign", "never"];
            workstation.gpg(&[["-q"].as_slice(), &protection, &generate].concat())?;
            let list = workstation.gpg(&["--with-colons", "--list-keys", &format!("={user_id}")])?.text();
            let line = list.lines().find(|line| line.starts_with("fpr:")).context("gpg lists no key")?;
            fingerprints.push((*algorithm, line.trim_start_matches("fpr").trim_matches(':').to_owned()));
        }
        Ok(Self { workstation, fingerprints })
    }

    pub(crate) fn person(&self, algorithm: Algorithm) -> Result<Person<'_>> {
        let found = self.fingerprints.iter().find(|(of, _)| *of == algorithm);
        let (_, key) = found.with_context(|| format!("no local {algorithm} key"))?;
        Ok(Person { workstation: &self.workstation, key })
    }
}
