//! Questions on the terminal.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};

/// Asks, or takes defaults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Questions {
    ask: bool,
}

impl Questions {
    /// Asks unless `silent` forbids it.
    ///
    /// # Errors
    /// If there is no terminal to ask on.
    pub(super) fn new(silent: bool) -> anyhow::Result<Self> {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !silent && !terminal {
            bail!(
                "there is no terminal to ask on: give options, and --non-interactive to take the defaults for the rest"
            );
        }
        Ok(Self { ask: !silent })
    }

    /// Whether a person answers.
    pub(super) const fn are_asked(self) -> bool {
        self.ask
    }

    /// Asks until `check` accepts the answer. An empty answer is the default. Without questions the answer is the default.
    ///
    /// # Errors
    /// If the default is refused, or the terminal has ended.
    pub(super) fn text<T>(
        self,
        question: &str,
        default: &str,
        check: impl Fn(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if !self.ask {
            return check(default);
        }
        let hint = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        loop {
            let line = prompt(&format!("{question}{hint}: "))?;
            match check(if line.is_empty() { default } else { &line }) {
                Ok(answer) => return Ok(answer),
                Err(error) => eprint(&format!("  {error:#}\n")),
            }
        }
    }

    /// One of several: each with the word that is typed and what it means. The first is the default.
    ///
    /// # Errors
    /// If the terminal has ended.
    pub(super) fn choose<T: Copy>(self, question: &str, choices: &[(&str, &str, T)]) -> anyhow::Result<T> {
        let Some((default, _, first)) = choices.first() else { bail!("there is nothing to choose from") };
        if !self.ask {
            return Ok(*first);
        }
        let width = choices.iter().map(|(word, ..)| word.len()).max().unwrap_or(0);
        let list: String = choices.iter().map(|(word, meaning, _)| format!("  {word:width$}  {meaning}\n")).collect();
        eprint(&format!("{question}\n{list}"));
        self.text("Choose", default, |word| {
            let found = choices.iter().find(|(name, ..)| *name == word);
            found.map(|(.., value)| *value).with_context(|| format!("{word} is none of them"))
        })
    }
}

fn prompt(text: &str) -> anyhow::Result<String> {
    eprint(text);
    let mut line = String::new();
    if io::stdin().read_line(&mut line).context("can't read from the terminal")? == 0 {
        bail!("the terminal has ended: nothing was changed");
    }
    Ok(line.trim().to_owned())
}

fn eprint(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
