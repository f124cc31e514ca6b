//! Whether a secret may be encrypted to a signer's key: once a person has compared its fingerprint.

use anyhow::bail;
use sealcard_envelope::{KeyFingerprint, RecipientKey};

use crate::{
    cli::{App, ask, output::note},
    config::Config,
    import::{KnownSigners, SignerTrust},
};

/// Which key it is said to be.
pub(super) struct Asked<'a> {
    /// The environment's name.
    pub(super) environment: &'a str,
    /// Which of the environment's keys, if not the one for imported keys.
    pub(super) what: Option<&'a str>,
    /// What the person expects.
    pub(super) expected: Option<KeyFingerprint>,
}

/// Asks, unless the key was trusted before or is the expected one.
pub(super) fn check(app: &App, key: &RecipientKey, asked: &Asked<'_>) -> anyhow::Result<()> {
    let Asked { environment, what, expected } = asked;
    let seen = key.fingerprint();
    let name = what.map_or_else(|| (*environment).to_owned(), |what| format!("{environment} {what}"));
    let server = Config::load(&app.paths)?.map(|config| config.server).unwrap_or_default();
    let mut known = KnownSigners::load(&app.paths)?;
    // The fingerprint that the server offers is never shown: who copies it compares nothing.
    let other_key = || {
        format!(
            "the signer of the environment {environment} has another key than the one with that fingerprint; no secret was sent"
        )
    };
    if let Some(expected) = *expected {
        if seen != expected {
            bail!(other_key());
        }
        return known.trust(&app.paths, &server, &name, seen);
    }
    match known.judge(&server, &name, seen) {
        SignerTrust::Trusted => return Ok(()),
        SignerTrust::Changed => bail!(
            "the signer of the environment {environment} has another key than the one that you trusted; no secret was sent. \
             Ask the administrator whether the key store was made anew, and pass its fingerprint with `--signer-fingerprint`"
        ),
        SignerTrust::Unknown => {}
    }
    let command = what.map_or("envelope-key", |_| "keeper-key");
    let source = format!("On the server, `sealcard-signer {command}` prints it");
    if !ask::can_ask() {
        bail!(
            "the secrets are encrypted to the signer of the environment {environment}, whose key you have not trusted yet, and \
             nobody can be asked here: pass its fingerprint with `--signer-fingerprint`. {source}"
        );
    }
    note(format!(
        "\nThe secrets are encrypted to the signer of the environment {environment}. Enter its key's fingerprint, as you have it \
         from the administrator. {source}."
    ));
    let expected: KeyFingerprint = ask::text("Fingerprint", None)?.replace(' ', "").parse()?;
    if seen != expected {
        bail!(other_key());
    }
    known.trust(&app.paths, &server, &name, seen)
}
