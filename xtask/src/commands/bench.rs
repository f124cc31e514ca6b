//! `cargo xtask bench`: a program of its own, so that the other commands are built without what it measures with. It is
//! optimized: it measures parts of the product in itself, too.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::Args;
use xtask::cargo::{cargo, must_succeed};

/// Measure Sealcard against a local key and gnupg-pkcs11-scd
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Bench {
    /// See `cargo xtask bench --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        must_succeed(
            cargo(&["run", "--quiet", "--release", "--package", "sealcard-bench", "--"]).args(self.arguments),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
