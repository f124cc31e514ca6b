//! kryoptic, the strict token of the tests, built from the registry once for each of its versions.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{KRYOPTIC_VERSION, kryoptic_module};
use xtask::{
    cargo::{cargo, must_succeed, workspace},
    output, packages,
};

/// Builds the module unless it is there: about two minutes on two cores. Its libraries come from the distribution.
pub(crate) fn ensure() -> Result<()> {
    let package = workspace().join("tests/kryoptic");
    let lockfile = fs::read_to_string(package.join("Cargo.lock")).context("reading kryoptic's Cargo.lock")?;
    let named = format!("name = \"kryoptic-lib\"\nversion = \"{KRYOPTIC_VERSION}\"\n");
    ensure!(lockfile.contains(&named), "tests/kryoptic does not lock kryoptic-lib {KRYOPTIC_VERSION}");
    let module = kryoptic_module();
    let folder = module.parent().context("the module lies in no folder")?;
    fs::create_dir_all(folder)?;
    let lock = File::options().create(true).append(true).open(folder.join("lock"))?;
    // Someone else may be building it: wait, then look.
    lock.lock()?;
    let stamp = folder.join("Cargo.lock");
    if module.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == lockfile) {
        return Ok(());
    }
    packages::ensure(packages::KRYOPTIC)?;
    output::step(&format!("building kryoptic {KRYOPTIC_VERSION}"));
    build(&package, folder, &module)?;
    // Written last: it says of what the module was built.
    fs::write(stamp, lockfile).context("noting what kryoptic was built of")
}

fn build(package: &Path, folder: &Path, module: &Path) -> Result<()> {
    let target: PathBuf = folder.join("target");
    let mut command = cargo(&["build", "--release", "--locked", "--quiet", "--manifest-path"]);
    command.arg(package.join("Cargo.toml")).arg("--target-dir").arg(&target);
    // What is set for our own code is not meant for this.
    must_succeed(command.env_remove("RUSTFLAGS"))?;
    let name = module.file_name().context("the module has no name")?;
    let partial = module.with_extension("partial");
    fs::copy(target.join("release").join(name), &partial)?;
    fs::rename(partial, module)?;
    Ok(fs::remove_dir_all(target)?)
}
