//! `cargo xtask fuzz`: cargo-fuzz on the stable toolchain.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use sealcard_tests::run;
use xtask::{
    cargo::{cargo, must_succeed, workspace},
    output, packages,
};

/// Fuzz the parsers of outside bytes
///
/// Fuzzes one target, or each in turn. Findings land in fuzz/artifacts/TARGET, new inputs in fuzz/corpus/TARGET.
/// Without TARGET it ends after the last; with one and no time limit it runs until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// The target, as `--list` names it; all of them if absent
    target: Option<String>,
    /// How long each target is fuzzed, in minutes [default: 1 for each if all are run, else without end]
    #[arg(long, value_name = "N")]
    minutes: Option<u32>,
    /// Lists the targets
    #[arg(long)]
    list: bool,
}

impl Fuzz {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if !packages::has_command("cargo-fuzz") {
            output::step("installing cargo-fuzz");
            must_succeed(&mut cargo(&["install", "--locked", "cargo-fuzz"]))?;
        }
        let all = targets()?;
        if self.list {
            all.iter().for_each(|target| output::result(target));
            return Ok(ExitCode::SUCCESS);
        }
        let (chosen, minutes) = match self.target {
            Some(target) if !all.contains(&target) => bail!("no target {target}; there are: {}", all.join(", ")),
            Some(target) => (vec![target], self.minutes),
            None => (all, Some(self.minutes.unwrap_or(1))),
        };
        for target in chosen {
            output::step(&format!("fuzzing {target}"));
            let mut command = cargo(&["fuzz", "run", &target]);
            // libfuzzer needs the sanitizer flags, which rustc calls unstable: they have not changed for years.
            command.env("RUSTC_BOOTSTRAP", "1").current_dir(workspace());
            if let Some(minutes) = minutes {
                command.args(["--", &format!("-max_total_time={}", u64::from(minutes) * 60)]);
            }
            must_succeed(&mut command)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn targets() -> Result<Vec<String>> {
    let list = run(cargo(&["fuzz", "list"]).env("RUSTC_BOOTSTRAP", "1"), Duration::from_secs(60))?.success()?;
    Ok(list.text().lines().map(str::to_owned).collect())
}
