//! The tools that were set up to sign with a key.

use super::Finding;
use crate::{
    cli::{
        App,
        setup::{shown, states},
    },
    tools::{Rpm, signing_key},
};

pub(super) fn look(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    for state in states(app) {
        let option = match state.tool {
            "git" => "--git",
            "rpmsign" => "--rpm",
            _ => "--deb",
        };
        findings.push(match &state.key {
            Some(key) => Finding::good(state.tool, format!("signs with {key} ({})", shown(&state.file))),
            None => Finding::warning(
                state.tool,
                format!("{} names {}, which is none of your keys", shown(&state.file), state.signing_key),
                format!("sealcard setup {option}"),
            ),
        });
        if state.tool == "rpmsign" {
            findings.extend(rpm());
        }
    }
    findings.extend(git_here(app));
    findings
}

/// rpm of Debian 12 calls /usr/bin/gpg2.
fn rpm() -> Option<Finding> {
    let gpg = Rpm::missing_gpg().ok()??;
    Some(Finding::broken("rpmsign", format!("rpm calls {gpg}, which is not installed"), "sealcard setup --rpm"))
}

/// A repository's own configuration comes before the person's.
fn git_here(app: &App) -> Option<Finding> {
    let set_up: Vec<_> = states(app).into_iter().filter(|state| state.tool == "git").collect();
    let (key, origin) = signing_key().ok()??;
    if set_up.is_empty() || set_up.iter().any(|state| state.signing_key == key) {
        return None;
    }
    let text = format!("in this folder git signs with {key}, because {origin} says so");
    Some(Finding::warning("git", text, "git config --unset user.signingkey, if you want the other"))
}
