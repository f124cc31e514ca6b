//! Asking the person, and reading secrets from files.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// No password or token is longer, in bytes.
const MAX_SECRET: u64 = 4096;

/// Whether a person can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question that is answered with yes or no. Anything but yes is no.
pub(super) fn confirm(question: &str) -> anyhow::Result<bool> {
    let answer = line(&format!("{question} [yes/no] "))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line of text; `default` if the answer is empty.
pub(super) fn text(question: &str, default: Option<&str>) -> anyhow::Result<String> {
    let answer = match default {
        Some(default) => line(&format!("{question} [{default}]: "))?,
        None => line(&format!("{question}: "))?,
    };
    match (answer.is_empty(), default) {
        (false, _) => Ok(answer),
        (true, Some(default)) => Ok(default.to_owned()),
        (true, None) => bail!("nothing was entered"),
    }
}

/// Asks for a password, without showing it.
pub(super) fn password(question: &str) -> anyhow::Result<SecretString> {
    let password =
        Zeroizing::new(rpassword::prompt_password(format!("{question}: ")).context("can't ask for a password")?);
    if password.is_empty() {
        bail!("nothing was entered");
    }
    Ok(password.as_str().into())
}

/// Asks for a new password, twice.
pub(super) fn new_password(whose: &str) -> anyhow::Result<SecretString> {
    use secrecy::ExposeSecret as _;
    let first = password(&format!("New password of {whose}"))?;
    let second = password("The same again")?;
    if first.expose_secret() != second.expose_secret() {
        bail!("the two differ; nothing was changed");
    }
    Ok(first)
}

/// The first line of a file, or of standard input for `-`.
pub(super) fn secret_from_file(path: &Path) -> anyhow::Result<SecretString> {
    let mut content = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        io::stdin().take(MAX_SECRET).read_to_string(&mut content)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut content))
    };
    read.with_context(|| format!("can't read {}", path.display()))?;
    let secret = content.lines().next().unwrap_or_default();
    if secret.is_empty() {
        bail!("{} holds no secret: its first line is empty", path.display());
    }
    Ok(secret.into())
}

fn line(prompt: &str) -> anyhow::Result<String> {
    let mut stderr = anstream::stderr();
    let _ = write!(stderr, "{prompt}");
    let _ = stderr.flush();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("can't read the answer")?;
    Ok(answer.trim().to_owned())
}
