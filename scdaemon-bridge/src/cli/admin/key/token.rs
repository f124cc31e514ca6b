//! `sealcard admin key adopt`, `destroy` and `evidence`: keys on tokens.

use anyhow::bail;
use clap::Args;
use sealcard_api::{
    Timestamp,
    admin::{Environment, EnvironmentKind},
    algorithm::ComponentRole,
    keys::Key,
    tokens::{AdoptKeys, AdoptedComponent, ComponentEvidence, DestroyKey},
};

use super::{NewName, Profile, full_name, print, revocation_hint};
use crate::{
    cli::{
        App, ask,
        output::{clean, line, note, show, table},
    },
    remote::path,
};

#[derive(Debug, Args)]
pub(in super::super) struct Adopt {
    /// The project and the new key's name in it
    #[arg(value_name = "PROJECT/NAME")]
    key: NewName,
    /// The environment whose token holds the keys
    #[arg(long, value_name = "NAME")]
    environment: String,
    /// The OpenPGP user id, such as 'Release <release@example.org>'
    #[arg(long, value_name = "UID")]
    user_id: String,
    /// The key that signs: label:TEXT or id:HEX, or both with a comma between
    #[arg(long, value_name = "WHICH", value_parser = which)]
    sign: Which,
    /// The key that decrypts
    #[arg(long, value_name = "WHICH", value_parser = which)]
    decrypt: Option<Which>,
    /// The key that logs in with ssh
    #[arg(long, value_name = "WHICH", value_parser = which)]
    authenticate: Option<Which>,
    /// The primary key, which certifies; made anew on the token if absent
    #[arg(long, value_name = "WHICH", value_parser = which)]
    certify: Option<Which>,
    /// When the keys were made, such as 2024-05-01T12:00:00Z: part of their fingerprints, so name it to keep those that
    /// the keys have elsewhere (default: now)
    #[arg(long, value_name = "TIME")]
    created: Option<Timestamp>,
    /// Days until the certificate expires, 1 to 3650 (default: 730)
    #[arg(long, value_name = "N", value_parser = super::days())]
    expires_days: Option<u32>,
    /// How the certificate is built
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
}

/// Which key on a token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Which {
    id: Option<String>,
    label: Option<String>,
}

/// Reads `label:TEXT`, `id:HEX`, or both with a comma between. A label may hold commas; only what can be an id at its
/// end is taken for one.
fn which(text: &str) -> Result<Which, String> {
    let is_hex = |id: &str| !id.is_empty() && id.len().is_multiple_of(2) && id.chars().all(|c| c.is_ascii_hexdigit());
    let (id, label) = if let Some(rest) = text.strip_prefix("id:") {
        match rest.split_once(",label:") {
            Some((id, label)) => (Some(id), Some(label)),
            None => (Some(rest), None),
        }
    } else if let Some(rest) = text.strip_prefix("label:") {
        match rest.rsplit_once(",id:").filter(|(_, id)| is_hex(id)) {
            Some((label, id)) => (Some(id), Some(label)),
            None => (None, Some(rest)),
        }
    } else {
        return Err("write label:TEXT, id:HEX or label:TEXT,id:HEX".to_owned());
    };
    if id.is_some_and(|id| !is_hex(id)) {
        return Err("an id is written in hexadecimal, two digits for each byte".to_owned());
    }
    Ok(Which { id: id.map(str::to_owned), label: label.map(str::to_owned) })
}

impl Adopt {
    pub(super) async fn run(self, app: &App, json: bool) -> anyhow::Result<()> {
        let given = [
            (ComponentRole::Certify, self.certify),
            (ComponentRole::Sign, Some(self.sign)),
            (ComponentRole::Decrypt, self.decrypt),
            (ComponentRole::Authenticate, self.authenticate),
        ];
        let components = given
            .into_iter()
            .filter_map(|(role, which)| which.map(|Which { id, label }| AdoptedComponent { role, id, label }));
        let request = AdoptKeys {
            project: self.key.project,
            environment: self.environment,
            name: self.key.name,
            user_id: self.user_id,
            expires_days: self.expires_days,
            profile: self.profile.into(),
            created: self.created,
            components: components.collect(),
        };
        let key: Key = app.remote.post_patiently(&path(&["keys", "adopt"]), &request).await?;
        show(json, &key, |key| {
            line(format!("Adopted the key {}.", full_name(key)));
            print(key);
            note("Whatever else uses the key on the token goes on using it, past policy and record.");
            revocation_hint(key);
        })
    }
}

