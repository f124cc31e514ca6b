//! Reading attributes of objects.

use cryptoki::{
    error::Error,
    mechanism::MechanismType,
    object::{Attribute, AttributeType, KeyType, ObjectHandle},
    session::Session,
};

use super::{codes::Class, failure::CallError};

/// Attributes that an object has and shows.
pub(super) struct Attributes(Vec<Attribute>);

impl Attributes {
    /// Reads those of `wanted` that the object has and shows.
    pub(super) fn read(session: &Session, object: ObjectHandle, wanted: &[AttributeType]) -> Result<Self, CallError> {
        match session.get_attributes(object, wanted) {
            Ok(found) => return Ok(Self(found)),
            // Some tokens, and the library for values that it does not know, give nothing at all when one of many is
            // not to be had.
            Err(error) => {
                if let Error::Pkcs11(..) = error {
                    let error = CallError::from(error);
                    if matches!(error.class, Class::Fatal | Class::Session | Class::Login | Class::Handle) {
                        return Err(error);
                    }
                }
            }
        }
        let one = |wanted: &AttributeType| session.get_attributes(object, &[*wanted]).unwrap_or_default();
        Ok(Self(wanted.iter().flat_map(one).collect()))
    }

    pub(super) fn id(&self) -> Option<&[u8]> {
        self.find(|attribute| if let Attribute::Id(id) = attribute { Some(&id[..]) } else { None })
    }

    /// `CKA_LABEL`, up to a NUL; what is not UTF-8 in it is replaced.
    pub(super) fn label(&self) -> Option<String> {
        self.find(|attribute| match attribute {
            Attribute::Label(label) => {
                let text = label.split(|byte| *byte == 0).next().unwrap_or_default();
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => None,
        })
    }

    pub(super) fn key_type(&self) -> Option<KeyType> {
        self.find(|attribute| if let Attribute::KeyType(kind) = attribute { Some(*kind) } else { None })
    }

    /// `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`, without leading zeros.
    pub(super) fn rsa(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let n = self.find(|attribute| if let Attribute::Modulus(n) = attribute { Some(n) } else { None })?;
        let e = self.find(|attribute| if let Attribute::PublicExponent(e) = attribute { Some(e) } else { None })?;
        let strip = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        Some((strip(n), strip(e))).filter(|(n, e)| !n.is_empty() && !e.is_empty())
    }

    pub(super) fn ec_parameters(&self) -> Option<&[u8]> {
        self.find(|attribute| if let Attribute::EcParams(value) = attribute { Some(&value[..]) } else { None })
    }

    pub(super) fn ec_point(&self) -> Option<&[u8]> {
        self.find(|attribute| if let Attribute::EcPoint(value) = attribute { Some(&value[..]) } else { None })
            .filter(|point| !point.is_empty())
    }

    /// A secret value; whoever takes it must wipe it.
    pub(super) fn into_value(self) -> Option<Vec<u8>> {
        self.0
            .into_iter()
            .find_map(|attribute| if let Attribute::Value(value) = attribute { Some(value) } else { None })
    }

    pub(super) fn generation_mechanism(&self) -> Option<MechanismType> {
        // CK_UNAVAILABLE_INFORMATION: the key was not made on the token.
        self.find(|attribute| match attribute {
            Attribute::KeyGenMechanism(mechanism) if **mechanism != u64::MAX => Some(*mechanism),
            _ => None,
        })
    }

    /// A truth value.
    pub(super) fn flag(&self, wanted: AttributeType) -> Option<bool> {
        self.find(|attribute| match (wanted, attribute) {
            (AttributeType::AlwaysAuthenticate, Attribute::AlwaysAuthenticate(value))
            | (AttributeType::AlwaysSensitive, Attribute::AlwaysSensitive(value))
            | (AttributeType::Decrypt, Attribute::Decrypt(value))
            | (AttributeType::Derive, Attribute::Derive(value))
            | (AttributeType::Extractable, Attribute::Extractable(value))
            | (AttributeType::Local, Attribute::Local(value))
            | (AttributeType::NeverExtractable, Attribute::NeverExtractable(value))
            | (AttributeType::Sensitive, Attribute::Sensitive(value))
            | (AttributeType::Sign, Attribute::Sign(value)) => Some(*value),
            _ => None,
        })
    }

    fn find<'a, T>(&'a self, pick: impl Fn(&'a Attribute) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(pick)
    }
}
