//! `sealcard-audit`: checks the log of a Sealcard record from a folder or over the network. It has no code of the server,
//! and trusts nothing but the keys that its user names.
//!
//! ```text
//! checkpoint ─▶ trust.rs      signed by the log, cosigned by witnesses
//!     └─▶ tree.rs             each tile against the one above it, from the checkpoint's root downwards
//!            └─▶ verify.rs    each leaf against its tile, each entry against its leaf, uses against journals
//! ```

mod cli;
mod consistency;
mod finding;
mod follow;
mod generate;
mod output;
mod source;
mod state;
mod tree;
mod trust;
mod verify;
mod witness;

pub use cli::main;
