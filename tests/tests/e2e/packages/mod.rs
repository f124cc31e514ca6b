//! Packages and their repositories, signed and verified with the distributions' own tools.

mod debian;
mod repositories;
mod rpm;

pub(crate) use debian::{CHANGES, build_source, changes_of};
