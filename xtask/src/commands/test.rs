//! `cargo xtask test`: everything a change must pass.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use sealcard_tests::{Binaries, DatabaseKind, StoreKind};
use xtask::{
    cargo::{FAILPOINTS, cargo, must_succeed, target},
    output, packages,
};

use crate::{
    chroot,
    commands::{boundaries, dist::Release},
    kryoptic,
};

/// Run every check that a change must pass
///
/// Runs every check that a change must pass: format, lints, unit, crate and end-to-end tests with the real tools, the
/// fuzzing corpora, documentation. Installs what is missing: Debian packages, cargo-nextest, cargo-deny, and, in
/// the user's cache folder, chroots with GnuPG 2.4.7 and 2.4.9 and the token kryoptic.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Builds the programs for the end-to-end tests and the chroots, and runs nothing. Afterwards `cargo nextest run -p
    /// sealcard-tests` works by hand
    #[arg(long)]
    build_only: bool,
    /// The database of the servers in tests that do not say which they need: sqlite or postgres. Without this option
    /// all tests run with SQLite, and those that tell most of a database once more with PostgreSQL
    #[arg(long, value_name = "DATABASE", default_value_t)]
    database: DatabaseKind,
    /// Where the keys are in tests that do not say it: sealed, softhsm or kryoptic. With softhsm or kryoptic only the
    /// tests run that sign with the tools, with every GnuPG. Without this option all tests run with the sealed store,
    /// and those that tell most of a token once more with each of the two, with the machine's GnuPG
    #[arg(long, value_name = "STORE", default_value_t)]
    store: StoreKind,
    /// Runs only the tests whose names contain this, and no other check
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// What is run on the other database too: every resource of the HTTP interface, and the ways to a signature.
const ON_BOTH: &str = "binary(http) + (package(sealcard-tests) \
    & (test(first_steps) + test(signing::gpg_2_2) + test(ssh::gpg_2_2) + test(parallel::gpg_2_2::eight)))";

/// What is run with keys on a token: the tools that sign. kryoptic has no Ed25519 on Debian 12, so not those that want
/// it.
const fn on_token(store: StoreKind, every_gpg: bool) -> Option<&'static str> {
    match (store, every_gpg) {
        (StoreKind::Sealed, _) => None,
        (StoreKind::SoftHsm, false) => Some(
            "package(sealcard-tests) & (test(signing::gpg_2_2) + test(ssh::gpg_2_2) + test(packages::rpm::gpg_2_2) \
             + test(packages::debian))",
        ),
        (StoreKind::Kryoptic, false) => Some(
            "package(sealcard-tests) & (test(signing::gpg_2_2) + test(ssh::gpg_2_2) + test(packages::rpm::gpg_2_2) \
             + test(packages::debian::debsig))",
        ),
        (StoreKind::SoftHsm, true) => {
            Some("package(sealcard-tests) & test(/^(first_steps|mail|packages|parallel|signing|ssh)::/)")
        }
        (StoreKind::Kryoptic, true) => Some(
            "package(sealcard-tests) & (test(/^(parallel|signing|ssh|packages::rpm::gpg)/) \
             + test(packages::debian::debsig))",
        ),
    }
}

