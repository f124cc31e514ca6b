//! Finding a key on the token, and making sure that it is the one of the row.

use std::sync::Arc;

use cryptoki::{
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use data_encoding::HEXLOWER;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Curve, Scheme};
use sealcard_signer_protocol::{PublicKeyBytes, SignerError, StoredKey, is_made_here, own_labels};
use uuid::Uuid;

use super::{attributes::Attributes, ec, failure::Problem, handle::KeyHandle, pool::Opened};
use crate::operations::PublicKey;

/// A row, parsed, so that this is not done for each use.
pub(super) struct Known {
    pub(super) row: StoredKey,
    handle: KeyHandle,
    /// Verifies what the key signs; `None` for keys that decrypt.
    pub(super) public: Option<PublicKey>,
}

impl Known {
    pub(super) fn parse(row: &StoredKey) -> Result<Self, SignerError> {
        let handle = KeyHandle::parse(&row.handle).ok_or(SignerError::NotOurs)?;
        let public = match row.role {
            ComponentRole::Decrypt => None,
            _ => Some(PublicKey::parse(row.algorithm, &row.public_key).map_err(|_| SignerError::NotOurs)?),
        };
        Ok(Self { row: row.clone(), handle, public })
    }
}

/// The private key of a row. Looked for, and compared, when it is used for the first time in this session.
pub(super) fn private_key(opened: &mut Opened, known: &Arc<Known>) -> Result<ObjectHandle, Problem> {
    let component = known.row.component;
    if let Some((handle, of)) = opened.handles.get(&component)
        && Arc::ptr_eq(of, known)
    {
        return Ok(*handle);
    }
    let found = find(&opened.session, &known.row, &known.handle)?;
    opened.handles.insert(component, (found.private, Arc::clone(known)));
    Ok(found.private)
}

/// A key's objects on the token.
pub(super) struct Found {
    pub(super) private: ObjectHandle,
    pub(super) public: Option<ObjectHandle>,
    /// Made by Sealcard, as its label tells.
    pub(super) ours: bool,
}

/// A private key on the token, its public half, and the object that holds that.
pub(super) struct Candidate {
    pub(super) private: ObjectHandle,
    pub(super) attributes: Attributes,
    pub(super) public: Result<PublicHalf, Problem>,
}

/// The public half of a private key: its object, if there is one, and what it says.
#[derive(Default)]
pub(super) struct PublicHalf {
    pub(super) object: Option<ObjectHandle>,
    pub(super) value: Option<(ComponentAlgorithm, PublicKeyBytes)>,
}

/// The private keys with this id and label, each with its public half.
pub(super) fn candidates(session: &Session, id: &[u8], label: Option<&str>) -> Result<Vec<Candidate>, Problem> {
    let named = named(session, ObjectClass::PRIVATE_KEY, id, label, PRIVATE)?;
    Ok(named
        .into_iter()
        .map(|(private, attributes)| Candidate { private, public: public_half(session, &attributes), attributes })
        .collect())
}

