//! gpg, its agent, our scdaemon and the stubs.

use std::path::Path;

use super::Finding;
use crate::{
    cards::{Keygrip, cache, keygrip},
    cli::{App, output::count, setup},
    config::files,
    gpg::{AgentState, KeyPlace, Version, agent_conf},
    os,
};

/// The oldest gpg that this program is tested with.
const OLDEST: Version = Version { major: 2, minor: 2, micro: 0 };

pub(super) fn look(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    match app.gnupg.version() {
        Ok(version) if version < OLDEST => findings.push(Finding::broken(
            "gpg",
            format!("version {version} is too old"),
            format!("install gpg {OLDEST} or newer"),
        )),
        Ok(version) => {
            findings.push(Finding::good("gpg", format!("version {version}, home {}", app.gnupg.home().display())));
        }
        Err(error) => {
            findings.push(Finding::broken("gpg", error.to_string(), "install gnupg"));
            return findings;
        }
    }
    findings.push(socket(app));
    let configured = agent_configuration(app);
    let usable = configured.verdict == super::Verdict::Good;
    findings.push(configured);
    if usable {
        findings.push(scdaemon(app));
        findings.extend(stubs(app));
    }
    findings
}

fn socket(app: &App) -> Finding {
    match app.gnupg.agent_socket() {
        Ok(path) if path.as_os_str().len() > os::MAX_SOCKET_PATH => Finding::broken(
            "socket",
            format!("the path of gpg-agent's socket is too long: {}", path.display()),
            os::advice::SHORTEN_SOCKET_PATH,
        ),
        Ok(path) => Finding::good("socket", path.display().to_string()),
        Err(error) => Finding::broken("socket", error.to_string(), "install gnupg's gpgconf"),
    }
}

fn agent_configuration(app: &App) -> Finding {
    let path = app.gnupg.home().join(agent_conf::FILE_NAME);
    let content = match files::read(&path) {
        Ok(content) => content.unwrap_or_default(),
        Err(error) => return Finding::broken("gpg-agent.conf", error.to_string(), "make the file readable"),
    };
    match agent_conf::scdaemon_program(&content) {
        None => Finding::broken("gpg-agent.conf", "names no scdaemon: gpg uses its own", "sealcard setup"),
        Some(program) if !setup::is_ours(Path::new(&program)) => {
            Finding::broken("gpg-agent.conf", format!("names another scdaemon: {program}"), "sealcard setup")
        }
        Some(program) if !Path::new(&program).is_file() => {
            Finding::broken("gpg-agent.conf", format!("{program} is not there"), "sealcard setup")
        }
        Some(program) => Finding::good("gpg-agent.conf", format!("names {program}")),
    }
}

/// Whether what runs as scdaemon is ours. Starts it if need be: that is what the next signature would do.
fn scdaemon(app: &App) -> Finding {
    let ran = app.gnupg.agent_state();
    let answer = match app.gnupg.ask_agent(&["SCD GETINFO sealcard_version"]) {
        Ok(answer) => answer,
        Err(error) => {
            return Finding::broken("scdaemon", error.to_string(), "gpgconf --kill gpg-agent, then try again");
        }
    };
    let own = env!("CARGO_PKG_VERSION");
    match answer.iter().find_map(|line| line.strip_prefix("D ")) {
        Some(version) if version == own => same_version(app, version),
        Some(version) => Finding::warning(
            "scdaemon",
            format!("sealcard-scdaemon {version} runs, but this is {own}"),
            "gpgconf --kill gpg-agent",
        ),
        None if matches!(ran, Ok(AgentState::WithScdaemon)) => Finding::broken(
            "scdaemon",
            "another scdaemon than Sealcard's runs: gpg-agent was started before the set-up",
            "gpgconf --kill gpg-agent",
        ),
        None => Finding::broken(
            "scdaemon",
            format!("it does not answer: {}", answer.last().map_or("", String::as_str)),
            "look into gpg-agent's log (`log-file` in gpg-agent.conf)",
        ),
    }
}

/// The scdaemon of this version answers; whether it is also the program that is installed now.
fn same_version(app: &App, version: &str) -> Finding {
    let answer = app.gnupg.ask_agent(&["SCD GETINFO sealcard_replaced"]).unwrap_or_default();
    if answer.last().is_some_and(|line| line.starts_with("OK")) {
        let text = format!("the sealcard-scdaemon {version} that runs has been replaced on disk since it was started");
        return Finding::warning("scdaemon", text, "gpgconf --kill gpg-agent");
    }
    Finding::good("scdaemon", format!("sealcard-scdaemon {version} answers"))
}

fn stubs(app: &App) -> Vec<Finding> {
    let Ok(Some(cache)) = cache::load(&app.paths.cards_file()) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut good = 0;
    for card in &cache.list.cards {
        let grips: Vec<Keygrip> =
            card.components.iter().filter_map(|component| keygrip(&component.public_key).ok()).collect();
        let name = format!("{} ({})", card.name, card.fingerprint);
        match app.gnupg.key_places(&grips) {
            Err(error) => findings.push(Finding::broken("stubs", error.to_string(), "gpgconf --kill gpg-agent")),
            Ok(places) if places.contains(&KeyPlace::File) => findings.push(Finding::warning(
                "stubs",
                format!("gpg has a secret key of its own for {name} and uses that"),
                format!("if you want the card: gpg --delete-secret-keys {}, then sealcard sync", card.fingerprint),
            )),
            Ok(places) if places.contains(&KeyPlace::Unknown) => findings.push(Finding::broken(
                "stubs",
                format!("gpg does not know the card of {name}"),
                "sealcard sync",
            )),
            Ok(_) => good += 1,
        }
    }
    if good > 0 {
        findings.push(Finding::good("stubs", format!("gpg knows {}", count(good, "card"))));
    }
    findings
}
