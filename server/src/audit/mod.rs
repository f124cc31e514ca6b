//! The record: every key use, denial and change, append-only and chained.
