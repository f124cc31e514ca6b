//! The programs as they are packed, and what they need.

use std::{
    fmt::{self, Display, Formatter},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
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

/// The oldest glibc with which all programs start.
pub(super) fn glibc(binaries: &Binaries) -> Result<Needed> {
    glibc_of(binaries, names())
}

/// The oldest glibc with which these programs start.
pub(super) fn glibc_of(binaries: &Binaries, programs: impl IntoIterator<Item = &'static str>) -> Result<Needed> {
    let mut newest = None;
    for name in programs {
        let mut objdump = Command::new("objdump");
        let symbols = run(objdump.arg("-T").arg(binaries.folder().join(name)), PATIENCE)?.success()?.text();
        newest = newest.max(needed(name, &symbols));
    }
    newest.context("the programs do not link glibc")
}

/// A version of glibc, and the symbol that needs it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needed {
    version: Vec<u32>,
    symbol: String,
    program: &'static str,
}

impl Needed {
    /// Such as `2.28`.
    pub(super) fn version(&self) -> String {
        self.version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }

    /// Refuses what does not start with this version.
    pub(super) fn at_most(&self, version: [u32; 2]) -> Result<()> {
        let [major, minor] = version;
        ensure!(
            self.version.as_slice() <= version.as_slice(),
            "{} needs {self} for {}, and must start with {major}.{minor}",
            self.program,
            self.symbol
        );
        Ok(())
    }
}

impl Display for Needed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "glibc {}", self.version())
    }
}

/// The newest version in what `objdump -T` prints: a line ends with `GLIBC_2.28`, in brackets or not, and the symbol.
fn needed(program: &'static str, symbols: &str) -> Option<Needed> {
    let of_line = |line: &str| {
        let (version, symbol) = line.split_once("GLIBC_")?.1.split_once(char::is_whitespace)?;
        let numbers = version.trim_end_matches(')').split('.').map(|part| part.parse().ok());
        Some(Needed { version: numbers.collect::<Option<_>>()?, symbol: symbol.trim().to_owned(), program })
    };
    symbols.lines().filter_map(of_line).max()
}

fn names() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().flat_map(|package| package.programs).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SYMBOLS: &str = "\
        0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.2.5) memcpy\n\
        0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.28) statx\n\
        0000000000000000  w   DF *UND*\t0000000000000000  Base        __gmon_start__\n\
        0000000000000000      DF *UND*\t0000000000000000  GLIBC_2.9   pipe2\n\
        0000000000000000      DF *UND*\t0000000000000000 (GCC_3.0)   _Unwind_Resume\n";

    #[test]
    fn newest_version_decides_by_number() {
        let needed = needed("sealcard", SYMBOLS).unwrap();
        assert_eq!((needed.to_string().as_str(), needed.symbol.as_str()), ("glibc 2.28", "statx"));
        needed.at_most([2, 28]).unwrap();
        let refused = needed.at_most([2, 27]).unwrap_err().to_string();
        assert_eq!(refused, "sealcard needs glibc 2.28 for statx, and must start with 2.27");
    }

    #[test]
    fn program_without_glibc_has_no_version() {
        assert_eq!(needed("sealcard", ""), None);
    }
}
