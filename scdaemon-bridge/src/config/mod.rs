//! Where files are, and the configuration.
