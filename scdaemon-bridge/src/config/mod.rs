//! Where things lie on a workstation, and what `config.toml` says.
//!
//! Two folders: the configuration (`config.toml`, a pinned CA, the proxy, and the grant where no keyring holds it) and
//! the state (the cache of cards, what the last operation came to). [`Paths`] finds them even with an empty
//! environment, because `sealcard setup` leaves a [`mod@pointer`] in the GnuPG home.

pub mod block;
mod certificate;
mod error;
pub mod files;
mod paths;
pub mod pointer;
mod proxy;
mod safe_path;
mod settings;
mod ssh;

pub use certificate::CertificateFacts;
pub use error::ConfigError;
pub use paths::{Paths, gnupg_home, home};
pub use proxy::{Exceptions, Proxy, ProxyChoice, ProxyError};
pub use settings::{CertificateFingerprint, Config, FingerprintError, GrantStore, Trust};
pub use ssh::SshKeys;
