//! Entries: an event with its place in the chain.

use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256};
use sealcard_api::{Timestamp, ids::RequestId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Actor, Event, Sha256};

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

    /// Gives the event its place behind `head`. Texts of others, such as errors and user ids, are cut if the entry is
    /// too long otherwise: what one request brings must not keep the entries of others out.
    ///
    /// # Errors
    /// If the entry is longer than [`MAX_ENTRY`] all the same.
    pub fn place(self, head: &Head, time: Timestamp) -> Result<Placed, BodyError> {
        let Self { request_id, actor, peer, event } = self;
        let sequence = head.sequence.saturating_add(1);
        let mut body = Body { schema: SCHEMA, sequence, time, request_id, actor, peer, event };
        let mut text = serde_json::to_string(&body)?;
        if text.len() > MAX_ENTRY {
            body.event.shorten();
            text = serde_json::to_string(&body)?;
        }
        if text.len() > MAX_ENTRY {
            return Err(BodyError::TooLong(text.len()));
        }
        Ok(Placed { head: head.next(&text), body, text })
    }
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The end of the chain with this entry.
    pub head: Head,
    /// What it tells.
    pub body: Body,
    /// The bytes that are hashed and stored.
    pub text: String,
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

/// An entry with its hash, as the server answers and exports it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// The entry's hash.
    pub hash: Sha256,
    /// The entry: exactly the bytes that were hashed. They are a JSON object themselves.
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
    /// What an entry of every schema has.
    #[derive(Deserialize)]
    struct Frame {
        schema: u32,
        sequence: u64,
        time: Timestamp,
        request_id: RequestId,
    }
    if text.len() > MAX_ENTRY {
        return Err(BodyError::TooLong(text.len()));
    }
    let error = match serde_json::from_str(text) {
        Ok(body) => return Ok(body),
        Err(error) => error,
    };
    match serde_json::from_str(text) {
        Ok(Frame { schema, sequence, time, request_id }) if schema > SCHEMA => {
            Ok(Body { schema, sequence, time, request_id, actor: None, peer: None, event: Event::Unknown })
        }
        _ => Err(error.into()),
    }
}

/// Why bytes are no entry, or an event can't become one. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not the JSON that is expected.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Longer than [`MAX_ENTRY`].
    #[error("an entry of {0} bytes, of at most {MAX_ENTRY}")]
    TooLong(usize),
}

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest entry's number, 0 if there is none.
    pub sequence: u64,
    /// Its hash, 32 zero bytes if there is none.
    pub hash: Sha256,
}

impl Head {
    /// The end of an empty record.
    pub const EMPTY: Self = Self { sequence: 0, hash: Sha256([0; 32]) };

    /// The end of the chain with one more entry of these bytes.
    #[must_use]
    pub fn next(&self, text: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.hash.0);
        context.update(text.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self { sequence: self.sequence.saturating_add(1), hash: Sha256(hash) }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::EMPTY
    }
}
