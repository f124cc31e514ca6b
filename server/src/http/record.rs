//! Resource: record.
