//! The state machine of one key use.
