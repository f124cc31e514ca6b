//! `docs/approvals-by-example.md`, typed in terminals: each person has one, and they show what the page shows.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Flavour, Playground, Workstation};

use crate::support::{
    builder,
    page::{Page, Piece, commands},
    terminal::Terminal,
    transcript::{matches, normalized},
};

/// The widest command of the page.
const COLUMNS: usize = 100;
/// The page's server.
const SERVER: &str = "https://sign.example.org:8443";
/// The workstations of the page by the names that they claim. All are the test's machine.
const HOSTS: [&str; 2] = ["build-7", "laptop"];
/// The address of the page's workstations, and that of the test's.
const ADDRESS: (&str, &str) = ("192.0.2.7", "127.0.0.1");
const PEOPLE: [&str; 5] = ["alice", "anna", "ben", "dora", "build"];

#[test]
fn chapter_by_example_runs_as_it_is_printed() -> Result<()> {
    let page = Page::read("approvals-by-example.md")?;
    let office = Offices::open()?;
    let mut reader = office.reader()?;
    let pieces = page.pieces();
    let (mut real, mut wrong) = (String::new(), Vec::new());
    for (number, Piece { info, text }) in pieces.iter().enumerate() {
        let block = match info.unwrap_or_default() {
            "toml" => reader.write(text)?,
            info if info.starts_with("console,") => {
                let later = pieces[number + 1..].iter().find(|piece| piece.info == Some(info));
                let goes_on = later.is_some_and(|piece| !piece.text.starts_with("$ "));
                reader.play(info.trim_start_matches("console,"), text, goes_on)?
            }
            _ => {
                real.push_str(text);
                continue;
            }
        };
        if let Some(block) = &block {
            wrong.push(format!("the page:\n{text}\nthe terminal:\n{block}"));
        }
        real.push_str(block.as_deref().unwrap_or(text));
        real.push_str("```\n");
    }
    drop(reader);
    if !wrong.is_empty() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("approvals-by-example.md");
        fs::write(&file, real)?;
        anyhow::bail!("{}\nThe page as it ran is in {}", wrong.join("\n"), file.display());
    }
    office.playground.admin.admin(&["record", "verify"])?;
    Ok(())
}

/// A new server, and a machine for everybody.
struct Offices {
    stations: Vec<Workstation>,
    playground: Playground,
    host: String,
}

impl Offices {
    fn open() -> Result<Self> {
        let playground = builder()?.algorithms(&[]).without_login().start()?;
        let station = |name: &&str| Workstation::new(&playground.binaries, &playground.scratch, name, Flavour::Machine);
        let stations = PEOPLE.iter().map(station).collect::<Result<Vec<_>>>()?;
        for station in &stations {
            fs::create_dir_all(station.path("work"))?;
            fs::copy(playground.server.ca(), station.path("work/ca.pem"))?;
        }
        let alice = &stations[0];
        let folder = alice.path("work");
        alice.run("git", &["init", "-q", "-b", "main", &folder])?;
        for (name, value) in [("user.name", "Alice"), ("user.email", "alice@example.org")] {
            alice.run("git", &["-C", &folder, "config", name, value])?;
        }
        alice.run("git", &["-C", &folder, "commit", "-q", "--allow-empty", "-m", "First"])?;
        stations[4].write("work/nightly.tar.gz", "a build\n")?;
        let host = alice.run("hostname", &[])?.text().trim().to_owned();
        Ok(Self { stations, playground, host })
    }

