//! Resource: keys.
