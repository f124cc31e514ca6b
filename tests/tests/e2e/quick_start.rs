//! `docs/quick-start.md`, typed in a terminal: its commands work, and the terminal shows what the page shows.

use std::{
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Binaries, Scratch, run, wait_until};

use crate::support::{
    PATIENCE,
    page::{COLUMNS, Page, commands, compare, is_one_time},
    terminal::{GNUPG, Terminal},
};

/// Commands of the page that the reader types, from nothing to a verified tag.
const MAX_COMMANDS: usize = 8;
const ADMIN_PASSWORD: &str = "correct-horse-admin";
const ALICE_PASSWORD: &str = "battery-staple-alice";

#[test]
fn the_quick_start_runs_as_it_is_printed() -> Result<()> {
    let page = Page::read("quick-start.md")?;
    let binaries = Binaries::for_tests()?;
    let scratch = Scratch::new()?;
    let home = scratch.folder("home")?;
    repository(&home)?;
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    let mut terminal = Terminal::open(&home, binaries.folder())?;
    // The reader's server listens on 8443, which another test may use.
    terminal.play(&format!("export SEALCARD_SERVER_LISTEN=127.0.0.1:{port}"), &mut |_, _| None)?;
    terminal.play("cd project", &mut |_, _| None)?;
    let mut typist = Typist::default();
    let (mut count, mut verified, mut servers) = (0, false, Vec::new());
    for block in page.consoles() {
        for (command, shown) in commands(block) {
            count += 1;
            ensure!(command.len() + 2 <= COLUMNS, "too long for {COLUMNS} columns: {command}");
            if command.contains(" serve") {
                let mut server = Terminal::open(&home, binaries.folder())?;
                server.play(&format!("export SEALCARD_SERVER_LISTEN=127.0.0.1:{port}"), &mut |_, _| None)?;
                server.enter(command)?;
                let address = format!("127.0.0.1:{port}");
                wait_until("the server", PATIENCE, || Ok(TcpStream::connect(&address).ok().map(drop)))?;
                servers.push(server);
                continue;
            }
            let typed = command.replace("8443", &port);
            let text = terminal.play(&typed, &mut |question, text| typist.answer(&shown, question, text))?;
            typist.read(&text);
            let (_, text) = text.split_once('\n').context("the command was not echoed")?;
            let text = text.replace(&format!(":{port}"), ":8443").replace(&*home.to_string_lossy(), "/home/alice");
            let text = text.replace(&format!("/home/alice/{GNUPG})"), "/home/alice/.gnupg)");
            compare(command, &shown, &text)?;
            if command.contains("tag -v") {
                verified = true;
                ensure!(text.contains("Good signature from"), "no good signature:\n{text}");
                ensure!(!text.to_lowercase().contains("warning"), "gpg warns:\n{text}");
            }
        }
    }
    ensure!(verified && count <= MAX_COMMANDS, "{count} commands, and the tag verified: {verified}");
    drop((terminal, servers));
    run(Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", home.join(GNUPG)), PATIENCE)?;
    Ok(())
}

/// The project that the reader already has.
fn repository(home: &std::path::Path) -> Result<()> {
    let path = home.join("project");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home);
        run(&mut command, Duration::from_secs(30))?.success()
    };
    let path = path.to_str().context("a path that is not UTF-8")?;
    git(&["init", "--quiet", "--initial-branch=main", path])?;
    git(&["-C", path, "config", "user.name", "Alice"])?;
    git(&["-C", path, "config", "user.email", "alice@example.org"])?;
    git(&["-C", path, "commit", "--quiet", "--allow-empty", "--message", "First"])?;
    Ok(())
}

/// What the reader types where the page shows a question.
#[derive(Default)]
struct Typist {
    one_time: Option<String>,
}

impl Typist {
    /// What the page shows behind the question, or a password. `None` if the page has no such question.
    fn answer(&mut self, page: &[&str], question: &str, text: &str) -> Option<String> {
        let told = page.iter().find_map(|line| line.strip_prefix(question.trim_end()))?.trim();
        match (question.ends_with("] "), told.is_empty()) {
            (true, false) => return Some(told.to_owned()),
            (false, true) => {}
            // The start of a line that the terminal has not shown completely.
            _ => return None,
        }
        let new = question.starts_with("New ") || question.contains("again");
        let (alice, admin) = (ALICE_PASSWORD.to_owned(), ADMIN_PASSWORD.to_owned());
        match (question.contains("alice") || text.contains("alice"), new) {
            (true, false) => self.one_time.clone(),
            (true, true) => Some(alice),
            (false, _) => Some(admin),
        }
    }

    /// Remembers a one-time password that the terminal shows.
    fn read(&mut self, text: &str) {
        if let Some(password) = text.split_whitespace().find(|word| is_one_time(word)) {
            self.one_time = Some(password.to_owned());
        }
    }
}
