//! `sealcard admin key import`: a key that is new here, or a newer certificate of one that is not.

mod merge;
mod report;

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use sealcard_api::{
    import::{ImportPlan, ImportPlanRequest, ImportRequest, ImportedComponent, MAX_CERTIFICATE, PlannedComponent},
    keys::Key,
    problem::ProblemCode,
};
use sealcard_openpgp_import::{ExportedKey, ImportError, SecretState};
use sealcard_signer_protocol::envelope::{Binding, KeyFingerprint, Purpose, RecipientKey};
use secrecy::{ExposeSecret as _, SecretSlice};
use zeroize::Zeroizing;

use super::{NewName, full_name, print, revocation_hint};
use crate::{
    cli::{
        App,
        admin::signer_trust::{self, Asked},
        ask::{self, Yes},
        output::{line, note, show, warn},
    },
    remote::path,
};

/// A file of this size is no key, in bytes.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// How often a passphrase is asked for.
const ATTEMPTS: u32 = 3;

#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The project and the new key's name in it; or a key that is here, to merge a newer certificate into it
    #[arg(value_name = "PROJECT/NAME")]
    key: NewName,
    /// Where the private key is kept (default: the environment "default")
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Read the passphrase from the first line of this file instead of asking
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
    /// The fingerprint of the signer's envelope key, which `sealcard-signer envelope-key` prints on the server
    #[arg(long, value_name = "HEX")]
    signer_fingerprint: Option<KeyFingerprint>,
    /// Leave photos out; they make the certificate long for everyone who gets it
    #[arg(long)]
    without_photos: bool,
    #[command(flatten)]
    yes: Yes,
    /// What `gpg --export-secret-keys` wrote, or `gpg --export` for a key that is here (default: standard input)
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
}

pub(super) async fn run(app: &App, arguments: Arguments, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    let exported = read(arguments.file.as_deref())?;
    if let Some(key) = known(app, &exported).await? {
        return merge::run(app, arguments, &exported, key, json).await;
    }
    if exported.is_public() {
        bail!(
            "{}. A certificate alone can be merged into a key that is on the server; there is no such key that you \
             may see",
            ImportError::Public
        );
    }
    let certificate = certificate(&exported, arguments.without_photos)?;
    let secrets = exported.secrets();
    let here = secrets.iter().filter(|(_, state)| *state != SecretState::Elsewhere);
    let request = ImportPlanRequest {
        project: arguments.key.project.clone(),
        environment: arguments.environment.clone(),
        name: arguments.key.name.clone(),
        certificate: certificate.clone(),
        secrets: here.map(|(fingerprint, _)| *fingerprint).collect(),
    };
    let plan: ImportPlan = match remote.post(&path(&["keys", "import", "plan"]), &request).await {
        Ok(plan) => plan,
        Err(error) => {
            // The server does not know what was left out before, which may be why it refuses the rest.
            report::left_out(&exported, &[], |out| out.advice(exported.fingerprint()));
            return Err(error.into());
        }
    };
    if exported.fingerprint() != plan.fingerprint {
        bail!("the server's answer is about another key, {}; nothing was sent", plan.fingerprint);
    }
    report::describe(&exported, &plan);
    let without_primary = plan.components.iter().all(|component| component.fingerprint != plan.fingerprint);
    if without_primary {
        warn(
            "the primary key's secret is not imported. The subkeys work, but the key can be neither extended nor \
             revoked here: keep the primary key for that",
        );
    }
    let recipient =
        plan.recipient.as_slice().try_into().map(RecipientKey).context("the server gave no key of a signer")?;
    let asked = Asked { environment: &plan.environment, what: None, expected: arguments.signer_fingerprint };
    signer_trust::check(app, &recipient, &asked)?;
    let mut passphrases = Passphrases::new(arguments.passphrase_file.as_deref())?;
    let components = seal(&exported, &plan.components, &recipient, &mut passphrases)?;
    let ImportPlanRequest { project, environment, name, .. } = request;
    let request = ImportRequest { project, environment, name, certificate, components };
    let key: Key = remote.post_patiently(&path(&["keys", "import"]), &request).await?;
    show(json, &key, |key| {
        line(format!("Imported the key {}.", full_name(key)));
        print(key);
        note("Members with the role key-user get it with `sealcard sync`.");
        if report::is_complete(&exported, &plan) {
            note(
                "The file still holds the secret key. Once all is well, remove it and gpg's own copy \
                 (gpg --delete-secret-keys), or keep it offline as a backup.",
            );
        } else {
            warn("keep the file and gpg's own copy of the key: what was left out is nowhere else");
        }
        if !without_primary {
            revocation_hint(key);
        }
    })
}