/// Finds the objects of a row's key and compares them with the row. Ids and labels are no more than hints: among
/// several keys that have them, the public half decides.
pub(super) fn find(session: &Session, row: &StoredKey, handle: &KeyHandle) -> Result<Found, Problem> {
    let gone =
        |what: &str| not_on_token(format!("the key {} {what} (it was on the token {})", row.component, handle.serial));
    let by_label = handle.label.as_deref().filter(|_| handle.id.is_empty());
    let mut all = candidates(session, &handle.id, by_label)?;
    all.retain(|one| one.attributes.key_type().is_none_or(|kind| is_type(kind, row.algorithm)));
    let there = all.len();
    if there == 0 {
        return Err(gone("is not on this token"));
    }
    let is_rows = |one: &Candidate| {
        let half = one.public.as_ref().ok().and_then(|half| half.value.as_ref());
        half.is_some_and(|(algorithm, bytes)| *bytes == row.public_key && same_key(*algorithm, row.algorithm))
    };
    let has_label = |one: &Candidate| handle.label.is_some() && one.attributes.label() == handle.label;
    // Several with the row's public half are the same key: copies of it, or a module that gives objects twice.
    let place = all.iter().position(|one| is_rows(one) && has_label(one)).or_else(|| all.iter().position(is_rows));
    let chosen = match place {
        Some(place) => all.swap_remove(place),
        None => {
            if there > 1 {
                all.retain(has_label);
            }
            let (Some(one), true) = (all.pop(), all.is_empty()) else {
                return Err(gone("is on this token more than once, and no public half tells which it is"));
            };
            let Candidate { private, attributes, public } = one;
            let half = public?;
            if half.value.is_some() {
                return Err(gone("has another public half on this token"));
            }
            // Each signature is verified with the row's public key before it leaves, which tells as much.
            if row.role == ComponentRole::Decrypt {
                return Err(gone("has no public half on this token, so it can't be compared"));
            }
            Candidate { private, attributes, public: Ok(half) }
        }
    };
    let name = chosen.attributes.label().unwrap_or_default();
    if let Some(role) = role_of_label(&name).filter(|role| *role != row.role.name()) {
        return Err(gone(&format!("was made for the role {role}")));
    }
    if chosen.attributes.flag(AttributeType::AlwaysAuthenticate) == Some(true) {
        return Err(unsupported("the token wants the PIN for each use of this key (CKA_ALWAYS_AUTHENTICATE)"));
    }
    let public = chosen.public.ok().and_then(|half| half.object);
    Ok(Found::of(&chosen.attributes, chosen.private, public, row))
}

impl Found {
    fn of(attributes: &Attributes, private: ObjectHandle, public: Option<ObjectHandle>, row: &StoredKey) -> Self {
        let id = HEXLOWER.encode(attributes.id().unwrap_or_default());
        let label = attributes.label().unwrap_or_default();
        Self { private, public, ours: is_made_here(row.role, row.component, &label, &id) }
    }
}

/// Objects that are read at most when a module does not find them by id or label.
const LOOKED_AT: usize = 500;

/// The objects of a class with this id and label, each once, with what they say of themselves. What a module finds is
/// compared: some look at a part of a template only. What it does not find is looked for: some labels end with NUL.
fn named(
    session: &Session,
    class: ObjectClass,
    id: &[u8],
    label: Option<&str>,
    wanted: &[AttributeType],
) -> Result<Vec<(ObjectHandle, Attributes)>, Problem> {
    let fits = |found: &Attributes| {
        (id.is_empty() || found.id().is_none_or(|found| found == id))
            && label.is_none_or(|label| found.label().is_none_or(|found| found == label))
    };
    let read = |handles: Vec<ObjectHandle>, wanted: &[AttributeType]| -> Result<Vec<_>, Problem> {
        let mut objects: Vec<(ObjectHandle, Attributes)> = Vec::new();
        for handle in handles {
            if objects.iter().any(|(known, _)| *known == handle) {
                continue;
            }
            let attributes = Attributes::read(session, handle, wanted)?;
            if fits(&attributes) {
                objects.push((handle, attributes));
            }
        }
        Ok(objects)
    };
    let found = read(session.find_objects(&template(class, id, label))?, wanted)?;
    if !found.is_empty() {
        return Ok(found);
    }
    let all: Vec<_> = session.find_objects(&template(class, &[], None))?.into_iter().take(LOOKED_AT).collect();
    let names = read(all, &[AttributeType::Id, AttributeType::Label])?;
    // An object that does not say what it is called is not what was asked for.
    let says =
        |found: &Attributes| (id.is_empty() || found.id().is_some()) && (label.is_none() || found.label().is_some());
    read(names.into_iter().filter(|(_, found)| says(found)).map(|(handle, _)| handle).collect(), wanted)
}

/// The objects of a class that were made for a component.
pub(super) fn made_for(
    session: &Session,
    class: ObjectClass,
    role: ComponentRole,
    component: Uuid,
) -> Result<Vec<ObjectHandle>, Problem> {
    let [long, short] = own_labels(role, component);
    let id: &[u8] = component.as_bytes();
    let mut objects = Vec::new();
    for (id, label) in [(id, None), (&[], Some(long.as_str())), (&[], Some(short.as_str()))] {
        for handle in session.find_objects(&template(class, id, label))? {
            let found = Attributes::read(session, handle, &[AttributeType::Id, AttributeType::Label])?;
            let has_id = HEXLOWER.encode(found.id().unwrap_or_default());
            // Some modules find more than they were asked for.
            let ours = is_made_here(role, component, &found.label().unwrap_or_default(), &has_id);
            if ours && !objects.contains(&handle) {
                objects.push(handle);
            }
        }
    }
    Ok(objects)
}

