//! The harness of the end-to-end tests: starts the real server, sets up real GnuPG homes, and ends what it started.
//!
//! [`Playground`] is the whole system in one value; `cargo xtask demo`, `bench` and `playground` stand on it too.
//! Nothing in here sleeps for a guess: every wait is for an event and has a deadline.

mod admin;
mod algorithms;
mod balancer;
mod binaries;
mod database;
mod flavour;
mod gpg;
mod playground;
mod process;
mod samples;
mod scratch;
mod server;
mod template;
mod tokens;
mod workstation;

pub use admin::{Admin, Facts, KeyFacts, PROJECT, USER, provision};
pub use algorithms::{Algorithm, key_variable};
pub use balancer::Balancer;
pub use binaries::Binaries;
pub use database::{DatabaseKind, prepare_database};
pub use flavour::{Flavour, cache_folder, chroot_folder};
pub use gpg::{SignatureKind, good_signatures};
pub use playground::{Playground, PlaygroundBuilder};
pub use process::{Daemon, Finished, command_line, run, run_with_input, wait_until};
pub use scratch::Scratch;
pub use sealcard_test_cluster::Cluster;
pub use server::{Server, ServerBuilder};
pub use template::Template;
pub use tokens::{ENVIRONMENT, Fault, KRYOPTIC_VERSION, P11Kit, Shim, StoreKind, Token, TokenKind, kryoptic_module};
pub use workstation::Workstation;
