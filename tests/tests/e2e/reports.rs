//! Reports on what was signed, refused and changed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use sealcard_tests::{Algorithm, PROJECT, Playground, USER};
use serde_json::Value;

use crate::support::builder;

/// The rows of a report as programs get them.
fn rows(playground: &Playground, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = playground.admin.admin(&[&["report"], arguments, &["--json"]].concat())?.text();
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// How many rows have each value under a name.
fn counted(rows: &[Value], name: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row[name].as_str().unwrap_or("-").to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn reports_tell_what_was_signed_refused_and_changed() -> Result<()> {
    let playground = builder()?.start()?;
    let (used, other) = (playground.key(Algorithm::Ed25519)?, playground.key(Algorithm::NistP256)?);
    let station = &playground.workstation;
    for _ in 0..2 {
        station.try_sign(&used.fingerprint)?.success()?;
    }
    let name = format!("{PROJECT}/{}", Algorithm::NistP256);
    playground.admin.admin(&["project", "remove-member", PROJECT, "--user", USER, "--role", "key-user"])?;
    station.try_sign(&other.fingerprint)?.failure()?;
    playground.admin.admin(&["project", "add-member", PROJECT, "--user", USER, "--role", "key-user"])?;

    let signatures = rows(&playground, &["signatures"])?;
    ensure!(counted(&signatures, "who") == BTreeMap::from([(USER.to_owned(), 2)]), "{signatures:#?}");
    for row in &signatures {
        ensure!(row["key_id"] == used.id.as_str() && row["result"] == "ok" && row["operation"] == "sign", "{row}");
        let digits = |name: &str| row[name].as_str().map(str::len);
        ensure!(digits("signature_sha256") == Some(64) && digits("digest").is_some(), "{row}");
        // The intent says what the outcome does not repeat.
        let program = row["claimed_program"].as_str().context("no program")?;
        ensure!(program.contains("gpg"), "{row}");
    }
    // The same signatures, for an incident and in a spreadsheet.
    let key = format!("{PROJECT}/{}", Algorithm::Ed25519);
    ensure!(rows(&playground, &["impact", &key, "--from", "1h"])? == signatures);
    ensure!(rows(&playground, &["impact", &key, "--from", "2020-01-01", "--to", "2020-01-02"])?.is_empty());
    ensure!(rows(&playground, &["impact", &name, "--from", "1h"])?.is_empty());
    let table = playground.admin.admin(&["report", "impact", &key, "--from", "1h"])?;
    let summary = format!("2 uses of {key} by 1 account.");
    ensure!(table.stderr.contains(&summary) || table.text().contains(&summary), "{}", table.description());
    let sheet = playground.admin.admin(&["report", "signatures", "--csv"])?.text();
    ensure!(sheet.lines().count() == 3 && sheet.starts_with("sequence,time,result,"), "{sheet}");

    let denials = rows(&playground, &["denials"])?;
    ensure!(!denials.is_empty() && denials.iter().all(|row| row["key_id"] == other.id.as_str()), "{denials:#?}");
    let changes = counted(&rows(&playground, &["access-changes", "--project", PROJECT])?, "event");
    let added = changes.get("project-member-added").copied().unwrap_or_default();
    ensure!(added >= 2 && changes.get("project-member-removed") == Some(&1), "{changes:?}");
    ensure!(!changes.keys().any(|event| event.starts_with("key-") || event == "login"), "{changes:?}");
    ensure!(rows(&playground, &["approvals"])?.is_empty() && rows(&playground, &["break-glass"])?.is_empty());

    let keys = rows(&playground, &["keys"])?;
    let last: BTreeMap<_, _> = keys.iter().map(|key| (key["key"].as_str(), key["last_user"].as_str())).collect();
    let (ed25519, nistp256) = (Algorithm::Ed25519.to_string(), Algorithm::NistP256.to_string());
    ensure!(last.get(&Some(ed25519.as_str())) == Some(&Some(USER)), "{last:?}");
    ensure!(last.get(&Some(nistp256.as_str())) == Some(&None), "{last:?}");
    ensure!(rows(&playground, &["keys", "--expiring", "1"])?.is_empty(), "a key ends today");
    ensure!(rows(&playground, &["unused-keys"])?.is_empty(), "every key is new");
    Ok(())
}
