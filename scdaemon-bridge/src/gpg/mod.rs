//! The person's GnuPG: running its tools, its agent's configuration, public keys and stubs.

pub mod agent_conf;
mod error;
mod keys;
mod ownertrust;
mod run;
mod stubs;
mod trusted;

pub use error::GpgError;
pub use keys::Imported;
pub use ownertrust::{ULTIMATE_TRUST, UNKNOWN_TRUST};
pub use run::{AgentState, Gnupg, Version};
pub use stubs::{CardKey, KeyPlace};
pub use trusted::TrustedKeys;
