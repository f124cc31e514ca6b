//! Keys that lie on a token already: found there by label or id, given a certificate and a card here.

use std::sync::Arc;

use sealcard_api::{
    Timestamp,
    admin::EnvironmentKind,
    algorithm::{ComponentRole, KeyAlgorithm},
    ids::{ComponentId, KeyId},
    keys::KeyProfile,
    rules::{NewKeyName, TokenKeyId, UserId},
    tokens::{AdoptKeys, AdoptedComponent},
};
use sealcard_policy::Action;
use sealcard_record::{
    Event,
    event::{KeyBegun, KeyWork, SigningKey},
};
use sealcard_signer_protocol::{KeyLocator, RequestBody, ResponseBody};

use super::{
    CertificateError, Held, KeyError, KeyPlan, Keys, Maker, backdated, begin, certify, fail, generate, is_token,
    signer,
    tasks::{MANAGE_TOKEN, days},
    work::KeyTask,
};
use crate::{
    authn::Caller,
    signers::Signers,
    storage::{KeyRow, Store},
};

impl Keys {
    /// Adopts keys that are on a token: each is found by label or id, and the certificate and the card are made for
    /// them.
    pub(crate) async fn adopt(&self, caller: Caller, wanted: AdoptKeys) -> Result<KeyRow, KeyError> {
        let (project, roles) = self.directory.project(&caller, &wanted.project, Action::ManageProject).await?;
        let maker = Maker::new(&caller, roles, MANAGE_TOKEN)?;
        NewKeyName::check(&wanted.name).map_err(KeyError::Invalid)?;
        UserId::check(&wanted.user_id).map_err(KeyError::Invalid)?;
        let days = days(wanted.expires_days)?;
        if wanted.created.is_some_and(|created| created > caller.received || created.unix() <= 0) {
            return Err(KeyError::Invalid("\"created\" must be a time in the past, after 1970.".to_owned()));
        }
        let components = wanted.components.into_iter().map(|component| Ok((component.role, locator(component)?)));
        let components = components.collect::<Result<Vec<_>, KeyError>>()?;
        Adoption::check(wanted.profile, &components).map_err(KeyError::Invalid)?;
        let environment = self.directory.environment(&caller, Some(&wanted.environment)).await?;
        if environment.kind != EnvironmentKind::Pkcs11 {
            return Err(KeyError::Conflict(format!(
                "Only keys on a token can be adopted, and {} is a sealed store. Import the key: sealcard admin key \
                 import",
                environment.name
            )));
        }
        let plan = KeyPlan {
            project: project.named(),
            environment: environment.named(),
            name: wanted.name,
            // That of the key that signs, once it is found.
            algorithm: KeyAlgorithm::Ed25519,
            user_id: wanted.user_id,
            days,
            profile: wanted.profile,
        };
        let adoption = Adoption { plan, created: wanted.created, components };
        let (keys, actor) = (self.clone(), caller.clone());
        let made = async move {
            let adopted = adopt(&keys.store, &keys.signers, maker, adoption).await;
            keys.named(&actor, adopted).await
        };
        let id = self.carry_out(environment.id, KeyTask::Making, &caller, made).await?;
        self.row(id).await
    }
}

fn locator(component: AdoptedComponent) -> Result<KeyLocator, KeyError> {
    let read = |id: String| {
        let digits = TokenKeyId::MAX;
        let invalid = || format!("The \"id\" of a key on a token is up to {digits} hexadecimal digits.");
        TokenKeyId::parse(&id).ok_or_else(|| KeyError::Invalid(invalid()))
    };
    Ok(KeyLocator { id: component.id.map(read).transpose()?, label: component.label })
}

/// Keys that are to be adopted. The plan's algorithm is that of the key in the role `sign` once it is found.
#[derive(Debug, Clone)]
struct Adoption {
    /// Where the keys belong, and what the certificate says.
    plan: KeyPlan,
    /// When the keys were made.
    created: Option<Timestamp>,
    /// Which keys on the token.
    components: Vec<(ComponentRole, KeyLocator)>,
}

impl Adoption {
    /// Refuses components that do not go together.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn check(profile: KeyProfile, components: &[(ComponentRole, KeyLocator)]) -> Result<(), String> {
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
async fn adopt(store: &Store, signers: &Arc<Signers>, maker: Maker, adoption: Adoption) -> Result<KeyId, KeyError> {
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
        let body = RequestBody::Adopt { component: component.0, role, locator, stated: maker.stated() };
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