    fn reader(&self) -> Result<Reader<'_>> {
        let admin = self.playground.scratch.path().join("admin");
        let homes = PEOPLE.into_iter().zip(&self.stations).map(|(name, station)| (name, station.home()));
        let mut desks = BTreeMap::new();
        for (name, home) in homes.chain([("admin", admin.as_path())]) {
            let mut terminal = Terminal::open(home, self.playground.binaries.folder())?;
            let mut prepare = |line: &str| terminal.play(line, &mut |_, _| None).map(drop);
            prepare("export TZ=UTC")?;
            if name == "admin" {
                // As it is logged in already.
                prepare("export XDG_CONFIG_HOME=$HOME/config XDG_STATE_HOME=$HOME/state")?;
            } else {
                prepare("cd work")?;
            }
            desks.insert(name, Desk { terminal, home: home.display().to_string() });
        }
        Ok(Reader { desks, offices: self, ids: BTreeMap::new() })
    }
}

/// Where somebody types.
struct Desk {
    terminal: Terminal,
    home: String,
}

/// A reader who follows the page, as everybody in turn.
struct Reader<'a> {
    desks: BTreeMap<&'a str, Desk>,
    offices: &'a Offices,
    /// Ids of the page, and what they really are.
    ids: BTreeMap<String, String>,
}

impl Reader<'_> {
    /// Writes a file of the page, which the administrator uses.
    fn write(&self, block: &str) -> Result<Option<String>> {
        let name = block.lines().next().and_then(|line| line.strip_prefix("# ")).context("a file without a name")?;
        fs::write(Path::new(&self.desks["admin"].home).join(name), block)?;
        Ok(None)
    }

    /// What a block shows of the command that goes on from the last block, then its own commands. The last of them may
    /// go on. Gives the block as it should be if it is not so.
    fn play(&mut self, name: &str, block: &str, goes_on: bool) -> Result<Option<String>> {
        let wide = block.lines().find(|line| line.starts_with("$ ") && line.len() > COLUMNS);
        ensure!(wide.is_none(), "too long: {wide:?}");
        let block = &joined(block);
        let (mut real, mut same) = (String::new(), true);
        let first: Vec<&str> = block.lines().take_while(|line| !line.starts_with("$ ")).collect();
        if !first.is_empty() {
            let text = self.desk(name)?.terminal.finish()?;
            same &= self.compare(name, &first, &text, &mut real);
        }
        let commands = commands(block);
        let count = commands.len();
        for (number, (command, shown)) in commands.into_iter().enumerate() {
            let typed = self.typed(command);
            let secrets = self.secrets();
            let terminal = &mut self.desk(name)?.terminal;
            let text = if goes_on && number + 1 == count {
                terminal.begin(&typed, shown.len())?
            } else {
                terminal.play(&typed, &mut |question, text| answer(&secrets, &shown, (question, text)))?
            };
            let (_, text) = text.split_once('\n').context("the command was not echoed")?;
            real.push_str(&format!("$ {command}\n"));
            same &= self.compare(name, &shown, text, &mut real);
            self.hand_over(command)?;
        }
        Ok((!same).then_some(real))
    }

    /// Whether the terminal shows what the page shows. Adds what it shows to `real`, in the page's names.
    fn compare(&mut self, name: &str, shown: &[&str], text: &str, real: &mut String) -> bool {
        let home = self.desks.get(name).map(|desk| desk.home.clone()).unwrap_or_default();
        let text = text.replace(&format!("{home}/gnupg"), &format!("/home/{name}/.gnupg"));
        let text = text.replace(&home, &format!("/home/{name}"));
        let text = text.replace(self.offices.playground.server.url(), SERVER);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let (told, found) = (short_ids(shown), short_ids(&lines));
        if told.len() == found.len() {
            self.ids.extend(told.into_iter().zip(found));
        }
        for line in &lines {
            real.push_str(line);
            real.push('\n');
        }
        let normal = |lines: &[&str]| {
            let plain: Vec<String> = lines.iter().map(|line| self.plain(line)).collect();
            normalized(&plain.iter().map(String::as_str).collect::<Vec<_>>())
        };
        matches(&normal(shown), &normal(&lines))
    }

    /// A line without what differs each time, apart from what every page leaves out.
    fn plain(&self, line: &str) -> String {
        let mut line = line.replace(ADDRESS.0, ADDRESS.1);
        for host in HOSTS {
            line = line.replace(host, &self.offices.host);
        }
        // How long it is ago depends on the machine.
        let line = line.replace("(1 minute ago)", "(just now)");
        if let Some((before, _)) = line.split_once("Signature made ") {
            return format!("{before}Signature made");
        }
        line.split_whitespace().map(plain_word).collect::<Vec<_>>().join(" ")
    }

    fn typed(&self, command: &str) -> String {
        let mut typed = command.replace(SERVER, self.offices.playground.server.url());
        for host in HOSTS {
            typed = typed.replace(host, &self.offices.host);
        }
        for (id, real) in &self.ids {
            typed = typed.replace(id, real);
        }
        typed
    }

    /// Brings a file that the administrator made to where it is used.
    fn hand_over(&self, command: &str) -> Result<()> {
        let Some((_, "token")) = command.split_once("--output ") else { return Ok(()) };
        let from = Path::new(&self.desks["admin"].home).join("token");
        fs::copy(from, self.offices.stations[4].path("work/token"))?;
        Ok(())
    }

    /// The one-time passwords that the administrator has made.
    fn secrets(&self) -> BTreeMap<String, String> {
        let secret = |name: &str| {
            let file = Path::new(&self.desks["admin"].home).join(format!("{name}.password"));
            Some((name.to_owned(), fs::read_to_string(file).ok()?.trim().to_owned()))
        };
        PEOPLE.iter().filter_map(|name| secret(name)).collect()
    }

    fn desk(&mut self, name: &str) -> Result<&mut Desk> {
        self.desks.get_mut(name).with_context(|| format!("nobody is called {name}"))
    }
}

