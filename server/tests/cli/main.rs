//! The command as a person and systemd use it: `init`, `serve`, `config`, `tls`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod configuration;
mod harness;
mod init;
mod installed;
mod serve;
