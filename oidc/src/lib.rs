//! Tokens of OpenID Connect issuers. Pure: no clock, no I/O, no state but what the caller keeps.
//!
//! [`SignedToken::parse`] reads a token that nobody has checked yet; [`SignedToken::verify`] gives its claims
//! ([`Token`]) if one of the issuer's keys signed it for us and it is valid now. [`KeySet`] and [`Discovery`] read what
//! issuers publish, and [`KeyCache`] says when to fetch it. [`Trust`] says which CI jobs may log in, by claims that
//! the job can't choose, and [`select`] finds the one trust that a token matches.
//!
//! The signature is checked by the crate `jsonwebtoken` with aws-lc-rs. Everything else is checked here, because that
//! crate reads the system's clock, accepts several issuers in one token, and knows neither a limit of a token's life nor
//! one of its size.

mod cache;
mod discovery;
mod job;
mod keys;
mod platform;
mod token;
mod trust;

pub use cache::{KeyCache, Next};
pub use discovery::{Discovery, Issuer, IssuerError};
pub use job::Job;
pub use keys::{Algorithm, Key, KeySet, KeySetError};
pub use platform::Platform;
pub use token::{Claims, SignedToken, Token, TokenError};
pub use trust::{Check, ClaimName, Pattern, Selection, Trust, TrustError, Verdict, select};

/// The largest token, in bytes. Those of the platforms have 1 to 3 KiB.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The largest set of keys, and the largest answer of a discovery, in bytes.
pub const MAX_DOCUMENT: usize = 64 * 1024;

/// The most keys of an issuer.
pub const MAX_KEYS: usize = 64;

/// By how many seconds the issuer's clock and ours may differ.
pub const LEEWAY: i64 = 60;

/// The longest life of a token that is accepted, in seconds.
pub const MAX_LIFE: i64 = 86_400;