const WORKSPACE: [&str; 2] = ["--workspace", "--locked"];

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut summary = Summary::default();
        summary.step("packages", install)?;
        // Downloading and unpacking needs the network more than the processor: it goes on beside the compiler.
        let chroots = thread::spawn(|| {
            let started = Instant::now();
            chroot::ensure().map(|()| started.elapsed())
        });
        if !self.build_only && self.filter.is_none() {
            summary.step("format", || must_succeed(&mut cargo(&["fmt", "--all", "--check"])))?;
            summary.step("boundaries between crates", boundaries::check)?;
            summary.step("clippy", || {
                let mut clippy = cargo(&["clippy", "--all-targets"]);
                must_succeed(clippy.args(WORKSPACE).args(FAILPOINTS).args(["--", "--deny", "warnings"]))
            })?;
        }
        summary.step("build", build)?;
        summary.step("chroots with GnuPG 2.4", || {
            let took = chroots.join().map_err(|_| anyhow!("making the chroots panicked"))??;
            output::note(&format!("took {:.0} s beside the compiler", took.as_secs_f64()));
            Ok(())
        })?;
        summary.step("kryoptic", kryoptic::ensure)?;
        if self.build_only {
            return Ok(ExitCode::SUCCESS);
        }
        summary.step("tests", || {
            let mut tests = nextest(self.database, self.store);
            if let (None, Some(selection)) = (&self.filter, on_token(self.store, true)) {
                tests.args(["-E", selection]);
            }
            must_succeed(tests.args(self.filter.as_slice()))
        })?;
        if self.filter.is_none() && self.database == DatabaseKind::Sqlite && self.store == StoreKind::Sealed {
            summary.step("tests on PostgreSQL", || {
                must_succeed(nextest(DatabaseKind::Postgres, StoreKind::Sealed).args(["-E", ON_BOTH]))
            })?;
            for store in [StoreKind::SoftHsm, StoreKind::Kryoptic] {
                let selection = on_token(store, false).unwrap_or_default();
                summary.step(&format!("tests on {store}"), || {
                    must_succeed(nextest(DatabaseKind::Sqlite, store).args(["-E", selection]))
                })?;
            }
        }
        if self.filter.is_none() {
            summary.step("packages of Sealcard", || {
                let released = Binaries::test_folder(&target()?);
                Release::try_out(&Binaries::in_folder(&released)?, &released.with_file_name("dist"))
            })?;
            match chroot::can_run_containers() {
                Ok(()) => summary.step("installation", || {
                    let packages = Binaries::test_folder(&target()?).with_file_name("dist");
                    let mut tests = nextest(self.database, self.store);
                    tests.env("SEALCARD_PACKAGES", packages).args(["--run-ignored", "only"]);
                    must_succeed(tests.args(["-E", "package(sealcard-tests) & test(/^installation::/)"]))
                })?,
                // Some sandboxes allow none, whatever is installed.
                Err(why) => summary.skipped("installation", &format!("no container can be run here: {why:#}")),
            }
            summary.step("documentation tests", || {
                must_succeed(cargo(&["test", "--doc", "--quiet"]).args(WORKSPACE).args(FAILPOINTS))
            })?;
            summary.step("documentation", || {
                let mut doc = cargo(&["doc", "--no-deps", "--quiet"]);
                must_succeed(doc.args(WORKSPACE).args(FAILPOINTS).env("RUSTDOCFLAGS", "-D warnings"))
            })?;
            let deny = |arguments: &[&str]| must_succeed(cargo(&["deny", "--all-features"]).args(arguments));
            summary.step("dependencies", || deny(&["check", "bans", "licenses", "sources"]))?;
            // The database of advisories is not a package: some networks reach only the registries.
            if deny(&["fetch", "db"]).is_ok() {
                summary.step("advisories", || deny(&["check", "advisories"]))?;
            } else {
                summary.skipped("advisories", "the advisory database can't be reached from here");
            }
        }
        summary.print();
        Ok(ExitCode::SUCCESS)
    }
}

fn nextest(database: DatabaseKind, store: StoreKind) -> Command {
    let mut command = cargo(&["nextest", "run"]);
    command.args(WORKSPACE).args(FAILPOINTS);
    command.env("SEALCARD_TEST_DATABASE", database.to_string()).env("SEALCARD_TEST_STORE", store.to_string());
    command
}

fn install() -> Result<()> {
    packages::ensure(packages::TEST)?;
    packages::ensure(packages::POSTGRES)?;
    for tool in ["cargo-nextest", "cargo-deny"] {
        if !packages::has_command(tool) {
            output::step(&format!("installing {tool}"));
            must_succeed(&mut cargo(&["install", "--locked", tool]))?;
        }
    }
    Ok(())
}

/// Builds all targets with one selection of packages and features, and then the programs as they are released. Copies
/// both to where the end-to-end tests look: a build by hand does not replace them there.
fn build() -> Result<()> {
    let target = target()?;
    let released = Binaries::test_folder(&target);
    must_succeed(cargo(&["build", "--all-targets"]).args(WORKSPACE).args(FAILPOINTS))?;
    copy_programs(&target, &Binaries::failpoints_folder(&released))?;
    must_succeed(cargo(&["build", "--bins"]).args(WORKSPACE))?;
    copy_programs(&target, &released)
}

fn copy_programs(target: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for name in Binaries::FILES {
        copy_if_newer(&target.join("debug").join(name), &folder.join(name))?;
    }
    Ok(())
}

/// Copies a program unless the copy is that of the same build: what tests keep for each build stays valid.
fn copy_if_newer(source: &Path, copy: &Path) -> Result<()> {
    let meta = fs::metadata(source).with_context(|| format!("the build made no {}", source.display()))?;
    let modified = meta.modified()?;
    if fs::metadata(copy).is_ok_and(|old| old.len() == meta.len() && old.modified().ok() == Some(modified)) {
        return Ok(());
    }
    let partial = copy.with_extension("partial");
    fs::copy(source, &partial)?;
    fs::File::options().write(true).open(&partial)?.set_modified(modified)?;
    Ok(fs::rename(partial, copy)?)
}

/// How long each step took.
#[derive(Default)]
struct Summary(Vec<(String, String)>);

impl Summary {
    fn step(&mut self, name: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
        output::step(name);
        let started = Instant::now();
        let result = action();
        let took = format!("{:>6.1} s", started.elapsed().as_secs_f64());
        self.0.push((name.to_owned(), took));
        if result.is_err() {
            self.print();
        }
        result.with_context(|| format!("{name} failed"))
    }

    fn skipped(&mut self, name: &str, why: &str) {
        self.0.push((name.to_owned(), format!("skipped: {why}")));
    }

    fn print(&self) {
        output::headline("summary");
        for (name, result) in &self.0 {
            output::result(&format!("  {name:<24} {result}"));
        }
    }
}
