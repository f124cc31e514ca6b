//! Tokens of issuers, and what issuers publish.

use sealcard_api::Timestamp;
use sealcard_oidc::{Algorithm, Discovery, Issuer, KeyCache, KeySet, Next, SignedToken};

/// Public keys whose private halves nobody has.
const KEYS: &str = include_str!("../../corpus/oidc_keys/one-of-each-kind.json");

/// A token that nobody signed.
///
/// # Panics
///
/// When it is accepted, or when it is parsed and its issuer or key can't be looked for.
pub fn oidc_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(token) = SignedToken::parse(text) else { return };
    assert!(!format!("{token:?}").contains("eyJ"), "a token is not shown");
    let keys = KeySet::parse(KEYS.as_bytes());
    assert!(keys.is_ok(), "the keys can be read");
    let Ok(keys) = keys else { return };
    let (issuer, now) = (token.claimed_issuer().to_owned(), Timestamp::from_unix(1_796_000_000));
    assert!(token.verify(&keys, &issuer, &["https://sign.example.org"], now).is_err(), "nobody signed it");
}

/// A key set, and the answer of a discovery.
///
/// # Panics
///
/// When a key of the set is not found by its name, or keys are at an address that is not one of HTTPS.
pub fn oidc_keys(data: &[u8]) {
    if let Ok(Ok(discovery)) = Issuer::parse("https://issuer.example.org").map(|issuer| Discovery::parse(data, &issuer))
    {
        assert!(discovery.keys_url.starts_with("https://"), "keys are fetched over HTTPS");
    }
    let Ok(set) = KeySet::parse(data) else { return };
    let mut cache = KeyCache::default();
    let now = Timestamp::from_unix(0);
    cache.fetched(set.clone(), now);
    for key in set.keys() {
        let fitting: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(|algorithm| key.fits(*algorithm)).collect();
        assert!(!fitting.is_empty(), "a key without an algorithm is left out");
        for algorithm in fitting.into_iter().filter(|_| key.id().is_some()) {
            assert!(set.find(key.id(), algorithm).is_some_and(|found| found.id() == key.id()), "a key has its name");
            assert_eq!(cache.next((key.id(), algorithm), now), Next::Use(&set), "fetched keys are used");
        }
    }
}
