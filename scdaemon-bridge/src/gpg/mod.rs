//! The person's GnuPG: running its tools, its agent's configuration, public keys and stubs.

pub mod agent_conf;
mod error;
mod keys;
mod run;

pub use error::GpgError;
pub use keys::{ImportSummary, KeyPlace};
pub use run::{AgentState, Gnupg, Version};
