//! The server's certificate and its TLS configuration: TLS 1.3 only, aws-lc-rs only.

mod issue;
mod reload;
mod renew;

pub use issue::{
    CA_FILE, CA_KEY_FILE, IssueError, default_names, default_pair, is_host_name, issue_server, issue_server_until,
    make_authority, replace_pair,
};
pub use reload::{ServerTls, TlsError};
pub use renew::{RENEW_BEFORE, Renewal, renew_if_due, validity};
