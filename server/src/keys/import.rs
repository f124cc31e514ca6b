//! Keys that were made elsewhere: the client brings the certificate as it is and each secret in an envelope for the
//! signer, which alone can open it.

use std::sync::Arc;

use sealcard_api::{
    Bytes, Fingerprint, Timestamp,
    algorithm::ComponentRole,
    ids::{ComponentId, EnvironmentId, KeyId},
    import::{ImportPlan, ImportPlanRequest, ImportRequest, ImportedComponent, PlannedComponent},
    keys::RevocationReason,
};
use sealcard_openpgp::{ForeignCertificate, ForeignKey};
use sealcard_record::{
    Event, Named,
    event::{KeyBegun, KeyWork, SigningKey},
};
use sealcard_signer_protocol::{RequestBody, ResponseBody, StoredKey};

use super::{
    KeyError, KeyPlace, Keys, Maker, begin, certifier::Certifier, note_failure, signer, store_key, work::KeyTask,
};
use crate::{
    authn::Caller,
    signers::Signers,
    storage::{KeyRow, NewComponentRow, NewKeyRow, Store},
};

impl Keys {
    /// What would become of a certificate: which of its keys get which role, and the key that their secrets are to be
    /// encrypted to. Reserves and changes nothing.
    pub(crate) async fn plan_import(
        &self,
        caller: &Caller,
        request: ImportPlanRequest,
    ) -> Result<ImportPlan, KeyError> {
        let ImportPlanRequest { project, environment, name, certificate, secrets } = request;
        let (place, _) = self.place(caller, &project, environment.as_deref(), name).await?;
        let read = ForeignCertificate::read(&certificate, &secrets, caller.received)?;
        let ForeignCertificate { fingerprint, user_id, expires, keys: parts, left_out, sha1, .. } = read;
        if let Some(known) = self.store.key_by_fingerprint(fingerprint).await? {
            return Err(self.conflict(caller, known.id, fingerprint).await?);
        }
        self.expect_unknown(caller, &parts).await?;
        let recipient = recipient(&self.signers, place.environment.id).await?;
        let first = parts.iter().find(|key| key.role == ComponentRole::Sign);
        let first = first.or_else(|| parts.iter().find(|key| key.role != ComponentRole::Certify));
        let first = first.ok_or_else(|| KeyError::Fault("the certificate has no key to be used".to_owned()))?;
        let algorithm = first.algorithm.family();
        Ok(ImportPlan {
            environment: place.environment.name,
            recipient: Bytes(recipient.to_vec()),
            fingerprint,
            user_id,
            algorithm,
            expires,
            components: parts.into_iter().map(planned_component).collect(),
            left_out,
            sha1,
        })
    }

    /// Imports a key. Its secrets come in envelopes that only the environment's signer can open.
    pub(crate) async fn import(&self, caller: Caller, request: ImportRequest) -> Result<KeyRow, KeyError> {
        let ImportRequest { project, environment, name, certificate, components } = request;
        let (place, maker) = self.place(&caller, &project, environment.as_deref(), name).await?;
        let (environment, keys, actor) = (place.environment.id, self.clone(), caller.clone());
        let made = async move {
            let imported = import(&keys.store, &keys.signers, maker, place, certificate, components).await;
            keys.named(&actor, imported).await
        };
        let id = self.carry_out(environment, KeyTask::Making, &caller, made).await?;
        self.row(id).await
    }
}

/// A subkey whose secret is wanted, under a new id.
pub(super) fn planned_component(key: ForeignKey) -> PlannedComponent {
    PlannedComponent {
        id: ComponentId::new(),
        role: key.role,
        algorithm: key.algorithm,
        fingerprint: key.fingerprint,
        public_key: key.public_key,
        created: key.created,
        lost_uses: key.lost_uses,
    }
}

/// The key that the environment's signer opens envelopes with.
///
/// # Errors
/// If the signer does not answer.
pub(super) async fn recipient(signers: &Signers, environment: EnvironmentId) -> Result<[u8; 32], KeyError> {
    match signer(signers, environment)?.ask(RequestBody::Recipient).await? {
        ResponseBody::Recipient { public_key } => Ok(public_key),
        _ => Err(unexpected_answer()),
    }
}

/// Imports a key. It is there as a whole or not at all, and the record tells of both.
///
/// # Errors
/// See [`KeyError`].
async fn import(
    store: &Store,
    signers: &Arc<Signers>,
    maker: Maker,
    place: KeyPlace,
    certificate: String,
    components: Vec<ImportedComponent>,
) -> Result<KeyId, KeyError> {
    let secrets: Vec<Fingerprint> = components.iter().map(|component| component.fingerprint).collect();
    let read = ForeignCertificate::read(&certificate, &secrets, Timestamp::now())?;
    let pairs = pair(&read.keys, components)?;
    let key = SigningKey { project: place.project.clone(), key: Named::new(KeyId::new(), &place.name) };
    let begun = KeyBegun {
        fingerprint: Some(read.fingerprint),
        components: pairs.iter().map(|(_, component)| component.id).collect(),
        ..KeyBegun::new(key.clone(), KeyWork::Import)
    };
    begin(store, &maker, begun, None).await?;
    let result = make(store, signers, &maker, place, key.clone(), Foreign { read, pairs }).await;
    if let Err(error) = &result {
        note_failure(store, &maker, key, error).await?;
    }
    result
}

