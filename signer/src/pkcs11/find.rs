//! Finding a key on the token, and making sure that it is the one of the row.

use std::sync::Arc;

use cryptoki::{
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Curve, Scheme};
use uuid::Uuid;

use super::{attributes::Attributes, ec, failure::Problem, handle::KeyHandle, pool::Opened};
use crate::{
    operations::PublicKey,
    protocol::{PublicKeyBytes, SignerError, StoredKey},
};

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

/// Finds the objects of a row's key and compares them with the row.
pub(super) fn find(session: &Session, row: &StoredKey, handle: &KeyHandle) -> Result<Found, Problem> {
    let gone =
        |what: &str| not_on_token(format!("the key {} {what} (it was on the token {})", row.component, handle.serial));
    let mut fitting = Vec::new();
    for private in session.find_objects(&template(ObjectClass::PRIVATE_KEY, &handle.id, handle.label.as_deref()))? {
        let attributes = Attributes::read(session, private, PRIVATE)?;
        if attributes.key_type().is_some_and(|kind| is_type(kind, row.algorithm)) {
            fitting.push((private, attributes));
        }
    }
    let [(private, attributes)] = &fitting[..] else {
        return Err(gone(if fitting.is_empty() { "is not on this token" } else { "is on this token more than once" }));
    };
    let name = attributes.label().unwrap_or_default();
    if let Some(role) = role_of_label(&name).filter(|role| *role != row.role.name()) {
        return Err(gone(&format!("was made for the role {role}")));
    }
    // Another server's has the id of another component.
    let ours = name == own_label(row.role, row.component);
    if attributes.flag(AttributeType::AlwaysAuthenticate) == Some(true) {
        return Err(unsupported("the token wants the PIN for each use of this key (CKA_ALWAYS_AUTHENTICATE)"));
    }
    let (public, bytes) = public_key(session, attributes)?;
    match bytes {
        Some((algorithm, bytes)) if bytes == row.public_key && same_key(algorithm, row.algorithm) => {}
        Some(_) => return Err(gone("has another public half on this token")),
        // Each signature is verified with the row's public key before it leaves, which tells as much.
        None if row.role != ComponentRole::Decrypt => {}
        None => return Err(gone("has no public half on this token, so it can't be compared")),
    }
    Ok(Found { private: *private, public, ours })
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
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::EcParams,
    AttributeType::EcPoint,
];

/// The public half of a private key: from the public key object with its id, or label, or from the private key itself.
/// The algorithm is that of a signing key where a curve serves both.
#[allow(clippy::type_complexity)] // an object and what it says
pub(super) fn public_key(
    session: &Session,
    attributes: &Attributes,
) -> Result<(Option<ObjectHandle>, Option<(ComponentAlgorithm, PublicKeyBytes)>), Problem> {
    let id = attributes.id().unwrap_or_default();
    let label = attributes.label().filter(|_| id.is_empty());
    let mut object = None;
    if !id.is_empty() || label.is_some() {
        for public in session.find_objects(&template(ObjectClass::PUBLIC_KEY, id, label.as_deref()))? {
            let of_public = Attributes::read(session, public, PUBLIC)?;
            if of_public.key_type() == attributes.key_type() {
                object = Some(public);
                if let Some(bytes) = parse_public(&of_public)? {
                    return Ok((object, Some(bytes)));
                }
            }
        }
    }
    // Tokens that keep no public key objects tell of it in the private one.
    Ok((object, parse_public(attributes)?))
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

/// The label of a key that Sealcard makes.
pub(super) fn own_label(role: ComponentRole, component: Uuid) -> String {
    format!("sealcard/{role}/{component}")
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
            assert_eq!(role_of_label(&own_label(role, Uuid::nil())), Some(role.name()));
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
