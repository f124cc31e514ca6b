//! The `sealcard-server` command.
