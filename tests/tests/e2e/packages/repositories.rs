//! Repositories of packages that apt and dnf accept.

use std::{fs, process::Command, time::Duration};

use anyhow::{Result, ensure};
use sealcard_tests::{Algorithm, Finished, Flavour, KeyFacts, SignatureKind, Workstation, run};

use super::debian;
use crate::support::{expect_no_prompt, playground};

with_every_gpg![apt_accepts_what_each_key_signed_and_refuses_what_was_changed];

/// apt 2.6 verifies with gpgv, apt 3 with Sequoia's sqv.
fn apt_accepts_what_each_key_signed_and_refuses_what_was_changed(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let archive = Archive::make(&playground.workstation)?;
    for key in &playground.facts.keys {
        archive.sign_inline(key)?;
        archive.update(key)?.success()?;
        ensure!(archive.lists()?.iter().any(|name| name.ends_with("_InRelease")), "{:?}", archive.lists()?);
        archive.sign_detached(key)?;
        archive.update(key)?.success()?;
        ensure!(archive.lists()?.iter().any(|name| name.ends_with("_Release.gpg")), "{:?}", archive.lists()?);
    }
    archive.change_release()?;
    let key = playground.key(Algorithm::Ed25519)?;
    let refused = archive.update(key)?.failure()?;
    ensure!(refused.stderr.contains("is not signed"), "{}", refused.description());
    expect_no_prompt(&playground)
}

#[test]
fn dnf_accepts_what_was_signed_and_refuses_what_was_changed() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let package = station.build_rpm(&[])?;
    // One key of each kind that rpm 4.18 takes.
    for algorithm in [Algorithm::Rsa4096, Algorithm::Ed25519] {
        let key = &playground.key(algorithm)?.fingerprint;
        let folder = format!("yum-{algorithm}");
        fs::create_dir_all(station.path(&folder))?;
        let signed = station.path(&format!("{folder}/t.rpm"));
        fs::copy(&package, &signed)?;
        station.run("rpmsign", &["--define", &format!("_gpg_name {key}"), "--addsign", &signed])?;
        station.run("createrepo_c", &["--quiet", &station.path(&folder)])?;
        let index = station.path(&format!("{folder}/repodata/repomd.xml"));
        station.gpg(&["-u", key, "--armor", "-o", &format!("{index}.asc"), "--detach-sign", &index])?;
        station.gpg(&["--armor", "-o", &station.path(&format!("{folder}/key.asc")), "--export", key])?;

        install_with_dnf(station, &folder, "good")?.success()?;
        let installed = station.path(&format!("{folder}-good/usr/share/t/file"));
        ensure!(fs::read_to_string(installed)? == "content\n");

        fs::write(&index, fs::read_to_string(&index)?.replace("<revision>", "<revision>1"))?;
        let refused = install_with_dnf(station, &folder, "changed")?.failure()?;
        ensure!(refused.stderr.contains("GPG signature verification error"), "{}", refused.description());
    }
    expect_no_prompt(&playground)
}

/// Installs the package from the repository in `folder` below a root of its own.
fn install_with_dnf(station: &Workstation, folder: &str, name: &str) -> Result<Finished> {
    let (repository, root) = (station.path(folder), station.path(&format!("{folder}-{name}")));
    let config = format!(
        "[main]\ngpgcheck=1\nrepo_gpgcheck=1\nplugins=0\nreposdir={root}/repos\ncachedir={root}/cache\n\
         persistdir={root}/persist\nlogdir={root}/log\n\
         [t]\nname=t\nbaseurl=file://{repository}\ngpgkey=file://{repository}/key.asc\n"
    );
    fs::create_dir_all(&root)?;
    let config = station.write(&format!("{folder}-{name}.conf"), config)?;
    let arguments = ["--assumeyes", "--quiet", "--config", &config, "--installroot", &root, "--releasever", "1"];
    run(&mut station.command("dnf", &[arguments.as_slice(), &["install", "t"]].concat()), Duration::from_secs(120))
}

/// A repository of Debian packages, and an apt that knows it and nothing else.
struct Archive<'a> {
    station: &'a Workstation,
}

