//! The outbox with real receivers: webhooks behind TLS that answer as they are told. Nothing else of a server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod harness;
mod receiver;
mod signatures;
mod webhooks;
