//! What a worker may still do once it has all that it needs: see [`sealcard_sandbox`].
//!
//! A sealed store's worker computes and answers. One with a vendor's module, whose needs nobody knows, has what its
//! `token.toml` declares.

mod probe;

pub use probe::{Attempt, Outcome, attempts};

use sealcard_sandbox::{Enforced, Needs, Network, Rules, SandboxError};

use crate::{
    log::{self, Level},
    pkcs11::config::TokenConfig,
};

/// What the worker of an environment may do. Without a configuration it is a sealed store's.
#[must_use]
pub fn rules(token: Option<&TokenConfig>) -> Rules {
    let Some(config) = token else { return Rules::computing() };
    let declared = &config.sandbox;
    let mut read = declared.read.clone();
    read.push(config.module.clone());
    let ports: Vec<u16> = declared.hosts.iter().map(|host| host.port).collect();
    let network = if ports.is_empty() { Network::None } else { Network::Connect(ports) };
    let (write, unix_sockets) = (declared.write.clone(), declared.unix_sockets.clone());
    Rules::with(Needs { read, write, unix_sockets, network }).require(declared.require)
}

/// See [`sealcard_sandbox::enter`]. Logs the rules in force.
///
/// # Errors
/// If a rule that must be enforced can't be. Then no key may be used.
pub fn enter(rules: &Rules) -> Result<Enforced, SandboxError> {
    // The cryptographic library opens now what it opens once.
    let _ = crate::crypto::random::<32>();
    let enforced = sealcard_sandbox::enter(rules)?;
    for (path, error) in &enforced.absent {
        log::event(Level::Warn, "sandbox-path-missing", &[("path", &path.display()), ("why", error)]);
    }
    if enforced.missing.is_empty() {
        log::event(Level::Info, "sandboxed", &[("landlock", &enforced.landlock)]);
    } else {
        log::event(Level::Warn, "sandboxed", &[("landlock", &enforced.landlock), ("not-enforced", &enforced)]);
    }
    Ok(enforced)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_a_table_has_no_network_and_no_sockets() {
        let config = TokenConfig::parse(b"module = \"/m.so\"\ntoken = { label = \"t\" }\npin = \"person\"\n").unwrap();
        let rules = rules(Some(&config));
        assert!(rules.has_files() && !rules.has_network() && !rules.has_unix_sockets());
        assert!(!super::rules(None).has_files());
    }
}