/// A certificate with the secrets of its keys.
struct Foreign {
    read: ForeignCertificate,
    pairs: Vec<(ForeignKey, ImportedComponent)>,
}

/// Each key that becomes a component with its secret, and no secret left over.
pub(super) fn pair(
    keys: &[ForeignKey],
    mut components: Vec<ImportedComponent>,
) -> Result<Vec<(ForeignKey, ImportedComponent)>, KeyError> {
    let mut pairs = Vec::with_capacity(keys.len());
    for key in keys {
        let at = components.iter().position(|component| component.fingerprint == key.fingerprint);
        let at = at.ok_or_else(|| KeyError::Import(format!("The secret of {} is missing.", key.fingerprint)))?;
        pairs.push((key.clone(), components.swap_remove(at)));
    }
    match components.first() {
        None => Ok(pairs),
        Some(surplus) => {
            Err(KeyError::Import(format!("The secret of {} is none that the plan names.", surplus.fingerprint)))
        }
    }
}

async fn make(
    store: &Store,
    signers: &Arc<Signers>,
    maker: &Maker,
    place: KeyPlace,
    key: SigningKey,
    foreign: Foreign,
) -> Result<KeyId, KeyError> {
    let Foreign { read, pairs } = foreign;
    let components = take_in(signers, maker, place.environment.id, pairs).await?;
    let now = Timestamp::now();
    let primary = components.iter().find(|component| component.fingerprint == read.fingerprint);
    let revocation = match primary.map(|component| component.key.clone()) {
        None => None,
        Some(primary) => {
            let text = read.armored.clone();
            let made =
                Certifier { store, signers, environment: place.environment.id, key: &key, maker }.run(move |certify| {
                    let sign = |hash, digest: &[u8]| certify(&primary, hash, digest);
                    Ok(sealcard_openpgp::revocation(&text, RevocationReason::Unspecified, "", now, sign)?)
                });
            Some(made.await?)
        }
    };
    // What it signs with is what a person thinks of as its algorithm.
    let first = components.iter().find(|component| component.key.role == ComponentRole::Sign);
    let first = first.or_else(|| components.iter().find(|component| component.key.role != ComponentRole::Certify));
    let algorithm = first.ok_or_else(unexpected_answer)?.key.algorithm.family();
    let row = NewKeyRow {
        id: key.key.id,
        project: place.project.id,
        environment: place.environment.id,
        name: place.name,
        algorithm,
        user_id: read.user_id,
        fingerprint: read.fingerprint,
        serial: 0,
        // What was understood, not what was sent.
        certificate: read.armored,
        revocation,
        created: now,
        components,
    };
    store_key(store, maker, (key, place.environment), row, Event::KeyImported).await
}

/// Has the signer take the secrets in.
pub(super) async fn take_in(
    signers: &Signers,
    maker: &Maker,
    environment: EnvironmentId,
    pairs: Vec<(ForeignKey, ImportedComponent)>,
) -> Result<Vec<NewComponentRow>, KeyError> {
    let mut components = Vec::with_capacity(pairs.len());
    let master_key = signer(signers, environment)?.master_key().await?;
    for (key, secret) in pairs {
        let body = RequestBody::Import {
            component: secret.id.0,
            algorithm: key.algorithm,
            role: key.role,
            public_key: key.public_key.clone().into(),
            envelope: secret.envelope.0,
            master_key,
            stated: maker.stated(),
        };
        let ResponseBody::Imported { key: sealed } = signer(signers, environment)?.ask(body).await? else {
            return Err(unexpected_answer());
        };
        if !is_that(&sealed, &key, secret.id) {
            return Err(KeyError::Fault("the signer took in another key than it was given".to_owned()));
        }
        let ForeignKey { fingerprint, created, expires, .. } = key;
        components.push(NewComponentRow { key: sealed, fingerprint, created, expires, evidence: None });
    }
    Ok(components)
}

fn is_that(sealed: &StoredKey, key: &ForeignKey, id: ComponentId) -> bool {
    sealed.component == id.0
        && sealed.role == key.role
        && sealed.algorithm == key.algorithm
        && sealed.public_key.to_public_key(sealed.algorithm) == key.public_key
}

fn unexpected_answer() -> KeyError {
    KeyError::Fault("the signer answered something else than was asked".to_owned())
}
