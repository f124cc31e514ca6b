//! Making signing keys: private halves in the signer, the certificate here, the card's serial number, one row for all.
//! `import` takes in keys that were made elsewhere, `adopt` keys that are on a token already; `revoke` and `destroy`
//! end a key's life.

mod adopt;
mod certifier;
mod change;
mod conflicts;
mod destroy;
mod extend;
mod import;
mod maker;
mod merge;
mod revoke;
mod tasks;
mod work;

pub use certifier::CertificateError;
pub use destroy::destroy;
pub use extend::extend;
pub use maker::{By, Maker};
pub use revoke::revoke;
pub(crate) use tasks::DEFAULT_DAYS;
pub use tasks::Keys;

use change::change;
use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::rand;
use sealcard_api::{
    Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ComponentId, EnvironmentId, KeyId, ProjectId},
    keys::{KeyProfile, RevocationReason},
    rules::UserId,
    tokens::KeyEvidence,
};
use sealcard_openpgp::{CertificateRequest, ForeignError};
use sealcard_record::{
    Event, Named, Sha256,
    event::{CertificateState, KeyBegun, KeyFailed, KeyStored, KeyWork, SigningKey, StoredComponent},
};
use sealcard_signer_protocol::{RequestBody, ResponseBody, StoredKey};
use tokio::task::JoinSet;

use self::certifier::{Certifier, component_key};
use crate::{
    authn::AuthorizationError,
    clock::DAY,
    directory::DirectoryError,
    signers::{Signer, Signers, UseError},
    storage::{Attempt, NewComponentRow, NewKeyRow, StorageError, Store, public_key_sha256},
};

/// How much older than it is a new key claims to be. gpg refuses a certificate from the future, so a workstation whose
/// clock is a little behind could not import a key that was just made.
const BACKDATE_SECONDS: i64 = 300;

/// A card's serial number has 40 bits.
const SERIAL_BYTES: usize = 5;

