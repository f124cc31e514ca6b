//! Which signatures of a certificate are kept.

use sealcard_api::import::LeftOutReason;
use sequoia_openpgp::{
    packet::{
        Key, Signature, UserAttribute, UserID,
        key::{PrimaryRole, PublicParts, SubordinateRole},
        signature::subpacket::{Subpacket, SubpacketArea, SubpacketValue},
    },
    types::SignatureType,
};

pub(super) type Primary = Key<PublicParts, PrimaryRole>;
pub(super) type Subkey = Key<PublicParts, SubordinateRole>;

/// What a signature is about.
pub(super) enum Subject<'a> {
    Primary,
    UserId(&'a UserID),
    Photo(&'a UserAttribute),
    Subkey(&'a Subkey),
}

/// Who made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// The primary key, and the signature is valid.
    Own,
    /// Someone else, or so it says.
    Other,
}

/// Judges a signature, and takes off it what nobody signed.
pub(super) fn judge(
    mut signature: Signature,
    primary: &Primary,
    subject: &Subject<'_>,
) -> Result<(Maker, Signature), LeftOutReason> {
    if signature.exportable().is_err() {
        return Err(LeftOutReason::Local);
    }
    let issuers = signature.get_issuers();
    let by_primary = issuers.is_empty() || issuers.iter().any(|issuer| issuer.aliases(primary.key_handle()));
    if by_primary {
        verify(&signature, primary, subject)?;
        let subkey = if let Subject::Subkey(subkey) = subject { Some((primary, *subkey)) } else { None };
        trim(&mut signature, subkey)?;
        return Ok((Maker::Own, signature));
    }
    let kind = signature.typ();
    let fits = match subject {
        // Statements and revocations of keys that the owner named.
        Subject::Primary => matches!(kind, SignatureType::DirectKey | SignatureType::KeyRevocation),
        Subject::UserId(_) | Subject::Photo(_) => {
            is_certification(kind) || kind == SignatureType::CertificationRevocation
        }
        Subject::Subkey(_) => false,
    };
    if !fits || signature.signature_creation_time().is_none() {
        return Err(LeftOutReason::NotSigned);
    }
    trim(&mut signature, None)?;
    Ok((Maker::Other, signature))
}

/// Whether the primary key made it over the subject. The policy is not asked.
fn verify(signature: &Signature, primary: &Primary, subject: &Subject<'_>) -> Result<(), LeftOutReason> {
    let kind = signature.typ();
    let result = match subject {
        Subject::Primary if kind == SignatureType::DirectKey => signature.verify_direct_key(primary, primary),
        Subject::Primary => signature.verify_primary_key_revocation(primary, primary),
        Subject::UserId(id) if is_certification(kind) => signature.verify_userid_binding(primary, primary, id),
        Subject::UserId(id) => signature.verify_userid_revocation(primary, primary, id),
        Subject::Photo(photo) if is_certification(kind) => {
            signature.verify_user_attribute_binding(primary, primary, photo)
        }
        Subject::Photo(photo) => signature.verify_user_attribute_revocation(primary, primary, photo),
        Subject::Subkey(subkey) if kind == SignatureType::SubkeyBinding => {
            return match signature.verify_subkey_binding(primary, primary, subkey) {
                Ok(()) => Ok(()),
                Err(_) if is_bound(signature, primary, subkey) => Err(LeftOutReason::NotCrossSigned),
                Err(_) => Err(LeftOutReason::NotSigned),
            };
        }
        Subject::Subkey(subkey) => signature.verify_subkey_revocation(primary, primary, subkey),
    };
    result.map_err(|_| LeftOutReason::NotSigned)
}

/// Whether the primary key signed the subkey, whatever the subkey signed.
fn is_bound(signature: &Signature, primary: &Primary, subkey: &Subkey) -> bool {
    let digest = || {
        let mut hash = signature.hash_algo().context()?.for_signature(signature.version());
        signature.hash_subkey_binding(&mut hash, primary, subkey)?;
        hash.into_digest()
    };
    digest().is_ok_and(|digest| signature.verify_digest(primary, digest).is_ok())
}

const fn is_certification(kind: SignatureType) -> bool {
    matches!(
        kind,
        SignatureType::GenericCertification
            | SignatureType::PersonaCertification
            | SignatureType::CasualCertification
            | SignatureType::PositiveCertification
    )
}

/// Takes everything off the unsigned area but who made the signature and, for a subkey, its signature in return.
fn trim(signature: &mut Signature, subkey: Option<(&Primary, &Subkey)>) -> Result<(), LeftOutReason> {
    let mut kept = Vec::new();
    for subpacket in signature.unhashed_area().iter() {
        let value = match (subpacket.value(), subkey) {
            (value @ (SubpacketValue::Issuer(_) | SubpacketValue::IssuerFingerprint(_)), _) => value.clone(),
            (SubpacketValue::EmbeddedSignature(embedded), Some((primary, subkey)))
                if embedded.verify_primary_key_binding(primary, subkey).is_ok() =>
            {
                let mut embedded = embedded.clone();
                trim(&mut embedded, None)?;
                SubpacketValue::EmbeddedSignature(embedded)
            }
            _ => continue,
        };
        kept.push(Subpacket::new(value, false).map_err(|_| LeftOutReason::Damaged)?);
    }
    *signature.unhashed_area_mut() = SubpacketArea::new(kept).map_err(|_| LeftOutReason::Damaged)?;
    Ok(())
}