/// Attributes of a private key that are looked at.
pub(super) const PRIVATE: &[AttributeType] = &[
    AttributeType::KeyType,
    AttributeType::Id,
    AttributeType::Label,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::EcParams,
    AttributeType::EcPoint,
    AttributeType::AlwaysAuthenticate,
    AttributeType::Sensitive,
    AttributeType::AlwaysSensitive,
    AttributeType::Extractable,
    AttributeType::NeverExtractable,
    AttributeType::Local,
    AttributeType::KeyGenMechanism,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Derive,
];

pub(super) const PUBLIC: &[AttributeType] = &[
    AttributeType::KeyType,
    AttributeType::Id,
    AttributeType::Label,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::EcParams,
    AttributeType::EcPoint,
];

/// The public half of a private key: from the private key itself, or from the public key object with its id, or label.
/// Where several keys share an id, the label tells which object belongs to which. The algorithm is that of a signing
/// key where a curve serves both.
fn public_half(session: &Session, attributes: &Attributes) -> Result<PublicHalf, Problem> {
    let id = attributes.id().unwrap_or_default();
    let label = attributes.label();
    let own = parse_public(attributes)?;
    let mut refusal = None;
    let mut known = Vec::new();
    if !id.is_empty() || label.is_some() {
        let by_label = label.as_deref().filter(|_| id.is_empty());
        for (object, of_public) in named(session, ObjectClass::PUBLIC_KEY, id, by_label, PUBLIC)? {
            if of_public.key_type().is_some_and(|kind| Some(kind) != attributes.key_type()) {
                continue;
            }
            match parse_public(&of_public) {
                Ok(Some(value)) => known.push((object, of_public.label(), value)),
                Ok(None) => {}
                Err(problem) => refusal = Some(problem),
            }
        }
    }
    if let Some(own) = own {
        let object = known.iter().find(|(_, _, value)| *value == own).map(|(object, ..)| *object);
        return Ok(PublicHalf { object, value: Some(own) });
    }
    let agree = |known: &[(ObjectHandle, Option<String>, _)]| {
        known.iter().all(|(_, _, value)| known.first().is_some_and(|(_, _, first)| first == value))
    };
    if !agree(&known) {
        known.retain(|(_, of_public, _)| *of_public == label);
        if known.is_empty() || !agree(&known) {
            return Err(not_on_token(format!(
                "several public keys on the token have the id {} of this key, and no label tells which is its own; \
                 give each key an id of its own",
                HEXLOWER.encode(id)
            )));
        }
    }
    match (known.into_iter().next(), refusal) {
        (Some((object, _, value)), _) => Ok(PublicHalf { object: Some(object), value: Some(value) }),
        (None, Some(problem)) => Err(problem),
        (None, None) => Ok(PublicHalf::default()),
    }
}

/// Reads the public half out of attributes. `None` if they do not hold one.
pub(super) fn parse_public(attributes: &Attributes) -> Result<Option<(ComponentAlgorithm, PublicKeyBytes)>, Problem> {
    if let Some((n, e)) = attributes.rsa() {
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        let algorithm = match bits {
            2048 => ComponentAlgorithm::Rsa2048,
            3072 => ComponentAlgorithm::Rsa3072,
            4096 => ComponentAlgorithm::Rsa4096,
            _ => return Err(unsupported(&format!("an RSA key of {bits} bits; 2048, 3072 and 4096 can be used"))),
        };
        return Ok(Some((algorithm, PublicKeyBytes::Rsa { n, e })));
    }
    let Some(value) = attributes.ec_point() else { return Ok(None) };
    let curve = attributes
        .ec_parameters()
        .and_then(ec::curve)
        .ok_or_else(|| unsupported("a key of a curve other than P-256, P-384, P-521, Ed25519 and Curve25519"))?;
    let point = ec::point(curve, value).ok_or_else(|| {
        not_on_token(format!("the token gives a public point that is none of its curve ({} bytes)", value.len()))
    })?;
    let algorithm = match curve {
        Curve::NistP256 => ComponentAlgorithm::EcdsaP256,
        Curve::NistP384 => ComponentAlgorithm::EcdsaP384,
        Curve::NistP521 => ComponentAlgorithm::EcdsaP521,
        Curve::Ed25519 => ComponentAlgorithm::EddsaEd25519,
        Curve::Cv25519 => ComponentAlgorithm::EcdhCv25519,
    };
    Ok(Some((algorithm, PublicKeyBytes::Ec { point: point.to_vec() })))
}

