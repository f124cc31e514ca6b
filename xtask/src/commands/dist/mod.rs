//! `cargo xtask dist`: packages of what is released.

mod archive;
mod check;
mod compile;
mod deb;
mod homebrew;
mod image;
mod notices;
mod oci;
mod package;
mod programs;
mod repositories;
mod reproduce;
mod rpm;
mod sbom;
mod sign;
mod tree;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use sealcard_tests::{Binaries, Scratch, run};
use xtask::{
    cargo::{self, workspace},
    output, packages,
};

use check::System;
use image::{Base, IMAGES, Image};
use notices::Sources;
use package::{PACKAGES, Package};
use sbom::{Crates, DebianPackage, Packed};
use sign::Signer;

use crate::chroot;

/// Build what is released
///
/// Builds .deb and .rpm packages of the workstation's programs, the server and the signer, an archive of the
/// workstation's programs, images for containers of the server and the signer, the source with a formula for Homebrew,
/// an SPDX document beside each, and SHA256SUMS. Needs Debian. The programs start with glibc 2.28 and newer. All times
/// are those of the commit, or of SOURCE_DATE_EPOCH if it is set, so that two builds of one commit are the same byte by
/// byte.
#[derive(Debug, Args)]
pub(crate) struct Dist {
    /// The folder for the packages; those of an earlier build are replaced [default: dist in the target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Packs the programs in this folder, instead of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Packs everything a second time and compares, runs lintian and rpmlint, and signs a copy with a server's key. In copies
    /// of this machine's files and of a chroot with Debian 13 it installs that from its repositories, makes signatures,
    /// upgrades, downgrades, removes and purges. It runs the images
    #[arg(long)]
    check: bool,
    /// Checks the packages also on Ubuntu 24.04, and with piuparts
    #[arg(long, requires = "check")]
    all: bool,
    /// Compiles a clone of the commit a second time, in other folders, and compares what is built of both
    #[arg(long, conflicts_with_all = ["binaries", "fast"])]
    reproduce: bool,
    /// Signs .deb and .rpm packages and SHA256SUMS with this key of gpg, and makes signed repositories for apt and dnf
    #[arg(long, value_name = "FINGERPRINT")]
    sign: Option<String>,
    /// For a trial: compiles without optimization and for this machine's glibc, and compresses little
    #[arg(long)]
    fast: bool,
    /// Who answers for the packages: a name, and an address in angle brackets
    #[arg(long, value_name = "MAINTAINER", default_value = MAINTAINER)]
    maintainer: String,
    /// The address at which the files will be published; the formula for Homebrew names it
    #[arg(long, value_name = "URL", default_value = DOWNLOADS)]
    downloads: String,
}

impl Dist {
    pub(crate) fn run(self) -> Result<ExitCode> {
        packages::ensure(packages::DIST)?;
        let out = match &self.out {
            Some(out) => out.clone(),
            None => cargo::target()?.join("dist"),
        };
        let release = Release::of_commit(self.maintainer, self.downloads, self.fast)?;
        let binaries = match &self.binaries {
            Some(folder) => Binaries::in_folder(folder)?,
            None => {
                output::step("building the programs");
                if self.fast { cargo::build(false)? } else { compile::compile()? }
            }
        };
        let needed = programs::glibc(&binaries)?;
        output::note(&format!("the programs need {needed} or newer"));
        if self.binaries.is_none() && !self.fast {
            needed.at_most(compile::GLIBC)?;
        }
        let built = release.build(&binaries, &out)?;
        if self.reproduce {
            reproduce::again(&release, &out)?;
        }
        if self.check {
            release.check(&binaries, &out, self.all)?;
        }
        if let Some(fingerprint) = self.sign {
            packages::ensure(packages::DIST_SIGN)?;
            output::step("signing");
            Signer { fingerprint, environment: Vec::new() }.sign(&release, &built, &[], &out)?;
        }
        output::result(&out.display().to_string());
        Ok(ExitCode::SUCCESS)
    }
}

/// What all packages of one release share.
pub(crate) struct Release {
    version: String,
    maintainer: String,
    downloads: String,
    /// Seconds since 1970: the time of everything in the packages.
    epoch: u64,
    fast: bool,
}

