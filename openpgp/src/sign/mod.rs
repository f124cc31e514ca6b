//! OpenPGP signatures of files, hashed and assembled here and made by a server.
//!
//! [`SigningKey`] is what a card says of its signing key; a [`Draft`] is a signature that lacks only what the server
//! makes; [`Cleartext`] is a text that waits for one.

mod cleartext;
mod draft;
mod error;
mod key;

pub use cleartext::Cleartext;
pub use draft::{Draft, Form, Seed};
pub use error::SignatureError;
pub use key::SigningKey;
