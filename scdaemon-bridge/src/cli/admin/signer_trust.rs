//! Whether a secret may be encrypted to a signer's key: once a person has compared its fingerprint.

use anyhow::bail;
use sealcard_signer_protocol::envelope::{FingerprintError, KeyFingerprint, RecipientKey};

use super::known_signers::{KnownSigners, SignerTrust};
use crate::{
    cli::{App, ask, output::note},
    config::Config,
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
    let trust_if_expected = |expected: KeyFingerprint, known: &mut KnownSigners| {
        if seen != expected {
            bail!(
                "the signer of the environment {environment} has another key than the one with that fingerprint; \
                 no secret was sent"
            );
        }
        known.trust(&app.paths, &server, &name, seen)
    };
    if let Some(expected) = *expected {
        return trust_if_expected(expected, &mut known);
    }
    match known.judge(&server, &name, seen) {
        SignerTrust::Trusted => return Ok(()),
        SignerTrust::Changed => bail!(
            "the signer of the environment {environment} has another key than the one that you trusted; no secret was \
             sent. Ask the administrator whether the key store was made anew, and pass its fingerprint with \
             `--signer-fingerprint`"
        ),
        SignerTrust::Unknown => {}
    }
    let command = what.map_or("envelope-key", |_| "keeper-key");
    if !ask::can_ask() {
        bail!(
            "you have not trusted the signer of the environment {environment} yet, to which secrets are encrypted: \
             pass its key's fingerprint with `--signer-fingerprint`. On the server, `sealcard-signer {command}` \
             prints it"
        );
    }
    note(format!(
        "\nSecrets are encrypted to the signer of the environment {environment}.\n\
         Enter the fingerprint of its key, as your administrator gave it to you.\n\
         On the server, `sealcard-signer {command}` prints it."
    ));
    trust_if_expected(ask_fingerprint()?, &mut known)
}

/// Asks again for what is no fingerprint. Blanks between the digits are left out.
fn ask_fingerprint() -> anyhow::Result<KeyFingerprint> {
    loop {
        match ask::text("Fingerprint", None)?.replace(' ', "").parse() {
            Ok(fingerprint) => return Ok(fingerprint),
            Err(error) => note(FingerprintError::to_string(&error)),
        }
    }
}
