//! `sealcard admin environment unseal`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use sealcard_api::{
    Bytes,
    admin::Environment,
    tokens::{KeeperKey, SealedSecret, Secret, Unseal},
};
use sealcard_signer_protocol::envelope::{Binding, KeyFingerprint, Purpose, RecipientKey};
use secrecy::ExposeSecret as _;

use super::state;
use crate::{
    cli::{
        App,
        admin::signer_trust::{self, Asked},
        ask,
        output::{clean, line, show, warn},
    },
    remote::path,
};

#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// Name or id
    name: String,
    /// Try the configured file or credential once more, although a passphrase or PIN could be given
    #[arg(long, conflicts_with = "secret_file")]
    again: bool,
    /// Read the passphrase or PIN from the first line of this file instead of asking
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    secret_file: Option<PathBuf>,
    /// The fingerprint of the signer's key, which `sealcard-signer keeper-key` prints on the server; trusted without
    /// asking
    #[arg(long, value_name = "HEX")]
    signer_fingerprint: Option<KeyFingerprint>,
}

pub(super) async fn run(app: &App, arguments: Arguments, json: bool) -> anyhow::Result<()> {
    let name = &arguments.name;
    let keeper: KeeperKey = app.remote.get(&path(&["environments", name, "keeper"])).await?;
    let question = match keeper.secret {
        _ if arguments.again => None,
        Secret::None => None,
        Secret::Passphrase => Some("Passphrase"),
        Secret::Pin => Some("PIN"),
    };
    let sealed = match question {
        None if arguments.secret_file.is_some() => {
            bail!("a file or credential opens {}, nothing else does", clean(name))
        }
        None => None,
        Some(question) => {
            let public = keeper.recipient.as_slice().try_into().map(RecipientKey);
            let public = public.context("the server gave no key of a signer")?;
            let nonce = keeper.nonce.as_slice().try_into().context("the server gave no nonce")?;
            let asked = Asked { environment: name, what: Some("keeper"), expected: arguments.signer_fingerprint };
            signer_trust::check(app, &public, &asked)?;
            let secret = match arguments.secret_file.as_deref() {
                Some(file) => ask::secret_from_file(file)?,
                None => ask::password(&format!("{question} of {}", clean(name)))?,
            };
            let secret = secret.expose_secret().as_bytes();
            let envelope = public.close(Purpose::Unseal, &Binding::unseal(&public, nonce), secret);
            let envelope = envelope.context("can't encrypt to the signer")?;
            Some(SealedSecret { nonce: keeper.nonce.clone(), envelope: Bytes(envelope) })
        }
    };
    let environment: Environment =
        app.remote.post_patiently(&path(&["environments", name, "unseal"]), &Unseal { sealed }).await?;
    show(json, &environment, |environment| {
        line(format!("{}: {}", clean(&environment.name), state(environment)));
        if let Some(detail) = &environment.detail {
            warn(clean(detail));
        }
    })
}
