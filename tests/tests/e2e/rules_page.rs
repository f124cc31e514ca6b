//! `docs/rules.md`, typed in terminals: its files are written, its commands work, and the terminals show what the page
//! shows.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Binaries, Flavour, Playground, Workstation, run};

use crate::support::{
    PATIENCE, builder,
    page::{Page, Piece, commands},
    terminal::Terminal,
    transcript::{ids, matches, normalized},
};

/// The widest command of the page.
const COLUMNS: usize = 96;
/// The network of the page's workstations, and that of the test's.
const NETWORK: (&str, &str) = ("10.20.0.", "127.0.0.");
const ALICE_PASSWORD: &str = "battery-staple-alice";

#[test]
fn the_chapter_on_rules_runs_as_it_is_printed() -> Result<()> {
    let page = Page::read("rules.md")?;
    let binaries = Binaries::for_tests()?;
    let playground = builder()?.algorithms(&[]).without_login().prepare(|data| add_environments(&binaries, data));
    let world = World::new(playground.start()?)?;
    let mut reader = Reader { desks: world.desks()?, folder: world.folder(), ids: BTreeMap::new() };
    let (mut real, mut wrong) = (String::new(), Vec::new());
    for Piece { info, text } in page.pieces() {
        let block = match info {
            Some("toml") => reader.write(text)?,
            Some("console") => reader.play("alice", text)?,
            Some("console,build") => reader.play("build", text)?,
            _ => {
                real.push_str(text);
                continue;
            }
        };
        if let Some(block) = block {
            wrong.push(format!("the page:\n{text}\nthe terminal:\n{block}"));
            real.push_str(&block);
        } else {
            real.push_str(text);
        }
        real.push_str("```\n");
    }
    if !wrong.is_empty() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules.md");
        fs::write(&file, real)?;
        anyhow::bail!("{}\nThe page as it ran is in {}", wrong.join("\n"), file.display());
    }
    world.expect_all_files_used(&page)
}

/// The environments of the prod and test keys.
fn add_environments(binaries: &Binaries, data: &Path) -> Result<()> {
    for name in ["prod", "test"] {
        let mut add = Command::new(binaries.server());
        add.args(["environment", "add", name, "--seal", "key-file", "--data"]).arg(data);
        run(&mut add, PATIENCE)?.success()?;
    }
    Ok(())
}

/// What the page says is there, and the machines of alice and of the build.
struct World {
    alice: Workstation,
    build: Workstation,
    playground: Playground,
}

impl World {
    fn new(playground: Playground) -> Result<Self> {
        let admin = &playground.admin;
        for user in ["alice", "bob", "carol"] {
            admin.add_user(user, ALICE_PASSWORD)?;
        }
        for (group, member) in
            [("release-managers", "alice"), ("on-call", "alice"), ("contractors", "carol"), ("approvers", "bob")]
        {
            admin.admin(&["group", "add", group])?;
            admin.admin(&["group", "add-member", group, member])?;
        }
        for account in ["packager", "nightly"] {
            admin.admin(&["service-account", "add", account])?;
        }
        for (project, kind, member) in [
            ("tools", "--group", "release-managers"),
            ("packages", "--service-account", "packager"),
            ("firmware", "--service-account", "nightly"),
            ("release", "--group", "on-call"),
            ("app", "--user", "alice"),
            ("app", "--user", "carol"),
        ] {
            if admin.admin(&["project", "show", project]).is_err() {
                admin.admin(&["project", "add", project])?;
            }
            admin.admin(&["project", "add-member", project, kind, member, "--role", "key-user"])?;
        }
        for (key, environment) in [
            ("tools/tags", "default"),
            ("release/hotfix", "default"),
            ("packages/repo", "default"),
            ("firmware/images", "default"),
            ("app/prod", "prod"),
            ("app/test", "test"),
        ] {
            let name = key.replace('/', " ");
            let user_id = format!("{name} <{}@example.org>", name.replace(' ', "-"));
            let options = ["--algorithm", "ed25519", "--environment", environment, "--user-id", &user_id];
            admin.admin(&[&["key", "create", key], options.as_slice()].concat())?;
        }
        let station = |name| Workstation::new(&playground.binaries, &playground.scratch, name, Flavour::Machine);
        let (alice, build) = (station("alice")?, station("build")?);
        alice.login_as(&playground.server, "alice", ALICE_PASSWORD, &["--setup"])?;
        let token = admin.admin(&["service-account", "token", "add", "packager"])?.text();
        let token = build.write("token", token)?;
        let ca = playground.server.ca();
        let ca = ca.to_str().context("a path that is not UTF-8")?;
        build.run_sealcard(&["settoken", playground.server.url(), "--file", &token, "--ca-file", ca])?;
        build.run_sealcard(&["setup", "--rpm", "--deb", "--key", "packages/repo"])?;
        let world = Self { alice, build, playground };
        world.fill()?;
        Ok(world)
    }

