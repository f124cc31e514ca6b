//! What the project's commands share.

pub mod cargo;
pub mod interrupts;
pub mod output;
pub mod packages;
