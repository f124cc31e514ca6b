//! Passwords from files and from the terminal.

use std::{io::IsTerminal, path::Path};

use anyhow::{Context as _, bail, ensure};
use sealcard_api::rules::NewPassword;
use sealcard_signer_protocol::MIN_PASSPHRASE;
use zeroize::Zeroizing;

use super::output;
use crate::{authn::one_time_password, files};

/// The password of a new user: the first line of `file`, or asked twice, until it is good and both are the same.
pub(super) fn new_password(
    file: Option<&Path>,
    user: &str,
    min_characters: usize,
) -> anyhow::Result<Zeroizing<String>> {
    if let Some(file) = file {
        let text = files::read_secret(file)?;
        let password = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
        check(&password, user, min_characters).with_context(|| format!("the password in {}", file.display()))?;
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the password of {user:?}: give --admin-password-file FILE");
    }
    let prompt = format!("Password for the administrator {user} (at least {min_characters} characters): ");
    loop {
        let password = ask(&prompt)?;
        if password.is_empty() {
            bail!("nothing was entered");
        }
        if let Err(error) = check(&password, user, min_characters) {
            output::note(&format!("{error}"));
        } else if *password == *ask("The same again: ")? {
            return Ok(password);
        } else {
            output::note("The two passwords differ. Try again.");
        }
    }
}

/// The first line of a file: a passphrase or PIN.
pub(super) fn first_line(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = files::read_secret(file)?;
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    ensure!(!line.is_empty(), "the first line of {} is empty", file.display());
    Ok(line)
}

/// A new passphrase for a key store: asked for until it is good and was given twice, or a generated one.
pub(super) fn new_passphrase(asked: bool) -> anyhow::Result<Zeroizing<String>> {
    ensure!(asked, "there is nobody to ask for the passphrase: give --seal-passphrase-file FILE");
    output::note(&format!(
        "The key store needs a passphrase of at least {MIN_PASSPHRASE} characters. Press Enter to get a generated one."
    ));
    loop {
        let mut passphrase = ask("New passphrase for the key store: ")?;
        if passphrase.is_empty() {
            passphrase = one_time_password().ok().context("the system gives no random numbers")?;
            output::note(&format!("\n  {}\n\nWrite it down: it is shown this once.", passphrase.as_str()));
        }
        if passphrase.chars().count() < MIN_PASSPHRASE {
            output::note("It is too short.");
        } else if *passphrase == *ask("The same again: ")? {
            return Ok(passphrase);
        } else {
            output::note("The two passphrases differ. Try again.");
        }
    }
}

fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).context("can't read the password")
}

fn check(password: &str, user: &str, min_characters: usize) -> anyhow::Result<()> {
    NewPassword::check(password, user, min_characters).map_err(anyhow::Error::msg)
}
