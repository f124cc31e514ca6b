//! The protocol between a log and its witnesses (<https://c2sp.org/tlog-witness>), and the rules of a witness.

use std::fmt;

use crate::{
    Checkpoint, CheckpointError, Hash, MAX_PROOF, Note, NoteError, ProofError, Signature, TreeHead, VerifierKey,
    VerifyError,
    hash::sha256,
    note::{MAX_NOTE, parse_signatures},
    text::{line, number},
    verify_consistency,
};

/// The longest body of a request, in bytes.
pub const MAX_REQUEST: usize = MAX_NOTE + 4096;

/// The content type of the answer 409: its body is the size that the witness knows.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The path below a witness's monitoring prefix where its newest cosigned checkpoint of a log is: the SHA-256 of the
/// origin in hex, then `checkpoint`.
#[must_use]
pub fn monitoring_path(origin: &str) -> String {
    format!("{}/checkpoint", sha256(&[origin.as_bytes()]))
}

/// The body of `add-checkpoint`: a log asks a witness to cosign its newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the tree that the witness knows, as the log thinks.
    pub old: u64,
    /// Shows that the tree of the checkpoint begins with that one.
    pub proof: Vec<Hash>,
    /// The checkpoint, signed by the log.
    pub note: Note,
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST {
            return Err(RequestError::Note(NoteError::TooLong));
        }
        let text = std::str::from_utf8(body).map_err(|_| RequestError::Note(NoteError::Text))?;
        let (first, rest) = line(text).ok_or(RequestError::OldSize)?;
        let old = first.strip_prefix("old ").and_then(number).ok_or(RequestError::OldSize)?;
        let (proof, note) = parse_hashes(rest).ok_or(RequestError::Proof)?;
        Ok(Self { old, proof, note: Note::parse(note.as_bytes())? })
    }
}

/// The body of the request.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.note)
    }
}

/// Lines with a hash each up to an empty line, and what is after that. `None` if a line is no hash, or there are more
/// than [`MAX_PROOF`].
pub(crate) fn parse_hashes(mut text: &str) -> Option<(Vec<Hash>, &str)> {
    let mut hashes = Vec::new();
    loop {
        let (first, rest) = line(text)?;
        if first.is_empty() {
            return Some((hashes, rest));
        }
        if hashes.len() == MAX_PROOF {
            return None;
        }
        hashes.push(Hash::from_base64(first)?);
        text = rest;
    }
}

/// Why a body is no request. Retrying can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The first line is not `old` and a size.
    #[error("the first line must be \"old\" and the size of the older tree")]
    OldSize,
    /// A line of the proof is no hash, or there are too many.
    #[error("the proof must be at most {MAX_PROOF} lines with a hash in base64 each, then an empty line")]
    Proof,
    /// The note with the checkpoint is malformed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What a witness knows of a log.
#[derive(Debug, Clone, Copy)]
pub struct KnownLog<'a> {
    /// The keys of the log.
    pub keys: &'a [VerifierKey],
    /// The tree that was cosigned last; [`TreeHead::EMPTY`] if there is none.
    pub cosigned: TreeHead,
}

/// Decides whether a witness cosigns: the checks of `add-checkpoint` in their order. `find` gives what is known of the
/// log of an origin. The caller must store the new tree, before it gives out a cosignature, in the transaction that
/// read the old one: else two requests at once could make the log go back.
///
/// # Errors
/// If the witness must not cosign.
pub fn judge<'a>(
    request: &AddCheckpoint,
    find: impl FnOnce(&str) -> Option<KnownLog<'a>>,
) -> Result<Checkpoint, Refusal> {
    let checkpoint = Checkpoint::parse(request.note.text()).map_err(RequestError::from)?;
    let known = find(checkpoint.origin()).ok_or(Refusal::UnknownOrigin)?;
    request.note.verify(known.keys)?;
    check_growth(&known.cosigned, request.old, checkpoint.tree(), &request.proof)?;
    Ok(checkpoint)
}

/// Checks that `tree` only grew since `known`, the newest tree that was signed or seen: the part of [`judge`] without
/// signatures. `old` is the size that the proof starts from. A signer that holds a log's key checks this before it
/// signs.
///
/// # Errors
/// If it is not shown. None of the refusals is about signatures or origins.
pub fn check_growth(known: &TreeHead, old: u64, tree: &TreeHead, proof: &[Hash]) -> Result<(), Refusal> {
    if old > tree.size {
        return Err(Refusal::Backwards { old, size: tree.size });
    }
    if old != known.size {
        return Err(Refusal::Conflict { size: known.size });
    }
    if old == tree.size && known.root != tree.root {
        return Err(Refusal::Fork { size: old });
    }
    Ok(verify_consistency(known, tree, proof)?)
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: the body is no request. Retrying can't help.
    #[error("the request is malformed: {0}")]
    Malformed(#[from] RequestError),
    /// 404: the witness does not know the log. Retrying helps when it was added.
    #[error("the log of the checkpoint is not known here")]
    UnknownOrigin,
    /// 403: the log has not signed the checkpoint. Retrying can't help.
    #[error("the log has not signed the checkpoint: {0}")]
    Unsigned(#[from] VerifyError),
    /// 400: the older tree is the larger one. Retrying can't help.
    #[error("the older size {old} is larger than the size {size} of the checkpoint")]
    Backwards {
        /// The older size in the request.
        old: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// 409: the witness knows the log at another size. Retrying helps, from that size.
    #[error("the witness knows the log with {size} entries")]
    Conflict {
        /// The size that the witness has cosigned.
        size: u64,
    },
    /// 409: the log has signed another root for the same size, so the past was rewritten. Keep the request as proof.
    #[error("the log has signed two different trees with {size} entries")]
    Fork {
        /// The size of both.
        size: u64,
    },
    /// 422: the proof does not show that the log only grew. Keep the request: it may prove that the past was rewritten.
    #[error("the checkpoint is not shown to be consistent: {0}")]
    Inconsistent(#[from] ProofError),
}

impl Refusal {
    /// The status of the HTTP answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Backwards { .. } => 400,
            Self::Unsigned(_) => 403,
            Self::UnknownOrigin => 404,
            Self::Conflict { .. } | Self::Fork { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }

    /// The size in the body of the answer 409, which has [`SIZE_CONTENT_TYPE`]. The log recovers with it.
    #[must_use]
    pub const fn known_size(&self) -> Option<u64> {
        match self {
            Self::Conflict { size } | Self::Fork { size } => Some(*size),
            _ => None,
        }
    }

    /// The body of the answer: for 409 the size, for people the reason otherwise.
    #[must_use]
    pub fn body(&self) -> String {
        self.known_size().map_or_else(|| format!("{self}\n"), |size| format!("{size}\n"))
    }
}

/// What a witness answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: cosignatures, not verified. Add them to the checkpoint and verify that.
    Cosigned(Vec<Signature>),
    /// 409: the witness knows the log at this size. Send the proof from there.
    Conflict(u64),
    /// Any other status.
    Refused(u16),
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// If the body is not what belongs to the status.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, AnswerError> {
        let text = || std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_NOTE).ok_or(AnswerError(status));
        match status {
            200 => Ok(Self::Cosigned(parse_signatures(text()?).map_err(|_| AnswerError(status))?)),
            409 => {
                let size = text()?.strip_suffix('\n').and_then(number);
                Ok(Self::Conflict(size.ok_or(AnswerError(status))?))
            }
            _ => Ok(Self::Refused(status)),
        }
    }
}

/// The body of a witness's answer is malformed. Retrying may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the witness answered {0} with a body that does not belong to it")]
pub struct AnswerError(u16);