/// What is typed behind a question: a password, or what the page shows.
fn answer(one_time: &BTreeMap<String, String>, shown: &[&str], (question, text): (&str, &str)) -> Option<String> {
    if question.ends_with("] ") {
        let told = shown.iter().find_map(|line| line.strip_prefix(question.trim_end()))?.trim();
        return (!told.is_empty()).then(|| told.to_owned());
    }
    if question.starts_with("New password of ") || question == "The same again: " {
        return Some("battery-staple-4711".to_owned());
    }
    let name = question.strip_prefix("Password of ")?.strip_suffix(": ")?;
    (!text.contains("This is a one-time password")).then(|| one_time.get(name).cloned())?
}

/// The block with each command in one line.
fn joined(block: &str) -> String {
    block.replace(" \\\n    ", " ")
}

/// The short ids of approvals in these lines, in order.
fn short_ids(lines: &[&str]) -> Vec<String> {
    let words = lines.iter().flat_map(|line| line.split_whitespace()).map(bare);
    words.filter(|word| is_short_id(word)).map(str::to_owned).collect()
}

fn bare(word: &str) -> &str {
    word.trim_matches(['(', ')', ':', ',', '.', ';', '`'])
}

fn is_short_id(word: &str) -> bool {
    word.len() == 8 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A letter in place of a short id, a time of the day, a span of time, or a number of seconds since 1970.
fn plain_word(word: &str) -> String {
    let core = bare(word);
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_clock = core
        .split_once(':')
        .is_some_and(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2 && numeric(hours) && numeric(minutes));
    let is_span = core.len() > 1 && core.ends_with(['s', 'm', 'h', 'd']) && numeric(&core[..core.len() - 1]);
    let is_digest = [64, 128].contains(&core.len()) && core.bytes().all(|byte| byte.is_ascii_hexdigit());
    let letter = match (is_short_id(core), is_clock || is_span, is_digest) {
        (true, ..) => "A",
        (_, true, _) => "C",
        (.., true) => "D",
        _ if core.len() >= 10 && numeric(core) => "N",
        _ => return word.to_owned(),
    };
    word.replace(core, letter)
}
