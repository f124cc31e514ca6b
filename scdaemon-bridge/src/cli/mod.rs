//! The `sealcard` command.
