//! Resource: environments.
