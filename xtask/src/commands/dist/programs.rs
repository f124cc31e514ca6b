//! The programs as they are packed, and what they need.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use sealcard_tests::{Binaries, run};

use super::package::PACKAGES;

const PATIENCE: Duration = Duration::from_secs(60);

/// Copies the programs without symbols and without the compilers' remarks.
pub(super) fn strip(binaries: &Binaries, folder: &Path) -> Result<Binaries> {
    for name in names() {
        let mut strip = Command::new("strip");
        strip.args(["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", "-o"]);
        run(strip.arg(folder.join(name)).arg(binaries.folder().join(name)), PATIENCE)?.success()?;
    }
    Binaries::in_folder(folder)
}

/// The oldest version of glibc with which all programs start.
pub(super) fn glibc(binaries: &Binaries) -> Result<String> {
    let mut newest = (Vec::new(), String::new());
    for name in names() {
        let mut objdump = Command::new("objdump");
        let symbols = run(objdump.arg("-T").arg(binaries.folder().join(name)), PATIENCE)?.success()?.text();
        for version in symbols.split("GLIBC_").skip(1) {
            let version = version.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
            let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
            newest = newest.max((numbers, version.to_owned()));
        }
    }
    Some(newest.1).filter(|version| !version.is_empty()).context("the programs do not link glibc")
}

fn names() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().flat_map(|package| package.programs).copied()
}
