//! `cargo xtask cross`: the workstation's crates for macOS, without a Mac.

mod frameworks;
mod image;
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use sealcard_tests::{cache_folder, run};
use toolchain::Toolchain;

use xtask::{
    cargo::{must_succeed, workspace},
    output, packages,
};

/// Build and link the workstation's crates for macOS
///
/// Builds `openpgp-card-emu`, `api` and `scdaemon-bridge` for macOS on both processors and links their programs and
/// libraries. Needs Debian 12: its packages of the Rust compiler bring the standard library's source; zig, from PyPI,
/// brings macOS's C library and the linker. Nothing is installed into the system except python3, gcc and their likes.
/// Takes about ten minutes on two processors the first time, and 3 GB in the user's cache folder.
///
/// What it shows: all of it compiles, and every symbol is there that is neither of Apple's frameworks nor of the
/// keychain. What it can't show: that it runs.
#[derive(Debug, Args)]
pub(crate) struct Cross {
    /// Only this target; both if absent
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    target: Option<String>,
}

const TARGETS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-apple-darwin"];
const CRATES: [&str; 3] = ["openpgp-card-emu", "sealcard-api", "sealcard-bridge"];
const PROGRAMS: [&str; 2] = ["sealcard", "sealcard-scdaemon"];

impl Cross {
    pub(crate) fn run(self) -> Result<ExitCode> {
        packages::ensure(packages::CROSS)?;
        let folder = cache_folder().join("cross");
        let toolchain = Toolchain::ensure(&folder)?;
        check_launchd(&toolchain)?;
        let mut results = Vec::new();
        for target in TARGETS.iter().filter(|target| self.target.as_deref().is_none_or(|only| only == **target)) {
            let started = Instant::now();
            output::step(&format!("building for {target}"));
            for program in build(&toolchain, &folder, target)? {
                let size = fs::metadata(&program)?.len();
                results.push(format!("  {target:<22} {} ({} KiB)", program.display(), size / 1024));
            }
            output::note(&format!("took {:.0} s", started.elapsed().as_secs_f64()));
        }
        output::headline("linked");
        results.iter().for_each(|line| output::result(line));
        Ok(ExitCode::SUCCESS)
    }
}

/// Builds for one target. Gives the programs, each known to be one for that target.
fn build(toolchain: &Toolchain, folder: &Path, target: &'static str) -> Result<Vec<PathBuf>> {
    let sdk = folder.join("sdk").join(target);
    frameworks::write_stubs(toolchain, &sdk, target)?;
    let target_folder = folder.join("target");
    let mut build = toolchain.command("cargo-zigbuild");
    build.args(["build", "-Zbuild-std=std,panic_unwind,proc_macro", "--locked", "--target", target]);
    // Nothing of it is run, so nothing of it is optimized.
    build.args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
    CRATES.iter().for_each(|name| {
        build.args(["--package", name]);
    });
    let flags = format!("-Lframework={} -Lnative={}", sdk.join("Frameworks").display(), sdk.join("lib").display());
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.replace('-', "_").to_uppercase());
    build.env(variable, flags).env("CARGO_TARGET_DIR", &target_folder).env("CARGO_PROFILE_DEV_DEBUG", "false");
    // Debian's compiler comes without the program that strips.
    build.env("CARGO_PROFILE_DEV_STRIP", "none");
    must_succeed(build.current_dir(workspace()))?;
    let programs = PROGRAMS.map(|name| target_folder.join(target).join("debug").join(name));
    for program in &programs {
        let start = fs::read(program).with_context(|| format!("the build made no {}", program.display()))?;
        if !image::is_program_for(target, &start) {
            bail!("{} is no program for {target}", program.display());
        }
    }
    Ok(programs.into())
}

/// The property lists for launchd are ones.
fn check_launchd(toolchain: &Toolchain) -> Result<()> {
    const CHECK: &str = "import plistlib, sys\n\
                         for path in sys.argv[1:]:\n    \
                             job = plistlib.load(open(path, 'rb'))\n    \
                             assert path.endswith('/' + job['Label'] + '.plist'), job['Label']\n    \
                             assert job['ProgramArguments'], path\n";
    let mut command: Command = toolchain.command("python3");
    command.args(["-c", CHECK]);
    let folder = workspace().join("packaging/launchd");
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "plist") {
            command.arg(path);
        }
    }
    run(&mut command, Duration::from_secs(30))?.success().context("a property list for launchd is not valid")?;
    Ok(())
}
