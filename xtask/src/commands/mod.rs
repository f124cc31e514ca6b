//! The commands, a file each.

pub(crate) mod bench;
pub(crate) mod boundaries;
pub(crate) mod cross;
pub(crate) mod demo;
pub(crate) mod dist;
pub(crate) mod dist_docs;
pub(crate) mod fuzz;
pub(crate) mod playground;
pub(crate) mod test;
