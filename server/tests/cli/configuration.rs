//! `docs/configuration.md` against the configuration.

use std::{collections::BTreeMap, fs, path::Path};

use sealcard_server::config::Config;
use toml::{Table, Value};

/// Section and key (`limits.requests`) with the default as the page writes it.
fn documented() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let (mut section, mut rows) = (String::new(), BTreeMap::new());
    for line in fs::read_to_string(page).unwrap().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.strip_prefix("`[").map(|title| title.replace("]`", ".")).unwrap_or_default();
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            rows.insert(format!("{section}{}", cells[0]), cells[1].to_owned());
        }
    }
    rows
}

fn flat(prefix: &str, table: &Table, into: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            Value::Table(table) => flat(&format!("{prefix}{key}."), table, into),
            value => {
                into.insert(format!("{prefix}{key}"), value.to_string());
            }
        }
    }
}

/// Sections that are absent by default, with what they need at least.
const SECTIONS: &str = "[notices.mail]\nhost = \"\"\nfrom = \"\"\n[notices.webhook.NAME]\n[changes.demands.users]\n\
    [sinks.NAME]\nkind = \"jsonl\"";

/// Keys that have no default and must be set.
const REQUIRED: [&str; 3] = ["notices.mail.from", "notices.mail.host", "sinks.NAME.kind"];

#[test]
fn page_names_every_key_with_its_default() {
    let mut defaults = BTreeMap::new();
    let config: Config = toml::from_str(SECTIONS).unwrap();
    flat("", &Table::try_from(config).unwrap(), &mut defaults);
    let mut page = documented();
    page.retain(|_, default| default != "none");
    let required = page.extract_if(.., |_, default| default == "required");
    assert_eq!(required.map(|(key, _)| key).collect::<Vec<_>>(), REQUIRED);
    defaults.retain(|key, _| !REQUIRED.contains(&key.as_str()));
    assert_eq!(page, defaults);
}

#[test]
fn page_names_every_key_without_a_default() {
    // serde lists the keys that it knows when it finds another one.
    let known = |text: &str| {
        let error = toml::from_str::<Config>(text).unwrap_err().to_string();
        let (_, list) = error.split_once("expected one of ").or_else(|| error.split_once("expected ")).unwrap();
        let list = list.lines().next().unwrap().replace("` or `", "`, `");
        list.split(", ").map(|key| key.trim_matches('`').to_owned()).collect::<Vec<_>>()
    };
    let page = documented();
    let sections = ["", "database", "tls", "policy", "approvals", "changes", "log", "limits", "metrics", "record"];
    let notices = ["notices", "notices.mail", "notices.webhook.NAME", "changes.demands.users", "sinks.NAME"];
    let keys = sections.iter().chain(&notices).flat_map(|section| {
        let (text, prefix) = match *section {
            "" => ("unknown-key = 1".to_owned(), String::new()),
            section => (format!("[{section}]\nunknown-key = 1"), format!("{section}.")),
        };
        known(&text).into_iter().map(move |key| format!("{prefix}{key}"))
    });
    let no_keys = [&sections[..], &notices, &["notices.webhook", "changes.demands", "sinks"]].concat();
    let mut keys: Vec<_> = keys.filter(|key| !no_keys.contains(&key.as_str())).collect();
    keys.sort();
    assert_eq!(page.into_keys().collect::<Vec<_>>(), keys);
}

#[test]
fn manual_page_names_every_key() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man/sealcard-server.toml.5");
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in fs::read_to_string(page).unwrap().replace("\\-", "-").lines() {
        if let Some(title) = line.strip_prefix(".SH ") {
            let table = title.strip_prefix("\"TABLE [").and_then(|title| title.strip_suffix("]\""));
            section = table.map_or_else(|| title.trim_matches('"').to_owned(), |table| format!("{table}."));
        } else if let Some(key) = line.strip_prefix(".B ") {
            match section.as_str() {
                "KEYS" => keys.push(key.to_owned()),
                "ENVIRONMENT" => {}
                section => keys.push(format!("{section}{key}")),
            }
        }
    }
    keys.sort();
    assert_eq!(keys, documented().into_keys().collect::<Vec<_>>());
}
