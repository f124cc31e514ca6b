//! Getting a passphrase from a file or from the person at the terminal.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, bail, ensure};
use zeroize::{Zeroize as _, Zeroizing};

use super::output;
use crate::seal::{MIN_PASSPHRASE, Passphrase};

const MAX_FILE: u64 = 4096;

/// A passphrase or PIN that exists.
pub(super) fn existing(prompt: &str, file: Option<&Path>) -> anyhow::Result<Passphrase> {
    match file {
        Some(file) => from_file(file),
        None => ask(prompt),
    }
}

/// A new passphrase: asked for twice, until both are the same, or generated.
pub(super) fn new(file: Option<&Path>) -> anyhow::Result<Passphrase> {
    if let Some(file) = file {
        return from_file(file);
    }
    loop {
        output::error(&format!(
            "The key store needs a passphrase of at least {MIN_PASSPHRASE} characters. Press Enter to get a \
             generated one."
        ));
        let mut chosen = ask("New passphrase for the key store: ")?;
        if chosen.text().is_empty() {
            chosen = Passphrase::generate()?;
            output::error(&format!(
                "\n  {}\n\nWrite it down and keep it apart from this machine: it is shown this once.",
                chosen.text()
            ));
        }
        if chosen.chars() < MIN_PASSPHRASE {
            output::error("It is too short.");
        } else if same(&chosen, &ask("The same again: ")?) {
            return Ok(chosen);
        } else {
            output::error("The two passphrases differ. Try again.");
        }
    }
}

fn ask(prompt: &str) -> anyhow::Result<Passphrase> {
    rpassword::prompt_password(prompt)
        .map(Passphrase::new)
        .context("there is no terminal to ask on; use --passphrase-file")
}

/// The file's first line. `-` is standard input.
fn from_file(path: &Path) -> anyhow::Result<Passphrase> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(8192));
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
    };
    let len = read.with_context(|| format!("the passphrase can't be read from {}", path.display()))?;
    ensure!(len as u64 <= MAX_FILE, "{} is longer than a passphrase may be", path.display());
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match String::from_utf8(line.to_vec()) {
        Ok(text) if text.is_empty() => bail!("the first line of {} is empty", path.display()),
        Ok(text) => Ok(Passphrase::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            bail!("{} is not UTF-8 text", path.display())
        }
    }
}

fn same(a: &Passphrase, b: &Passphrase) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.text().as_bytes(), b.text().as_bytes()).is_ok()
}
