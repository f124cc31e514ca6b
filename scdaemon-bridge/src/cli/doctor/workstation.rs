//! Configuration, grant and cache.

use super::Finding;
use crate::{
    cards::cache,
    cli::{App, output::count, sync, when},
    config::{Config, Paths, pointer},
    grant,
};

pub(super) fn look(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    let paths = app.paths.in_use();
    let config = match Config::load(&paths) {
        Ok(Some(config)) => {
            findings.extend(paths.is_machine().then(machine_finding));
            findings.push(Finding::good(
                "configuration",
                format!("{}, server {}", paths.config_file().display(), config.server),
            ));
            Some(config)
        }
        Ok(None) => {
            let text = format!("{} does not exist", app.paths.config_file().display());
            findings.push(Finding::broken("configuration", text, "sealcard login https://HOST:PORT"));
            None
        }
        Err(error) => {
            let advice = "correct the file, or remove it and run `sealcard login URL`";
            findings.push(Finding::broken("configuration", error.to_string(), advice));
            None
        }
    };
    findings.push(pointer_finding(app));
    if let Some(config) = &config {
        findings.push(grant_finding(&paths, config));
    }
    findings.push(cache_finding(app));
    findings
}

fn machine_finding() -> Finding {
    Finding::good("login", "this machine, for its group: you have not logged in yourself")
}

/// gpg-agent's scdaemon and this command must look in the same folders.
fn pointer_finding(app: &App) -> Finding {
    let home = app.gnupg.home();
    let path = home.join(pointer::FILE_NAME);
    match Paths::discover(Some(home)) {
        Ok(paths) if paths == app.paths => match pointer::read(home) {
            Ok(Some(_)) => Finding::good("configuration link", format!("{} leads to it", path.display())),
            _ => Finding::warning(
                "configuration link",
                format!("{} does not exist; a gpg-agent with another environment may look elsewhere", path.display()),
                "sealcard setup",
            ),
        },
        Ok(paths) => Finding::broken(
            "configuration link",
            format!(
                "gpg looks in {}, this command in {}",
                paths.config_folder().display(),
                app.paths.config_folder().display()
            ),
            "run `sealcard setup` with the environment that you want",
        ),
        Err(error) => Finding::broken("configuration link", error.to_string(), "sealcard setup"),
    }
}

fn grant_finding(paths: &Paths, config: &Config) -> Finding {
    let place = config.grant_store.describe(paths);
    match grant::load(paths, config.grant_store) {
        Ok(Some(grant)) if grant.server() != config.server => {
            Finding::broken("grant", format!("it is of {}, not of {}", grant.server(), config.server), "sealcard login")
        }
        Ok(Some(grant)) => Finding::good(
            "grant",
            format!(
                "in {place}, of {}, until {}",
                grant.info().principal_name,
                when::with_distance(grant.info().expires)
            ),
        ),
        Ok(None) => Finding::broken("grant", format!("there is none in {place}"), "sealcard login"),
        Err(error) => {
            let advice = error.advice().unwrap_or("sealcard login").to_owned();
            Finding::broken("grant", error.to_string(), advice)
        }
    }
}

fn cache_finding(app: &App) -> Finding {
    match cache::load(&app.paths.cards_file()) {
        Ok(Some(cache)) if cache.list.cards.is_empty() => Finding::warning(
            "card list",
            "the last sync found no key that you can use",
            "ask the owner of a project for the role key-user, then run `sealcard sync`",
        ),
        Ok(Some(cache)) if cache.list.truncated => Finding::warning(
            "card list",
            format!("the server lists {} at most; you can use more", count(cache.list.cards.len(), "key")),
            sync::TOO_MANY,
        ),
        Ok(Some(cache)) => Finding::good("card list", format!("{} fetched", count(cache.list.cards.len(), "card"))),
        Ok(None) => Finding::broken("card list", "none were fetched yet", "sealcard sync"),
        Err(error) => Finding::broken("card list", error.to_string(), "sealcard sync"),
    }
}