/// The algorithm that a key, whose public half tells `algorithm`, has in a role.
pub(super) const fn in_role(algorithm: ComponentAlgorithm, role: ComponentRole) -> ComponentAlgorithm {
    match algorithm {
        // These can't have the other's role, whatever is wished.
        ComponentAlgorithm::EddsaEd25519 | ComponentAlgorithm::EcdhCv25519 => algorithm,
        _ => ComponentAlgorithm::of(algorithm.family(), role),
    }
}

fn same_key(found: ComponentAlgorithm, row: ComponentAlgorithm) -> bool {
    // The token does not tell ECDSA keys from ECDH keys of the same curve.
    found == row || (found.family() == row.family() && row.curve().is_none_or(Curve::is_nist))
}

/// Whether a key type can be that of an algorithm.
fn is_type(kind: KeyType, algorithm: ComponentAlgorithm) -> bool {
    match algorithm.scheme() {
        Scheme::Rsa { .. } => kind == KeyType::RSA,
        Scheme::Ecdsa(_) => kind == KeyType::EC,
        Scheme::Eddsa => kind == KeyType::EC_EDWARDS,
        Scheme::Ecdh(curve) if curve.is_nist() => kind == KeyType::EC,
        // SoftHSM keeps keys of Curve25519 as Edwards keys.
        Scheme::Ecdh(_) => kind == KeyType::EC_MONTGOMERY || kind == KeyType::EC_EDWARDS,
    }
}

/// What the objects of a key have in common.
pub(super) fn template(class: ObjectClass, id: &[u8], label: Option<&str>) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
    if !id.is_empty() {
        template.push(Attribute::Id(id.to_vec()));
    }
    if let Some(label) = label {
        template.push(Attribute::Label(label.as_bytes().to_vec()));
    }
    template
}

/// The role in the label of a key that Sealcard made.
pub(super) fn role_of_label(label: &str) -> Option<&str> {
    label.strip_prefix("sealcard/").map(|rest| rest.split('/').next().unwrap_or_default())
}

pub(super) fn not_on_token(why: String) -> Problem {
    Problem::Refused(SignerError::NotOnToken(why))
}

pub(super) fn unsupported(why: &str) -> Problem {
    Problem::Refused(SignerError::Unsupported(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_tells_the_role() {
        for role in ComponentRole::ALL {
            for label in own_labels(role, Uuid::nil()) {
                assert_eq!(role_of_label(&label), Some(role.name()));
            }
        }
        assert_eq!(role_of_label("sealcard/"), Some(""));
        assert_eq!(role_of_label("my key"), None);
        assert_eq!(role_of_label("Sealcard/sign/x"), None);
    }

    #[test]
    fn only_nist_keys_serve_two_algorithms() {
        assert!(same_key(ComponentAlgorithm::EcdsaP256, ComponentAlgorithm::EcdhP256));
        assert!(same_key(ComponentAlgorithm::Rsa2048, ComponentAlgorithm::Rsa2048));
        assert!(!same_key(ComponentAlgorithm::Rsa2048, ComponentAlgorithm::Rsa3072));
        assert!(!same_key(ComponentAlgorithm::EcdsaP256, ComponentAlgorithm::EcdhP384));
        assert!(!same_key(ComponentAlgorithm::EddsaEd25519, ComponentAlgorithm::EcdhCv25519));
        assert_eq!(in_role(ComponentAlgorithm::EcdsaP384, ComponentRole::Decrypt), ComponentAlgorithm::EcdhP384);
        assert_eq!(in_role(ComponentAlgorithm::EddsaEd25519, ComponentRole::Decrypt), ComponentAlgorithm::EddsaEd25519);
    }
}
