//! Keys that lie on a token already: found there by label or id, given a certificate and a card here.

use std::sync::Arc;

use sealcard_api::{
    Timestamp,
    algorithm::ComponentRole,
    ids::{ComponentId, KeyId},
    keys::KeyProfile,
    rules::UserId,
};
use sealcard_record::{
    Event,
    event::{KeyBegun, KeyWork, SigningKey},
};
use sealcard_signer_protocol::{KeyLocator, RequestBody, ResponseBody};

use super::{
    CertificateError, Held, KeyError, KeyPlan, Maker, backdated, begin, certify, fail, generate, is_token, signer,
};
use crate::{signers::Signers, storage::Store};

/// Keys that are to be adopted. The plan's algorithm is that of the key in the role `sign` once it is found.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// Where the keys belong, and what the certificate says.
    pub plan: KeyPlan,
    /// When the keys were made.
    pub created: Option<Timestamp>,
    /// Which keys on the token.
    pub components: Vec<(ComponentRole, KeyLocator)>,
}

impl Adoption {
    /// Refuses components that do not go together.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(profile: KeyProfile, components: &[(ComponentRole, KeyLocator)]) -> Result<(), String> {
        let mut roles: Vec<_> = components.iter().map(|(role, _)| *role).collect();
        roles.sort_unstable();
        if roles.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("A role can be given to one key only.".to_owned());
        }
        if !roles.contains(&ComponentRole::Sign) {
            return Err("A key that signs must be named.".to_owned());
        }
        if let Some(role) = roles.iter().find(|role| !profile.roles().contains(role)) {
            return Err(format!("With the profile {} no key has the role {role}.", profile.name()));
        }
        let locators: Vec<_> = components.iter().map(|(_, locator)| locator).collect();
        if locators.iter().any(|locator| locator.id.is_none() && locator.label.is_none()) {
            return Err("Each key needs an id or a label.".to_owned());
        }
        if locators.iter().enumerate().any(|(at, one)| locators.iter().skip(at + 1).any(|other| one == other)) {
            return Err("No key on the token may have two roles.".to_owned());
        }
        Ok(())
    }
}

/// Takes keys over. It happens as a whole or not at all, and the record tells of both.
///
/// # Errors
/// See [`KeyError`].
pub async fn adopt(store: &Store, signers: &Arc<Signers>, maker: Maker, adoption: Adoption) -> Result<KeyId, KeyError> {
    UserId::check(&adoption.plan.user_id).map_err(CertificateError::UserId)?;
    Adoption::check(adoption.plan.profile, &adoption.components).map_err(KeyError::Import)?;
    store.expect_free_name(adoption.plan.project.id, &adoption.plan.name).await?;
    let key = adoption.plan.new_key();
    let mut components: Vec<_> =
        adoption.components.iter().map(|(role, locator)| (ComponentId::new(), *role, Some(locator.clone()))).collect();
    let has_primary = components.iter().any(|(_, role, _)| *role == ComponentRole::Certify);
    if adoption.plan.profile != KeyProfile::Packages && !has_primary {
        components.push((ComponentId::new(), ComponentRole::Certify, None));
    }
    let begun = KeyBegun {
        profile: Some(adoption.plan.profile),
        components: components.iter().map(|(component, ..)| *component).collect(),
        ..KeyBegun::new(key.clone(), KeyWork::Adopt)
    };
    let attempt = adoption.plan.attempt(&key, &maker);
    let to_make = components.iter().filter(|(_, _, locator)| locator.is_none());
    let to_make = to_make.map(|(component, role, _)| (*component, *role)).collect();
    let making = is_token(signers, attempt.environment).then_some((attempt.clone(), to_make));
    begin(store, &maker, begun, making).await?;
    let result = take_over(store, signers, &maker, adoption, key, components).await;
    if let Err(error) = &result {
        fail(store, signers, &maker, &attempt, error).await?;
    }
    result
}

async fn take_over(
    store: &Store,
    signers: &Arc<Signers>,
    maker: &Maker,
    mut adoption: Adoption,
    signing_key: SigningKey,
    components: Vec<(ComponentId, ComponentRole, Option<KeyLocator>)>,
) -> Result<KeyId, KeyError> {
    let environment = adoption.plan.environment.id;
    let mut held: Vec<Held> = Vec::with_capacity(components.len());
    let mut to_make = Vec::new();
    for (component, role, locator) in components {
        let Some(locator) = locator else {
            to_make.push((component, role));
            continue;
        };
        let body = RequestBody::Adopt { component: component.0, role, locator, request: maker.request_id.0 };
        let ResponseBody::Adopted { key, evidence } = signer(signers, environment)?.ask(body).await? else {
            return Err(KeyError::Fault("the signer answered something else than was asked".to_owned()));
        };
        if key.component != component.0 || key.role != role || !key.algorithm.fits(role) {
            return Err(KeyError::Fault("the signer adopted another key than it was asked for".to_owned()));
        }
        store.expect_unknown(&key.public_key).await?;
        held.push((key, Some(evidence)));
    }
    let mut by_public_key = held.iter().map(|(key, _)| &key.public_key).collect::<Vec<_>>();
    while let Some(one) = by_public_key.pop() {
        if by_public_key.contains(&one) {
            return Err(KeyError::Import("Two of the keys are the same one.".to_owned()));
        }
    }
    let signs = held.iter().find(|(key, _)| key.role == ComponentRole::Sign);
    let (signs, _) = signs.ok_or_else(|| KeyError::Import("A key that signs must be named.".to_owned()))?;
    adoption.plan.algorithm = signs.algorithm.family();
    held.extend(generate(signers, maker, environment, adoption.plan.algorithm, &to_make).await?);
    let created = adoption.created.unwrap_or_else(|| backdated(Timestamp::now()));
    certify(store, signers, maker, &adoption.plan, signing_key, held, created, Event::KeyAdopted).await
}
