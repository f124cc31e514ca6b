//! A person at a terminal of 80 columns: a shell in a pseudo-terminal, what is typed there, and what it shows.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    thread,
};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use sealcard_tests::wait_until;

use super::PATIENCE;

const PROMPT: &str = "$ ";

/// GnuPG's folder in the home.
pub(crate) const GNUPG: &str = "gnupg";

/// The shell, and everything that the terminal has shown.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Up to where it was read.
    seen: usize,
    /// The device that the shell reads.
    device: String,
}

impl Terminal {
    /// Opens a terminal in this home folder. It finds programs in `programs` and where the system has them.
    pub(crate) fn open(home: &Path, programs: &Path) -> Result<Self> {
        let shell = "stty cols 80 rows 24; exec sh -i";
        let mut command = Command::new("script");
        command.args(["--quiet", "--command", shell, "/dev/null"]).current_dir(home).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", programs.display())).env("HOME", home);
        // The sockets of gpg's default home are shared by all of a user's programs, whatever HOME is.
        command.env("GNUPGHOME", home.join(GNUPG));
        command.env("PS1", PROMPT).env("TERM", "xterm").env("LANG", "C.UTF-8").env("SHELL", "/bin/sh");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let keyboard = child.stdin.take().context("no keyboard")?;
        let mut output = child.stdout.take().context("no screen")?;
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut shown = shown.lock();
                shown.extend_from_slice(&bytes[..count]);
            }
        });
        let mut terminal = Self { child, keyboard, screen, seen: 0, device: String::new() };
        terminal.until(&[PROMPT])?;
        terminal.seen = terminal.text().len();
        let shown = terminal.play("tty", &mut |_, _| None)?;
        shown.lines().nth(1).context("no terminal")?.trim().clone_into(&mut terminal.device);
        Ok(terminal)
    }

    /// Types a line.
    pub(crate) fn enter(&mut self, line: &str) -> Result<()> {
        self.keyboard.write_all(format!("{line}\n").as_bytes())?;
        Ok(self.keyboard.flush()?)
    }

    /// Types a command, answers what it asks, and gives what the terminal shows up to the next prompt.
    /// `answer` gets the line that may be a question, and what was shown before; it gives what to type.
    pub(crate) fn play(&mut self, line: &str, answer: &mut dyn FnMut(&str, &str) -> Option<String>) -> Result<String> {
        self.enter(line)?;
        let mut answered = 0;
        loop {
            let found = wait_until(&format!("the end of `{line}`"), PATIENCE, || {
                let text = self.since();
                let last = text.rsplit('\n').next().unwrap_or_default().to_owned();
                // The echo of the line itself ends with a line break.
                if !text.contains('\n') {
                    return Ok(None);
                }
                if last == PROMPT {
                    return Ok(Some(None));
                }
                let new = text.len() > answered && (last.ends_with(": ") || last.ends_with("] "));
                let typed = if new { answer(&last, &text) } else { None };
                Ok(typed.map(|typed| Some((typed, text.len(), last.ends_with(": ")))))
            });
            match found.with_context(|| format!("the terminal shows:\n{}", self.since()))? {
                None => break,
                Some((typed, read, is_password)) => {
                    answered = read;
                    if is_password {
                        self.until_hidden()?;
                    }
                    self.enter(&typed)?;
                }
            }
        }
        let text = self.since();
        self.seen = self.text().len();
        Ok(text.strip_suffix(PROMPT).unwrap_or(&text).to_owned())
    }

    /// Types a command that goes on, and gives what the terminal shows once that are so many lines.
    pub(crate) fn begin(&mut self, line: &str, lines: usize) -> Result<String> {
        self.enter(line)?;
        let found = wait_until(&format!("{lines} lines of `{line}`"), PATIENCE, || {
            let text = self.since();
            Ok((text.matches('\n').count() > lines).then_some(text))
        });
        let text = found.with_context(|| format!("the terminal shows:\n{}", self.since()))?;
        self.seen = self.text().len();
        Ok(text)
    }

    /// Waits for the end of a command that goes on, and gives what the terminal has shown since.
    pub(crate) fn finish(&mut self) -> Result<String> {
        let ended = wait_until("the end of the command", PATIENCE, || {
            Ok(self.since().rsplit('\n').next().is_some_and(|last| last == PROMPT).then_some(()))
        });
        ended.with_context(|| format!("the terminal shows:\n{}", self.since()))?;
        let text = self.since();
        self.seen = self.text().len();
        Ok(text.strip_suffix(PROMPT).unwrap_or(&text).to_owned())
    }

    /// A program shows its question before it hides what is typed.
    fn until_hidden(&self) -> Result<()> {
        wait_until("a terminal that hides what is typed", PATIENCE, || {
            let state = Command::new("stty").args(["-F", &self.device, "-a"]).output()?;
            Ok(String::from_utf8_lossy(&state.stdout).split_whitespace().any(|word| word == "-echo").then_some(()))
        })
    }

    fn until(&self, ends: &[&str]) -> Result<()> {
        let what = format!("{ends:?} in the terminal");
        wait_until(&what, PATIENCE, || Ok(ends.iter().any(|end| self.text().ends_with(end)).then_some(())))
    }

    fn since(&self) -> String {
        self.text().get(self.seen..).unwrap_or_default().to_owned()
    }

    /// Everything shown, without colours, as lines.
    fn text(&self) -> String {
        let bytes = self.screen.lock();
        plain(&String::from_utf8_lossy(&bytes))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ctrl-C ends what runs in the foreground, and its shell goes afterwards.
        self.enter("\u{3}\nexit").ok();
        wait_until("the end of the shell", PATIENCE, || Ok(self.child.try_wait()?)).ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Without escape sequences; a line is what stands after its last carriage return.
fn plain(text: &str) -> String {
    let mut result = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' if characters.next_if_eq(&'[').is_some() => {
                characters.by_ref().find(|c| c.is_ascii_alphabetic());
            }
            // Others have one character, such as those that keep the cursor's place.
            '\u{1b}' => drop(characters.next()),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' => result.truncate(result.rfind('\n').map_or(0, |at| at + 1)),
            _ => result.push(character),
        }
    }
    result
}