/// How many times a serial number is drawn. With a million cards one draw in a million is taken.
const SERIAL_DRAWS: u32 = 16;

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The user id can't be one. Retrying can't help.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The signer did not make a key. Retrying may help.
    #[error("the signer: {0}")]
    Signer(#[from] UseError),
    /// The name is taken, or the database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What is to be imported does not fit the certificate. Retrying can't help.
    #[error("{0}")]
    Import(String),
    /// The certificate can't be imported. Retrying can't help.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// It needs the key's primary key, which is not here. Retrying can't help.
    #[error("{0}")]
    Offline(String),
    /// The state of the key does not allow it. Retrying can't help.
    #[error("{0}")]
    State(&'static str),
    /// There is no such key, or the caller may not see it; a sentence for a person. Retrying can't help.
    #[error("{0}")]
    NotFound(String),
    /// What is asked for is out of bounds; a sentence for a person. Retrying can't help.
    #[error("{0}")]
    Invalid(String),
    /// Something else that is here stands against it; a sentence for a person. Retrying helps after that was changed.
    #[error("{0}")]
    Conflict(String),
    /// Too much work waits in the environment, so nothing was done. Retrying helps.
    #[error("the key store is busy with other keys")]
    Busy,
    /// The maker may not do it, or not any more. Nothing was begun.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The project or environment can't be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A fault of this program.
    #[error("{0}")]
    Fault(String),
}

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct KeyPlan {
    /// The project.
    pub project: Named<ProjectId>,
    /// The environment.
    pub environment: Named<EnvironmentId>,
    /// The name.
    pub name: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The user id.
    pub user_id: String,
    /// Days until it expires.
    pub days: u32,
    /// How the certificate is built.
    pub profile: KeyProfile,
}

/// Where a key belongs.
#[derive(Debug, Clone)]
struct KeyPlace {
    /// The project.
    pub project: Named<ProjectId>,
    /// The environment.
    pub environment: Named<EnvironmentId>,
    /// The name.
    pub name: String,
}

/// Makes a key. It is there as a whole or not at all, and the record tells of both.
///
/// # Errors
/// See [`KeyError`].
pub async fn create(store: &Store, signers: &Arc<Signers>, maker: Maker, plan: KeyPlan) -> Result<KeyId, KeyError> {
    UserId::check(&plan.user_id).map_err(CertificateError::UserId)?;
    store.expect_free_name(plan.project.id, &plan.name).await?;
    let key = plan.new_key();
    let components: Vec<_> = plan.profile.roles().iter().map(|role| (ComponentId::new(), *role)).collect();
    // The signer's journal will tell of uses of these components: the record names them before.
    let begun = KeyBegun {
        algorithm: Some(plan.algorithm),
        profile: Some(plan.profile),
        components: components.iter().map(|(component, _)| *component).collect(),
        ..KeyBegun::new(key.clone(), KeyWork::Create)
    };
    let attempt = plan.attempt(&key, &maker);
    let making = is_token(signers, plan.environment.id).then(|| (attempt.clone(), components.clone()));
    begin(store, &maker, begun, making).await?;
    let result = make(store, signers, &maker, &plan, key, &components).await;
    if let Err(error) = &result {
        fail(store, signers, &maker, &attempt, error).await?;
    }
    result
}

impl KeyPlan {
    /// The key, which gets its id with this.
    fn new_key(&self) -> SigningKey {
        SigningKey { project: self.project.clone(), key: Named::new(KeyId::new(), &self.name) }
    }

    fn attempt(&self, key: &SigningKey, maker: &Maker) -> Attempt {
        Attempt { key: key.clone(), environment: self.environment.id, request: maker.request_id }
    }
}

async fn make(
    store: &Store,
    signers: &Arc<Signers>,
    maker: &Maker,
    plan: &KeyPlan,
    key: SigningKey,
    components: &[(ComponentId, ComponentRole)],
) -> Result<KeyId, KeyError> {
    let keys = generate(signers, maker, plan.environment.id, plan.algorithm, components).await?;
    certify(store, signers, maker, plan, key, keys, backdated(Timestamp::now()), Event::KeyCreated).await
}

/// The creation time of a key that is made now.
fn backdated(now: Timestamp) -> Timestamp {
    Timestamp::from_unix(now.unix().saturating_sub(BACKDATE_SECONDS))
}

/// A component key with what its token says of it.
type Held = (StoredKey, Option<KeyEvidence>);

/// Makes the certificate of component keys, and stores both. `created` is the keys' time, part of their fingerprints.
#[allow(clippy::too_many_arguments)] // made once for each way to come to keys
async fn certify(
    store: &Store,
    signers: &Arc<Signers>,
    maker: &Maker,
    plan: &KeyPlan,
    key: SigningKey,
    held: Vec<Held>,
    created: Timestamp,
    event: fn(KeyStored) -> Event,
) -> Result<KeyId, KeyError> {
    let now = Timestamp::now();
    let expires = Timestamp::from_unix(now.unix().saturating_add(DAY.saturating_mul(plan.days.into())));
    let (mut keys, mut evidence): (Vec<_>, HashMap<_, _>) = held
        .into_iter()
        .map(|(key, evidence)| {
            let id = key.component;
            (key, (id, evidence))
        })
        .unzip();
    keys.sort_by_key(|key: &StoredKey| key.role);
    let public = keys.iter().map(component_key).collect();
    let request = CertificateRequest { keys: public, user_id: plan.user_id.clone(), created, expires: Some(expires) };
    let certifier = Certifier { store, signers, environment: plan.environment.id, key: &key, maker };
    let making = certifier.run(move |certify| {
        let made =
            sealcard_openpgp::create(request, |role, hash, digest| certify(key_in_role(&keys, role)?, hash, digest))?;
        let primary = keys.first().ok_or_else(|| CertificateError::OpenPgp("no key".to_owned()))?;
        let revocation =
            sealcard_openpgp::revocation(&made.armored, RevocationReason::Unspecified, "", created, |hash, digest| {
                certify(primary, hash, digest)
            })?;
        Ok((made, keys, revocation))
    });
    let (certificate, keys, revocation) = making.await?;
    let fingerprints = certificate.components.into_iter().map(|(_, fingerprint)| fingerprint);
    let row = NewKeyRow {
        id: key.key.id,
        project: plan.project.id,
        environment: plan.environment.id,
        name: plan.name.clone(),
        algorithm: plan.algorithm,
        user_id: plan.user_id.clone(),
        fingerprint: certificate.fingerprint,
        serial: 0,
        certificate: certificate.armored,
        revocation: Some(revocation),
        created: now,
        components: keys
            .into_iter()
            .zip(fingerprints)
            .map(|(key, fingerprint)| {
                let evidence = evidence.remove(&key.component).flatten();
                NewComponentRow { key, fingerprint, created, expires: Some(expires), evidence }
            })
            .collect(),
    };
    store_key(store, maker, (key, plan.environment.clone()), row, event).await
}

fn key_in_role(keys: &[StoredKey], role: ComponentRole) -> Result<&StoredKey, CertificateError> {
    let key = keys.iter().find(|key| key.role == role);
    key.ok_or_else(|| CertificateError::OpenPgp(format!("no key in the role {role}")))
}

/// Stores a key under a card number of its own and records that it is there.
async fn store_key(
    store: &Store,
    maker: &Maker,
    (signing_key, environment): (SigningKey, Named<EnvironmentId>),
    row: NewKeyRow,
    event: fn(KeyStored) -> Event,
) -> Result<KeyId, KeyError> {
    let id = row.id;
    let expires = row.components.iter().find(|component| component.key.role == ComponentRole::Sign);
    let expires = expires.or(row.components.first()).and_then(|component| component.expires);
    let maker = maker.clone();
    let stored = KeyStored {
        signing_key,
        environment,
        algorithm: row.algorithm,
        user_id: row.user_id.clone(),
        fingerprint: row.fingerprint,
        expires,
        evidence: row.components.iter().filter_map(|component| component.evidence.clone()).collect(),
        serial: 0,
        certificate: CertificateState {
            components: row.components.iter().map(stored_component).collect(),
            ..certificate_state(&row.certificate)
        },
    };
    store
        .write(move |tx| {
            let mut row = row;
            row.serial = draw_serial()?;
            for _ in 1..SERIAL_DRAWS {
                if !tx.serial_is_taken(row.serial)? {
                    break;
                }
                row.serial = draw_serial()?;
            }
            tx.insert_key(&row)?;
            tx.finish_attempt(row.id)?;
            tx.append_record(maker.draft(event(KeyStored { serial: row.serial, ..stored })));
            Ok::<_, KeyError>(())
        })
        .await?;
    Ok(id)
}

/// A certificate that changes nothing else, as the record has it.
fn certificate_state(armored: &str) -> CertificateState {
    let sha256 = Sha256::of(armored.as_bytes());
    CertificateState { sha256, user_id: None, lives: Vec::new(), components: Vec::new() }
}

/// A new component key, as the record has it.
fn stored_component(new: &NewComponentRow) -> StoredComponent {
    StoredComponent {
        component: ComponentId(new.key.component),
        role: new.key.role,
        algorithm: new.key.algorithm,
        fingerprint: new.fingerprint,
        public_key_sha256: public_key_sha256(&new.key.public_key),
        created: new.created,
        expires: new.expires,
    }
}

/// Has the signer make all component keys at once.
async fn generate(
    signers: &Arc<Signers>,
    maker: &Maker,
    environment: EnvironmentId,
    algorithm: KeyAlgorithm,
    components: &[(ComponentId, ComponentRole)],
) -> Result<Vec<Held>, KeyError> {
    let mut tasks = JoinSet::new();
    let master_key = signer(signers, environment)?.master_key().await?;
    for (component, role) in components.iter().copied() {
        let signers = Arc::clone(signers);
        let body = RequestBody::Generate {
            component: component.0,
            algorithm: ComponentAlgorithm::of(algorithm, role),
            role,
            master_key,
            stated: maker.stated(),
        };
        tasks.spawn(async move { signer(&signers, environment)?.ask(body).await });
    }
    let mut keys = Vec::with_capacity(components.len());
    let mut failure = None;
    // All answers are waited for: what is still being made can't be removed.
    while let Some(answer) = tasks.join_next().await {
        match answer.map_err(|error| KeyError::Fault(error.to_string())) {
            Ok(Ok(ResponseBody::Generated { key, evidence })) => keys.push((key, evidence)),
            Ok(Ok(_)) => {
                let why = "the signer answered something else than was asked".to_owned();
                failure.get_or_insert(KeyError::Fault(why));
            }
            Ok(Err(error)) => {
                failure.get_or_insert(KeyError::Signer(error));
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    let complete = components.iter().all(|(component, role)| {
        keys.iter().any(|(key, _): &Held| {
            key.component == component.0
                && key.role == *role
                && key.algorithm == ComponentAlgorithm::of(algorithm, *role)
        })
    });
    if complete {
        Ok(keys)
    } else {
        Err(KeyError::Fault("the signer made other keys than it was asked for".to_owned()))
    }
}

fn is_token(signers: &Signers, environment: EnvironmentId) -> bool {
    signers.get(environment).is_some_and(|signer| signer.is_token())
}

fn signer(signers: &Signers, environment: EnvironmentId) -> Result<Arc<Signer>, UseError> {
    signers.get(environment).ok_or(UseError::NotAsked)
}

/// A random card number: any manufacturer from FF00 to FFFE, any four bytes.
fn draw_serial() -> Result<u64, KeyError> {
    loop {
        let mut bytes = [0; SERIAL_BYTES];
        rand::fill(&mut bytes).map_err(|_| KeyError::Fault("no random numbers".to_owned()))?;
        let number = bytes.into_iter().fold(0_u64, |number, byte| number << 8 | u64::from(byte));
        if sealcard_api::CardSerial::from_number(number).is_some() {
            return Ok(number);
        }
    }
}

/// The first entry of a piece of work, if its maker may still do it, with the components that the signer is to make.
async fn begin(
    store: &Store,
    maker: &Maker,
    begun: KeyBegun,
    making: Option<(Attempt, Vec<(ComponentId, ComponentRole)>)>,
) -> Result<(), KeyError> {
    let (project, permission, node) = (begun.signing_key.project.id, maker.permission(), store.node());
    let entry = maker.draft(Event::KeyBegun(begun));
    store
        .write(move |tx| {
            permission.check(tx, project)?;
            if let Some((attempt, components)) = making {
                tx.insert_attempt(node, &attempt, &components)?;
            }
            tx.append_record(entry);
            Ok(())
        })
        .await
}

/// The last entry of a piece of work that came to nothing. The signer removes from the token what it made for it, now
/// or when the token can be used again.
async fn fail(
    store: &Store,
    signers: &Signers,
    maker: &Maker,
    attempt: &Attempt,
    error: &KeyError,
) -> Result<(), KeyError> {
    note_failure(store, maker, attempt.key.clone(), error).await?;
    store.fail_attempt(attempt.key.key.id).await?;
    if let Some(signer) = signers.get(attempt.environment) {
        signer.try_again();
    }
    Ok(())
}

/// Records that a piece of work came to nothing.
async fn note_failure(
    store: &Store,
    maker: &Maker,
    signing_key: SigningKey,
    error: &KeyError,
) -> Result<(), StorageError> {
    let failed = KeyFailed { signing_key, error: error.to_string() };
    store.append_record(maker.draft(Event::KeyFailed(failed))).await
}
