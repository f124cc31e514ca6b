//! zig from PyPI, which compiles C and links for other systems than this machine's, and what lets cargo use it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use sealcard_tests::{cache_folder, run};
use xtask::output;

/// Versions that are known to work together.
const FROM_PYPI: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.0"];

/// Where it is installed.
pub(crate) struct Zig {
    /// Python's packages.
    python: PathBuf,
    /// For what zig compiles of its own.
    cache: PathBuf,
}

impl Zig {
    /// Installs the versions that are wanted into the cache folder if they are not there.
    pub(crate) fn ensure() -> Result<Self> {
        let folder = cache_folder().join("zig").join(FROM_PYPI.join("-").replace('=', ""));
        let zig = Self { python: folder.join("python"), cache: folder.join("cache") };
        if !zig.python.join("bin/cargo-zigbuild").exists() {
            output::step("fetching zig");
            zig.install()?;
        }
        Ok(zig)
    }

    /// The folder of its programs.
    pub(crate) fn bin(&self) -> PathBuf {
        self.python.join("bin")
    }

    /// Lets a command find zig. Its PATH begins with `folders`.
    pub(crate) fn prepare(&self, command: &mut Command, folders: &[&Path]) {
        let path = env::var_os("PATH").unwrap_or_default();
        let own = [self.bin()].into_iter().chain(folders.iter().map(|folder| folder.to_path_buf()));
        let path = env::join_paths(own.chain(env::split_paths(&path)));
        command.env("PATH", path.unwrap_or_default());
        command.env("XDG_CACHE_HOME", &self.cache).env("ZIG_GLOBAL_CACHE_DIR", self.cache.join("zig"));
    }

    fn install(&self) -> Result<()> {
        let mut make = Command::new("python3");
        run(make.args(["-m", "venv", "--clear"]).arg(&self.python), Duration::from_secs(120))?.success()?;
        let mut install = Command::new(self.python.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check"]).args(FROM_PYPI);
        run(&mut install, Duration::from_secs(600))?.success().context("PyPI gives no zig")?;
        Ok(())
    }
}
