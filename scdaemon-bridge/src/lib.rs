//! The workstation's side: the replacement scdaemon, and the `sealcard` command.
//!
//! `assuan` and `scd` speak with gpg-agent, `cards` holds what is known of the cards without asking anyone, `remote`
//! asks the server, `grant` keeps what a login gave, `trace` notes what is done while it is switched on, `program` runs
//! foreign programs, `gpg`, `tools` and `cli` serve the person, `openpgp` makes and verifies signatures of files, `os`
//! knows how the operating systems differ.

pub mod assuan;
pub mod cards;
pub mod cli;
pub mod config;
pub mod gpg;
pub mod grant;
pub mod import;
pub mod last;
pub mod openpgp;
pub mod os;
pub mod program;
pub mod remote;
pub mod scd;
pub mod signatures;
pub mod tools;
pub mod trace;
