//! Signatures.

use cryptoki::{
    context::Function,
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::ObjectHandle,
    session::Session,
};
use sealcard_api::algorithm::{Curve, HashAlgorithm, Scheme};
use sealcard_signer_protocol::{Input, PublicKeyBytes, SignerError, StoredKey};

use super::{
    config::RsaForm,
    ec,
    failure::{CallError, Problem},
    find::Known,
    padding,
};

/// Signs, in the form of [`sealcard_signer_protocol::ResponseBody::Signature`], and verifies it with the
/// row's public key.
pub(super) fn sign(
    session: &Session,
    key: ObjectHandle,
    known: &Known,
    rsa: RsaForm,
    input: Input<'_>,
) -> Result<Vec<u8>, Problem> {
    let refused = || SignerError::Invalid("this kind of key does not do that".into());
    let public = known.public.as_ref().ok_or_else(refused)?;
    let signature = match (known.row.algorithm.scheme(), input) {
        (Scheme::Rsa { .. }, Input::Digest(hash, digest)) => sign_rsa(session, key, &known.row, rsa, hash, digest)?,
        (Scheme::Ecdsa(curve), Input::Digest(_, digest)) => sign_ecdsa(session, key, curve, digest)?,
        (Scheme::Eddsa, Input::Digest(_, message) | Input::Message(message)) => sign_eddsa(session, key, message)?,
        _ => return Err(refused().into()),
    };
    // SessionFaulty: a session that gave a wrong signature is not asked for another one.
    public.verify(input, &signature).map_err(Problem::SessionFaulty)?;
    Ok(signature)
}

fn sign_rsa(
    session: &Session,
    key: ObjectHandle,
    row: &StoredKey,
    form: RsaForm,
    hash: HashAlgorithm,
    digest: &[u8],
) -> Result<Vec<u8>, Problem> {
    let PublicKeyBytes::Rsa { n, .. } = &row.public_key else { return Err(SignerError::NotOurs.into()) };
    let made = match form {
        RsaForm::Pkcs1 => session.sign(&Mechanism::RsaPkcs, key, &padding::digest_info(hash, digest))?,
        RsaForm::Raw => {
            let message = padding::encode(n.len(), hash, digest).ok_or(SignerError::NotOurs)?;
            session.sign(&Mechanism::RsaX509, key, &message)?
        }
    };
    padding::widen(n.len(), &made).map(|wide| wide.to_vec()).ok_or_else(|| odd_length(made.len(), n.len()))
}

fn sign_ecdsa(session: &Session, key: ObjectHandle, curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Problem> {
    // FIPS 186-5 section 6.4.1 step 2: the leftmost bits of a digest that is longer than the order. Some tokens do that
    // by themselves, some refuse.
    let number = digest.get(..curve.width()).unwrap_or(digest);
    let made = session.sign(&Mechanism::Ecdsa, key, number)?;
    ec::signature(curve.width(), &made).ok_or_else(|| odd_length(made.len(), 2 * curve.width()))
}

fn sign_eddsa(session: &Session, key: ObjectHandle, message: &[u8]) -> Result<Vec<u8>, Problem> {
    let made = session.sign(&Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)), key, message)?;
    if made.len() == 64 { Ok(made) } else { Err(odd_length(made.len(), 64)) }
}

fn odd_length(found: usize, expected: usize) -> Problem {
    CallError::senseless(Function::Sign, format!("a signature of {found} bytes instead of {expected}")).into()
}
