//! The server: reachable, trusted, of the same time, letting us in.

use sealcard_api::{Timestamp, grants::ServerInfo};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{Finding, Verdict, custody};
use crate::{
    cards::cache,
    cli::{App, certificates, login::variable},
    config::{Config, Proxy, ProxyChoice},
    os,
    remote::{RemoteError, ServerUrl},
    witness,
};

/// Clocks that differ by more than this make grants and signatures look expired or not yet made, in seconds.
const MAX_SKEW: i64 = 60;

pub(super) async fn look(app: &App) -> Vec<Finding> {
    let paths = app.paths.in_use();
    let Ok(Some(config)) = Config::load(&paths) else { return Vec::new() };
    let mut findings = Vec::new();
    findings.extend(proxy(app, &config));
    match ask(app, &config).await {
        Ok((info, date)) => {
            let (version, trust) = (&info.version, config.trust.describe(&paths));
            let text = format!("{} answers, version {version}, trusted via {trust}", config.server);
            findings.push(Finding::good("server", text));
            if info.trial {
                let advice = "For keys that matter, install a server: sealcard-server setup.";
                findings.push(Finding::warning(
                    "trial",
                    "the server is for trying out: it could read its keys",
                    advice,
                ));
            }
            findings.extend(date.map(|date| clock(date, Timestamp::now())));
        }
        Err(error) => {
            let advice = error.advice().unwrap_or("See the handbook's page Troubleshooting.");
            // The person is here already.
            let advice = advice.replace("; `sealcard doctor` looks at each link", "");
            findings.push(Finding::broken("server", error.to_string(), advice));
            return findings;
        }
    }
    findings.extend(certificates(app, &config).await);
    let login = login(app).await;
    let logged_in = login.iter().all(|finding| finding.verdict != Verdict::Broken);
    findings.extend(login);
    if logged_in {
        findings.extend(record(app, &config).await);
        findings.extend(custody::look(app).await);
    }
    findings
}

/// Whether the server's record is the one that this computer has seen before.
async fn record(app: &App, config: &Config) -> Option<Finding> {
    const LINK: &str = "record";
    match witness::witness(&app.remote, &config.server, &app.paths.known_log_file()).await {
        Ok(Some(seen)) => {
            let entries = count_of(seen.tree.size);
            Some(Finding::good(LINK, format!("{} has {entries}, and all that were there before", seen.known.origin)))
        }
        Ok(None) => Some(Finding::warning(
            LINK,
            "the server does not prove its record to anybody",
            "An administrator sets record.origin in server.toml.",
        )),
        Err(error) if error.is_alarm() => Some(Finding::broken(
            LINK,
            error.to_string(),
            "Tell your security officer; sign nothing until this is clear.",
        )),
        Err(error) => Some(Finding::warning(LINK, format!("could not be looked at: {error}"), "sealcard doctor")),
    }
}

fn count_of(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

/// The proxy on the way, or the one that only the environment knows.
fn proxy(app: &App, config: &Config) -> Option<Finding> {
    let server: ServerUrl = config.server.parse().ok()?;
    match app.route(&server) {
        Err(error) => return Some(Finding::broken("proxy", error.to_string(), "sealcard proxy show")),
        Ok(route) => {
            if let Some(proxy) = route.proxy() {
                return Some(Finding::good("proxy", proxy.to_string()));
            }
        }
    }
    let nothing_chosen = matches!(ProxyChoice::load(&app.paths), Ok(None));
    let named = Proxy::of_environment(variable).ok().flatten().filter(|_| nothing_chosen)?;
    (!named.exceptions().cover(server.host(), server.port())).then(|| {
        Finding::warning(
            "proxy",
            format!("the environment names {named}, but Sealcard does not use it"),
            "sealcard proxy use-environment, or sealcard proxy unset",
        )
    })
}

async fn ask(app: &App, config: &Config) -> Result<(ServerInfo, Option<Timestamp>), RemoteError> {
    let (info, date) = app.anonymous(config)?.server().await?;
    // RFC 9110 section 5.6.7 writes GMT, which RFC 2822 knows too.
    let date = date.and_then(|date| OffsetDateTime::parse(&date, &Rfc2822).ok());
    Ok((info, date.map(|date| Timestamp::from_unix(date.unix_timestamp()))))
}

/// What ends soon of what vouches for the server.
async fn certificates(app: &App, config: &Config) -> Vec<Finding> {
    const LINK: &str = "certificate";
    let own = match certificates::of_server(app, config).await {
        Ok(own) => own,
        Err(error) => return vec![Finding::warning(LINK, error.to_string(), "sealcard trust")],
    };
    let warnings = certificates::warnings(app, config, own.as_ref(), Timestamp::now());
    if warnings.is_empty() {
        let end = own.and_then(|own| own.expires);
        return end.map(|end| Finding::good(LINK, format!("valid until {}", end.day()))).into_iter().collect();
    }
    warnings.into_iter().map(|text| Finding { advice: None, ..Finding::warning(LINK, text, "") }).collect()
}

fn clock(server: Timestamp, here: Timestamp) -> Finding {
    let skew = here.unix().saturating_sub(server.unix());
    if skew.abs() <= MAX_SKEW {
        return Finding::good("clock", "agrees with the server's");
    }
    let direction = if skew > 0 { "ahead of" } else { "behind" };
    Finding::broken(
        "clock",
        format!("this machine's is {} s {direction} the server's", skew.abs()),
        os::advice::SET_CLOCK,
    )
}

async fn login(app: &App) -> Vec<Finding> {
    match app.remote.whoami().await {
        Ok(grant) => {
            vec![Finding::good("login", format!("the server knows you as {}", grant.principal_name)), fresh(app)]
        }
        Err(error) => {
            let advice = error.advice().unwrap_or("sealcard login").to_owned();
            vec![Finding::broken("login", error.to_string(), advice)]
        }
    }
}

/// Whether the cache is as new as what the server has.
fn fresh(app: &App) -> Finding {
    let cached = cache::load(&app.paths.cards_file()).ok().flatten().map(|cache| cache.list.registry_version);
    match (cached, app.remote.registry_version()) {
        (Some(cached), Some(current)) if cached < current => Finding::warning(
            "card list",
            "something changed on the server since the last sync; it may be none of your keys",
            "sealcard sync",
        ),
        (Some(_), _) => Finding::good("card list", "is current"),
        (None, _) => Finding::broken("card list", "none were fetched yet", "sealcard sync"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_minutes_is_found_in_both_directions() {
        let now = Timestamp::from_unix(1_000_000);
        assert_eq!(clock(now, Timestamp::from_unix(1_000_060)).verdict, Verdict::Good);
        for off in [999_900, 1_000_100] {
            let finding = clock(now, Timestamp::from_unix(off));
            assert_eq!(finding.verdict, Verdict::Broken);
            assert!(finding.text.contains("100 s"), "{}", finding.text);
        }
    }
}