    /// The folder of all terminals, a repository with packages in it.
    fn folder(&self) -> String {
        self.alice.path("work")
    }

    fn fill(&self) -> Result<()> {
        let keys = self.alice.run_sealcard(&["keys", "--json"])?.text();
        let keys: serde_json::Value = serde_json::from_str(&keys)?;
        let tags = keys["keys"].as_array().into_iter().flatten().find(|key| key["name"] == "tags");
        let fingerprint = tags.and_then(|key| key["fingerprint"].as_str()).context("no key tags")?;
        self.alice.repository("work", fingerprint)?;
        let package = self.build.build_rpm(&[])?;
        fs::copy(package, format!("{}/hello.rpm", self.folder()))?;
        fs::write(format!("{}/hello_1-1_all.changes", self.folder()), crate::packages::CHANGES)?;
        Ok(())
    }

    /// A terminal on each machine.
    fn desks(&self) -> Result<BTreeMap<&'static str, Terminal>> {
        let mut desks = BTreeMap::new();
        let admin = self.playground.scratch.path().join("admin");
        for (name, home) in [("admin", admin.as_path()), ("alice", self.alice.home()), ("build", self.build.home())] {
            let mut terminal = Terminal::open(home, self.playground.binaries.folder())?;
            let home = home.display();
            terminal.play(
                &format!("export XDG_CONFIG_HOME={home}/config XDG_STATE_HOME={home}/state TZ=UTC"),
                &mut |_, _| None,
            )?;
            terminal.play(&format!("cd {}", self.folder()), &mut |_, _| None)?;
            desks.insert(name, terminal);
        }
        Ok(desks)
    }

    /// A file of the page that no command reads would be an example that is not tested.
    fn expect_all_files_used(&self, page: &Page) -> Result<()> {
        let pieces = page.pieces();
        let typed: Vec<&str> = pieces
            .iter()
            .filter(|piece| piece.info.is_some_and(|info| info.starts_with("console")))
            .flat_map(|piece| commands(piece.text))
            .map(|(command, _)| command)
            .collect();
        for piece in pieces.iter().filter(|piece| piece.info == Some("toml")) {
            let name = file_name(piece.text)?;
            let used = typed.iter().any(|command| command.split_whitespace().any(|word| word == name));
            ensure!(used, "no command uses {name}");
        }
        Ok(())
    }
}

/// A reader who follows the page.
struct Reader<'a> {
    desks: BTreeMap<&'a str, Terminal>,
    folder: String,
    /// Ids of the page, and what they really are.
    ids: BTreeMap<String, String>,
}

impl Reader<'_> {
    fn write(&self, block: &str) -> Result<Option<String>> {
        let name = file_name(block)?;
        fs::write(Path::new(&self.folder).join(name), block.replace(NETWORK.0, NETWORK.1))?;
        Ok(None)
    }

    /// Types the commands of a block: `sealcard admin` where the administrator sits. Gives the block as it should be if
    /// it is not so.
    fn play(&mut self, desk: &str, block: &str) -> Result<Option<String>> {
        let (mut real, mut same) = (String::new(), true);
        for (command, shown) in commands(block) {
            ensure!(command.len() <= COLUMNS, "too long: {command}");
            let desk = if command.starts_with("sealcard admin ") { "admin" } else { desk };
            let terminal = self.desks.get_mut(desk).context("no such terminal")?;
            let mut typed = command.to_owned();
            for (id, real) in &self.ids {
                typed = typed.replace(id, real);
            }
            let text = terminal.play(&typed, &mut |question, _| answer(&shown, question))?;
            let (_, text) = text.split_once('\n').context("the command was not echoed")?;
            let text = text.replace(NETWORK.1, NETWORK.0);
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            let (ids, real_ids) = (ids(&shown), ids(&lines));
            if ids.len() == real_ids.len() {
                self.ids.extend(ids.into_iter().zip(real_ids));
            }
            same &= matches(&normalized(&shown), &normalized(&lines));
            real.push_str(&format!("$ {command}\n"));
            lines.iter().for_each(|line| real.push_str(&format!("{line}\n")));
        }
        Ok((!same).then_some(real))
    }
}

/// The name in the first line of a file: `# rules.toml`.
fn file_name(block: &str) -> Result<&str> {
    let first = block.lines().next().and_then(|line| line.strip_prefix("# "));
    first.filter(|name| name.ends_with(".toml")).with_context(|| format!("a file without a name:\n{block}"))
}

/// What the page shows behind a question.
fn answer(shown: &[&str], question: &str) -> Option<String> {
    let told = shown.iter().find_map(|line| line.strip_prefix(question.trim_end()))?.trim();
    (question.ends_with("] ") && !told.is_empty()).then(|| told.to_owned())
}
