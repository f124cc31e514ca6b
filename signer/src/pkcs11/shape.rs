//! The templates that keys are made with: all that is right first, and less for tokens that refuse it.

use std::fmt;

use cryptoki::{mechanism::Mechanism, object::Attribute};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Scheme};
use sealcard_signer_protocol::{SignerError, own_labels};
use uuid::Uuid;

use super::failure::Problem;
use crate::crypto;

/// A key that is to be made.
pub(super) struct Wanted<'a> {
    pub(super) mechanism: &'a Mechanism<'a>,
    pub(super) component: Uuid,
    pub(super) algorithm: ComponentAlgorithm,
    pub(super) role: ComponentRole,
}

/// A form of templates. What is left out of them is what a key has by default or what the token sets by itself; whether
/// the key can leave the token is asked of the key that was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    short_id: bool,
    short_label: bool,
    left_out: LeftOut,
}

/// Attributes that are not named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LeftOut {
    #[default]
    Nothing,
    One(&'static str),
    All,
}

/// Attributes that a template can do without.
const OPTIONAL: [&str; 8] = [
    "CKA_MODIFIABLE",
    "CKA_PRIVATE of the public key",
    "CKA_DERIVE",
    "CKA_UNWRAP",
    "CKA_DECRYPT",
    "CKA_SIGN",
    "CKA_ENCRYPT",
    "CKA_VERIFY",
];

impl Shape {
    /// As little as there can be.
    pub(super) const LAST: Self = Self { short_id: true, short_label: true, left_out: LeftOut::All };

    /// In the order in which they are tried.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let full = Self::default();
        let names = [
            full,
            Self { short_id: true, ..full },
            Self { short_label: true, ..full },
            Self { short_id: true, short_label: true, ..full },
        ];
        let less = OPTIONAL.into_iter().map(move |name| Self { left_out: LeftOut::One(name), ..full });
        names.into_iter().chain(less).chain([Self { left_out: LeftOut::All, ..full }, Self::LAST])
    }

    /// The id of a new key: the component's, or two random bytes.
    pub(super) fn id(self, component: Uuid) -> Result<Vec<u8>, Problem> {
        if !self.short_id {
            return Ok(component.as_bytes().to_vec());
        }
        let id = crypto::random::<2>().map_err(|_| SignerError::SelfCheckFailed)?;
        Ok(id.to_vec())
    }

    fn label(self, wanted: &Wanted<'_>) -> Attribute {
        let [long, short] = own_labels(wanted.role, wanted.component);
        Attribute::Label(if self.short_label { short } else { long }.into_bytes())
    }

    /// Keeps what is not left out. A use that the key is made for is always named.
    fn keep(self, named: Vec<(&'static str, Attribute)>) -> Vec<Attribute> {
        named
            .into_iter()
            .filter(|(name, _)| match self.left_out {
                LeftOut::Nothing => true,
                LeftOut::One(left_out) => *name != left_out,
                LeftOut::All => !OPTIONAL.contains(name),
            })
            .map(|(_, attribute)| attribute)
            .collect()
    }

    pub(super) fn public(self, wanted: &Wanted<'_>, id: &[u8], form: &Attribute) -> Vec<Attribute> {
        let decrypts = wanted.role == ComponentRole::Decrypt;
        let is_rsa = is_rsa(wanted);
        let mut named = vec![
            ("CKA_TOKEN", Attribute::Token(true)),
            // Seen without a login, so that a report can count keys.
            ("CKA_PRIVATE of the public key", Attribute::Private(false)),
            ("CKA_ID", Attribute::Id(id.to_vec())),
            ("CKA_LABEL", self.label(wanted)),
            ("CKA_VERIFY", Attribute::Verify(!decrypts)),
            ("CKA_ENCRYPT", Attribute::Encrypt(decrypts && is_rsa)),
            ("parameters", form.clone()),
        ];
        if is_rsa {
            named.push(("CKA_PUBLIC_EXPONENT", Attribute::PublicExponent(vec![1, 0, 1])));
        }
        self.keep(named)
    }

    pub(super) fn private(self, wanted: &Wanted<'_>, id: &[u8]) -> Vec<Attribute> {
        self.keep(self.private_named(wanted, id))
    }

    fn private_named(self, wanted: &Wanted<'_>, id: &[u8]) -> Vec<(&'static str, Attribute)> {
        let decrypts = wanted.role == ComponentRole::Decrypt;
        let derives = decrypts && !is_rsa(wanted);
        // What the key is for has a name that can't be left out.
        let used = |is: bool, name: &'static str| if is { "use" } else { name };
        vec![
            ("CKA_TOKEN", Attribute::Token(true)),
            ("CKA_PRIVATE", Attribute::Private(true)),
            ("CKA_SENSITIVE", Attribute::Sensitive(true)),
            ("CKA_EXTRACTABLE", Attribute::Extractable(false)),
            ("CKA_ID", Attribute::Id(id.to_vec())),
            ("CKA_LABEL", self.label(wanted)),
            (used(!decrypts, "CKA_SIGN"), Attribute::Sign(!decrypts)),
            (used(decrypts && !derives, "CKA_DECRYPT"), Attribute::Decrypt(decrypts && !derives)),
            (used(derives, "CKA_DERIVE"), Attribute::Derive(derives)),
            ("CKA_UNWRAP", Attribute::Unwrap(false)),
            ("CKA_MODIFIABLE", Attribute::Modifiable(false)),
        ]
    }

    /// What the template of the private key names, for a message.
    pub(super) fn names(self, wanted: &Wanted<'_>) -> Vec<&'static str> {
        let purpose = match (wanted.role, is_rsa(wanted)) {
            (ComponentRole::Decrypt, true) => "CKA_DECRYPT",
            (ComponentRole::Decrypt, false) => "CKA_DERIVE",
            _ => "CKA_SIGN",
        };
        let named = self.private_named(wanted, &[]).into_iter().map(|(name, _)| name);
        named.filter(|name| !OPTIONAL.contains(name)).map(|name| if name == "use" { purpose } else { name }).collect()
    }
}

fn is_rsa(wanted: &Wanted<'_>) -> bool {
    matches!(wanted.algorithm.scheme(), Scheme::Rsa { .. })
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.short_id {
            parts.push("with an id of two bytes".to_owned());
        }
        if self.short_label {
            parts.push("with a short label".to_owned());
        }
        match self.left_out {
            LeftOut::Nothing => {}
            LeftOut::One(name) => parts.push(format!("without {name}")),
            LeftOut::All => parts.push(format!("without {}", OPTIONAL.join(", "))),
        }
        f.write_str(&parts.join(" and "))
    }
}
