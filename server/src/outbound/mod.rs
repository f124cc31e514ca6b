//! Connections that the server opens to others than its database and signers: to receivers of notices and of the record.

mod client;
mod target;

pub use self::client::retry_after;
pub(crate) use self::{
    client::{Connecting, Identity, TargetError, failure_reason, read_pem},
    target::{Resolver, check_address, check_literal, is_local},
};
