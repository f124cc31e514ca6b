//! The wire contract of the Sealcard server and its clients.
//!
//! Types only: what travels over HTTPS under `/v1`, in JSON. Binary values are standard base64 with padding
//! ([`Bytes`], RFC 4648 section 4), fingerprints and card serial numbers upper-case hexadecimal, times RFC 3339 in UTC
//! with whole seconds ([`Timestamp`]). Unknown fields in requests are errors; clients ignore unknown fields in answers.

pub mod admin;
pub mod algorithm;
pub mod approvals;
pub mod cards;
pub mod clock;
pub mod context;
pub mod decisions;
pub mod encoding;
pub mod flows;
pub mod grants;
pub mod ids;
pub mod import;
pub mod key_ref;
pub mod key_rules;
pub mod keys;
pub mod life;
pub mod log;
pub mod merge;
pub mod notices;
pub mod operations;
pub mod problem;
pub mod record;
pub mod requests;
pub mod roles;
pub mod rule_trials;
pub mod rules;
pub mod sinks;
pub mod ssh;
pub mod status;
pub mod text;
pub mod tokens;

pub use encoding::{Bytes, CardSerial, Fingerprint, Timestamp};
pub use key_ref::{KeyName, KeyRef};

/// Request header of an operation with a private key: one value for one use, however often the request is repeated.
/// Any UUID; best one of version 7 (RFC 9562 section 5.7), because the server's index of them grows at its end then.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// Answer header: the request id, which also stands in the record, in the logs and in every [`problem::Problem`].
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Answer header: the number that grows with every change of what cards and keys a client may see.
pub const REGISTRY_VERSION_HEADER: &str = "sealcard-registry-version";

/// The header in each answer with the release of the server that gave it, such as `0.1.0`: several servers behind one
/// address may be of two releases while they are upgraded.
pub const RELEASE_HEADER: &str = "sealcard-release";

/// The header in each answer with the seconds that the server gives one request. Clients wait for twice as long: a
/// broken connection costs one repetition.
pub const REQUEST_SECONDS_HEADER: &str = "sealcard-request-seconds";

/// The largest request body that the server reads, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