impl<'a> Archive<'a> {
    /// Makes the repository with the machine's tools; only what signs and verifies is the workstation's.
    fn make(station: &'a Workstation) -> Result<Self> {
        let package = debian::build(station)?;
        let architecture = station.run("dpkg", &["--print-architecture"])?.text().trim().to_owned();
        let index = format!("archive/dists/stable/main/binary-{architecture}");
        for folder in [index.as_str(), "archive/pool"] {
            fs::create_dir_all(station.path(folder))?;
        }
        fs::copy(package, station.path("archive/pool/t_1-1_all.deb"))?;
        let packages = on_machine(station, "archive", "dpkg-scanpackages", &["--multiversion", "pool"])?;
        station.write(&format!("{index}/Packages"), packages)?;
        let facts = [
            "APT::FTPArchive::Release::Codename=stable",
            "APT::FTPArchive::Release::Components=main",
            &format!("APT::FTPArchive::Release::Architectures={architecture}"),
        ];
        let options = facts.iter().flat_map(|fact| ["-o", fact]);
        let arguments: Vec<&str> = options.chain(["release", "."]).collect();
        let release = on_machine(station, "archive/dists/stable", "apt-ftparchive", &arguments)?;
        station.write("archive/dists/stable/Release", release)?;

        for folder in ["etc/apt/preferences.d", "etc/apt/apt.conf.d", "var/cache/apt/archives/partial"] {
            fs::create_dir_all(station.path(&format!("apt/{folder}")))?;
        }
        // Everything of this apt lies in its own folder, also what it would read from /etc.
        let folder = station.path("apt");
        let config = format!("Dir \"{folder}/\";\nDir::State::status \"{folder}/status\";\nAPT::Sandbox::User \"\";\n");
        station.write("apt.conf", config)?;
        station.write("apt/status", "")?;
        Ok(Self { station })
    }

    fn path(&self, name: &str) -> String {
        self.station.path(&format!("archive/dists/stable/{name}"))
    }

    fn sign_inline(&self, key: &KeyFacts) -> Result<()> {
        fs::remove_file(self.path("Release.gpg")).ok();
        let kind = SignatureKind::Clear.option();
        self.station.gpg(&["-u", &key.fingerprint, "-o", &self.path("InRelease"), kind, &self.path("Release")])?;
        Ok(())
    }

    fn sign_detached(&self, key: &KeyFacts) -> Result<()> {
        fs::remove_file(self.path("InRelease"))?;
        let signature = self.path("Release.gpg");
        let how = ["--armor", "-o", &signature, SignatureKind::Detached.option()];
        self.station.gpg(&[&["-u", &key.fingerprint], how.as_slice(), &[&self.path("Release")]].concat())?;
        Ok(())
    }

    fn change_release(&self) -> Result<()> {
        let release = fs::read_to_string(self.path("Release"))?;
        fs::write(self.path("Release"), release.replace("Codename: stable", "Codename: stabler"))?;
        Ok(())
    }

    /// `apt-get update` by an apt that has never seen the repository.
    fn update(&self, key: &KeyFacts) -> Result<Finished> {
        let station = self.station;
        fs::remove_dir_all(station.path("apt/var/lib/apt/lists")).ok();
        fs::create_dir_all(station.path("apt/var/lib/apt/lists/partial"))?;
        let keyring = station.path("apt/keyring.gpg");
        station.gpg(&["-o", &keyring, "--export", &key.fingerprint])?;
        let source = format!("deb [signed-by={keyring}] file:{} stable main\n", station.path("archive"));
        station.write("apt/etc/apt/sources.list", source)?;
        let mut update = station.command("apt-get", &["update"]);
        run(update.env("APT_CONFIG", station.path("apt.conf")), Duration::from_secs(60))
    }

    /// What apt has kept.
    fn lists(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.station.path("apt/var/lib/apt/lists"))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }
}

/// What a command of the machine itself prints, run in a folder of the workstation's home.
fn on_machine(station: &Workstation, folder: &str, program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(station.path(folder));
    Ok(run(&mut command, Duration::from_secs(60))?.success()?.stdout)
}
