//! What a workstation may show as cards: `GET /v1/cards`. Public facts only.

use serde::{Deserialize, Serialize};

use crate::{
    CardSerial, Fingerprint, Timestamp,
    algorithm::KeyAlgorithm,
    ids::{KeyId, ProjectId},
    keys::{Component, KeyState, Revoked},
};

/// Answer of `GET /v1/cards`: one card for each key of a project in which the caller has the role key-user, whatever
/// state the key is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CardList {
    /// The server's own id, made at `init`: tells two servers apart.
    pub server_id: uuid::Uuid,
    /// Grows with every change of keys, cards and memberships.
    pub registry_version: u64,
    /// The cards: those of revoked keys last, otherwise oldest key first.
    pub cards: Vec<Card>,
    /// Whether the caller may use more keys than are listed.
    #[serde(default)]
    pub truncated: bool,
}

/// One virtual card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Card {
    /// The signing key that this card shows.
    pub key_id: KeyId,
    /// The key's name, unique in its project.
    pub name: String,
    /// The project's id.
    pub project_id: ProjectId,
    /// The project's name.
    pub project: String,
    /// Allocated at creation, unique, never reused.
    pub serial: CardSerial,
    /// The key's algorithm.
    pub algorithm: KeyAlgorithm,
    /// The certificate's first user id, such as `Release <release@example.org>`.
    pub user_id: String,
    /// The certificate's fingerprint (that of its primary key).
    pub fingerprint: Fingerprint,
    /// The component keys with a slot on the card, in the order of the slots.
    pub components: Vec<Component>,
    /// Signatures made with the card so far, for the card's signature counter.
    pub signatures: u64,
    /// Whether the key may be used, and why not.
    pub state: KeyState,
    /// What its revocation says, in the state `revoked`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<Revoked>,
    /// When the key's use ends: that of its signing key, or without one the last of the others'.
    pub expires: Option<Timestamp>,
    /// The certificate, ASCII-armored (RFC 9580 section 6.2).
    pub certificate: String,
}
