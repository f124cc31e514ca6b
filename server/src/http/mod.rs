//! The HTTP side: the accept loop, the framework and a file for each resource.

pub mod error;

pub mod cards;
pub mod environments;
pub mod keys;
pub mod operations;
pub mod record;
