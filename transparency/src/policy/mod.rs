//! Trust policies: which logs and how many witnesses a checkpoint needs (<https://c2sp.org/tlog-policy>).

mod parse;

use crate::{Checkpoint, CheckpointError, Note, Verified, VerifierKey, VerifyError};

pub use parse::{MAX_POLICY, PolicyError, Problem};

/// A log or a witness that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    key: VerifierKey,
    url: Option<Vec<u8>>,
}

impl Party {
    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The address to reach it at, as it was written: the format does not ask for UTF-8.
    #[must_use]
    pub fn url(&self) -> Option<&[u8]> {
        self.url.as_deref()
    }
}

/// Which checkpoints are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    /// In the order of their definition, so that a group comes after its members.
    groups: Vec<Group>,
    /// `None`: no witness is needed.
    quorum: Option<Member>,
}

/// A number of members of whom some must have witnessed a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

/// The place of a witness or group in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// A checkpoint that a policy trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<'p> {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The signatures of the log.
    pub log: Vec<Verified<'p>>,
    /// The cosignatures of witnesses, with their times.
    pub witnesses: Vec<Verified<'p>>,
}

impl TrustPolicy {
    /// The logs, in the order of the policy.
    #[must_use]
    pub fn logs(&self) -> &[Party] {
        &self.logs
    }

    /// The witnesses, in the order of the policy.
    #[must_use]
    pub fn witnesses(&self) -> &[Party] {
        &self.witnesses
    }

    /// Checks a checkpoint: one of the logs has signed it under its own name, and enough witnesses have cosigned it.
    ///
    /// # Errors
    /// If it is not trusted.
    pub fn check(&self, note: &Note) -> Result<Accepted<'_>, TrustError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let of_origin = |party: &&Party| party.key.name().as_str() == checkpoint.origin();
        let keys: Vec<&VerifierKey> = self.logs.iter().filter(of_origin).map(Party::key).collect();
        if keys.is_empty() {
            return Err(TrustError::UnknownLog(checkpoint.origin().to_owned()));
        }
        let log = note.verify(keys).map_err(TrustError::Log)?;
        let witnesses = self.cosigned(note).map_err(TrustError::Witness)?;
        if self.is_quorum(&witnesses) {
            Ok(Accepted { checkpoint, log, witnesses })
        } else {
            Err(TrustError::Quorum(witnesses.len()))
        }
    }

    /// Whether the policy asks for cosignatures at all.
    #[must_use]
    pub const fn asks_for_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Whether enough witnesses have cosigned, whichever log has signed. False if a cosignature is wrong.
    #[must_use]
    pub fn has_quorum(&self, note: &Note) -> bool {
        self.cosigned(note).is_ok_and(|verified| self.is_quorum(&verified))
    }

    fn cosigned(&self, note: &Note) -> Result<Vec<Verified<'_>>, VerifyError> {
        match note.verify(self.witnesses.iter().map(Party::key)) {
            Err(VerifyError::NoKnownKey) => Ok(Vec::new()),
            verified => verified,
        }
    }

    fn is_quorum(&self, verified: &[Verified<'_>]) -> bool {
        let cosigned = |party: &Party| verified.iter().any(|verified| *verified.key == party.key);
        let witnesses: Vec<bool> = self.witnesses.iter().map(cosigned).collect();
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let holds = |groups: &[bool], member: &Member| match member {
            Member::Witness(place) => witnesses.get(*place).is_some_and(|holds| *holds),
            Member::Group(place) => groups.get(*place).is_some_and(|holds| *holds),
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| holds(&groups, member)).count();
            groups.push(count >= group.threshold);
        }
        self.quorum.is_none_or(|quorum| holds(&groups, &quorum))
    }
}

/// Why a policy does not trust a checkpoint. Retrying can't help, except that a checkpoint may get more cosignatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The policy has no log of this name.
    #[error("the policy has no log named {0}")]
    UnknownLog(String),
    /// The log has not signed it.
    #[error("the log has not signed: {0}")]
    Log(#[source] VerifyError),
    /// A cosignature is wrong.
    #[error("a cosignature is wrong: {0}")]
    Witness(#[source] VerifyError),
    /// Too few of the witnesses have cosigned.
    #[error("the quorum is not reached: {0} witnesses of the policy have cosigned")]
    Quorum(usize),
}
