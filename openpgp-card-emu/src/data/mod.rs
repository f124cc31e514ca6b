//! The data objects (section 4.4): a table of them, and a file for each that has an inner structure.

mod capabilities;
mod keys;
mod password_status;
mod table;

pub(crate) use capabilities::{MAX_APDU_BYTES, MAX_CHALLENGE_BYTES};
pub(crate) use table::{CERTIFICATE, find, value};
