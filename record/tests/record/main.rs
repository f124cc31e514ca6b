//! The record's form, and what a verification finds.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod fold;
mod fold_approvals;
mod format;
mod samples;
mod verify;
