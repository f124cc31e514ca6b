//! Files and packets, before anything in them is believed.

mod armor;
mod error;
mod frames;
mod key_fields;
mod part;

pub use armor::{Block, BlockKind, blocks};
pub use error::ReadError;
pub use frames::{Frame, FrameError, frames};
pub use key_fields::{fingerprint, public_part};
pub use part::{Part, tag};

pub(crate) use armor::armored;
pub(crate) use key_fields::algorithm_name;
pub(crate) use part::PartKind;
