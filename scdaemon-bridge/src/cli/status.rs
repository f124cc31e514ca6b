//! `sealcard status`.

mod waiting;

use std::process::ExitCode;

use clap::Args;
use sealcard_api::{Timestamp, grants::GrantInfo, keys::KeyState};
use serde::Serialize;

use super::{
    App, certificates, justify,
    output::{BAD, GOOD, WARN, clean, count, facts, line, note, show, warn},
    setup::{self, ToolState},
    when,
};
use crate::{
    cards::cache,
    claims::StoredJustification,
    config::{CertificateFacts, CertificateFingerprint, Config, GrantStore, Paths, Trust},
    grant,
    remote::RemoteError,
    waiting::WaitingNote,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  logged in, and for longer than --days
  1  logged in, but the login ends within --days
  2  not logged in, or the server can't be reached

With --waiting the exit code is 0, and the server is not asked.

Examples:
  sealcard status --days 3 || echo 'log in again soon'
  sealcard status --waiting    what waits here for an approval")]
pub(super) struct Arguments {
    /// Warn if the login ends within this many days, renewals included
    #[arg(long, value_name = "N", default_value_t = 0)]
    days: u32,
    /// Show the uses of keys on this computer that wait for an approval, and who can give it
    #[arg(long, conflicts_with = "days")]
    waiting: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    state: State,
    server: Option<String>,
    /// As the server sees it, or as of the last login or renewal if it can't be asked.
    grant: Option<GrantInfo>,
    error: Option<String>,
    trust: Option<TrustFacts>,
    /// What the server shows; absent if it can't be asked.
    certificate: Option<CertificateFacts>,
    grant_store: Option<GrantStore>,
    /// What needs a look on the server, for holders of a system role.
    server_warnings: Vec<String>,
    /// Keys that can't be used or end soon, as far as the last sync knows.
    keys: Vec<KeyNews>,
    /// What `sealcard justify` stored, if it is in force.
    justification: Option<StoredJustification>,
    /// The tools that were set up to sign with a key.
    tools: Vec<ToolState>,
    /// How many uses of keys wait here for an approval.
    waiting: usize,
    #[serde(skip)]
    shown: Shown,
}

/// What is shown to a person of the configuration.
#[derive(Debug, Default)]
struct Shown {
    trust: Option<String>,
    grant_store: Option<String>,
    /// Certificates that end soon.
    certificates: Vec<String>,
}

#[derive(Debug, Serialize)]
struct KeyNews {
    key: String,
    state: KeyState,
    expires: Option<Timestamp>,
    #[serde(skip)]
    texts: Vec<String>,
}

/// How the server is recognised.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum TrustFacts {
    System,
    CaFile { authorities: Vec<CertificateFacts> },
    Certificate { sha256: CertificateFingerprint },
}