impl Release {
    /// Builds packages of the programs in a folder into another one and checks them, as fast as it goes.
    pub(crate) fn try_out(binaries: &Binaries, out: &Path) -> Result<()> {
        packages::ensure(packages::DIST)?;
        let release = Self::of_commit(MAINTAINER.to_owned(), DOWNLOADS.to_owned(), true)?;
        release.build(binaries, out)?;
        release.check(binaries, out, false)
    }

    fn of_commit(maintainer: String, downloads: String, fast: bool) -> Result<Self> {
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => run(
                Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(workspace()),
                Duration::from_secs(30),
            )?
            .success()
            .context("set SOURCE_DATE_EPOCH: the time of the commit is not known without git")?
            .text(),
        };
        let epoch = epoch.trim().parse().with_context(|| format!("SOURCE_DATE_EPOCH {epoch:?} is not a number"))?;
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), maintainer, downloads, epoch, fast })
    }

    /// Builds everything. The folder has nothing else afterwards.
    fn build(&self, binaries: &Binaries, out: &Path) -> Result<Vec<Built>> {
        // Packages of an earlier version must not be published with these.
        if out.exists() {
            remove_packages(out)?;
        }
        fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
        let scratch = Scratch::new()?;
        let stripped = programs::strip(binaries, &scratch.folder("programs")?)?;
        let sources = Sources::find()?;
        let mut built = self.build_packages(&stripped, &sources, &scratch, out)?;
        built.extend(self.build_images(&stripped, &sources, &scratch, out)?);
        output::step("packing the source");
        built.push(self.build_source(&scratch, out)?);
        self.describe(&built, out)?;
        Ok(built)
    }

    fn build_packages(
        &self,
        binaries: &Binaries,
        sources: &Sources,
        scratch: &Scratch,
        out: &Path,
    ) -> Result<Vec<Built>> {
        let mut built = Vec::new();
        for package in &PACKAGES {
            output::step(&format!("packing {}", package.name));
            let crates = Crates::of(&[package.cargo_name])?;
            let notices = sources.notices(&crates)?;
            let job = Job { release: self, package, binaries, notices: &notices, scratch, out };
            let mut files = vec![deb::build(&job)?, rpm::build(&job)?];
            if package.name == "sealcard" {
                files.push(archive::programs(&job)?);
            }
            built.push(Built::new(package.name, package.licence, crates, files)?);
        }
        Ok(built)
    }

    fn build_images(
        &self,
        binaries: &Binaries,
        sources: &Sources,
        scratch: &Scratch,
        out: &Path,
    ) -> Result<Vec<Built>> {
        let base = Base::make(self, scratch.path())?;
        let build = |image: &Image| {
            output::step(&format!("packing the image of {}", image.name));
            let crates = Crates::of(&[image.cargo_name])?;
            let notices = sources.notices(&crates)?;
            let file = image.build(self, binaries, &base, &notices, scratch.path(), out)?;
            Ok(Built { debian: base.packages()?, ..Built::new(image.name, image.licence, crates, vec![file])? })
        };
        IMAGES.iter().map(build).collect()
    }

    fn build_source(&self, scratch: &Scratch, out: &Path) -> Result<Built> {
        let source = archive::source(self, scratch.path(), out)?;
        homebrew::formula(self, &source)?;
        let crates = Crates::of(&PACKAGES.each_ref().map(|package| package.cargo_name))?;
        Built::new("sealcard", "MIT OR Apache-2.0", crates, vec![source])
    }

    /// Writes what is beside the packages: what is in each, and the digests of all files.
    fn describe(&self, built: &[Built], out: &Path) -> Result<()> {
        for Built { name, licence, crates, debian, files } in built {
            files.iter().try_for_each(|file| crates.write(self, &Packed { name, licence, debian }, file))?;
        }
        self.write_sums(out)
    }

    /// Writes the digest of each file, in the form that `sha256sum --check` reads.
    fn write_sums(&self, out: &Path) -> Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(out)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name() != SUMS {
                names.push(entry.file_name());
            }
        }
        names.sort();
        let sums = run(self.command("sha256sum").arg("--").args(names).current_dir(out), Duration::from_secs(60))?;
        Ok(fs::write(out.join(SUMS), sums.success()?.stdout)?)
    }

    fn check(&self, binaries: &Binaries, out: &Path, all: bool) -> Result<()> {
        packages::ensure(packages::DIST_CHECK)?;
        packages::ensure(packages::DIST_SIGN)?;
        let mut systems = vec![System::Machine, System::Chroot(NEWER)];
        if all {
            systems.push(System::Chroot(chroot::UBUNTU));
        }
        systems.iter().try_for_each(System::ensure)?;
        output::step("building again");
        let again = Scratch::new()?;
        let rebuilt = self.build(binaries, again.path())?;
        check::same(out, again.path())?;
        output::step("building packages of an earlier version");
        let scratch = Scratch::new()?;
        let stripped = programs::strip(binaries, &scratch.folder("programs")?)?;
        let packages = scratch.folder("packages")?;
        let earlier = self.earlier().build_packages(&stripped, &Sources::find()?, &scratch, &packages)?;
        // lintian takes as long as everything else, on one processor.
        thread::scope(|scope| {
            let lint = scope.spawn(|| check::lint(out));
            output::step("signing with a key of a server");
            sign::check(self, &rebuilt, &earlier, binaries, again.path())?;
            for system in &systems {
                output::step(&format!("installing, signing, upgrading and removing on {}", system.name()));
                system.check_debs(again.path())?;
                system.check_rpms(again.path())?;
            }
            output::step("running the images");
            check::containers(binaries, again.path())?;
            if all {
                output::step("piuparts");
                check::piuparts(NEWER, out)?;
            }
            output::step("lintian and rpmlint");
            lint.join().map_err(|_| anyhow!("checking with lintian panicked"))?
        })
    }

    /// A release before this one.
    fn earlier(&self) -> Self {
        let version = format!("{}~earlier", self.version);
        Self { version, maintainer: self.maintainer.clone(), downloads: self.downloads.clone(), fast: true, ..*self }
    }

    fn version(&self) -> &str {
        &self.version
    }

    /// The time of the release, as `date` formats it.
    fn date(&self, format: &str) -> Result<String> {
        let mut date = self.command("date");
        date.args(["--utc", &format!("--date=@{}", self.epoch), format]);
        Ok(run(&mut date, Duration::from_secs(10))?.success()?.text().trim().to_owned())
    }

    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.epoch)
    }

    /// A command that takes the time of the release for all that it writes.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SOURCE_DATE_EPOCH", self.epoch.to_string()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command
    }
}

