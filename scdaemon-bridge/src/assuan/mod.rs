//! The Assuan protocol, from the server's side: bytes in, bytes out, no sockets.
//!
//! [`LineBuffer`] cuts what arrives into lines, [`CommandLine`] reads one, [`Reply`] builds the answer. Lines have at
//! most [`MAX_LINE`] bytes and a line feed (libassuan manual, "Server responses" and "Client requests").

mod command;
mod escape;
mod line;
mod reply;

pub use command::{CommandLine, InquiryLine, Options};
pub use escape::{escape_status, hex_upper, unescape};
pub use line::{Incoming, LineBuffer};
pub use reply::Reply;

/// Bytes of a line without its line feed.
pub const MAX_LINE: usize = 1000;
