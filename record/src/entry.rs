//! Entries: an event with its place in the log.

use std::net::IpAddr;

use sealcard_api::{Timestamp, ids::RequestId};
use sealcard_transparency::{Frontier, Leaf, LeafError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Actor, Event, Salt, Sha256};

/// The version of the form of entries that this crate writes.
pub const SCHEMA: u32 = 1;

/// The longest entry, in bytes.
pub const MAX_ENTRY: usize = 65_535;

/// An event before it has its place in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The request that caused it.
    pub request_id: RequestId,
    /// Who caused it. Absent if the server did by itself, or if nobody was authenticated.
    pub actor: Option<Actor>,
    /// The address that the request came from.
    pub peer: Option<IpAddr>,
    /// What happened. Never holds a secret.
    pub event: Event,
}

impl Draft {
    /// An event that a request caused.
    pub fn new(request_id: RequestId, event: Event) -> Self {
        Self { request_id, actor: None, peer: None, event }
    }

    /// An event that the server caused by itself, under a request id of its own.
    pub fn of_server(event: Event) -> Self {
        Self::new(RequestId::new(), event)
    }

    /// The same event, caused by this principal.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }

    /// The same event, requested from this address.
    #[must_use]
    pub fn from_peer(self, peer: IpAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// Gives the event its place: the one with this number. Texts of others, such as errors and user ids, are cut if the
    /// entry is too long otherwise: what one request brings must not keep the entries of others out.
    ///
    /// # Errors
    /// If the entry is longer than [`MAX_ENTRY`] all the same, or its event is unknown.
    pub fn place(self, sequence: u64, time: Timestamp, salt: Salt) -> Result<Placed, BodyError> {
        let Self { request_id, actor, peer, event } = self;
        let mut body = Body { schema: SCHEMA, sequence, time, request_id, actor, peer, event };
        let mut text = serde_json::to_string(&body)?;
        if text.len() > MAX_ENTRY {
            body.event.shorten();
            text = serde_json::to_string(&body)?;
        }
        if text.len() > MAX_ENTRY {
            return Err(BodyError::TooLong(text.len()));
        }
        let hash = leaf_of(time, body.event.name(), &salt, &text)?.hash();
        Ok(Placed { body, text, salt, hash: Sha256(hash.0) })
    }
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// What it tells.
    pub body: Body,
    /// The bytes that are stored.
    pub text: String,
    /// What keeps the bytes from being guessed once they are gone.
    pub salt: Salt,
    /// The hash of its leaf in the log.
    pub hash: Sha256,
}

/// The leaf of an entry in the log.
///
/// # Errors
/// If the event's name is none. Retrying can't help.
pub fn leaf_of(time: Timestamp, event: &str, salt: &Salt, text: &str) -> Result<Leaf, BodyError> {
    let time = u64::try_from(time.unix()).unwrap_or_default();
    Ok(Leaf::new(time, event, &salt.0, text.as_bytes())?)
}

/// The content of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The version of its form: see [`SCHEMA`].
    pub schema: u32,
    /// 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// When it was written, by the server's clock.
    pub time: Timestamp,
    /// The request that caused it.
    pub request_id: RequestId,
    /// Who caused it: see [`Draft::actor`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<Actor>,
    /// The address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<IpAddr>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// An entry with what the log knows of it, as the server answers and exports it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// The hash of the entry's leaf.
    pub hash: Sha256,
    /// The entry's salt.
    pub salt: Salt,
    /// The entry: exactly the bytes that the leaf commits to. They are a JSON object themselves.
    pub entry: Box<RawValue>,
}

impl Line {
    /// What it tells.
    ///
    /// # Errors
    /// If it is no entry. Retrying can't help.
    pub fn body(&self) -> Result<Body, BodyError> {
        parse(self.entry.get())
    }
}

/// Reads an entry's bytes. An event of a newer schema that can't be read is [`Event::Unknown`].
///
/// # Errors
/// If they are no entry. Retrying can't help.
pub fn parse(text: &str) -> Result<Body, BodyError> {
    if text.len() > MAX_ENTRY {
        return Err(BodyError::TooLong(text.len()));
    }
    let error = match serde_json::from_str(text) {
        Ok(body) => return Ok(body),
        Err(error) => error,
    };
    match serde_json::from_str(text) {
        Ok(Frame { schema, sequence, time, request_id, .. }) if schema > SCHEMA => {
            Ok(Body { schema, sequence, time, request_id, actor: None, peer: None, event: Event::Unknown })
        }
        _ => Err(error.into()),
    }
}

/// What an entry of every schema has.
#[derive(Deserialize)]
struct Frame<'a> {
    schema: u32,
    sequence: u64,
    time: Timestamp,
    request_id: RequestId,
    #[serde(borrow)]
    event: std::borrow::Cow<'a, str>,
}

/// The leaf of an entry with these bytes.
///
/// # Errors
/// If they are no entry. Retrying can't help.
pub fn leaf(text: &str, salt: &Salt) -> Result<Leaf, BodyError> {
    let Frame { time, event, .. } = serde_json::from_str(text)?;
    leaf_of(time, &event, salt, text)
}

/// Its hash.
///
/// # Errors
/// As [`leaf`].
pub fn leaf_hash(text: &str, salt: &Salt) -> Result<Sha256, BodyError> {
    Ok(Sha256(leaf(text, salt)?.hash().0))
}

/// Why bytes are no entry, or an event can't become one. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not the JSON that is expected.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The event's name is none.
    #[error("{0}")]
    Leaf(#[from] LeafError),
    /// Longer than [`MAX_ENTRY`].
    #[error("an entry of {0} bytes, of at most {MAX_ENTRY}")]
    TooLong(usize),
}

/// The end of the record: what proves all entries up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest entry's number, 0 if there is none.
    pub sequence: u64,
    /// The root of the log with all entries.
    pub root: Sha256,
}

impl Head {
    /// The end of the record with this log.
    #[must_use]
    pub fn of(log: &Frontier) -> Self {
        Self { sequence: log.size(), root: Sha256(log.root().0) }
    }
}
