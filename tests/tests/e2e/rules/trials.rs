//! Rules tried out before they count, and explained afterwards, on real data and with exit codes.

use anyhow::{Context, Result, ensure};
use sealcard_record::Event;
use sealcard_tests::{Algorithm, DatabaseKind, Finished, PROJECT, Playground, USER, run};
use serde_json::Value;

use super::{DEADLINE, admin, apply, key_name, last, many_denials};
use crate::support::{record::read_record, rest::Rest};

#[test]
fn rules_are_tried_out_and_explained_on_sqlite() -> Result<()> {
    try_out(DatabaseKind::Sqlite)
}

#[test]
fn rules_are_tried_out_and_explained_on_postgres() -> Result<()> {
    try_out(DatabaseKind::Postgres)
}

const RULES: &str = "\
[rule.who]
who = { groups = [\"makers\"] }

[rule.tags]
tools   = [\"git\"]
require = [\"justification\"]
quota   = [{ per = \"user\", uses = 9, window = \"52w\" }]

[tool.git]
command = '^git '
";

const EXAMPLES: &str = r#"
[[example]]
name          = "a maker signs a tag"
user          = "jane"
groups        = ["makers"]
key           = "playground/ed25519"
operation     = "sign"
hash          = "sha512"
time          = 2026-11-30T10:00:00+01:00
tool          = { path = "/usr/bin/git", command = "git tag -s v1" }
justification = "Release 1.0"
expect        = "allow"

[[example]]
name          = "a maker forgets why"
user          = "jane"
groups        = ["makers"]
key           = "playground/ed25519"
operation     = "sign"
time          = 2026-11-30T10:00:00+01:00
tool          = { path = "/usr/bin/git", command = "git tag -s v1" }
expect        = "wait"
rules         = ["project/tags/justification"]

[[example]]
name          = "a stranger signs by hand"
service-account = "nightly"
key           = "playground/ed25519"
operation     = "sign"
time          = 2026-11-30T10:00:00+01:00
expect        = "deny"
rules         = ["project/who/who", "project/tags/tools"]
"#;

fn try_out(database: DatabaseKind) -> Result<()> {
    let playground = many_denials()?.database(database).start()?;
    playground.admin.admin(&["group", "add", "makers"])?;
    can(&playground)?;
    examples(&playground)?;
    replay(&playground)?;
    explain(&playground)
}

/// `sealcard can sign` before and after each obstacle.
fn can(playground: &Playground) -> Result<()> {
    let (admin, station) = (&playground.admin, &playground.workstation);
    let can = |code: i32, justification: Option<&str>, says: &[&str]| -> Result<Value> {
        let variable = || justification.map(|text| ("SEALCARD_JUSTIFICATION", text));
        let shown = run(station.sealcard(&["can", "sign", &key_name()]).envs(variable()), DEADLINE)?;
        ensure!(shown.status.code() == Some(code), "{}", shown.description());
        for text in says {
            ensure!(shown.text().contains(text), "no {text:?}: {}", shown.description());
        }
        let json = run(station.sealcard(&["can", "sign", "ed25519", "--json"]).envs(variable()), DEADLINE)?;
        ensure!(json.status.code() == Some(code), "{}", json.description());
        Ok(serde_json::from_slice(&json.stdout)?)
    };
    can(0, None, &[&format!("You can sign with {}", key_name())])?;
    apply(admin, RULES)?;
    let answer = can(1, None, &["allows only members of makers; you are ada", "an owner of the project playground"])?;
    ensure!(answer["decision"] == "deny", "{answer}");
    admin.admin(&["group", "add-member", "makers", USER])?;
    let answer =
        can(1, None, &["Something is missing", "wants a justification; give one with SEALCARD_JUSTIFICATION"])?;
    ensure!(answer["decision"] == "wait", "{answer}");
    // The tool is not known beforehand: it is a condition. Nothing was used of the quota.
    let answer = can(0, Some("Release 1.0"), &["condition", "allows only the tool git", "9 left until"])?;
    ensure!(answer["decision"] == "allow" && answer["quotas"][0]["left"] == 9, "{answer}");
    let repository = station.repository("can", &playground.key(Algorithm::Ed25519)?.fingerprint)?;
    let mut tag = station.command("git", &["-C", &repository, "tag", "-s", "-m", "One", "v1"]);
    run(tag.env("SEALCARD_JUSTIFICATION", "Release 1.0"), DEADLINE)?.success()?;
    can(0, Some("Release 1.0"), &["8 left until"])?;
    for operation in ["decrypt", "authenticate"] {
        let shown = run(&mut station.sealcard(&["can", operation, "ed25519"]), DEADLINE)?;
        ensure!(shown.status.code() == Some(1), "{}", shown.description());
    }
    // A key that does not exist is no answer at all.
    let unknown = run(&mut station.sealcard(&["can", "sign", "no-such-key"]), DEADLINE)?.failure()?;
    ensure!(unknown.stdout.is_empty(), "{}", unknown.description());
    Ok(())
}

fn expect_code(finished: Finished, code: i32, says: &[&str]) -> Result<()> {
    ensure!(finished.status.code() == Some(code), "{}", finished.description());
    for text in says {
        let said = finished.text().contains(text) || finished.stderr.contains(text);
        ensure!(said, "no {text:?}: {}", finished.description());
    }
    Ok(())
}

/// `sealcard admin policy test`.
fn examples(playground: &Playground) -> Result<()> {
    let station = &playground.workstation;
    let file = station.write("examples.toml", EXAMPLES)?;
    let test = ["policy", "test", PROJECT, file.as_str()];
    expect_code(admin(playground, &test)?, 0, &["3 examples passed."])?;
    // Rules that are not in force yet.
    let open = station.write("open.toml", "[rule.tags]\nrequire = [\"justification\"]\n")?;
    let says = [
        "passed",
        "a stranger signs by hand: waits, expected denied",
        "examples.toml:",
        "project/who/who did not decide",
    ];
    expect_code(admin(playground, &[&test, ["--rules", &open].as_slice()].concat())?, 1, &says)?;
    let wrong = station.write("wrong.toml", EXAMPLES.replace("expect        = \"wait\"", "expect = \"perhaps\""))?;
    expect_code(admin(playground, &["policy", "test", PROJECT, &wrong])?, 1, &["wrong.toml:"])?;
    expect_code(admin(playground, &["policy", "test", PROJECT])?, 2, &["EXAMPLES"])
}

/// `sealcard admin policy diff --replay`.
fn replay(playground: &Playground) -> Result<()> {
    let station = &playground.workstation;
    // One use was allowed so far, by git; this one is denied.
    station.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.failure()?;
    let same = station.write("same.toml", RULES)?;
    let diff = |new: &str| admin(playground, &["policy", "diff", PROJECT, "current", new, "--replay", "30d"]);
    expect_code(diff(&same)?, 0, &["2 recorded uses judged; none would be decided otherwise"])?;
    let strict = station.write("strict.toml", RULES.replace("'^git '", "'^git commit '"))?;
    let says = [
        "-command = '^git '",
        "+command = '^git commit '",
        "ada sign playground/ed25519: allowed → denied",
        "2 recorded uses judged; 1 would be decided otherwise",
    ];
    expect_code(diff(&strict)?, 1, &says)?;
    let open = station.write("open.toml", "[rule.open]\nhashes = [\"sha256\", \"sha512\"]\n")?;
    expect_code(diff(&open)?, 1, &["ada sign playground/ed25519: denied → allowed"])?;
    let broken = station.write("broken.toml", "[rule.open]\nhashs = [\"sha256\"]\n")?;
    expect_code(diff(&broken)?, 1, &["broken.toml:2"])?;
    expect_code(admin(playground, &["policy", "diff", PROJECT, "current", &same])?, 0, &["They are the same."])
}

/// `sealcard admin policy explain`.
fn explain(playground: &Playground) -> Result<()> {
    let denied = last(&playground.workstation)?["request_id"].as_str().context("no request")?.to_owned();
    let says = [
        "The request was denied.",
        "ada",
        "playground/ed25519",
        "allows only the tool git",
        "wants a justification",
        "project version 1",
        "project/tags/tools",
        "project/tags/justification",
    ];
    expect_code(admin(playground, &["policy", "explain", &denied])?, 0, &says)?;
    let explained = playground.admin.json(&["policy", "explain", &denied])?;
    ensure!(explained["decision"] == "deny" && explained["rules"]["project"] == 1, "{explained}");
    let record = read_record(&Rest::admin(playground)?)?;
    let intent = record.iter().find(|entry| matches!(entry.event, Event::UseIntent(_))).context("no intent")?;
    let allowed = intent.request_id.to_string();
    let says = ["The request was allowed.", "project version 1"];
    expect_code(admin(playground, &["policy", "explain", &allowed])?, 0, &says)?;
    let unknown = "0193a5c2-7c1e-7e30-9c1f-2f4f5a6b7c8d";
    expect_code(admin(playground, &["policy", "explain", unknown])?, 1, &["the record has no request"])?;

    let says = ["if   sign playground/ed25519", "allows only the tool git", "wants a justification"];
    expect_code(admin(playground, &["policy", "explain", "--what-may", USER])?, 0, &says)?;
    playground.admin.admin(&["group", "remove-member", "makers", USER])?;
    expect_code(admin(playground, &["policy", "explain", "--what-may", USER])?, 0, &["no   sign playground/ed25519"])?;
    expect_code(admin(playground, &["policy", "explain", "--what-may", "nobody"])?, 1, &[])?;
    expect_code(admin(playground, &["policy", "explain"])?, 2, &[])
}