#[derive(Debug, Args)]
pub(in super::super) struct Destroy {
    /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
    pub(super) key: String,
    /// The key's whole fingerprint, instead of asking for it
    #[arg(long, value_name = "FINGERPRINT")]
    yes_destroy: Option<String>,
}

impl Destroy {
    pub(super) async fn run(self, app: &App, key: &Key, json: bool) -> anyhow::Result<()> {
        let name = full_name(key);
        let environment: Environment = app.remote.get(&path(&["environments", &key.environment])).await?;
        if environment.kind == EnvironmentKind::Sealed {
            bail!("Only keys on a token can be destroyed. Revoke {name}: sealcard admin key revoke {name}");
        }
        let typed = match self.yes_destroy {
            Some(typed) => typed,
            None if !ask::can_ask() => {
                bail!("there is no terminal to ask on: pass `--yes-destroy` with the key's whole fingerprint")
            }
            None => {
                note(format!(
                    "This destroys the private halves of {name} on the token. Nothing brings them back: what was \
                     encrypted to the key can't be read any more, and the key can't revoke itself any more. If others \
                     use its certificate, revoke it first: sealcard admin key revoke {name}"
                ));
                ask::text("Type the key's fingerprint to go on", None)?
            }
        };
        let typed: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        if !typed.eq_ignore_ascii_case(&key.fingerprint.to_string()) {
            bail!("that is not the fingerprint of {name}; nothing was destroyed");
        }
        let body = DestroyKey { fingerprint: key.fingerprint };
        let key: Key = app.remote.post_patiently(&path(&["keys", &key.id.to_string(), "destroy"]), &body).await?;
        show(json, &key, |_| line(format!("The private halves of {name} are destroyed.")))
    }
}

pub(super) async fn evidence(app: &App, key: &Key, json: bool) -> anyhow::Result<()> {
    let evidence: Vec<ComponentEvidence> = app.remote.get(&path(&["keys", &key.id.to_string(), "evidence"])).await?;
    super::super::show_list(json, "evidence", &evidence, |evidence| {
        let rows: Vec<_> = evidence
            .iter()
            .map(|one| {
                let said = &one.evidence;
                [
                    one.role.name().to_owned(),
                    clean(&said.label),
                    clean(&said.token_serial),
                    told(said.local, "on the token", "elsewhere"),
                    told(said.sensitive, "yes", "no"),
                    told(said.never_extractable.or(said.extractable.map(|extractable| !extractable)), "never", "yes"),
                    one.read.to_string(),
                ]
            })
            .collect();
        table(
            ["ROLE", "LABEL", "TOKEN", "MADE", "SENSITIVE", "EXTRACTABLE", "READ"],
            &rows,
            "The key is in a sealed store; no token speaks for it.",
        );
    })
}

fn told(answer: Option<bool>, yes: &str, no: &str) -> String {
    answer.map_or("not said", |answer| if answer { yes } else { no }).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_label_id_or_both() {
        let read = |text| which(text).map(|which| (which.id, which.label));
        let (id, label) = (Some("0aFF".to_owned()), Some("a, b:c".to_owned()));
        assert_eq!(read("label:a, b:c"), Ok((None, label.clone())));
        assert_eq!(read("id:0aFF"), Ok((id.clone(), None)));
        assert_eq!(read("id:0aFF,label:a, b:c"), Ok((id.clone(), label.clone())));
        assert_eq!(read("label:a, b:c,id:0aFF"), Ok((id, label)));
        assert_eq!(read("label:a,id:xy"), Ok((None, Some("a,id:xy".to_owned()))));
        for wrong in ["", "release", "id:", "id:abc", "id:xy", "id:0a,release"] {
            assert!(which(wrong).is_err(), "{wrong}");
        }
    }
}
