//! Whatever comes from outside.

use proptest::prelude::*;
use sealcard_oidc::{Algorithm, Claims, Discovery, Issuer, KeySet, Pattern, SignedToken, TokenError};
use serde_json::{Map, Value, json};

use super::issuer::{AUDIENCE, ISSUER, NOW, claims, issuer, now, verify};

fn algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn changed_token_is_refused(algorithm in algorithm(), at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
        let token = issuer().token(&claims(&json!({})), algorithm);
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert!(verify(&changed).is_err());
    }

    #[test]
    fn cut_token_is_refused(algorithm in algorithm(), at: prop::sample::Index) {
        let token = issuer().token(&claims(&json!({})), algorithm);
        prop_assert!(verify(&token[..at.index(token.len())]).is_err());
    }

    #[test]
    fn claims_of_one_token_do_not_go_with_the_signature_of_another(algorithm in algorithm(), sub in "[a-z]{1,8}") {
        let (first, second) = (json!({}), json!({"sub": format!("x{sub}")}));
        let (first, second) = (issuer().token(&claims(&first), algorithm), issuer().token(&claims(&second), algorithm));
        let (message, _) = first.rsplit_once('.').unwrap();
        let (_, signature) = second.rsplit_once('.').unwrap();
        prop_assert_eq!(verify(&format!("{message}.{signature}")), Err(TokenError::Signature));
    }

    #[test]
    fn token_is_accepted_in_its_time_only(issued in -90_000_i64..90_000, life in -200_i64..100_000) {
        let over = json!({"iat": NOW + issued, "nbf": null, "exp": NOW + issued + life});
        let accepted = verify(&issuer().token(&claims(&over), Algorithm::EdDsa)).is_ok();
        let ends = issued + life;
        let expected = ends > -60 && issued <= 60 && ends - issued.min(0) <= 86_400;
        prop_assert_eq!(accepted, expected);
    }

    #[test]
    fn only_the_right_issuer_and_audience_are_accepted(issuer_name in ".{0,40}", audience in ".{0,40}") {
        let over = json!({"iss": issuer_name, "aud": audience});
        let accepted = verify(&issuer().token(&claims(&over), Algorithm::EdDsa)).is_ok();
        prop_assert_eq!(accepted, issuer_name == ISSUER && audience == AUDIENCE);
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text: String) {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn any_header_is_refused_without_its_key(header: Vec<u8>, payload: Vec<u8>, signature: Vec<u8>) {
        let part = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let token = format!("{}.{}.{}", part(&header), part(&payload), part(&signature));
        prop_assert!(verify(&token).is_err());
    }

    #[test]
    fn any_bytes_are_a_key_set_or_an_error(bytes: Vec<u8>) {
        prop_assert!(KeySet::parse(&bytes).is_err());
        prop_assert!(Discovery::parse(&bytes, &Issuer::parse(ISSUER).unwrap()).is_err());
    }

    #[test]
    fn pattern_without_stars_is_the_value(value in "[a-z/]{0,12}", other in "[a-z/]{0,12}") {
        prop_assert_eq!(Pattern::Ref(value.clone()).matches(&other), value == other);
    }

    #[test]
    fn pattern_matches_what_is_put_into_it(
        pieces in prop::collection::vec("[ab/]{0,3}", 1..5),
        filling in "[ab]{0,3}",
    ) {
        let pattern = Pattern::Ref(pieces.join("*"));
        prop_assert!(pattern.matches(&pieces.join(&filling)));
    }

    #[test]
    fn pattern_agrees_with_trying_everything(pattern in "[ab*/]{0,8}", value in "[ab/]{0,8}") {
        prop_assert_eq!(Pattern::Ref(pattern.clone()).matches(&value), naive(pattern.as_bytes(), value.as_bytes()));
    }

    #[test]
    fn claim_is_found_by_its_name_and_pointer(name in "[a-z./~]{1,8}", inner in "[a-z/~]{1,8}") {
        let escaped = |text: &str| text.replace('~', "~0").replace('/', "~1");
        let mut map = Map::new();
        map.insert(name.clone(), json!({ inner.clone(): "found" }));
        let claims = Claims::from(map);
        let pointer = format!("/{}/{}", escaped(&name), escaped(&inner));
        prop_assert_eq!(claims.text(&pointer), Some("found"));
        if !name.starts_with('/') {
            prop_assert!(claims.get(&name).is_some_and(Value::is_object));
        }
    }
}

/// The slow and obvious way.
fn naive(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern.split_first(), value.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            naive(rest, value)
                || value.split_first().is_some_and(|(first, after)| *first != b'/' && naive(pattern, after))
        }
        (Some((wanted, rest)), Some((found, after))) => wanted == found && naive(rest, after),
        _ => false,
    }
}

#[test]
fn token_without_a_check_gives_no_claims() {
    let token = issuer().token(&claims(&json!({})), Algorithm::EdDsa);
    let parsed = SignedToken::parse(&token).unwrap();
    assert_eq!((parsed.claimed_issuer(), parsed.key()), (ISSUER, (Some("ed"), Algorithm::EdDsa)));
    // What was parsed shows nothing of its claims, also not in logs.
    assert_eq!(format!("{parsed:?}"), "SignedToken { algorithm: EdDsa, .. }");
    assert!(!format!("{:?}", parsed.verify(&issuer().keys(), ISSUER, &[AUDIENCE], now()).unwrap()).contains("job"));
}
