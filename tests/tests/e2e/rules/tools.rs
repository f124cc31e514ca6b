//! The tools that people sign with, each with the key of the playground.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Finished, KeyFacts, Playground, Workstation, good_signatures, run};

use super::DEADLINE;
use crate::packages::CHANGES;

/// A tool, and what it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    GitTag,
    Gpg,
    Rpmsign,
    Debsign,
}

impl Tool {
    pub(crate) const ALL: [Self; 4] = [Self::GitTag, Self::Gpg, Self::Rpmsign, Self::Debsign];
}

/// What the tools need.
pub(crate) struct Tools<'a> {
    pub(crate) station: &'a Workstation,
    pub(crate) key: &'a KeyFacts,
    repository: String,
    package: String,
}

impl<'a> Tools<'a> {
    /// With a repository of this name.
    pub(crate) fn new(playground: &'a Playground, repository: &str) -> Result<Self> {
        let station = &playground.workstation;
        let key = playground.key(Algorithm::Ed25519)?;
        let repository = station.repository(repository, &key.fingerprint)?;
        let package = station.build_rpm(&[])?.to_str().context("no UTF-8")?.to_owned();
        Ok(Self { station, key, repository, package })
    }

    /// Signs with a tool, whatever comes of it.
    pub(crate) fn sign(&self, tool: Tool, justification: Option<&str>) -> Result<Finished> {
        let mut command = self.command(tool)?;
        run(command.envs(justification.map(|text| ("SEALCARD_JUSTIFICATION", text))), DEADLINE)
    }

    /// The command that signs with a tool.
    pub(crate) fn command(&self, tool: Tool) -> Result<Command> {
        let key = &self.key.fingerprint;
        Ok(match tool {
            Tool::GitTag => {
                self.station.command("git", &["-C", &self.repository, "tag", "-s", "--force", "-m", "A version", "v1"])
            }
            Tool::Gpg => {
                let file = self.station.write("text", "What is signed\n")?;
                let arguments = ["--batch", "--yes", "-u", key, "-o", &self.station.path("text.sig"), "--detach-sign"];
                self.station.command("gpg", &[arguments.as_slice(), &[&file]].concat())
            }
            Tool::Rpmsign => {
                let copy = self.station.path("t.rpm");
                fs::copy(&self.package, &copy)?;
                self.station.command("rpmsign", &["--define", &format!("_gpg_name {key}"), "--addsign", &copy])
            }
            Tool::Debsign => {
                let changes = self.station.write("t_1-1_all.changes", CHANGES)?;
                self.station.command("debsign", &["--no-conf", &format!("-k{key}"), &changes])
            }
        })
    }

    /// Signs with every tool, and verifies what they made.
    pub(crate) fn sign_with_all(&self, justification: Option<&str>) -> Result<()> {
        for tool in Tool::ALL {
            self.sign(tool, justification)?.success().with_context(|| format!("{:?}", super::last(self.station)))?;
            self.expect_signed(tool)?;
        }
        Ok(())
    }

    /// What a tool made last has one good signature of the key.
    pub(crate) fn expect_signed(&self, tool: Tool) -> Result<()> {
        let status = match tool {
            Tool::GitTag => self.station.run("git", &["-C", &self.repository, "verify-tag", "--raw", "v1"])?.stderr,
            Tool::Gpg => self.verify(&[&self.station.path("text.sig"), &self.station.path("text")])?,
            Tool::Debsign => self.verify(&[&self.station.path("t_1-1_all.changes")])?,
            Tool::Rpmsign => {
                let query = ["-qp", "--nosignature", "--qf", "%{RSAHEADER:pgpsig}%{DSAHEADER:pgpsig}"];
                let shown = self.station.run("rpm", &[query.as_slice(), &[&self.station.path("t.rpm")]].concat())?;
                ensure!(shown.text().contains("EdDSA"), "{}", shown.description());
                return Ok(());
            }
        };
        ensure!(good_signatures(&status, &self.key.fingerprint) == 1, "{tool:?}: {status}");
        Ok(())
    }

    fn verify(&self, files: &[&str]) -> Result<String> {
        Ok(self.station.gpg(&[&["--status-fd", "1", "--verify"], files].concat())?.text())
    }
}
