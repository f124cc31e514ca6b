//! A newer certificate of a key that is here.

use anyhow::{Context as _, bail};
use sealcard_api::{
    Timestamp,
    import::LeftOutReason,
    keys::{Key, KeyState},
    merge::{CertificateChange, MergePlan, MergePlanRequest, MergeRequest, Merged},
};
use sealcard_openpgp_import::{ExportedKey, SecretState};
use sealcard_signer_protocol::envelope::RecipientKey;
use serde::Serialize;

use super::{Arguments, Passphrases, certificate, full_name, report, seal};
use crate::{
    cli::{
        App,
        admin::signer_trust::{self, Asked},
        output::{clean, line, note, show, warn},
    },
    remote::path,
};

/// The key as it is now, with what changed, so that a program finds a key in the document in any case.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    key: Key,
    changes: Vec<CertificateChange>,
}

pub(super) async fn run(
    app: &App,
    arguments: Arguments,
    exported: &ExportedKey,
    key: Key,
    json: bool,
) -> anyhow::Result<()> {
    let name = full_name(&key);
    if (&key.project, &key.name) != (&arguments.key.project, &arguments.key.name) {
        bail!(
            "the key {} is here already: it is {name}. Bring a newer certificate of it with: sealcard admin key \
             import {name}",
            key.fingerprint
        );
    }
    if let Some(other) = arguments.environment.as_deref().filter(|environment| *environment != key.environment) {
        bail!("{name} is in the environment {} and can't be moved to {}", clean(&key.environment), clean(other));
    }
    let certificate = certificate(exported, arguments.without_photos)?;
    let here = exported.secrets().into_iter().filter(|(_, state)| *state != SecretState::Elsewhere);
    let here: Vec<_> = here.map(|(fingerprint, _)| fingerprint).collect();
    let secrets = here.iter().copied().filter(|fingerprint| *fingerprint != key.fingerprint).collect();
    let id = key.id.to_string();
    let route = ["keys", id.as_str(), "certificate"];
    let request = MergePlanRequest { certificate: certificate.clone(), secrets };
    let plan: MergePlan = app.remote.post(&path(&[&route[..], &["plan"]].concat()), &request).await?;
    if plan.fingerprint != key.fingerprint {
        bail!("the server's answer is about another key, {}; nothing was sent", plan.fingerprint);
    }
    describe(exported, &plan, &key);
    let is_component = |fingerprint| key.components.iter().any(|component| component.fingerprint == fingerprint);
    if here.contains(&key.fingerprint) && !is_component(key.fingerprint) {
        note("The primary key's secret stays out: only subkeys are added to a key that is here.");
    }
    if plan.changes.is_empty() {
        return show(json, &Shown { key, changes: Vec::new() }, |_| {
            line(format!("Nothing new: {name} has all of this already."));
        });
    }
    let last: Vec<_> = plan.changes.iter().filter(|change| change.is_final()).collect();
    if !last.is_empty() {
        last.iter().for_each(|change| note(format!("  {}", clean(&change.to_string()))));
        arguments.yes.confirm(&format!("Take this revocation over for {name}? There is no way back."))?;
    }
    let components = if plan.components.is_empty() {
        Vec::new()
    } else {
        let recipient = plan.recipient.as_ref().and_then(|recipient| recipient.as_slice().try_into().ok());
        let recipient = recipient.map(RecipientKey).context("the server gave no key of a signer")?;
        let asked = Asked { environment: &plan.environment, what: None, expected: arguments.signer_fingerprint };
        signer_trust::check(app, &recipient, &asked)?;
        let mut passphrases = Passphrases::new(arguments.passphrase_file.as_deref())?;
        seal(exported, &plan.components, &recipient, &mut passphrases)?
    };
    let request = MergeRequest { certificate, components };
    let Merged { key, changes, .. } = app.remote.post_patiently(&path(&route), &request).await?;
    show(json, &Shown { key, changes }, |Shown { key, changes }| {
        line(format!("Merged into the certificate of {name}:"));
        for change in changes.iter().filter(|change| is_worth_a_line(change, changes)) {
            line(format!("  {}", clean(&change.to_string())));
        }
        key.life().news(Timestamp::now()).iter().for_each(|text| warn(clean(text)));
        if key.state == KeyState::Expired {
            note(format!(
                "  Its subkeys have ends of their own. Extend them in gpg, then import again:\n  {}",
                extend_subkeys(key)
            ));
        }
        note(format!("Those who use it run `sealcard sync`. Publish it again: sealcard admin key export {name}"));
    })
}

fn describe(exported: &ExportedKey, plan: &MergePlan, key: &Key) {
    let name = full_name(key);
    report::left_out(exported, &plan.left_out, |out| {
        let subkey = out.fingerprint.as_deref().unwrap_or_default();
        match out.reason {
            LeftOutReason::NoSecret => Some(format!(
                "Bring it with its secret: gpg --export-secret-subkeys {subkey}! | sealcard admin key import {name}"
            )),
            LeftOutReason::UseTaken => Some(format!(
                "A key here has one subkey for each use. Extend the one that is here: {}",
                extend_subkeys(key)
            )),
            _ => out.advice(plan.fingerprint),
        }
    });
    for component in &plan.components {
        report::warn_of_lost_uses(component, plan.fingerprint);
    }
    if plan.sha1 {
        report::warn_of_sha1(plan.fingerprint);
    }
}

/// Names the subkeys one by one: gpg's `'*'` leaves out those that have expired.
fn extend_subkeys(key: &Key) -> String {
    let subkeys = key.components.iter().map(|component| component.fingerprint);
    let subkeys =
        subkeys.filter(|fingerprint| *fingerprint != key.fingerprint).map(|fingerprint| format!(" {fingerprint}"));
    format!("gpg --quick-set-expire {} 2y{}", key.fingerprint, subkeys.collect::<String>())
}

/// Signatures of the key's own are the form of the other changes.
fn is_worth_a_line(change: &CertificateChange, all: &[CertificateChange]) -> bool {
    !matches!(change, CertificateChange::SignaturesAdded { others: 0, .. }) || all.len() == 1
}
