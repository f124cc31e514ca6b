//! Signatures on the packages, by the tools that everybody signs packages with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Binaries, Playground, PlaygroundBuilder, good_signatures, run};

use super::{Built, Release, SUMS, repositories};

/// Each signature may wait for a card or a server.
const PATIENCE: Duration = Duration::from_secs(300);

/// A key that gpg can use.
pub(super) struct Signer {
    pub(super) fingerprint: String,
    /// Variables for the tools, besides those of this process.
    pub(super) environment: Vec<(&'static str, PathBuf)>,
}

impl Signer {
    /// Signs each package inside, and the list of digests beside it. Archives and images have only the latter. Then makes
    /// repositories of the packages, with those of earlier releases.
    pub(super) fn sign(&self, release: &Release, built: &[Built], earlier: &[Built], out: &Path) -> Result<()> {
        let files = || built.iter().chain(earlier).flat_map(|built| &built.files);
        files().try_for_each(|file| self.sign_package(file))?;
        // The packages have other digests now.
        release.describe(built, out)?;
        let sums = out.join(SUMS);
        self.sign_file(&sums, "--detach-sign", &out.join(format!("{SUMS}.asc")))?;
        repositories::build(release, self, &files().collect::<Vec<_>>(), out)
    }

    fn sign_package(&self, file: &Path) -> Result<()> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("deb") => self.run(Command::new("debsigs").args(["--sign=origin", "-k", &self.fingerprint]).arg(file)),
            Some("rpm") => {
                let name = format!("_gpg_name {}", self.fingerprint);
                self.run(Command::new("rpmsign").args(["--define", &name, "--addsign"]).arg(file))
            }
            _ => Ok(()),
        }
    }

    /// Makes a signature of a kind that gpg has an option for.
    pub(super) fn sign_file(&self, file: &Path, kind: &str, signature: &Path) -> Result<()> {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--yes", "--armor", "--local-user", &self.fingerprint, "--output"]).arg(signature);
        self.run(gpg.arg(kind).arg(file))
    }

    /// Writes the public key.
    pub(super) fn export(&self, file: &Path) -> Result<()> {
        let mut gpg = Command::new("gpg");
        self.run(gpg.args(["--batch", "--yes", "--armor", "--output"]).arg(file).args(["--export", &self.fingerprint]))
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(command, PATIENCE)?.success()?;
        Ok(())
    }
}

/// Signs with a key of a Sealcard server, and verifies all signatures but those of the repositories, with which packages
/// are installed later.
pub(super) fn check(
    release: &Release,
    built: &[Built],
    earlier: &[Built],
    binaries: &Binaries,
    out: &Path,
) -> Result<()> {
    let playground = PlaygroundBuilder::new(binaries.clone()).algorithms(&[Algorithm::Ed25519]).start()?;
    let fingerprint = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let signer = Signer { fingerprint, environment: playground.workstation.environment() };
    signer.sign(release, built, earlier, out)?;
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
