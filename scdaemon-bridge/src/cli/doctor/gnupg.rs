//! gpg, its agent, our scdaemon and the stubs.

use std::path::Path;

use sealcard_api::cards::Card;

use super::Finding;
use crate::{
    cards::cache,
    cli::{App, output::count, setup, ssh, sync::card_keys},
    config::{SshKeys, files},
    gpg::{AgentState, CardKey, KeyPlace, Version, agent_conf},
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
            let advice = error.advice().unwrap_or("run `gpg --version`").to_owned();
            findings.push(Finding::broken("gpg", error.to_string(), advice));
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
        findings.extend(ssh(app));
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
    let content = match files::read_foreign(&path) {
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
    let cards: Vec<&Card> = cache.list.cards.iter().filter(|card| card.state.has_card()).collect();
    let keys: Vec<Vec<CardKey>> = cards.iter().map(|card| card_keys(card)).collect();
    let flat: Vec<CardKey> = keys.iter().flatten().copied().collect();
    let mut places = match app.gnupg.key_places(&flat) {
        Ok(places) => places.into_iter(),
        Err(error) => return vec![Finding::broken("keys in gpg", error.to_string(), "gpgconf --kill gpg-agent")],
    };
    let mut findings = Vec::new();
    let mut good = 0;
    for (card, keys) in cards.iter().zip(&keys) {
        let places: Vec<KeyPlace> = places.by_ref().take(keys.len()).collect();
        match judge(card, &places) {
            Some(finding) => findings.push(finding),
            None => good += 1,
        }
    }
    if good > 0 {
        findings.push(Finding::good("keys in gpg", format!("gpg knows {}", count(good, "card"))));
    }
    findings
}

/// Only where ssh asks gpg-agent.
fn ssh(app: &App) -> Option<Finding> {
    let socket = app.gnupg.agent_ssh_socket().ok()?;
    (std::env::var_os("SSH_AUTH_SOCK")? == socket.as_os_str()).then_some(())?;
    let cards = cache::load(&app.paths.cards_file()).ok().flatten()?.list.cards;
    let keys = match SshKeys::load(&app.paths) {
        Ok(keys) => keys,
        Err(error) => return Some(Finding::broken("ssh keys", error.to_string(), "sealcard ssh use-all")),
    };
    judge_ssh(ssh::offered(&cards, &keys))
}

/// sshd's MaxAuthTries is 6, and each key that is offered is one try.
fn judge_ssh(offered: usize) -> Option<Finding> {
    let text = format!("{} offered to ssh", count(offered, "key"));
    match offered {
        0 => None,
        1..=5 => Some(Finding::good("ssh keys", text)),
        _ => Some(Finding::warning(
            "ssh keys",
            format!("{text}: many a server ends a login after 6"),
            "sealcard ssh use KEY, or IdentitiesOnly in ~/.ssh/config",
        )),
    }
}

/// `None` if gpg will use the card for all its keys.
fn judge(card: &Card, places: &[KeyPlace]) -> Option<Finding> {
    let name = format!("{}/{} ({})", card.project, card.name, card.fingerprint);
    let link = "keys in gpg";
    if places.contains(&KeyPlace::OtherCard) {
        let text = format!("gpg looks for {name} on another card (a token or another server's)");
        return Some(Finding::broken(link, text, "sealcard sync"));
    }
    if places.contains(&KeyPlace::File) {
        let text = format!("gpg has its own secret key for {name} and uses that");
        let advice = format!("if you want the card: gpg --delete-secret-keys {}, then sealcard sync", card.fingerprint);
        return Some(Finding::warning(link, text, advice));
    }
    // An administrator made the key since the last sync, and the daemon heard of it: nothing is broken.
    places
        .contains(&KeyPlace::Unknown)
        .then(|| Finding::warning(link, format!("gpg does not know the card of {name} yet"), "sealcard sync"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::{cli::doctor::Verdict, scd::testing::sample_list};

    #[test]
    fn a_stub_of_another_card_is_broken_and_a_missing_one_is_not() {
        let card = &sample_list().cards[0];
        let verdict = |places: &[KeyPlace]| judge(card, places).map(|finding| finding.verdict);
        assert_eq!(verdict(&[KeyPlace::Card, KeyPlace::OtherCard]), Some(Verdict::Broken));
        assert_eq!(verdict(&[KeyPlace::Unknown, KeyPlace::Unknown]), Some(Verdict::Warning));
        assert_eq!(verdict(&[KeyPlace::File]), Some(Verdict::Warning));
        assert_eq!(verdict(&[KeyPlace::Card]), None);
    }

    #[test]
    fn more_ssh_keys_than_a_server_takes_are_a_warning() {
        let verdict = |offered| judge_ssh(offered).map(|finding| finding.verdict);
        assert_eq!(verdict(0), None);
        assert_eq!(verdict(5), Some(Verdict::Good));
        assert_eq!(verdict(7), Some(Verdict::Warning));
    }
}
