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

/// The folder in which a shell looks for completions, below /usr/share, and what comes before and behind the command's
/// name in the name of a file there.
pub(crate) type Shells = [(&'static str, &'static str, &'static str, &'static str); 3];

/// Where the shells of Debian look.
pub(crate) const DEBIAN_SHELLS: Shells = [
    ("bash", "bash-completion/completions", "", ""),
    ("zsh", "zsh/vendor-completions", "_", ""),
    ("fish", "fish/vendor_completions.d", "", ".fish"),
];

/// Where the shells of Fedora look, and those that are installed from source.
pub(crate) const FEDORA_SHELLS: Shells = [
    ("bash", "bash-completion/completions", "", ""),
    ("zsh", "zsh/site-functions", "_", ""),
    ("fish", "fish/vendor_completions.d", "", ".fish"),
];

impl DistDocs {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let binaries = cargo::build(self.release)?;
        for (name, program) in programs(&binaries) {
            write_pages(&program, &self.out.join("man"))?;
            write_completions(&program, name, &self.out, &DEBIAN_SHELLS)?;
        }
        for entry in fs::read_dir(cargo::workspace().join("packaging/man"))? {
            copy_handwritten(&self.out.join("man"), &[&entry?.file_name().to_string_lossy()])?;
        }
        output::note(&format!("written below {}", self.out.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the manual pages of a program's commands.
pub(crate) fn write_pages(program: &Path, manual: &Path) -> Result<()> {
    let pages = manual.join("man1");
    fs::create_dir_all(&pages).with_context(|| format!("making {}", pages.display()))?;
    call(program, &["man", "--out", &pages.to_string_lossy()])?;
    Ok(())
}

/// Writes a program's completions for each shell, below what stands for /usr/share.
pub(crate) fn write_completions(program: &Path, name: &str, share: &Path, shells: &Shells) -> Result<()> {
    for (shell, folder, before, behind) in shells {
        let folder = share.join(folder);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{before}{name}{behind}")), call(program, &["completions", shell])?)?;
    }
    Ok(())
}

/// Copies pages of `packaging/man`, each into the folder of its section.
pub(crate) fn copy_handwritten(manual: &Path, pages: &[&str]) -> Result<()> {
    for name in pages {
        let page = cargo::workspace().join("packaging/man").join(name);
        let section = page.extension().context("a manual page without a section")?.to_string_lossy().into_owned();
        let folder = manual.join(format!("man{section}"));
        fs::create_dir_all(&folder)?;
        fs::copy(&page, folder.join(name)).with_context(|| format!("copying {}", page.display()))?;
    }
    Ok(())
}

fn programs(binaries: &Binaries) -> [(&'static str, PathBuf); 4] {
    [
        ("sealcard", binaries.sealcard()),
        ("sealcard-server", binaries.server()),
        ("sealcard-signer", binaries.signer()),
        ("sealcard-audit", binaries.audit()),
    ]
}

fn call(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    Ok(run(Command::new(program).args(arguments), Duration::from_secs(30))?.success()?.stdout)
}
