//! Calling cargo.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sealcard_tests::{Binaries, command_line, run};

/// What turns on the failpoints that the crash tests need.
pub const FAILPOINTS: [&str; 2] = ["--features", "sealcard-server/failpoints,sealcard-signer/failpoints"];

/// The folder of the workspace: the one that cargo was called in. Clones that share a target folder may share this
/// program, so where it was compiled says nothing.
pub fn workspace() -> &'static Path {
    static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let package = Path::new(&package);
        package.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap_or(package).to_owned()
    });
    &WORKSPACE
}

/// Where cargo keeps what it downloads.
pub fn home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => Ok(env::home_dir().context("the user has no home folder")?.join(".cargo")),
    }
}

/// A cargo command in the workspace.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(arguments).current_dir(workspace());
    // Set by the `cargo run` that started this program; they would make the inner builds look different from others.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command that writes to the terminal itself; it must succeed.
pub fn must_succeed(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command.status().with_context(|| format!("starting {line}"))?;
    if status.success() { Ok(()) } else { bail!("{line} failed ({status})") }
}

/// The target folder.
pub fn target() -> Result<PathBuf> {
    let metadata = run(
        cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]).env_remove("RUSTFLAGS"),
        Duration::from_secs(60),
    )?
    .success()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(folder.context("cargo metadata told no target folder")?.into())
}

/// Selects the programs that a user gets.
pub const PROGRAMS: [&str; 9] =
    ["--bins", "-p", "sealcard-server", "-p", "sealcard-signer", "-p", "sealcard-bridge", "-p", "sealcard-audit"];

/// Builds the programs as a user gets them.
pub fn build(release: bool) -> Result<Binaries> {
    let mut command = cargo(&["build", "--locked"]);
    command.args(PROGRAMS);
    if release {
        command.arg("--release");
    }
    // What cargo says goes to standard error; so does nothing else of this program's results.
    must_succeed(&mut command)?;
    Binaries::in_folder(&target()?.join(if release { "release" } else { "debug" }))
}
