//! An OpenPGP smart card (OpenPGP application 3.4.1 on ISO 7816-4) as a sans-I/O state machine.
//!
//! [`Card`] is the persistent state, [`Session`] one client's view of it. The caller feeds command APDUs to
//! [`Session::command`] and gets either the response APDU or a [`KeyOperation`], which it performs wherever the private
//! key is and hands back to [`Session::complete`]. Private keys are never part of the card.

mod operation;

pub use operation::{KeyOperation, OperationError, SignInput};
