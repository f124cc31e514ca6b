//! The replacement scdaemon.
//!
//! [`Daemon`] is what all connections share, [`Session`] one connection: the pipe from gpg-agent, or one on the socket.
//! Each group of commands has its own file. Everything that needs no private key is answered from the cache of cards;
//! only PKSIGN, PKAUTH and PKDECRYPT ask the server, and only they report its problems: any error of SERIALNO or
//! KEYINFO makes gpg ask the user to insert a card.

mod asking;
mod assignment;
mod attributes;
mod code;
mod command;
mod connection;
mod daemon;
mod digest;
mod executable;
mod failure;
mod getinfo;
mod holder;
mod keys;
mod learn;
mod listen;
mod lock;
mod log;
mod operations;
mod record;
mod refresh;
mod select;
mod serve;
mod session;
mod waiting;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use code::Code;
pub use command::{Command, Info, KeyFormat, KeyUsage, MAX_RANDOM};
pub use connection::Connection;
pub use daemon::Daemon;
pub use failure::Failure;
pub use holder::{Answer, KeyHolder, Misconfigured, Observer};
pub use listen::{Listener, socket_candidates};
pub use log::Log;
pub use serve::{ServeError, serve};
pub use session::{Peer, Session};
