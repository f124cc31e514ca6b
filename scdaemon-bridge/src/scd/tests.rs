//! Sessions against a daemon in this process.
