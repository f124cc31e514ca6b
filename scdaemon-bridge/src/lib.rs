//! The workstation's side: the replacement scdaemon, and the `sealcard` command.
//!
//! `assuan` and `scd` speak with gpg-agent, `cards` holds what is known of the cards without asking anyone, `claims`
//! finds out what to say of a use, `remote` asks the server, `waiting` tells people of uses that wait for an approval,
//! `grant` keeps what a login gave, `trace` notes what is done while it is switched on, `program` runs foreign programs, `gpg`, `tools` and `cli` serve the person, `os` knows how the operating systems differ.
//! Certificates, signatures of files and exported keys are in `sealcard_openpgp` and `sealcard_openpgp_import`, which
//! `cli` alone uses.

pub mod assuan;
pub mod cards;
pub mod claims;
pub mod cli;
pub mod config;
pub mod gpg;
pub mod grant;
pub mod last;
mod local_time;
pub mod os;
pub mod program;
pub mod remote;
pub mod scd;
pub mod signatures;
pub mod tools;
pub mod trace;
pub mod waiting;
pub mod witness;
