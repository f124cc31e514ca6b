//! When an issuer's keys are fetched.

use sealcard_api::Timestamp;
use sealcard_oidc::{Algorithm, KeyCache, KeySet, Next};
use serde_json::json;

use super::issuer::issuer;

const KNOWN: (Option<&str>, Algorithm) = (Some("p256"), Algorithm::Es256);
const NEW: (Option<&str>, Algorithm) = (Some("rotated"), Algorithm::Es256);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_000_000 + seconds)
}

fn fetched() -> KeyCache {
    let mut cache = KeyCache::default();
    cache.fetched(issuer().keys(), at(0));
    cache
}

#[test]
fn keys_are_used_for_an_hour() {
    assert_eq!(KeyCache::default().next(KNOWN, at(0)), Next::Fetch);
    let cache = fetched();
    assert_eq!(cache.next(KNOWN, at(3599)), Next::Use(&issuer().keys()));
    assert_eq!(cache.next(KNOWN, at(3600)), Next::Fetch);
}

#[test]
fn unknown_key_is_fetched_once_a_minute() {
    let mut cache = fetched();
    assert_eq!(cache.next(NEW, at(59)), Next::UnknownKey);
    assert_eq!(cache.next(NEW, at(60)), Next::Fetch);
    cache.failed(at(60));
    assert_eq!(cache.next(NEW, at(119)), Next::UnknownKey);
    assert_eq!(cache.next(KNOWN, at(61)), Next::Use(&issuer().keys()));
}

#[test]
fn rotated_key_is_found_after_one_fetch() {
    let mut cache = fetched();
    let mut key = issuer().jwk(Algorithm::Es256);
    key["kid"] = json!("rotated");
    let rotated = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    cache.fetched(rotated.clone(), at(100));
    assert_eq!(cache.next(NEW, at(101)), Next::Use(&rotated));
    assert_eq!(cache.next(KNOWN, at(101)), Next::UnknownKey);
}

#[test]
fn old_keys_serve_a_day_while_the_issuer_is_down() {
    let mut cache = fetched();
    assert_eq!(cache.next(KNOWN, at(7200)), Next::Fetch);
    cache.failed(at(7200));
    assert_eq!(cache.next(KNOWN, at(7201)), Next::Use(&issuer().keys()));
    assert_eq!(cache.next(KNOWN, at(7260)), Next::Fetch);
    cache.failed(at(86_399));
    assert_eq!(cache.next(KNOWN, at(86_399)), Next::Use(&issuer().keys()));
    assert_eq!(cache.next(KNOWN, at(86_400)), Next::Unavailable);
}

#[test]
fn clock_that_went_back_leads_to_a_fetch() {
    assert_eq!(fetched().next(KNOWN, at(-1)), Next::Fetch);
}
