//! A compiler that has its standard library's source, unpacked into the cache folder, with a linker for macOS.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail};
use sealcard_tests::run;
use xtask::{
    cargo::must_succeed,
    output,
    packages::{privileged, simulated_install},
};

use crate::zig::Zig;

/// Debian builds its browsers with these; rustup's toolchain has no standard library for macOS and no source to build
/// one.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// Where the tools are.
pub(super) struct Toolchain {
    /// Debian's packages, unpacked.
    root: PathBuf,
    zig: Zig,
}

impl Toolchain {
    /// The tools in `folder`; those that are missing are fetched.
    pub(super) fn ensure(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let tools = Self { root: folder.join("root"), zig: Zig::ensure()? };
        if !tools.root.join("usr/bin/rustc").exists() {
            output::step("fetching Debian's Rust compiler with the source of its standard library");
            unpack_packages(folder, &tools.root)?;
        }
        Ok(tools)
    }

    /// A command that finds these tools first, and nothing of the cargo that runs this program.
    pub(super) fn command(&self, program: &str) -> Command {
        let bin = self.root.join("usr/bin");
        let found = [self.zig.bin(), bin.clone()].iter().map(|folder| folder.join(program)).find(|file| file.exists());
        let mut command = Command::new(found.unwrap_or_else(|| program.into()));
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_") && text != "CARGO_HOME" || text.starts_with("RUSTUP_") {
                command.env_remove(&name);
            }
        }
        let libraries = LIBRARIES.map(|folder| self.root.join(folder).display().to_string()).join(":");
        self.zig.prepare(&mut command, &[&bin]);
        command
            .env("LD_LIBRARY_PATH", libraries)
            .env("CARGO", bin.join("cargo"))
            .env("RUSTC", bin.join("rustc"))
            .env("RUSTDOC", bin.join("rustdoc"))
            // What rustc calls unstable here is -Zbuild-std alone; this allows it on a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

fn unpack_packages(folder: &Path, root: &Path) -> Result<()> {
    let (partial, downloads) = (folder.join("root.partial"), folder.join("packages"));
    for made in [&partial, &downloads] {
        // Left over from a run that was interrupted.
        if made.exists() {
            fs::remove_dir_all(made)?;
        }
        fs::create_dir_all(made)?;
    }
    must_succeed(privileged("apt-get")?.args(["-qq", "update"]))?;
    let needed = simulated_install(&PACKAGES)?;
    let mut download = Command::new("apt-get");
    download.args(["-qq", "-o", "APT::Sandbox::User=root", "download"]).args(&needed).current_dir(&downloads);
    must_succeed(&mut download)?;
    for entry in fs::read_dir(&downloads)? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(entry?.path()).arg(&partial);
        run(&mut unpack, Duration::from_secs(300))?.success()?;
    }
    fs::remove_dir_all(&downloads)?;
    if !partial.join("usr/bin/rustc").exists() {
        bail!("Debian's package rustc-web has no rustc; this command is known to work on Debian 12");
    }
    Ok(fs::rename(&partial, root)?)
}
