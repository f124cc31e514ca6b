//! `sealcard-signer completions`.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

/// Print what makes a shell complete this command
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// For this shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut command = super::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        io::stdout().write_all(&script).context("can't write")
    }
}
