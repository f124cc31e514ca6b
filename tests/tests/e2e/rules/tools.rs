//! The tools that people sign with, each with the key of the playground.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Finished, KeyFacts, Playground, Workstation, good_signatures, run};

use super::DEADLINE;
use crate::packages::CHANGES;

/// A tool, and what it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    GitTag,
    Gpg,
    Rpmsign,
    Debsign,
}

impl Tool {
    pub(super) const ALL: [Self; 4] = [Self::GitTag, Self::Gpg, Self::Rpmsign, Self::Debsign];
}

/// What the tools need.
pub(super) struct Tools<'a> {
    pub(super) station: &'a Workstation,
    pub(super) key: &'a KeyFacts,
    repository: String,
    package: String,
}

impl<'a> Tools<'a> {
    /// With a repository of this name.
    pub(super) fn new(playground: &'a Playground, repository: &str) -> Result<Self> {
        let station = &playground.workstation;
        let key = playground.key(Algorithm::Ed25519)?;
        let repository = station.repository(repository, &key.fingerprint)?;
        let package = station.build_rpm(&[])?.to_str().context("no UTF-8")?.to_owned();
        Ok(Self { station, key, repository, package })
    }

    /// Signs with a tool, whatever comes of it.
    pub(super) fn sign(&self, tool: Tool, justification: Option<&str>) -> Result<Finished> {
        let key = &self.key.fingerprint;
        let mut command = match tool {
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
        };
        let command: &mut Command = command.envs(justification.map(|text| ("SEALCARD_JUSTIFICATION", text)));
        run(command, DEADLINE)
    }

    /// Signs with every tool, and verifies what they made.
    pub(super) fn sign_with_all(&self, justification: Option<&str>) -> Result<()> {
        for tool in Tool::ALL {
            self.sign(tool, justification)?.success().with_context(|| format!("{:?}", super::last(self.station)))?;
            let status = match tool {
                Tool::GitTag => self.station.run("git", &["-C", &self.repository, "verify-tag", "--raw", "v1"])?.stderr,
                Tool::Gpg => self.verify(&[&self.station.path("text.sig"), &self.station.path("text")])?,
                Tool::Debsign => self.verify(&[&self.station.path("t_1-1_all.changes")])?,
                Tool::Rpmsign => {
                    let query = ["-qp", "--nosignature", "--qf", "%{RSAHEADER:pgpsig}%{DSAHEADER:pgpsig}"];
                    let shown =
                        self.station.run("rpm", &[query.as_slice(), &[&self.station.path("t.rpm")]].concat())?;
                    ensure!(shown.text().contains("EdDSA"), "{}", shown.description());
                    continue;
                }
            };
            ensure!(good_signatures(&status, &self.key.fingerprint) == 1, "{tool:?}: {status}");
        }
        Ok(())
    }

    fn verify(&self, files: &[&str]) -> Result<String> {
        Ok(self.station.gpg(&[&["--status-fd", "1", "--verify"], files].concat())?.text())
    }
}
