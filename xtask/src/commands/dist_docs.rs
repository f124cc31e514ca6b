//! `cargo xtask dist-docs`: manual pages and completions, where packages put them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use sealcard_tests::{Binaries, run};
use xtask::{cargo, output};

/// Write the manual pages and shell completions of all commands, as they lie below /usr/share
///
/// They are made by the programs themselves, from the definitions of their options.
#[derive(Debug, Args)]
pub(crate) struct DistDocs {
    /// The folder that stands for /usr/share
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Uses optimized programs
    #[arg(long)]
    release: bool,
}

/// Where each shell looks, below /usr/share, and how it names the file of a command.
const SHELLS: [(&str, &str, &str, &str); 3] = [
    ("bash", "bash-completion/completions", "", ""),
    ("zsh", "zsh/vendor-completions", "_", ""),
    ("fish", "fish/vendor_completions.d", "", ".fish"),
];

impl DistDocs {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let binaries = cargo::build(self.release)?;
        let pages = self.out.join("man/man1");
        fs::create_dir_all(&pages).with_context(|| format!("making {}", pages.display()))?;
        for program in [binaries.sealcard(), binaries.server(), binaries.signer()] {
            call(&program, &["man", "--out", &pages.to_string_lossy()])?;
        }
        copy_handwritten(&self.out.join("man"))?;
        for (shell, folder, before, behind) in SHELLS {
            let folder = self.out.join(folder);
            fs::create_dir_all(&folder)?;
            for (name, program) in programs(&binaries) {
                let script = call(&program, &["completions", shell])?;
                fs::write(folder.join(format!("{before}{name}{behind}")), script)?;
            }
        }
        output::note(&format!("written below {}", self.out.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Copies the pages of what no command describes, each into the folder of its section.
fn copy_handwritten(manual: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
    for entry in fs::read_dir(&source).with_context(|| format!("reading {}", source.display()))? {
        let page = entry?.path();
        let section = page.extension().context("a manual page without a section")?.to_string_lossy().into_owned();
        let folder = manual.join(format!("man{section}"));
        fs::create_dir_all(&folder)?;
        fs::copy(&page, folder.join(page.file_name().context("no name")?))?;
    }
    Ok(())
}

fn programs(binaries: &Binaries) -> [(&'static str, PathBuf); 3] {
    [("sealcard", binaries.sealcard()), ("sealcard-server", binaries.server()), ("sealcard-signer", binaries.signer())]
}

fn call(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    Ok(run(Command::new(program).args(arguments), Duration::from_secs(30))?.success()?.stdout)
}
