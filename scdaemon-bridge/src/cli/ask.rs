//! Asking the person, and reading secrets from files.

use std::{
    fs,
    io::{self, BufRead, IsTerminal as _, Read as _, Write},
    path::Path,
};

use anyhow::{Context as _, bail};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use zeroize::Zeroizing;

/// No password or token is longer, in bytes.
const MAX_SECRET: u64 = 4096;

/// How often a person may mistype a password.
pub(super) const TRIES: u32 = 3;

const NO_ANSWER: &str = "can't read the answer";

/// Whether a person can be asked. Standard input may be a pipe that brings a key: then the terminal itself answers.
pub(super) fn can_ask() -> bool {
    io::stderr().is_terminal() && (io::stdin().is_terminal() || terminal().is_ok())
}

fn terminal() -> io::Result<fs::File> {
    fs::File::open("/dev/tty")
}

/// Where answers come from.
fn answers() -> io::Result<Box<dyn BufRead>> {
    let stdin = io::stdin();
    if stdin.is_terminal() { Ok(Box::new(stdin.lock())) } else { Ok(Box::new(io::BufReader::new(terminal()?))) }
}

/// Asks a question that is answered with yes or no, again until it is. Nothing entered, or the end of the input, is no.
pub(super) fn confirm(question: &str) -> anyhow::Result<bool> {
    answers().and_then(|mut input| confirm_on(question, &mut input, &mut anstream::stderr())).context(NO_ANSWER)
}

fn confirm_on(question: &str, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<bool> {
    loop {
        let _ = write!(output, "{question} [y/N] ");
        let _ = output.flush();
        let mut answer = String::new();
        if input.read_line(&mut answer)? == 0 {
            return Ok(false);
        }
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "" | "n" | "no" => return Ok(false),
            _ => drop(writeln!(output, "Answer y or n.")),
        }
    }
}

/// The option of every command that can't be undone: it asks once, or `--yes` answers.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Yes {
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Yes {
    /// Asks whether to go on, unless `--yes` was given. Fails if the answer is no.
    pub(super) fn confirm(self, question: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !can_ask() {
            bail!("there is no terminal to ask on: \"{question}\" Pass --yes to go on without the question");
        }
        if !confirm(question)? {
            bail!("nothing was changed");
        }
        Ok(())
    }
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

/// Asks for a new password, twice, until both are the same.
pub(super) fn new_password(whose: &str) -> anyhow::Result<SecretString> {
    loop {
        let first = password(&format!("New password of {whose}"))?;
        let second = password("The same again")?;
        if first.expose_secret() == second.expose_secret() {
            return Ok(first);
        }
        super::output::note("The two passwords differ. Try again.");
    }
}

/// Reads a secret from the first line of a file; `-` is standard input.
pub(super) fn secret_from_file(path: &Path) -> anyhow::Result<SecretString> {
    let bytes = first_line(path)?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("{} is not valid UTF-8", path.display()))?;
    Ok(text.into())
}

/// Reads a passphrase from the first line of a file, in whatever encoding; `-` is standard input.
pub(super) fn passphrase_from_file(path: &Path) -> anyhow::Result<SecretSlice<u8>> {
    Ok(first_line(path)?.to_vec().into())
}

fn first_line(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        io::stdin().take(MAX_SECRET).read_to_end(&mut content)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_end(&mut content))
    };
    read.with_context(|| format!("can't read {}", path.display()))?;
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        bail!("{} holds no secret: its first line is empty", path.display());
    }
    Ok(Zeroizing::new(line.to_vec()))
}

fn line(prompt: &str) -> anyhow::Result<String> {
    let mut stderr = anstream::stderr();
    let _ = write!(stderr, "{prompt}");
    let _ = stderr.flush();
    let mut answer = String::new();
    answers().and_then(|mut input| input.read_line(&mut answer)).context(NO_ANSWER)?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answered(input: &str) -> (bool, String) {
        let mut output = Vec::new();
        let answer = confirm_on("Go on?", &mut input.as_bytes(), &mut output).unwrap();
        (answer, String::from_utf8(output).unwrap())
    }

    #[test]
    fn only_yes_is_yes_and_nothing_is_no() {
        for (input, answer) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("n\n", false), ("No\n", false), ("", false)]
        {
            assert_eq!(answered(input), (answer, "Go on? [y/N] ".to_owned()), "{input:?}");
        }
    }

    #[test]
    fn other_answers_ask_again() {
        let (answer, output) = answered("maybe\nja\ny\n");
        assert!(answer);
        assert_eq!(output.matches("Go on? [y/N]").count(), 3);
        assert_eq!(output.matches("Answer y or n.").count(), 2);
        assert!(!answered("maybe\n").0);
    }
}
