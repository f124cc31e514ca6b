//! Making keys on a token, taking over those that are there, and destroying them.

use cryptoki::{
    mechanism::Mechanism,
    mechanism::MechanismType,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};
use data_encoding::HEXLOWER;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Curve, Scheme};
use sealcard_signer_protocol::{KeyEvidence, KeyLocator, PublicKeyBytes, SignerError, StoredKey};
use uuid::Uuid;

use super::{
    attributes::Attributes,
    codes::Class,
    ec,
    failure::{CallError, Problem, TokenError},
    find::{self, Candidate, Found, not_on_token, unsupported},
    handle::KeyHandle,
    module::Purpose,
    shape::{Shape, Wanted},
    token::Token,
};
use crate::{
    log::{self, Level},
    operations::{GenerateError, PublicKey, is_fit_for_agreement},
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
            if !find::made_for(session, ObjectClass::PRIVATE_KEY, role, component)?.is_empty() {
                let why = format!("a key that was made for {component} is on the token already");
                return Err(SignerError::Invalid(why).into());
            }
            let request = Wanted { mechanism: &mechanism, component, algorithm, role };
            let remembered = *self.shape.lock();
            let first = [remembered].into_iter().chain(Shape::all()).enumerate();
            let shapes: Vec<Shape> =
                first.filter(|(place, shape)| *place == 0 || *shape != remembered).map(|(_, shape)| shape).collect();
            let mut refusals = Vec::new();
            for shape in shapes {
                let id = shape.id(component)?;
                let taken = find::candidates(session, &id, None)?;
                if taken.iter().any(|one| one.attributes.id().is_none_or(|found| found == id)) {
                    refusals.push(format!("a key with the id {} is on the token already", HEXLOWER.encode(&id)));
                    continue;
                }
                let (public, private) = match generate_pair(session, &request, shape, &id) {
                    Ok(pair) => pair,
                    Err(Problem::Call(error)) if error.class == Class::Template || error.class == Class::Data => {
                        refusals.push(error.to_string());
                        continue;
                    }
                    Err(problem) => return Err(problem),
                };
                let made = self.take_stock(session, public, private, &request);
                // A token that cuts ids gives many keys the same one.
                let is_unique = made
                    .as_ref()
                    .is_ok_and(|made| find::candidates(session, &made.id, None).is_ok_and(|same| same.len() == 1));
                if made.is_ok() && !is_unique && shape != Shape::LAST {
                    destroy_pair(session, private, Some(public));
                    refusals.push("the token did not keep the id that the key was given".to_owned());
                    continue;
                }
                if made.is_err() {
                    destroy_pair(session, private, Some(public));
                }
                let made = made?;
                *self.shape.lock() = shape;
                if let Some(first) = refusals.first() {
                    let shape = shape.to_string();
                    log::event(Level::Warn, "key-made-otherwise", &[("how", &shape), ("after", first)]);
                }
                return Ok((made.key, made.evidence));
            }
            refusals.dedup();
            let fewest = Shape::LAST.names(&request).join(", ");
            Err(unsupported(&format!(
                "the token makes no {algorithm} key, not even with no other attributes than {fewest} ({})",
                refusals.join("; ")
            )))
        })
    }

    /// Reads back what was made.
    fn take_stock(
        &self,
        session: &Session,
        public: ObjectHandle,
        private: ObjectHandle,
        wanted: &Wanted<'_>,
    ) -> Result<Made, Problem> {
        let Wanted { component, algorithm, role, .. } = *wanted;
        let attributes = Attributes::read(session, private, find::PRIVATE)?;
        let evidence = self.evidence(&attributes);
        for (says, wanted, name) in
            [(evidence.extractable, false, "CKA_EXTRACTABLE"), (evidence.sensitive, true, "CKA_SENSITIVE")]
        {
            if says != Some(wanted) {
                let says = says.map_or_else(|| "says nothing of".to_owned(), |value| format!("says {value} of"));
                return Err(unsupported(&format!(
                    "the token made a key that may leave it (it {says} its {name}), so the key was destroyed at once"
                )));
            }
        }
        let found = find::parse_public(&Attributes::read(session, public, find::PUBLIC)?)?;
        let found = if found.is_some() { found } else { find::parse_public(&attributes)? };
        let public_key = match found {
            Some((found, key)) if find::in_role(found, role) == algorithm => key,
            _ => return Err(not_on_token("the token does not give the public half of the key that it made".into())),
        };
        check_public(algorithm, role, &public_key)?;
        // Some tokens cut or replace what they were given: what they say now is how the key is found again.
        let id = attributes.id().unwrap_or_default().to_vec();
        let handle = KeyHandle { serial: self.facts.serial.clone(), id: id.clone(), label: attributes.label() };
        let key = StoredKey { component, algorithm, role, public_key, handle: handle.to_bytes() };
        Ok(Made { key, evidence, id })
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
            let fitting = find::candidates(session, id, locator.label.as_deref())?;
            let key = single(fitting)?;
            self.adoptable(component, role, key)
        })?;
        // The same search that each use begins with.
        self.admit(&row)?;
        Ok((row, evidence))
    }

    fn adoptable(
        &self,
        component: Uuid,
        role: ComponentRole,
        key: Candidate,
    ) -> Result<(StoredKey, KeyEvidence), Problem> {
        let attributes = &key.attributes;
        let Some((found, public_key)) = key.public?.value else {
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
        match attributes.flag(AttributeType::Sensitive) {
            Some(true) => {}
            Some(false) => {
                return Err(unsupported(
                    "the key can be read off the token (CKA_SENSITIVE is false), so it is not taken over",
                ));
            }
            None => {
                return Err(unsupported(
                    "the token does not say that the key can't be read off it (it has no CKA_SENSITIVE), so it is not \
                     taken over",
                ));
            }
        }
        self.mechanisms.serves(algorithm, role, self.rsa).map_err(|missing| self.lacks(&missing))?;
        check_public(algorithm, role, &public_key)?;
        let id = attributes.id().unwrap_or_default().to_vec();
        let label = attributes.label();
        let handle = KeyHandle { serial: self.facts.serial.clone(), id, label };
        let row = StoredKey { component, algorithm, role, public_key, handle: handle.to_bytes() };
        Ok((row, self.evidence(&key.attributes)))
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

    /// Destroys what was made on the token for a component that came to nothing.
    ///
    /// # Errors
    /// If the token fails.
    pub fn discard(&self, component: Uuid, role: ComponentRole) -> Result<(), TokenError> {
        self.with_changes(Purpose::Operation, |session| {
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                for object in find::made_for(session, class, role, component)? {
                    session.destroy_object(object)?;
                }
            }
            Ok(())
        })?;
        self.forget(component);
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
            let _changing = self.changing.lock();
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

/// What was made, and the id that the token says it has.
struct Made {
    key: StoredKey,
    evidence: KeyEvidence,
    id: Vec<u8>,
}

/// The one key that was named. Several objects of one key are as good as one.
fn single(fitting: Vec<Candidate>) -> Result<Candidate, Problem> {
    let halves: Vec<_> =
        fitting.iter().map(|one| one.public.as_ref().ok().and_then(|half| half.value.as_ref())).collect();
    let same = halves.iter().all(|half| half.is_some() && halves.first() == Some(half));
    let many = fitting.len() > 1 && !same;
    if many {
        let names: Vec<String> = fitting
            .iter()
            .map(|one| {
                let id = HEXLOWER.encode(one.attributes.id().unwrap_or_default());
                format!("label {:?}, id {id}", one.attributes.label().unwrap_or_default())
            })
            .collect();
        return Err(not_on_token(format!(
            "more than one private key on the token fits: {}; name id and label",
            names.join("; ")
        )));
    }
    fitting.into_iter().next().ok_or_else(|| not_on_token("no private key on the token has this id and label".into()))
}

/// Makes the pair, with the first form of the curve's name that the token takes.
fn generate_pair(
    session: &Session,
    wanted: &Wanted<'_>,
    shape: Shape,
    id: &[u8],
) -> Result<(ObjectHandle, ObjectHandle), Problem> {
    let forms: Vec<Attribute> = match wanted.algorithm.scheme() {
        Scheme::Rsa { bits } => vec![Attribute::ModulusBits(u64::from(bits).into())],
        Scheme::Ecdsa(curve) | Scheme::Ecdh(curve) => parameters(curve),
        Scheme::Eddsa => parameters(Curve::Ed25519),
    };
    let mut refusal = None;
    for form in &forms {
        let public = shape.public(wanted, id, form);
        let private = shape.private(wanted, id);
        match session.generate_key_pair(wanted.mechanism, &public, &private) {
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
    Err(refusal.map_or_else(|| unsupported("no form of the curve's name is known"), Problem::Call))
}

fn parameters(curve: Curve) -> Vec<Attribute> {
    ec::parameters(curve).iter().map(|form| Attribute::EcParams(form.to_vec())).collect()
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
