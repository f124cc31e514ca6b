//! Where the keys are kept: ready to use them, or waiting for somebody.

use sealcard_api::{
    admin::{Environment, EnvironmentState},
    keys::{Key, KeyState},
};

use super::Finding;
use crate::{
    cards::cache,
    cli::{App, output::count, pages},
    remote::{RemoteError, path},
};

/// For environments that keep keys of ours; others do not matter here.
pub(super) async fn look(app: &App) -> Vec<Finding> {
    match ask(app).await {
        Ok((environments, keys)) => judge(&environments, &keys),
        Err(error) => {
            let advice = error.advice().unwrap_or("ask an administrator to look into the server's log").to_owned();
            vec![Finding::warning("key store", format!("the server can't say: {error}"), advice)]
        }
    }
}

async fn ask(app: &App) -> Result<(Vec<Environment>, Vec<Key>), RemoteError> {
    let cached = cache::load(&app.paths.cards_file()).ok().flatten();
    let ours = cached.map(|cache| cache.list.cards).unwrap_or_default();
    if ours.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut keys: Vec<Key> = pages::all(&app.remote, &path(&["keys"]), &[]).await?;
    keys.retain(|key| key.state == KeyState::Active && ours.iter().any(|card| card.key_id == key.id));
    Ok((pages::all(&app.remote, &path(&["environments"]), &[]).await?, keys))
}

fn judge(environments: &[Environment], keys: &[Key]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for environment in environments {
        let names: Vec<_> =
            keys.iter().filter(|key| key.environment_id == environment.id).map(|key| key.name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let name = &environment.name;
        let (state, advice) = match environment.state {
            EnvironmentState::Ready => continue,
            EnvironmentState::Sealed => ("sealed", format!("sealcard admin environment unseal {name}")),
            EnvironmentState::TokenAbsent => ("without its token", format!("sealcard admin environment probe {name}")),
            EnvironmentState::Unavailable => {
                ("not running", format!("sealcard admin environment show {name}, and the server's log"))
            }
        };
        let why = environment.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let text = format!("the environment {name} is {state}{why}; it holds {}", names.join(", "));
        findings.push(Finding::broken("key store", text, format!("an administrator: {advice}")));
    }
    if findings.is_empty() && !keys.is_empty() {
        findings.push(Finding::good("key store", format!("{} ready", count(keys.len(), "key"))));
    }
    findings
}
