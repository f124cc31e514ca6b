//! Making keys on a token, taking over those that are there, and destroying them.

use std::sync::PoisonError;

use cryptoki::{
    mechanism::Mechanism,
    mechanism::MechanismType,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};
use data_encoding::HEXLOWER;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Curve, Scheme};
use uuid::Uuid;

use super::{
    attributes::Attributes,
    codes::Class,
    ec,
    failure::{CallError, Problem, TokenError},
    find::{self, Found, not_on_token, unsupported},
    handle::KeyHandle,
    module::Purpose,
    token::Token,
};
use crate::{
    log::{self, Level},
    operations::{GenerateError, PublicKey, is_fit_for_agreement},
    protocol::{KeyEvidence, KeyLocator, PublicKeyBytes, SignerError, StoredKey},
};

impl Token {
    /// Makes a key pair on the token: sensitive, never extractable, for one role only. RSA takes seconds.
    ///
    /// # Errors
    /// If the token can't do it, or does not say of the new key that it can never leave; then it is destroyed at once.
    pub fn generate(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
    ) -> Result<(StoredKey, KeyEvidence), TokenError> {
        if !algorithm.fits(role) {
            return Err(SignerError::Invalid(GenerateError::Mismatch { algorithm, role }.to_string()).into());
        }
        self.mechanisms.serves(algorithm, role, self.rsa).map_err(|missing| self.lacks(&missing))?;
        let generation = self.mechanisms.generation(algorithm).map_err(|missing| self.lacks(&missing))?;
        let mechanism = match generation {
            MechanismType::RSA_PKCS_KEY_PAIR_GEN => Mechanism::RsaPkcsKeyPairGen,
            MechanismType::ECC_KEY_PAIR_GEN => Mechanism::EccKeyPairGen,
            MechanismType::ECC_MONTGOMERY_KEY_PAIR_GEN => Mechanism::EccMontgomeryKeyPairGen,
            _ => Mechanism::EccEdwardsKeyPairGen,
        };
        self.with_changes(Purpose::Generation, |session| {
            let id = component.as_bytes();
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                if !session.find_objects(&find::template(class, id, None))?.is_empty() {
                    return Err(SignerError::Invalid(format!(
                        "a key with the id of {component} is on the token already"
                    ))
                    .into());
                }
            }
            let (public, private) = generate_pair(session, &mechanism, component, algorithm, role)?;
            let made = self.take_stock(session, public, private, component, algorithm, role);
            if made.is_err() {
                destroy_pair(session, private, Some(public));
            }
            made
        })
    }

    /// Reads back what was made.
    fn take_stock(
        &self,
        session: &Session,
        public: ObjectHandle,
        private: ObjectHandle,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
    ) -> Result<(StoredKey, KeyEvidence), Problem> {
        let attributes = Attributes::read(session, private, find::PRIVATE)?;
        let evidence = self.evidence(&attributes);
        if evidence.extractable != Some(false) || evidence.sensitive != Some(true) {
            return Err(unsupported("the token made a key that may leave it, so the key was destroyed at once"));
        }
        let found = find::parse_public(&Attributes::read(session, public, find::PUBLIC)?)?;
        let public_key = match found {
            Some((found, key)) if find::in_role(found, role) == algorithm => key,
            _ => return Err(not_on_token("the token does not give the public half of the key that it made".into())),
        };
        check_public(algorithm, role, &public_key)?;
        let handle = KeyHandle { serial: self.facts.serial.clone(), id: component.as_bytes().to_vec(), label: None };
        Ok((StoredKey { component, algorithm, role, public_key, handle: handle.to_bytes() }, evidence))
    }

    /// Takes over a key that lies on the token. Nothing on the token changes, and no certificate is needed.
    ///
    /// # Errors
    /// If not exactly one private key fits, it can't be used in this role, or its public half can't be had.
    pub fn adopt(
        &self,
        component: Uuid,
        role: ComponentRole,
        locator: &KeyLocator,
    ) -> Result<(StoredKey, KeyEvidence), TokenError> {
        let id = locator.id.as_deref().unwrap_or_default();
        if id.is_empty() && locator.label.is_none() {
            return Err(SignerError::Invalid("say which key: its id, its label or both".into()).into());
        }
        let (row, evidence) = self.with_session(|session| {
            let fitting =
                session.find_objects(&find::template(ObjectClass::PRIVATE_KEY, id, locator.label.as_deref()))?;
            let [private] = fitting[..] else {
                let many = if fitting.is_empty() { "no private key" } else { "more than one private key" };
                return Err(not_on_token(format!("{many} on the token has this id and label")));
            };
            let attributes = Attributes::read(session, private, find::PRIVATE)?;
            self.adoptable(session, component, role, &attributes)
        })?;
        // The same search that each use begins with.
        self.admit(&row)?;
        Ok((row, evidence))
    }

    fn adoptable(
        &self,
        session: &Session,
        component: Uuid,
        role: ComponentRole,
        attributes: &Attributes,
    ) -> Result<(StoredKey, KeyEvidence), Problem> {
        let Some((found, public_key)) = find::public_key(session, attributes)?.1 else {
            return Err(not_on_token(
                "the public half of the key is not on the token; put it there with the same id".into(),
            ));
        };
        let algorithm = find::in_role(found, role);
        if !algorithm.fits(role) {
            return Err(SignerError::Invalid(GenerateError::Mismatch { algorithm, role }.to_string()).into());
        }
        let usage = match (algorithm.scheme(), role) {
            (Scheme::Ecdh(_), _) => (AttributeType::Derive, "CKA_DERIVE"),
            (_, ComponentRole::Decrypt) => (AttributeType::Decrypt, "CKA_DECRYPT"),
            _ => (AttributeType::Sign, "CKA_SIGN"),
        };
        if attributes.flag(usage.0) == Some(false) {
            return Err(unsupported(&format!("the key may not be used for that: its {} is false", usage.1)));
        }
        if attributes.flag(AttributeType::Sensitive) == Some(false) {
            return Err(unsupported(
                "the key can be read off the token (CKA_SENSITIVE is false), so it is not taken over",
            ));
        }
        self.mechanisms.serves(algorithm, role, self.rsa).map_err(|missing| self.lacks(&missing))?;
        check_public(algorithm, role, &public_key)?;
        let id = attributes.id().unwrap_or_default().to_vec();
        let label = attributes.label().filter(|_| id.is_empty());
        let handle = KeyHandle { serial: self.facts.serial.clone(), id, label };
        let row = StoredKey { component, algorithm, role, public_key, handle: handle.to_bytes() };
        Ok((row, self.evidence(attributes)))
    }

    /// Destroys a key that Sealcard made on the token, for good. A key that was adopted stays: others may use it.
    ///
    /// # Errors
    /// If the key is not the one of the row, or not made by Sealcard.
    pub fn destroy(&self, row: &StoredKey) -> Result<(), TokenError> {
        let handle = KeyHandle::parse(&row.handle).ok_or(SignerError::NotOurs)?;
        self.with_changes(Purpose::Operation, |session| {
            let Found { private, public, ours } = find::find(session, row, &handle)?;
            if !ours {
                return Err(unsupported(
                    "the key was adopted, not made by Sealcard: destroy it with the token's own tools",
                ));
            }
            session.destroy_object(private)?;
            if let Some(public) = public
                && let Err(error) = session.destroy_object(public)
            {
                log::event(
                    Level::Warn,
                    "public-key-left",
                    &[("component", &row.component), ("why", &CallError::from(error))],
                );
            }
            Ok(())
        })?;
        self.forget(row.component);
        // Handles of what is gone may come to mean something else.
        self.pool.reconnect(&self.module);
        Ok(())
    }

    fn evidence(&self, attributes: &Attributes) -> KeyEvidence {
        KeyEvidence {
            token_serial: self.facts.serial.clone(),
            token_label: self.facts.label.clone(),
            firmware: self.facts.firmware.clone(),
            id: HEXLOWER.encode(attributes.id().unwrap_or_default()),
            label: attributes.label().unwrap_or_default(),
            local: attributes.flag(AttributeType::Local),
            sensitive: attributes.flag(AttributeType::Sensitive),
            always_sensitive: attributes.flag(AttributeType::AlwaysSensitive),
            extractable: attributes.flag(AttributeType::Extractable),
            never_extractable: attributes.flag(AttributeType::NeverExtractable),
            mechanism: attributes.generation_mechanism().map(|mechanism| mechanism.to_string()),
        }
    }

    /// Does some work in a session that only reads.
    fn with_session<T>(&self, work: impl FnOnce(&Session) -> Result<T, Problem>) -> Result<T, TokenError> {
        self.must_be_unlocked()?;
        let result = self.pool.with(&self.module, self.slot, |opened| {
            let result = work(&opened.session);
            self.seen(&opened.session, result)
        });
        result.map_err(|problem| self.noted(problem))
    }

    /// Does some work in a session of its own that may change what is on the token.
    fn with_changes<T>(
        &self,
        purpose: Purpose,
        work: impl FnOnce(&Session) -> Result<T, Problem>,
    ) -> Result<T, TokenError> {
        self.must_be_unlocked()?;
        let result = {
            // It guards nothing that a panic could leave half done.
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let _calling = self.module.calling(purpose);
            let session = self.module.context().open_rw_session(self.slot);
            session.map_err(Problem::from).and_then(|session| {
                let result = work(&session);
                self.seen(&session, result)
            })
        };
        result.map_err(|problem| self.noted(problem))
    }

    fn must_be_unlocked(&self) -> Result<(), TokenError> {
        if self.is_unlocked() { Ok(()) } else { Err(SignerError::Locked.into()) }
    }

    fn noted(&self, problem: Problem) -> TokenError {
        if let Problem::Call(error) = &problem {
            self.after(error);
        }
        problem.into()
    }
}

