//! Reports on keys.

use clap::Args;
use sealcard_api::{
    Timestamp,
    admin::Page,
    keys::{Key, KeyState},
};
use sealcard_record::Line;

use super::{
    Csv,
    sheet::{Row, Sheet},
};
use crate::{
    cli::{App, pages, when},
    remote::{path, query},
};

const DAY: i64 = 86_400;

const SHOWN: [&str; 7] = ["KEY", "STATE", "ALGORITHM", "ENVIRONMENT", "EXPIRES", "LAST USE", "BY"];

const NAMES: [&str; 15] = [
    "project",
    "key",
    "key_id",
    "state",
    "algorithm",
    "profile",
    "environment",
    "user_id",
    "fingerprint",
    "created",
    "expires",
    "days_left",
    "last_use",
    "last_user",
    "revoked",
];

/// `sealcard admin report keys`.
#[derive(Debug, Args)]
pub(in crate::cli::admin) struct Inventory {
    /// Only those of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only those that expire within so many days, or have
    #[arg(long, value_name = "DAYS")]
    expiring: Option<u32>,
    #[command(flatten)]
    csv: Csv,
}

/// `sealcard admin report unused-keys`.
#[derive(Debug, Args)]
pub(in crate::cli::admin) struct Unused {
    /// Only those of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// For how many days nobody has used them
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    days: u32,
    #[command(flatten)]
    csv: Csv,
}

/// When a key was used last, and by whom.
struct LastUse {
    time: Timestamp,
    who: String,
}

pub(super) async fn inventory(app: &App, chosen: &Inventory, json: bool) -> anyhow::Result<()> {
    let soon = chosen.expiring.map(|days| Timestamp::now().unix().saturating_add(i64::from(days).saturating_mul(DAY)));
    let ends_soon = |key: &Key| soon.is_none_or(|soon| key.expires.is_some_and(|end| end.unix() <= soon));
    let keys = keys(app, chosen.project.as_deref()).await?;
    write(app, keys.into_iter().filter(ends_soon), &chosen.csv, json, |_, _| true, "There are no such keys.").await
}

pub(super) async fn unused(app: &App, chosen: &Unused, json: bool) -> anyhow::Result<()> {
    let before = Timestamp::now().unix().saturating_sub(i64::from(chosen.days).saturating_mul(DAY));
    // A key that is younger has had no time to be used.
    let is_unused =
        |key: &Key, last: Option<&LastUse>| last.map_or(key.created.unix(), |last| last.time.unix()) < before;
    let keys = keys(app, chosen.project.as_deref()).await?;
    let active = keys.into_iter().filter(|key| key.state == KeyState::Active);
    let if_empty = format!("Every active key was made or used in the last {} days.", chosen.days);
    write(app, active, &chosen.csv, json, is_unused, &if_empty).await
}

async fn keys(app: &App, project: Option<&str>) -> anyhow::Result<Vec<Key>> {
    Ok(pages::all(&app.remote, "/v1/keys", &[("project", project.map(ToOwned::to_owned))]).await?)
}

async fn write(
    app: &App,
    keys: impl Iterator<Item = Key>,
    csv: &Csv,
    json: bool,
    wanted: impl Fn(&Key, Option<&LastUse>) -> bool,
    if_empty: &str,
) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let mut sheet = Sheet::new(csv.form(json), SHOWN, &NAMES);
    for key in keys {
        let last = last_use(app, &key).await?;
        if wanted(&key, last.as_ref()) {
            sheet.write(&[row(&key, last.as_ref(), now)])?;
        }
    }
    sheet.end(if_empty).map(drop)
}

/// The newest use of a key in the record.
async fn last_use(app: &App, key: &Key) -> anyhow::Result<Option<LastUse>> {
    let chosen = [
        ("key", Some(key.id.to_string())),
        ("kind", Some("outcome".to_owned())),
        ("event", Some("use-outcome".to_owned())),
        ("order", Some("newest".to_owned())),
        ("limit", Some("1".to_owned())),
    ];
    let page: Page<Line> = app.remote.get(&format!("{}{}", path(&["record"]), query(&chosen))).await?;
    let Some(line) = page.items.first() else { return Ok(None) };
    let body = line.body()?;
    let who = body.actor.map_or_else(|| "-".to_owned(), |actor| actor.name);
    Ok(Some(LastUse { time: body.time, who }))
}

fn row(key: &Key, last: Option<&LastUse>, now: Timestamp) -> Row<7> {
    let text = |value: Option<String>| value.unwrap_or_default();
    let days_left = key.expires.map(|end| end.unix().saturating_sub(now.unix()).div_euclid(DAY));
    let values = vec![
        key.project.clone(),
        key.name.clone(),
        key.id.to_string(),
        key.state.name().to_owned(),
        key.algorithm.to_string(),
        key.profile.name().to_owned(),
        key.environment.clone(),
        key.user_id.clone(),
        key.fingerprint.to_string(),
        key.created.to_string(),
        text(key.expires.map(|end| end.to_string())),
        text(days_left.map(|days| days.to_string())),
        text(last.map(|last| last.time.to_string())),
        text(last.map(|last| last.who.clone())),
        text(key.revoked.as_ref().map(|revoked| revoked.time.to_string())),
    ];
    let shown = [
        format!("{}/{}", key.project, key.name),
        key.state.name().to_owned(),
        key.algorithm.to_string(),
        key.environment.clone(),
        when::day(key.expires),
        last.map_or_else(|| "never".to_owned(), |last| when::ago(last.time, now)),
        last.map_or_else(|| "-".to_owned(), |last| last.who.clone()),
    ];
    Row { shown, values }
}