/// Files of a release with the same content.
struct Built {
    name: &'static str,
    licence: &'static str,
    crates: Crates,
    debian: Vec<DebianPackage>,
    files: Vec<PathBuf>,
}

impl Built {
    fn new(name: &'static str, licence: &'static str, crates: Crates, files: Vec<PathBuf>) -> Result<Self> {
        for file in &files {
            output::note(&size(file)?);
        }
        Ok(Self { name, licence, crates, debian: Vec::new(), files })
    }
}

/// What one package is made of.
struct Job<'a> {
    release: &'a Release,
    package: &'a Package,
    /// The programs, stripped.
    binaries: &'a Binaries,
    /// The licences of the crates in the programs.
    notices: &'a str,
    scratch: &'a Scratch,
    out: &'a Path,
}

const MAINTAINER: &str = "The Sealcard developers <packages@sealcard.example>";
const DOWNLOADS: &str = "https://sealcard.example/releases";

/// The Debian after the oldest one that the packages are for.
const NEWER: &str = "trixie";

const SUMS: &str = "SHA256SUMS";
const SUFFIXES: [&str; 9] =
    [".deb", ".rpm", ".tar.gz", ".oci.tar", ".spdx.json", homebrew::FORMULA, repositories::KEY, SUMS, "SHA256SUMS.asc"];

/// Removes packages of an earlier build. Anything else in the folder is an error: it was not made by this command.
fn remove_packages(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out).with_context(|| format!("reading {}", out.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && [repositories::APT, repositories::RPM].contains(&name.as_ref()) {
            fs::remove_dir_all(&path)?;
            continue;
        }
        if !SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            bail!("{} is no package: choose another folder, or remove it", path.display());
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}

fn size(file: &Path) -> Result<String> {
    let megabytes = fs::metadata(file)?.len() as f64 / 1e6;
    Ok(format!("{} ({megabytes:.1} MB)", file.file_name().unwrap_or_default().to_string_lossy()))
}
