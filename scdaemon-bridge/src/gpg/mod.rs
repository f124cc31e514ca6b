//! The person's GnuPG: running its tools, its agent's configuration, public keys and stubs.

pub mod agent_conf;
mod error;
mod keys;
mod run;
mod stubs;

pub use error::GpgError;
pub use keys::Imported;
pub use run::{AgentState, Gnupg, Version};
pub use stubs::{CardKey, KeyPlace};
