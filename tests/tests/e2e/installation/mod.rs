//! `docs/install.md` on an empty Debian whose first process is systemd: its commands work, and the terminal shows what the
//! page shows; and what somebody can read who controls the server.

mod container;
mod secrets;
mod variants;

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::support::page::{Page, compare, is_one_time};
use container::Container;

/// The folder with the packages, which `cargo xtask test` makes before it runs these tests.
const PACKAGES: &str = "SEALCARD_PACKAGES";

/// How long something may take that was started.
const PATIENCE: Duration = Duration::from_secs(30);

const ADMIN_PASSWORD: &str = "correct-horse-admin";
const ALICE_PASSWORD: &str = "battery-staple-alice";

/// Sections whose commands other tests run: the packages' own checks use repositories and rpm, and compiling needs Rust.
const ELSEWHERE: [&str; 2] = ["Install the programs", "Install from source"];

#[test]
#[ignore = "cargo xtask test makes the packages and runs it"]
fn the_handbooks_installation_works_on_debian_12() -> Result<()> {
    follow("bookworm")
}

#[test]
#[ignore = "cargo xtask test makes the packages and runs it"]
fn the_handbooks_installation_works_on_debian_13() -> Result<()> {
    follow("trixie")
}

fn packages() -> Result<PathBuf> {
    env::var_os(PACKAGES).map(PathBuf::from).context("SEALCARD_PACKAGES names no folder with packages")
}

fn follow(suite: &str) -> Result<()> {
    let container = Container::boot(suite, &packages()?)?;
    container.run(PREPARE)?.success()?;
    let page = Page::read("install.md")?;
    let install = "cd /mnt && DEBIAN_FRONTEND=noninteractive apt-get install -y ./sealcard_*.deb ./sealcard-server_*.deb ./sealcard-signer_*.deb";
    container.run(install)?.success()?;

    let mut root = container.terminal("root", "/root")?;
    let mut alice = container.terminal("alice", "/home/alice")?;
    alice.play("cd project", &mut |_, _| None)?;
    let mut typist = Typist::default();
    let (mut count, mut verified) = (0, false);
    for (heading, block) in page.console_sections() {
        if ELSEWHERE.contains(&heading) {
            continue;
        }
        for Typed { by_root, line, shown } in commands(block) {
            count += 1;
            let terminal = if by_root { &mut root } else { &mut alice };
            let text = terminal.play(&line, &mut |question, _| typist.answer(question))?;
            // Without the echo of the command.
            let text = text.split_once('\n').map(|(_, text)| text.to_owned()).unwrap_or_default();
            typist.read(&text);
            let status = terminal.play("echo status $?", &mut |_, _| None)?;
            ensure!(status.contains("status 0"), "`{line}`: {status}\n{text}");
            if !shown.is_empty() {
                compare(&line, &shown, &text)?;
            }
            verified |= line.contains("tag -v") && text.contains("Good signature from \"Tags <tags@example.org>\"");
            if line.starts_with("sealcard-server setup") {
                secrets::expect_none_readable(&container)?;
            }
        }
    }
    ensure!(verified && count >= 9, "{count} commands, and the tag verified: {verified}");
    for unit in ["sealcard-server.service", "sealcard-signer@default.service", "sealcard-signer@log.service"] {
        ensure!(
            container.run(&format!("systemctl is-failed {unit} || true"))?.text().trim() != "failed",
            "{unit} failed"
        );
    }
    drop((root, alice));
    Ok(())
}

/// The name of the server, and alice with a git repository.
const PREPARE: &str = "
echo '127.0.0.1 sign.example.org' >>/etc/hosts
useradd --create-home --shell /bin/sh alice
runuser -u alice -- env -C /home/alice HOME=/home/alice sh -euc '
    git init --quiet --initial-branch=main project
    git -C project config user.name Alice
    git -C project config user.email alice@example.org
    git -C project commit --quiet --allow-empty --message First
'
";

/// What a page has somebody type, and what the terminal shows then.
struct Typed<'a> {
    by_root: bool,
    /// Of several lines, each but the last of which ends with a backslash, one is made.
    line: String,
    shown: Vec<&'a str>,
}

fn commands(block: &str) -> Vec<Typed<'_>> {
    let mut all: Vec<Typed<'_>> = Vec::new();
    for text in block.lines() {
        let by_root = text.strip_prefix("# ").map(|line| (true, line));
        let typed = by_root.or_else(|| text.strip_prefix("$ ").map(|line| (false, line)));
        match (typed, all.last_mut()) {
            (Some((by_root, line)), _) => all.push(Typed { by_root, line: line.to_owned(), shown: Vec::new() }),
            (None, Some(last)) if last.shown.is_empty() && last.line.ends_with('\\') => {
                last.line.pop();
                last.line.push_str(text.trim_start());
            }
            (None, Some(last)) => last.shown.push(text),
            (None, None) => {}
        }
    }
    all
}

/// The answers of the people at the terminals.
#[derive(Default)]
struct Typist {
    admin: Option<String>,
    alice: Option<String>,
    /// Who logs in now.
    is_admin: bool,
}

impl Typist {
    fn answer(&mut self, question: &str) -> Option<String> {
        let question = question.trim();
        if let Some(name) = question.strip_prefix("Password of ") {
            self.is_admin = name.starts_with("admin");
            return if self.is_admin { self.admin.clone() } else { self.alice.clone() };
        }
        let password = question.starts_with("New password") || question.starts_with("The same again");
        match (password, self.is_admin) {
            (true, true) => Some(ADMIN_PASSWORD.to_owned()),
            (true, false) => Some(ALICE_PASSWORD.to_owned()),
            (false, _) => (question.ends_with("[y/N]") || question.ends_with("[Y/n]")).then(|| "y".to_owned()),
        }
    }

    /// Remembers the one-time passwords that setup shows.
    fn read(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(password)) = (words.next(), words.next()) else { continue };
            match name {
                "admin" if is_one_time(password) => self.admin = Some(password.to_owned()),
                "alice" if is_one_time(password) => self.alice = Some(password.to_owned()),
                _ => {}
            }
        }
    }
}
