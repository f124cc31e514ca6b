//! The programs of a release: optimized, for systems with an older glibc than this machine's, and the same byte by byte
//! wherever the source is.

use std::{
    env::consts::ARCH,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::Binaries;
use xtask::cargo::{self, PROGRAMS, cargo, must_succeed, workspace};

use crate::zig::Zig;

/// The oldest glibc that the programs start with: that of RHEL 8 and Debian 10.
pub(super) const GLIBC: [u32; 2] = [2, 28];

/// Builds them.
pub(super) fn compile() -> Result<Binaries> {
    let zig = Zig::ensure()?;
    let target = format!("{ARCH}-unknown-linux-gnu");
    let [major, minor] = GLIBC;
    let mut build = cargo(&["zigbuild", "--release", "--locked", "--target", &format!("{target}.{major}.{minor}")]);
    build.args(PROGRAMS);
    zig.prepare(&mut build, &[]);
    let folder = cargo::target()?;
    // zig takes what it has compiled elsewhere: then two compilations would not be two.
    build.env("ZIG_GLOBAL_CACHE_DIR", folder.join("zig"));
    let places = places(&folder)?;
    build.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&places)?.join("\x1f"));
    build.env(format!("CFLAGS_{}", target.replace('-', "_")), c_flags(&places)?.join(" "));
    must_succeed(&mut build)?;
    Binaries::in_folder(&folder.join(target).join("release"))
}

/// Folders whose names would be in messages of panics, each with the name that is there instead. A later one takes
/// precedence.
fn places(target: &Path) -> Result<[(PathBuf, &'static str); 3]> {
    // cargo names the files of crates by the folder that a link leads to.
    let registry = cargo::home()?.join("registry").canonicalize().context("cargo has downloaded no crates")?;
    let folders =
        [(workspace().to_owned(), "/sealcard"), (registry, "/cargo/registry"), (target.to_owned(), "/target")];
    Ok(folders)
}

fn rust_flags(places: &[(PathBuf, &str)]) -> Result<Vec<String>> {
    places.iter().map(|(folder, name)| Ok(format!("--remap-path-prefix={}={name}", text(folder)?))).collect()
}

fn c_flags(places: &[(PathBuf, &str)]) -> Result<Vec<String>> {
    let flag = |(folder, name): &(PathBuf, &str)| {
        let folder = text(folder)?;
        ensure!(!folder.contains(' '), "the C compiler can't be told of the folder {folder:?}: its name has a space");
        Ok(format!("-ffile-prefix-map={folder}={name}"))
    };
    places.iter().map(flag).collect()
}

fn text(folder: &Path) -> Result<&str> {
    folder.to_str().with_context(|| format!("the name of {} is not UTF-8", folder.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_compilers_get_each_folder() {
        let places = [(PathBuf::from("/src"), "/sealcard"), (PathBuf::from("/src/target"), "/target")];
        let rust = ["--remap-path-prefix=/src=/sealcard", "--remap-path-prefix=/src/target=/target"];
        assert_eq!(rust_flags(&places).unwrap(), rust);
        let c = ["-ffile-prefix-map=/src=/sealcard", "-ffile-prefix-map=/src/target=/target"];
        assert_eq!(c_flags(&places).unwrap(), c);
    }

    #[test]
    fn folder_that_splits_the_flags_is_refused() {
        assert!(c_flags(&[(PathBuf::from("/my source"), "/sealcard")]).is_err());
    }
}
