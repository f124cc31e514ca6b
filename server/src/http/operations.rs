//! Resource: operations.
