//! Decryption and key agreement. Whatever makes them fail looks the same from outside.

use cryptoki::{
    context::Function,
    error::{Error, RvError},
    mechanism::{
        Mechanism,
        elliptic_curve::{EcKdf, Ecdh1DeriveParams},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use sealcard_api::algorithm::{Curve, Scheme};
use sealcard_signer_protocol::{Plaintext, PublicKeyBytes, SignerError};
use zeroize::Zeroizing;

use super::{
    attributes::Attributes,
    codes::{self, Class},
    failure::{CallError, Problem},
    find::Known,
    mechanisms::Mechanisms,
    padding,
};
use crate::{
    log::{self, Level},
    operations::is_fit_for_agreement,
};

/// Decrypts, in the form of [`sealcard_signer_protocol::ResponseBody::Plaintext`].
pub(super) fn decrypt(
    session: &Session,
    key: ObjectHandle,
    known: &Known,
    mechanisms: &Mechanisms,
    ciphertext: &[u8],
) -> Result<Plaintext, Problem> {
    let secret = match (known.row.algorithm.scheme(), &known.row.public_key) {
        (Scheme::Rsa { .. }, PublicKeyBytes::Rsa { n, .. }) => decrypt_rsa(session, key, n, mechanisms, ciphertext)?,
        (Scheme::Ecdh(curve), _) => agree(session, key, curve, ciphertext)?,
        _ => return Err(SignerError::Invalid("a key of this algorithm does not decrypt".into()).into()),
    };
    Ok(Plaintext(secret.to_vec()))
}

const FAILED: Problem = Problem::Refused(SignerError::DecryptionFailed);

fn decrypt_rsa(
    session: &Session,
    key: ObjectHandle,
    n: &[u8],
    mechanisms: &Mechanisms,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    // OpenPGP strips leading zeros of numbers; the width comes back here.
    let wide = padding::widen(n.len(), ciphertext).ok_or(FAILED)?;
    // Without the token's own unpadding there is no return code that tells of it, and its timing is ours.
    if mechanisms.decrypts_raw() {
        let message = session.decrypt(&Mechanism::RsaX509, key, &wide).map(Zeroizing::new);
        let message = message.map_err(|error| {
            let probe = || session.decrypt(&Mechanism::RsaX509, key, &padding::widen(n.len(), &[3])?).err();
            without_raw(error, mechanisms, probe)
        })?;
        let message = padding::widen(n.len(), &message).ok_or_else(|| {
            CallError::senseless(Function::Decrypt, format!("{} bytes instead of {}", message.len(), n.len()))
        })?;
        return padding::unpad(&message).ok_or(FAILED);
    }
    session.decrypt(&Mechanism::RsaPkcs, key, &wide).map(Zeroizing::new).map_err(undecryptable)
}

/// Tokens have many words for a ciphertext that they do not like. One that is out of order will say so of the next
/// operation too.
fn undecryptable(error: Error) -> Problem {
    match error {
        Error::Pkcs11(
            RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::DataInvalid
            | RvError::DataLenRange
            | RvError::FunctionFailed
            | RvError::GeneralError
            | RvError::DeviceError
            | RvError::VendorDefined(_),
            Function::Decrypt,
        ) => Problem::SessionFaulty(SignerError::DecryptionFailed),
        error => error.into(),
    }
}

/// Some tokens do not decrypt in this way although they say so: then the other way is as good. Codes about the
/// ciphertext must not decide that, since its sender would choose how all others are decrypted. So `probe` decrypts a
/// number of ours, which every token that can do it takes, and gives the error.
fn without_raw(error: Error, mechanisms: &Mechanisms, probe: impl FnOnce() -> Option<Error>) -> Problem {
    let incapable = says_incapable(&error) || (!is_passing(&error) && probe().is_some_and(|error| !is_passing(&error)));
    if incapable && mechanisms.give_up_raw_decryption() {
        let error = CallError::from(error);
        log::event(Level::Warn, "no-raw-decryption", &[("why", &error)]);
        return Problem::OtherWay(error);
    }
    undecryptable(error)
}

/// Whether the code is about what the token or the key can do.
const fn says_incapable(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::MechanismInvalid | RvError::KeyFunctionNotPermitted | RvError::KeyTypeInconsistent,
            Function::DecryptInit | Function::Decrypt
        )
    )
}

/// Whether the code tells of a session or a token that went away, and nothing of the mechanism.
fn is_passing(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return true };
    matches!(code, RvError::DeviceRemoved | RvError::TokenNotPresent)
        || matches!(codes::class(*code), Class::Session | Class::Handle | Class::Login | Class::Full)
}

/// The X coordinate of the shared point, as wide as the field.
fn agree(session: &Session, key: ObjectHandle, curve: Curve, ephemeral: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
    // A token that does not look at the point gives away bits of its key, one that does fails in its own way; so it is
    // never asked.
    if !is_fit_for_agreement(curve, ephemeral) {
        return Err(FAILED);
    }
    let width = curve.width();
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
        Attribute::ValueLen(u64::try_from(width).unwrap_or_default().into()),
    ];
    let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), ephemeral));
    let derived = session.derive_key(&mechanism, key, &template).map_err(|error| {
        let error = CallError::from(error);
        match error.class {
            Class::Data | Class::Template => Problem::SessionFaulty(SignerError::DecryptionFailed),
            _ => error.into(),
        }
    })?;
    let secret = Attributes::read(session, derived, &[AttributeType::Value]).map(Attributes::into_value);
    // If it can't be destroyed, the end of the session does that: the error spoils it.
    session.destroy_object(derived)?;
    let secret = secret?.map(Zeroizing::new).filter(|secret| !secret.is_empty());
    let secret = secret.ok_or_else(|| CallError::senseless(Function::DeriveKey, "a secret that can't be read"))?;
    let secret = padding::widen(width, &secret).ok_or_else(|| {
        CallError::senseless(Function::DeriveKey, format!("{} bytes instead of {width}", secret.len()))
    })?;
    // RFC 7748 section 6.1: points of small order give all zeros.
    let zeros = Zeroizing::new(vec![0; width]);
    if aws_lc_rs::constant_time::verify_slices_are_equal(&secret, &zeros).is_ok() {
        return Err(FAILED);
    }
    Ok(secret)
}
