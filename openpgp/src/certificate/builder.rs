//! Putting a certificate together from its parts.

use sealcard_api::import::{CertificatePart, LeftOut, LeftOutReason};
use sequoia_openpgp::{Packet, packet::Signature};

use super::{
    Identity, PublicCertificate, Signed,
    signatures::{Primary, Subject, judge},
};
use crate::packets::{PartKind, ReadError};

/// Puts a certificate together, part by part.
pub(super) struct Builder {
    certificate: PublicCertificate,
    current: Current,
    /// Subkeys, by their place.
    not_cross_signed: Vec<usize>,
}

impl Builder {
    pub(super) const fn new(primary: Primary) -> Self {
        Self {
            certificate: PublicCertificate {
                primary: Signed::new(primary),
                identities: Vec::new(),
                subkeys: Vec::new(),
                left_out: Vec::new(),
            },
            current: Current::Primary,
            not_cross_signed: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, part: PartKind) -> Result<(), ReadError> {
        match part {
            PartKind::Ignored => {}
            PartKind::LeftOut(out) => {
                // A signature that is not understood is about the same part as its neighbours.
                if out.part != CertificatePart::Signature {
                    self.current = Current::LeftOut;
                }
                self.certificate.left_out.push(out);
            }
            PartKind::Understood(Packet::UserID(id)) => self.identity(Identity::UserId(id)),
            PartKind::Understood(Packet::UserAttribute(photo)) => self.identity(Identity::Photo(photo)),
            PartKind::Understood(Packet::PublicSubkey(subkey)) => {
                let subkeys = &mut self.certificate.subkeys;
                let known = subkeys.iter().position(|known| known.part == subkey);
                self.current = Current::Subkey(known.unwrap_or_else(|| {
                    subkeys.push(Signed::new(subkey));
                    subkeys.len() - 1
                }));
            }
            PartKind::Understood(Packet::Signature(signature)) => self.signature(signature),
            PartKind::Understood(Packet::PublicKey(_)) => return Err(ReadError::Several(2)),
            PartKind::Understood(_) => return Err(ReadError::NotAKey),
        }
        Ok(())
    }

    fn identity(&mut self, identity: Identity) {
        let identities = &mut self.certificate.identities;
        let known = identities.iter().position(|known| known.part == identity);
        self.current = Current::Identity(known.unwrap_or_else(|| {
            identities.push(Signed::new(identity));
            identities.len() - 1
        }));
    }

    fn signature(&mut self, signature: Signature) {
        let PublicCertificate { primary, identities, subkeys, left_out } = &mut self.certificate;
        let key = primary.part.clone();
        let result = match self.current {
            Current::LeftOut => return,
            Current::Primary => {
                judge(signature, &key, &Subject::Primary).map(|(maker, signature)| primary.add(maker, signature))
            }
            Current::Identity(at) => {
                let Some(identity) = identities.get_mut(at) else { return };
                let subject = match &identity.part {
                    Identity::UserId(id) => Subject::UserId(id),
                    Identity::Photo(photo) => Subject::Photo(photo),
                };
                judge(signature, &key, &subject).map(|(maker, signature)| identity.add(maker, signature))
            }
            Current::Subkey(at) => {
                let Some(subkey) = subkeys.get_mut(at) else { return };
                let result = judge(signature, &key, &Subject::Subkey(&subkey.part));
                if result.as_ref().err() == Some(&LeftOutReason::NotCrossSigned) {
                    self.not_cross_signed.push(at);
                    return;
                }
                result.map(|(maker, signature)| subkey.add(maker, signature))
            }
        };
        if let Err(reason) = result {
            left_out.push(LeftOut { part: CertificatePart::Signature, fingerprint: None, reason, detail: None });
        }
    }

    /// Takes out what is not signed.
    pub(super) fn finish(self) -> Result<PublicCertificate, ReadError> {
        let Self { mut certificate, not_cross_signed, .. } = self;
        let PublicCertificate { primary, identities, subkeys, left_out } = &mut certificate;
        let mut unsigned = Vec::new();
        identities.retain(|identity| {
            let part = match identity.part {
                Identity::UserId(_) => CertificatePart::UserId,
                Identity::Photo(_) => CertificatePart::Photo,
            };
            if identity.own.is_empty() {
                unsigned.push(LeftOut { part, fingerprint: None, reason: LeftOutReason::NotSigned, detail: None });
            }
            !identity.own.is_empty()
        });
        let mut at = 0..;
        subkeys.retain(|subkey| {
            let at = at.next();
            if subkey.own.is_empty() {
                let crossed = at.is_none_or(|at| !not_cross_signed.contains(&at));
                unsigned.push(LeftOut {
                    part: CertificatePart::Subkey,
                    fingerprint: Some(subkey.part.fingerprint().to_hex()),
                    reason: if crossed { LeftOutReason::NotSigned } else { LeftOutReason::NotCrossSigned },
                    detail: None,
                });
            }
            !subkey.own.is_empty()
        });
        left_out.extend(unsigned);
        if primary.own.is_empty() && identities.is_empty() {
            return Err(ReadError::Unsigned);
        }
        Ok(certificate)
    }
}

/// What the next signature is about.
#[derive(Clone, Copy)]
enum Current {
    Primary,
    Identity(usize),
    Subkey(usize),
    /// A part that was not understood.
    LeftOut,
}
