//! Cutting texts that others chose, so that an entry has room for them.

use sealcard_api::merge::CertificateChange;

use super::{Claims, Event};

/// Bytes of one text that are kept.
const TEXT: usize = 1000;

/// Bytes of all changes of a certificate, as JSON, that are kept.
const CHANGES: usize = 32 * 1024;

impl Event {
    /// Cuts the texts whose length nothing else limits. A cut text ends with `…`.
    pub(crate) fn shorten(&mut self) {
        match self {
            Self::KeyCreated(stored) | Self::KeyImported(stored) | Self::KeyAdopted(stored) => {
                cut(&mut stored.user_id);
            }
            Self::CertificateMerged(merged) => {
                cut_changes(&mut merged.changes);
                merged.certificate.user_id.iter_mut().for_each(cut);
            }
            Self::KeyRevoked(revoked) => {
                cut(&mut revoked.message);
                cut_changes(&mut revoked.changes);
                revoked.certificate.user_id.iter_mut().for_each(cut);
            }
            Self::KeyFailed(failed) => cut(&mut failed.error),
            Self::KeyDestroyFailed(failed) => cut(&mut failed.error),
            Self::UnsealFailed(failed) | Self::PinRefused(failed) | Self::PinNotJudged(failed) => {
                failed.error.iter_mut().for_each(cut);
            }
            Self::UseIntent(intent) => intent.asked.claims.iter_mut().for_each(cut_claims),
            Self::UseWaiting(waiting) => {
                waiting.wants.truncate(20);
                waiting.asked.claims.iter_mut().for_each(cut_claims);
            }
            Self::ApprovalAsked(asked) => {
                for texts in [&mut asked.terms, &mut asked.wants] {
                    texts.truncate(20);
                    texts.iter_mut().for_each(cut);
                }
            }
            Self::UseOutcome(outcome) => outcome.error.iter_mut().for_each(cut),
            Self::UseDenied(denied) => {
                denied.reasons.truncate(20);
                denied.reasons.iter_mut().for_each(cut);
                denied.asked.claims.iter_mut().for_each(cut_claims);
            }
            Self::UseDeniedBurst(burst) => cut(&mut burst.reason),
            Self::RequestRefused(refused) => cut(&mut refused.reason),
            _ => {}
        }
    }
}

fn cut(text: &mut String) {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push('…');
    }
}

fn cut_claims(claims: &mut Claims) {
    let Claims { host, processes, justification } = claims;
    let texts = processes.iter_mut().flat_map(|process| [&mut process.path, &mut process.command]);
    texts.chain([host, justification]).flatten().for_each(cut);
}

/// Cuts the texts in changes, then keeps the first changes that there is room for.
fn cut_changes(changes: &mut Vec<CertificateChange>) {
    for change in changes.iter_mut() {
        match change {
            CertificateChange::UserIdAdded { user_id } | CertificateChange::UserIdRevoked { user_id } => cut(user_id),
            CertificateChange::KeyRevoked { message, .. } => cut(message),
            _ => {}
        }
    }
    let mut room = CHANGES;
    changes.retain(|change| {
        let length = serde_json::to_string(change).map_or(usize::MAX, |text| text.len());
        room = room.saturating_sub(length);
        room > 0
    });
}
