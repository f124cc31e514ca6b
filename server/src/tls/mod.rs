//! The server's certificate and its TLS configuration: TLS 1.3 only, aws-lc-rs only.

mod issue;
mod reload;

pub use issue::{
    CA_FILE, CA_KEY_FILE, IssueError, default_names, default_pair, is_host_name, issue_server, make_authority,
};
pub use reload::{ServerTls, TlsError};