impl TrustFacts {
    fn of(trust: &Trust, paths: &Paths) -> Self {
        match trust {
            Trust::System {} => Self::System,
            Trust::CaFile {} => Self::CaFile { authorities: trust.authorities(paths) },
            Trust::Certificate { sha256 } => Self::Certificate { sha256: *sha256 },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    LoggedIn,
    EndsSoon,
    NotLoggedIn,
    Unchecked,
}

impl State {
    fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::LoggedIn => 0,
            Self::EndsSoon => 1,
            Self::NotLoggedIn | Self::Unchecked => 2,
        })
    }
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.waiting {
        waiting::run(app, arguments.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = find_out(app, arguments.days).await;
    show(arguments.json, &status, print)?;
    Ok(status.state.exit_code())
}

async fn find_out(app: &App, days: u32) -> Status {
    let paths = app.paths.in_use();
    let config = Config::load(&paths).ok().flatten();
    let whoami = app.remote.whoami().await;
    let (state, grant, error) = match whoami {
        Ok(grant) => (judge(&grant, days, Timestamp::now()), Some(grant), None),
        Err(error @ RemoteError::NotLoggedIn { .. }) => (State::NotLoggedIn, None, Some(error.to_string())),
        Err(error) => {
            (State::Unchecked, config.as_ref().and_then(|c| stored_grant(&paths, c)), Some(error.to_string()))
        }
    };
    let certificate = match &config {
        Some(config) if state != State::Unchecked => certificates::of_server(app, config).await.ok().flatten(),
        _ => None,
    };
    let now = Timestamp::now();
    let warnings = config.as_ref().map(|config| certificates::warnings(app, config, certificate.as_ref(), now));
    let told_all = state != State::Unchecked && grant.as_ref().is_some_and(|grant| !grant.roles.is_empty());
    let server_warnings = match told_all {
        true => app.remote.readiness().await.map_or_else(|error| vec![error.to_string()], |ready| ready.reasons),
        false => Vec::new(),
    };
    Status {
        state,
        server_warnings,
        server: config.as_ref().map(|config| config.server.clone()),
        grant,
        error,
        justification: StoredJustification::load(&app.paths).ok().flatten(),
        tools: setup::states(app),
        waiting: WaitingNote::list(&app.paths).map_or(0, |notes| notes.len()),
        trust: config.as_ref().map(|config| TrustFacts::of(&config.trust, &paths)),
        grant_store: config.as_ref().map(|config| config.grant_store),
        shown: Shown {
            trust: config.as_ref().map(|config| config.trust.describe(&paths)),
            grant_store: config.as_ref().map(|config| config.grant_store.describe(&paths)),
            certificates: warnings.unwrap_or_default(),
        },
        certificate,
        keys: key_news(app, now),
    }
}

/// What this machine knows of the login.
fn stored_grant(paths: &Paths, config: &Config) -> Option<GrantInfo> {
    let grant = grant::load(paths, config.grant_store).ok().flatten()?;
    (grant.server() == config.server).then(|| grant.info().clone())
}

fn key_news(app: &App, now: Timestamp) -> Vec<KeyNews> {
    let cards = cache::load(&app.paths.cards_file()).ok().flatten().map(|cache| cache.list.cards).unwrap_or_default();
    let news = cards.iter().map(|card| KeyNews {
        key: card.full_name().to_string(),
        state: card.life().state_at(now),
        expires: card.expires,
        texts: card.life().news(now),
    });
    news.filter(|news| !news.texts.is_empty()).collect()
}

/// A grant that is renewed in time lives until no renewal moves its end any more.
fn judge(grant: &GrantInfo, days: u32, now: Timestamp) -> State {
    let end = grant.expires.max(grant.refreshable_until);
    let limit = now.unix().saturating_add(i64::from(days).saturating_mul(24 * 60 * 60));
    if end.unix() <= limit { State::EndsSoon } else { State::LoggedIn }
}

fn print(status: &Status) {
    let headline = match status.state {
        State::LoggedIn => format!("{GOOD}Logged in.{GOOD:#}"),
        State::EndsSoon => format!("{WARN}Logged in, but the login ends soon:{WARN:#} run `sealcard login`."),
        State::NotLoggedIn => format!("{BAD}Not logged in.{BAD:#} Run `sealcard login`."),
        State::Unchecked => format!("{WARN}The server could not be asked.{WARN:#} This machine knows:"),
    };
    line(headline);
    let mut rows = Vec::new();
    if let Some(server) = &status.server {
        rows.push(("server", server.clone()));
    }
    if let Some(trust) = &status.shown.trust {
        rows.push(("trusted via", trust.clone()));
    }
    if let Some(grant) = &status.grant {
        let roles: Vec<&str> = grant.roles.iter().map(|role| role.name()).collect();
        let roles = if roles.is_empty() { String::new() } else { format!(" ({})", roles.join(", ")) };
        rows.push(("user", format!("{}{roles}", grant.principal_name)));
        rows.push(("logged in", when::with_distance(grant.created)));
        rows.push(("expires", when::with_distance(grant.expires)));
        if grant.refreshable_until > grant.expires {
            rows.push(("renewable until", when::with_distance(grant.refreshable_until)));
        }
        rows.push(("label", grant.label.clone()));
    }
    if let Some(store) = &status.shown.grant_store {
        rows.push(("login kept in", store.clone()));
    }
    if let Some(stored) = &status.justification {
        rows.push(("justification", justify::shown(stored)));
    }
    for tool in &status.tools {
        let key = tool.key.as_ref().unwrap_or(&tool.signing_key);
        rows.push((tool.tool, format!("signs with {key} ({})", setup::shown(&tool.file))));
    }
    if status.waiting > 0 {
        rows.push(("waiting", format!("{} (sealcard status --waiting)", count(status.waiting, "use"))));
    }
    facts(&rows);
    status.shown.certificates.iter().for_each(warn);
    status.server_warnings.iter().for_each(|text| warn(clean(text)));
    status.keys.iter().flat_map(|key| &key.texts).for_each(|text| warn(clean(text)));
    // The headline has said the plain case.
    if let Some(error) = status.error.as_ref().filter(|error| *error != "not logged in") {
        note(clean(error));
    }
}

#[cfg(test)]
mod tests {
    use sealcard_api::{
        grants::LoginMethod,
        ids::{GrantId, PrincipalId},
        roles::PrincipalKind,
    };

    use super::*;

    fn grant(expires: i64, refreshable_until: i64) -> GrantInfo {
        GrantInfo {
            id: GrantId::new(),
            principal: PrincipalId::new(),
            principal_name: "jane".to_owned(),
            roles: Vec::new(),
            label: String::new(),
            created: Timestamp::from_unix(0),
            expires: Timestamp::from_unix(expires),
            refreshable_until: Timestamp::from_unix(refreshable_until),
            revoked: None,
            kind: PrincipalKind::User,
            last_used: None,
            last_address: None,
            login_method: LoginMethod::Password,
            login_address: None,
        }
    }

    #[test]
    fn the_warning_counts_renewals_and_whole_days() {
        let day = 24 * 60 * 60;
        let now = Timestamp::from_unix(0);
        assert_eq!(judge(&grant(day, 10 * day), 9, now), State::LoggedIn);
        assert_eq!(judge(&grant(day, 10 * day), 10, now), State::EndsSoon);
        assert_eq!(judge(&grant(day, day), 0, now), State::LoggedIn);
    }
}