/// Makes the pair, with the first form of templates that the token takes.
fn generate_pair(
    session: &Session,
    mechanism: &Mechanism<'_>,
    component: Uuid,
    algorithm: ComponentAlgorithm,
    role: ComponentRole,
) -> Result<(ObjectHandle, ObjectHandle), Problem> {
    let forms: Vec<Attribute> = match algorithm.scheme() {
        Scheme::Rsa { bits } => vec![Attribute::ModulusBits(u64::from(bits).into())],
        Scheme::Ecdsa(curve) | Scheme::Ecdh(curve) => parameters(curve),
        Scheme::Eddsa => parameters(Curve::Ed25519),
    };
    let mut refusal = None;
    for modifiable in [Some(Attribute::Modifiable(false)), None] {
        for form in &forms {
            let public = public_template(component, algorithm, role, form);
            let private = private_template(component, algorithm, role, modifiable.as_ref());
            match session.generate_key_pair(mechanism, &public, &private) {
                Ok(pair) => return Ok(pair),
                Err(error) => {
                    let error = CallError::from(error);
                    if error.class != Class::Template {
                        return Err(error.into());
                    }
                    refusal.get_or_insert(error);
                }
            }
        }
    }
    let refusal = refusal.map_or_else(String::new, |error| error.to_string());
    Err(unsupported(&format!("the token makes no {algorithm} key that can't leave it ({refusal})")))
}

