//! What came of the last operation, for `sealcard last`.
