//! Keys in a PKCS#11 token.
//!
//! One [`Token`] is open in a process, because a module is loaded and initialised once. All threads share it; each has
//! a session of its own while it works. What the module says is sorted by one table (`codes`): some return codes cost a
//! session, some the whole process, and whatever failed while a key was used is never tried again.
//!
//! - [`config`]: the file `token.toml`.
//! - `module`, `slots`, `token`: loading, finding, logging in.
//! - `pool`: sessions.
//! - `find`, `attributes`, `ec`, `handle`: which object is the key of a row.
//! - `sign`, `decrypt`, `padding`: uses.
//! - `make`, `shape`: making, adopting, destroying.
//! - `mechanisms`, `probe`: what the token can do.
//! - `codes`, `failure`, `watch`: what goes wrong.

mod attributes;
mod codes;
pub mod config;
mod decrypt;
mod ec;
mod failure;
mod find;
mod handle;
mod make;
mod mechanisms;
mod module;
mod padding;
mod pool;
mod probe;
mod shape;
mod sign;
mod slots;
mod token;
mod uri;
mod watch;

pub use failure::TokenError;
pub use handle::KeyHandle;
pub use token::Token;
pub use uri::{TokenUri, UriError};
pub use watch::TimedOutCall;
