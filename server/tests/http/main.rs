//! A real server behind real TLS, asked over HTTP. No signer is needed for what is tested here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod access;
mod clock;
mod connections;
mod contract;
mod documents;
mod flows;
mod harness;
mod identity;
mod key_rules;
mod keys;
mod log_files;
mod login;
mod merges;
mod overtaken;
mod passwords;
mod proxies;
mod record;
mod refusals;
mod requests;
mod roles;
mod signing_requests;
mod tables;
mod tls;
