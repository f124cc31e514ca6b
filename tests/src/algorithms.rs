//! The algorithms a playground has keys of: all that there are.

pub use sealcard_api::algorithm::KeyAlgorithm as Algorithm;

/// The environment variable that holds the fingerprint of a playground's key.
#[must_use]
pub fn key_variable(algorithm: Algorithm) -> String {
    format!("SEALCARD_KEY_{}", algorithm.name().to_uppercase())
}