fn parameters(curve: Curve) -> Vec<Attribute> {
    ec::parameters(curve).iter().map(|form| Attribute::EcParams(form.to_vec())).collect()
}

fn public_template(
    component: Uuid,
    algorithm: ComponentAlgorithm,
    role: ComponentRole,
    form: &Attribute,
) -> Vec<Attribute> {
    let decrypts = role == ComponentRole::Decrypt;
    let is_rsa = matches!(algorithm.scheme(), Scheme::Rsa { .. });
    let mut template = vec![
        Attribute::Token(true),
        // Seen without a login, so that a report can count keys.
        Attribute::Private(false),
        Attribute::Id(component.as_bytes().to_vec()),
        Attribute::Label(find::own_label(role, component).into_bytes()),
        Attribute::Verify(!decrypts),
        Attribute::Encrypt(decrypts && is_rsa),
        form.clone(),
    ];
    if is_rsa {
        template.push(Attribute::PublicExponent(vec![1, 0, 1]));
    }
    template
}

fn private_template(
    component: Uuid,
    algorithm: ComponentAlgorithm,
    role: ComponentRole,
    modifiable: Option<&Attribute>,
) -> Vec<Attribute> {
    let decrypts = role == ComponentRole::Decrypt;
    let is_rsa = matches!(algorithm.scheme(), Scheme::Rsa { .. });
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Id(component.as_bytes().to_vec()),
        Attribute::Label(find::own_label(role, component).into_bytes()),
        Attribute::Sign(!decrypts),
        Attribute::Decrypt(decrypts && is_rsa),
        Attribute::Derive(decrypts && !is_rsa),
        Attribute::Unwrap(false),
    ];
    template.extend(modifiable.cloned());
    template
}

/// A public key that could not be used would only be found out later.
fn check_public(algorithm: ComponentAlgorithm, role: ComponentRole, key: &PublicKeyBytes) -> Result<(), Problem> {
    let fine = match (role, algorithm.scheme(), key) {
        (ComponentRole::Decrypt, Scheme::Ecdh(curve), PublicKeyBytes::Ec { point }) => {
            is_fit_for_agreement(curve, point)
        }
        _ => PublicKey::parse(algorithm, key).is_ok(),
    };
    if fine { Ok(()) } else { Err(not_on_token("what the token gives as public half is no public key".into())) }
}

fn destroy_pair(session: &Session, private: ObjectHandle, public: Option<ObjectHandle>) {
    for object in [Some(private), public].into_iter().flatten() {
        if let Err(error) = session.destroy_object(object) {
            log::event(Level::Error, "key-left-on-token", &[("why", &CallError::from(error))]);
        }
    }
}