/// The key of the file, if it is here and the caller may see it.
async fn known(app: &App, exported: &ExportedKey) -> anyhow::Result<Option<Key>> {
    match app.remote.get(&path(&["keys", &exported.fingerprint().to_string()])).await {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.code() == Some(ProblemCode::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Each wanted secret, in an envelope for the signer.
fn seal(
    exported: &ExportedKey,
    wanted: &[PlannedComponent],
    recipient: &RecipientKey,
    passphrases: &mut Passphrases,
) -> anyhow::Result<Vec<ImportedComponent>> {
    let mut components = Vec::with_capacity(wanted.len());
    for component in wanted {
        let secret = passphrases.open(exported, component)?;
        let PlannedComponent { id, role, algorithm, fingerprint, public_key, .. } = component;
        let binding = Binding::component(id.0, *algorithm, *role, public_key);
        let envelope = recipient.close(Purpose::ImportKey, &binding, &secret).context("can't encrypt to the signer")?;
        components.push(ImportedComponent { id: *id, fingerprint: *fingerprint, envelope: envelope.into() });
    }
    Ok(components)
}

fn read(file: Option<&Path>) -> anyhow::Result<ExportedKey> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let opened = std::fs::File::open(file).with_context(|| format!("can't open {}", file.display()))?;
            opened.take(MAX_FILE).read_to_end(&mut bytes).with_context(|| format!("can't read {}", file.display()))?
        }
        None => std::io::stdin().take(MAX_FILE).read_to_end(&mut bytes).context("can't read standard input")?,
    };
    Ok(ExportedKey::read_any(&bytes)?)
}

/// What is sent of the certificate, ASCII-armored.
fn certificate(exported: &ExportedKey, without_photos: bool) -> anyhow::Result<String> {
    let certificate = exported.certificate();
    let photos = certificate.photo_bytes();
    let armored = if without_photos { certificate.clone().without_photos().armored() } else { certificate.armored() };
    let armored = armored.map_err(ImportError::from)?;
    if armored.len() > MAX_CERTIFICATE {
        let (kb, most) = (armored.len() / 1000, MAX_CERTIFICATE / 1000);
        let help = match photos {
            1.. if !without_photos => "leave its photos out with --without-photos",
            _ => "export it without the signatures of others: gpg --export-options export-minimal --export-secret-keys",
        };
        bail!("the public part of the key has {kb} KB, and at most {most} KB can be imported; {help}");
    }
    Ok(armored)
}

/// The passphrases that opened something; gpg protects all keys of a certificate with the same one, but need not.
struct Passphrases {
    from_file: bool,
    known: Vec<SecretSlice<u8>>,
}

impl Passphrases {
    fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(match file {
            Some(file) => Self { from_file: true, known: vec![ask::passphrase_from_file(file)?] },
            None => Self { from_file: false, known: Vec::new() },
        })
    }

    fn open(&mut self, exported: &ExportedKey, component: &PlannedComponent) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let attempt = |passphrase: Option<&SecretSlice<u8>>| {
            exported.secret(component.fingerprint, component.algorithm, &component.public_key, passphrase)
        };
        match attempt(None) {
            Err(ImportError::PassphraseNeeded(_)) => {}
            result => return Ok(result?),
        }
        for passphrase in &self.known {
            match attempt(Some(passphrase)) {
                Err(ImportError::WrongPassphrase(_)) => {}
                result => return Ok(result?),
            }
        }
        let wrong = ImportError::WrongPassphrase(component.fingerprint);
        if self.from_file {
            return Err(wrong.into());
        }
        for _ in 0..ATTEMPTS {
            let passphrase = ask::password(&format!("Passphrase of the secret key {}", component.fingerprint))?;
            let passphrase = SecretSlice::from(passphrase.expose_secret().as_bytes().to_vec());
            match attempt(Some(&passphrase)) {
                Err(error @ ImportError::WrongPassphrase(_)) => note(error.to_string()),
                result => {
                    self.known.push(passphrase);
                    return Ok(result?);
                }
            }
        }
        Err(wrong.into())
    }
}
