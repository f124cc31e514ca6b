//! The tools that call gpg: git, rpm's and Debian's. Their own configuration names the key, so that no fingerprint is
//! copied by hand.

mod debian;
mod default_key;
mod git;
mod program;
mod rpm;

pub use debian::Debian;
pub use default_key::DefaultKey;
pub use git::{Git, GitChange, Scope, Undone, signing_key};
pub use program::{is_installed, search_path};
pub use rpm::Rpm;
