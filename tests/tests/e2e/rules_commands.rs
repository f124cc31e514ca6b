//! `sealcard admin policy` and `sealcard admin template` against the real server, on both databases.

use std::time::Duration;

use anyhow::{Result, ensure};
use sealcard_tests::{Algorithm, DatabaseKind, Finished, PROJECT, Playground, run, run_with_input};
use serde_json::Value;

use crate::support::builder;

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn rules_and_templates_are_managed_by_commands_on_sqlite() -> Result<()> {
    manage(DatabaseKind::Sqlite)
}

#[test]
fn rules_and_templates_are_managed_by_commands_on_postgres() -> Result<()> {
    manage(DatabaseKind::Postgres)
}

const TEMPLATES: &str = "\
[template.short-hash]
hashes = [\"sha256\"]

[template.git-only]
tools      = [\"git\"]
visible-to = [\"makers\"]

[tool.git]
path = [\"/usr/bin/git\"]
";

const RULES: &str = "\
# What everyone has to do.
[rule.signing]
operations = [\"sign\"]
who        = { groups = [\"makers\"] }

[rule.tools]
template = \"git-only\"
";

const HOURS: &str = "\
[rule.hours]
hours = { days = \"mon-fri\", from = \"06:00\", to = \"20:00\", zone = \"Europe/Berlin\" }
";

fn manage(database: DatabaseKind) -> Result<()> {
    let playground = builder()?.database(database).algorithms(&[Algorithm::Ed25519]).without_login().start()?;
    let admin = &playground.admin;
    let write = |name: &str, text: &str| playground.workstation.write(name, text);
    let (rules, templates) = (write("rules.toml", RULES)?, write("templates.toml", TEMPLATES)?);
    let key = format!("{PROJECT}/{}", Algorithm::Ed25519.name());

    // The group is not there yet, nor the template.
    let refused = sealcard(&playground, &["policy", "check", PROJECT, &rules])?.failure()?;
    ensure!(refused.status.code() == Some(1), "{}", refused.description());
    for told in ["there is no group makers", "rules.toml:4:", "2 mistakes found"] {
        ensure!(refused.stderr.contains(told), "no {told}: {}", refused.description());
    }
    sealcard(&playground, &["policy", "apply", PROJECT, &rules])?.failure()?;
    admin.admin(&["group", "add", "makers"])?;
    let applied = admin.admin(&["template", "apply", &templates, "--note", "first ones"])?.text();
    ensure!(applied.contains("git-only (version 1)") && applied.contains("short-hash (version 1)"), "{applied}");
    let again = admin.admin(&["template", "apply", &templates])?.text();
    ensure!(again.matches("Nothing to change").count() == 2, "{again}");

    admin.admin(&["policy", "check", PROJECT, &rules])?;
    let applied = admin.admin(&["policy", "apply", PROJECT, &rules, "--note", "ticket 12"])?.text();
    ensure!(applied.contains("+[rule.signing]") && applied.contains("(version 1)"), "{applied}");
    ensure!(admin.admin(&["policy", "show", PROJECT])?.text() == RULES);
    let cedar = admin.admin(&["policy", "show", &key, "--cedar"])?.text();
    ensure!(cedar.contains("forbid") && cedar.contains("makers") && cedar.contains("git"), "{cedar}");

    // Of the key, from standard input; of the environment.
    let mut apply = admin.command(&["admin", "policy", "apply", &key, "-"]);
    run_with_input(&mut apply, b"[rule.linked]\ntemplate = \"short-hash\"\n", DEADLINE)?.success()?;
    let hours = write("hours.toml", HOURS)?;
    admin.admin(&["policy", "apply", "--environment", "default", &hours])?;
    let listed = admin.json(&["policy", "list"])?;
    let mut kinds: Vec<&str> =
        listed["rules"].as_array().into_iter().flatten().filter_map(|rules| rules["kind"].as_str()).collect();
    kinds.sort_unstable();
    ensure!(kinds == ["environment", "key", "project"], "{listed}");

    // What they name stays.
    let refused = sealcard(&playground, &["group", "rename", "makers", "builders"])?.failure()?;
    let named = format!("the rules of the project {PROJECT} (rule signing)");
    ensure!(refused.stderr.contains(&named), "{}", refused.description());
    ensure!(refused.stderr.contains("the template git-only"), "{}", refused.description());

    // Back and forth.
    let narrower = write("narrower.toml", &RULES.replace("[\"sign\"]", "[\"sign\", \"decrypt\"]"))?;
    let applied = admin.admin(&["policy", "apply", PROJECT, &narrower])?.text();
    ensure!(applied.contains("-operations = [\"sign\"]\n+operations = [\"sign\", \"decrypt\"]"), "{applied}");
    let reverted = admin.admin(&["policy", "revert", PROJECT, "1", "--note", "back"])?.text();
    ensure!(reverted.contains("(version 3)"), "{reverted}");
    let history = admin.json(&["policy", "history", PROJECT])?;
    let told: Vec<_> = history["versions"].as_array().into_iter().flatten().map(version).collect();
    ensure!(told == [(3, 1, 1), (2, 1, 1), (1, 7, 0)], "{history}");
    let diff = admin.admin(&["policy", "history", PROJECT, "--diff", "2"])?.text();
    ensure!(diff.contains("+operations = [\"sign\", \"decrypt\"]"), "{diff}");

    // A withdrawn template.
    let asked = sealcard(&playground, &["template", "withdraw", "short-hash"])?.failure()?;
    ensure!(asked.stderr.contains(&format!("key {key}")) && asked.stderr.contains("--yes"), "{}", asked.description());
    admin.admin(&["template", "withdraw", "short-hash", "--yes"])?;
    let shown = admin.json(&["template", "show", "short-hash"])?;
    ensure!(shown["withdrawn"] == true && shown["version"] == 2, "{shown}");
    admin.admin(&["template", "restore", "short-hash"])?;

    admin.admin(&["policy", "remove", PROJECT, "--yes"])?;
    let shown = sealcard(&playground, &["policy", "show", PROJECT])?.success()?;
    ensure!(shown.stdout.is_empty() && shown.stderr.contains("There are none"), "{}", shown.description());
    let record = admin.admin(&["record", "list", "--kind", "administration"])?.text();
    for told in [
        "rules applied: version 1",
        "rules reverted: version 3 as 1",
        "rules removed: version 4",
        "template withdrawn: version 2",
    ] {
        ensure!(record.contains(told), "no {told}: {record}");
    }
    admin.admin(&["record", "verify"])?;
    Ok(())
}

/// Number, lines added and removed.
fn version(version: &Value) -> (u64, u64, u64) {
    let number = |name: &str| version[name].as_u64().unwrap_or_default();
    (number("version"), number("added"), number("removed"))
}

fn sealcard(playground: &Playground, arguments: &[&str]) -> Result<Finished> {
    run(&mut playground.admin.command(&[&["admin"], arguments].concat()), DEADLINE)
}

#[test]
fn examples_in_the_help_have_no_mistakes() -> Result<()> {
    let playground = builder()?.algorithms(&[Algorithm::Ed25519]).without_login().start()?;
    let admin = &playground.admin;
    admin.admin(&["group", "add", "release-managers"])?;
    for command in ["template", "policy"] {
        let help = sealcard(&playground, &[command, "apply", "--help"])?.success()?.text();
        let example: String = help
            .lines()
            .skip_while(|line| *line != "Example of a file:")
            .skip(1)
            .take_while(|line| line.is_empty() || line.starts_with("  "))
            .flat_map(|line| [line.trim_start(), "\n"])
            .collect();
        ensure!(example.lines().count() > 5, "{help}");
        let file = playground.workstation.write(command, &example)?;
        let target: &[&str] = if command == "policy" { &[PROJECT] } else { &[] };
        admin.admin(&[&[command, "apply"], target, &[&file]].concat())?;
    }
    Ok(())
}
