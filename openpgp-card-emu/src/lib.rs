//! An OpenPGP smart card (OpenPGP application 3.4.1 on ISO 7816-4) as a sans-I/O state machine.
//!
//! [`Card`] is the persistent state, [`Session`] one client's view of it. The caller feeds command APDUs to
//! [`Session::command`] and gets either the response APDU or a [`KeyOperation`], which it performs wherever the private
//! key is and hands back to [`Session::complete`]. Private keys are never part of the card.
//!
//! [`host`] is the other side: it builds commands and reads responses.
//!
//! Sections named in this crate are those of "Functional Specification of the OpenPGP application on ISO Smart Card
//! Operating Systems", version 3.4.1.

mod attributes;
mod card;
mod command;
mod data;
pub mod host;
mod operation;
mod pin;
mod session;
mod state;
mod tlv;

pub use attributes::{AlgorithmAttributes, Curve, CurveKind, ImportFormat};
pub use card::{Card, CardProfile, KeySlot, PublicKey, Slot, UserInteraction};
pub use iso7816::Status;
pub use operation::{KeyOperation, OperationError, SignInput};
pub use pin::{Password, PasswordTooLongError, Passwords, PinPolicy, SigningValidity};
pub use session::{Session, Step};
