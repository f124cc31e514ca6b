//! Signatures on the packages, by the tools that everybody signs packages with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Binaries, Playground, PlaygroundBuilder, good_signatures, run};

use super::{Built, Release, SUMS};

/// Each signature may wait for a card or a server.
const PATIENCE: Duration = Duration::from_secs(300);

/// A key that gpg can use.
pub(super) struct Signer {
    pub(super) fingerprint: String,
    /// Variables for the tools, besides those of this process.
    pub(super) environment: Vec<(&'static str, PathBuf)>,
}

impl Signer {
    /// Signs each package inside, and the list of digests beside it. Archives have only the latter.
    pub(super) fn sign(&self, release: &Release, built: &[Built], out: &Path) -> Result<()> {
        for file in built.iter().flat_map(|built| &built.files) {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("deb") => {
                    self.run(Command::new("debsigs").args(["--sign=origin", "-k", &self.fingerprint]).arg(file))?
                }
                Some("rpm") => {
                    let name = format!("_gpg_name {}", self.fingerprint);
                    self.run(Command::new("rpmsign").args(["--define", &name, "--addsign"]).arg(file))?;
                }
                _ => (),
            }
        }
        // The packages have other digests now.
        release.describe(built, out)?;
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--yes", "--armor", "--detach-sign", "--local-user", &self.fingerprint]);
        self.run(gpg.arg(out.join(SUMS)))
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(command, PATIENCE)?.success()?;
        Ok(())
    }
}

/// Signs with a key of a Sealcard server, and verifies all signatures.
pub(super) fn check(release: &Release, built: &[Built], binaries: &Binaries, out: &Path) -> Result<()> {
    let playground = PlaygroundBuilder::new(binaries.clone()).algorithms(&[Algorithm::Ed25519]).start()?;
    let fingerprint = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let signer = Signer { fingerprint, environment: playground.workstation.environment() };
    signer.sign(release, built, out)?;
    run(Command::new("sha256sum").args(["--quiet", "--check", SUMS]).current_dir(out), PATIENCE)?.success()?;
    let sums = out.join(SUMS);
    good_signature(&playground, &signer, &out.join(format!("{SUMS}.asc")), &sums)?;
    for file in built.iter().flat_map(|built| &built.files) {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("deb") => check_deb(&playground, &signer, file)?,
            Some("rpm") => check_rpm(&playground, &signer, file)?,
            _ => (),
        }
    }
    Ok(())
}

/// The signature is over the members of the archive, one behind the other.
fn check_deb(playground: &Playground, signer: &Signer, file: &Path) -> Result<()> {
    let station = &playground.workstation;
    let file = file.to_str().context("a path that is not UTF-8")?;
    let signature = station.path("origin.sig");
    let content = station.path("members");
    fs::write(&signature, station.run("ar", &["p", file, "_gpgorigin"])?.stdout)?;
    let members = ["debian-binary", "control.tar.xz", "data.tar.xz"];
    let members = members.map(|member| Ok(station.run("ar", &["p", file, member])?.stdout));
    fs::write(&content, members.into_iter().collect::<Result<Vec<_>>>()?.concat())?;
    good_signature(playground, signer, Path::new(&signature), Path::new(&content))
}

fn check_rpm(playground: &Playground, signer: &Signer, file: &Path) -> Result<()> {
    let station = &playground.workstation;
    let (public, database) = (station.path("public.asc"), station.path("rpmdb"));
    station.gpg(&["--batch", "--yes", "--armor", "--output", &public, "--export", &signer.fingerprint])?;
    station.run("rpmkeys", &["--dbpath", &database, "--import", &public])?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    let answer = station.run("rpmkeys", &["--dbpath", &database, "--checksig", file])?.text();
    ensure!(answer.contains("digests signatures OK"), "{answer}");
    Ok(())
}

fn good_signature(playground: &Playground, signer: &Signer, signature: &Path, content: &Path) -> Result<()> {
    let paths = [signature, content].map(|path| path.to_string_lossy().into_owned());
    let status = playground.workstation.gpg(&["--status-fd", "1", "--verify", &paths[0], &paths[1]])?.text();
    ensure!(good_signatures(&status, &signer.fingerprint) == 1, "{status}");
    Ok(())
}
