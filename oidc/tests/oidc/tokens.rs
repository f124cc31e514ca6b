//! Which tokens are refused.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use sealcard_oidc::{Algorithm, KeySet, MAX_TOKEN, SignedToken, TokenError};
use serde_json::{Value, json};

use super::issuer::{AUDIENCE, ISSUER, NOW, claims, header, issuer, now, part, stranger, verify};

fn signed(over: &Value) -> String {
    issuer().token(&claims(over), Algorithm::Es256)
}

#[test]
fn token_of_each_algorithm_is_accepted() {
    for algorithm in Algorithm::ALL {
        let token = verify(&issuer().token(&claims(&json!({})), algorithm)).unwrap();
        assert_eq!((token.issuer.as_str(), token.expires.unix()), (ISSUER, NOW + 300), "{algorithm}");
        assert_eq!(token.claims.text("sub"), Some("job"));
    }
}

#[test]
fn audience_is_one_of_a_list() {
    verify(&signed(&json!({"aud": ["https://other.example", AUDIENCE]}))).unwrap();
    for wrong in [json!("https://sign.example.org"), json!([]), json!(["x"]), json!(format!("{AUDIENCE}/"))] {
        let refused = verify(&signed(&json!({ "aud": wrong }))).unwrap_err();
        assert!(matches!(&refused, TokenError::Audience { wanted, .. } if wanted.contains(AUDIENCE)), "{refused}");
    }
    for malformed in [json!(7), json!([AUDIENCE, 7]), json!({"a": AUDIENCE}), Value::Null] {
        let refused = verify(&signed(&json!({ "aud": malformed }))).unwrap_err();
        assert!(matches!(refused, TokenError::Claim { claim: "aud", .. }), "{refused}");
    }
}

#[test]
fn other_audiences_are_told_only_if_there_is_one() {
    let token = signed(&json!({"aud": "x"}));
    let parsed = SignedToken::parse(&token).unwrap();
    let refused = parsed.verify(&issuer().keys(), ISSUER, &[AUDIENCE, "secret"], now()).unwrap_err();
    assert!(!refused.to_string().contains("secret") && !refused.to_string().contains(AUDIENCE), "{refused}");
}

#[test]
fn issuer_is_compared_byte_by_byte() {
    for other in ["https://issuer.example.org/", "https://ISSUER.example.org", "https://issuer.example.com"] {
        assert_eq!(verify(&signed(&json!({ "iss": other }))), Err(TokenError::Issuer));
    }
    for malformed in [json!([ISSUER]), json!(1), Value::Null] {
        let refused = verify(&signed(&json!({ "iss": malformed }))).unwrap_err();
        assert!(matches!(refused, TokenError::Claim { claim: "iss", .. }));
    }
}

#[test]
fn times_count_with_a_leeway_of_a_minute() {
    verify(&signed(&json!({"exp": NOW - 59}))).unwrap();
    verify(&signed(&json!({"nbf": NOW + 60, "iat": NOW + 60}))).unwrap();
    verify(&signed(&json!({"exp": NOW + 86_390}))).unwrap();
    // Kubernetes has no `nbf` in some versions, others write fractions.
    verify(&signed(&json!({"nbf": null, "exp": NOW as f64 + 10.5}))).unwrap();
    assert_eq!(verify(&signed(&json!({"exp": NOW - 60}))), Err(TokenError::Expired(60)));
    assert_eq!(verify(&signed(&json!({"nbf": NOW + 61}))), Err(TokenError::NotYet(61)));
    assert_eq!(verify(&signed(&json!({"iat": NOW + 61}))), Err(TokenError::NotYet(61)));
    assert_eq!(verify(&signed(&json!({"exp": NOW + 86_391}))), Err(TokenError::TooLong(86_401)));
    assert_eq!(verify(&signed(&json!({"iat": null, "exp": NOW + 86_401}))), Err(TokenError::TooLong(86_401)));
    // A token can't begin its life in the future to make it look short.
    assert_eq!(verify(&signed(&json!({"iat": NOW + 50, "exp": NOW + 86_401}))), Err(TokenError::TooLong(86_401)));
    for (claim, value) in
        [("exp", json!("1796000300")), ("exp", json!(-1)), ("nbf", json!(true)), ("iat", json!(1e300))]
    {
        let refused = verify(&signed(&json!({ claim: value }))).unwrap_err();
        assert!(matches!(refused, TokenError::Claim { claim: found, .. } if found == claim), "{refused}");
    }
    assert!(matches!(verify(&signed(&json!({"exp": null}))), Err(TokenError::Claim { claim: "exp", .. })));
}

#[test]
fn unsigned_and_symmetric_tokens_are_refused() {
    for name in ["none", "None", "NONE", "HS256", "HS384", "HS512", "RS512", "ES512", "es256", ""] {
        let message = format!("{}.{}", part(&json!({"alg": name, "kid": "rsa"})), part(&claims(&json!({}))));
        for signature in ["", "AAAA"] {
            let refused = verify(&format!("{message}.{signature}")).unwrap_err();
            assert_eq!(refused, TokenError::Algorithm(name.to_owned()));
        }
    }
    let refused = verify(&format!("{}.{}.", part(&json!({"kid": "rsa"})), part(&claims(&json!({}))))).unwrap_err();
    assert!(matches!(refused, TokenError::Part { part: "header", .. }));
}

#[test]
fn public_key_is_never_a_secret() {
    let message = format!("{}.{}", part(&json!({"alg": "HS256", "kid": "rsa"})), part(&claims(&json!({}))));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &issuer().rsa_public_der());
    let tag = BASE64URL_NOPAD.encode(hmac::sign(&key, message.as_bytes()).as_ref());
    assert_eq!(verify(&format!("{message}.{tag}")), Err(TokenError::Algorithm("HS256".to_owned())));
    // Nor is a symmetric key in the set a key.
    let symmetric = json!({"keys": [{"kty": "oct", "kid": "rsa", "k": "c2VjcmV0"}]}).to_string();
    assert!(KeySet::parse(symmetric.as_bytes()).is_err());
}

#[test]
fn key_serves_its_own_algorithm_only() {
    for algorithm in Algorithm::ALL {
        for other in Algorithm::ALL {
            for key in Algorithm::ALL {
                let header = json!({"alg": other.name(), "kid": super::issuer::key_id(key)});
                let accepted = verify(&issuer().token_with(&header, &claims(&json!({})), algorithm)).is_ok();
                let own = algorithm == other && super::issuer::key_id(key) == super::issuer::key_id(algorithm);
                assert_eq!(accepted, own, "{algorithm} as {other} with the key of {key}");
            }
        }
    }
}

#[test]
fn keys_in_the_header_are_ignored() {
    let own_key = json!({
        "alg": "ES256", "kid": "p256", "jwk": stranger().jwk(Algorithm::Es256), "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/chain", "x5c": ["AAAA"],
    });
    let forged = stranger().token_with(&own_key, &claims(&json!({})), Algorithm::Es256);
    assert_eq!(verify(&forged), Err(TokenError::Signature));
    verify(&issuer().token_with(&own_key, &claims(&json!({})), Algorithm::Es256)).unwrap();
}

#[test]
fn foreign_and_unknown_keys_are_refused() {
    for algorithm in Algorithm::ALL {
        assert_eq!(verify(&stranger().token(&claims(&json!({})), algorithm)), Err(TokenError::Signature));
    }
    let unknown = json!({"alg": "ES256", "kid": "../p256"});
    let token = issuer().token_with(&unknown, &claims(&json!({})), Algorithm::Es256);
    assert_eq!(verify(&token), Err(TokenError::UnknownKey));
    let nameless = json!({"alg": "ES256"});
    verify(&issuer().token_with(&nameless, &claims(&json!({})), Algorithm::Es256)).unwrap();
}

#[test]
fn critical_parameters_and_other_types_are_refused() {
    let with = |name: &str, value: Value| {
        let mut header = header(Algorithm::Es256);
        header[name] = value;
        verify(&issuer().token_with(&header, &claims(&json!({})), Algorithm::Es256))
    };
    for crit in [json!(["exp"]), json!([]), json!(["b64"]), json!("b64"), json!(["http://example.org/UNDEFINED"])] {
        assert_eq!(with("crit", crit), Err(TokenError::Critical));
    }
    assert_eq!(with("b64", json!(false)), Err(TokenError::Critical));
    assert_eq!(with("zip", json!("DEF")), Err(TokenError::Critical));
    for typ in ["at+jwt", "logout+jwt", "secevent+jwt", "JOSE"] {
        assert_eq!(with("typ", json!(typ)), Err(TokenError::Type(typ.to_owned())));
    }
    with("typ", json!("jwt")).unwrap();
}

#[test]
fn other_forms_are_refused() {
    let token = signed(&json!({}));
    assert_eq!(verify(&"a".repeat(MAX_TOKEN + 1)), Err(TokenError::Size));
    assert_eq!(verify("a.b.c.d.e"), Err(TokenError::Encrypted));
    for text in ["", "a", "a.b", "a.b.c.d", "..", "{}"] {
        assert!(verify(text).is_err(), "{text}");
    }
    for padded in [format!("{token}="), format!("{token} "), format!(" {token}"), token.replacen('.', "=.", 1)] {
        assert!(verify(&padded).is_err());
    }
    let twice = r#"{"alg":"none","alg":"ES256","kid":"p256"}"#;
    let message = format!("{}.{}", BASE64URL_NOPAD.encode(twice.as_bytes()), part(&claims(&json!({}))));
    let signature = BASE64URL_NOPAD.encode(&issuer().sign(Algorithm::Es256, message.as_bytes()));
    assert!(matches!(verify(&format!("{message}.{signature}")), Err(TokenError::Part { part: "header", .. })));
}

#[test]
fn token_is_known_again_whatever_its_signature() {
    let unique = |token: &str| verify(token).unwrap().unique;
    // Two signatures of ECDSA over the same claims differ.
    let (first, second) = (signed(&json!({})), signed(&json!({})));
    assert_ne!(first, second);
    assert_eq!(unique(&first), unique(&second));
    assert_ne!(unique(&first), unique(&signed(&json!({"jti": "two"}))));
    // A token without `jti` is known by what was signed.
    let (first, second) = (signed(&json!({"jti": null})), signed(&json!({"jti": null})));
    assert_ne!(first, second);
    assert_eq!(unique(&first), unique(&second));
    assert_ne!(unique(&first), unique(&signed(&json!({"jti": null, "sub": "other"}))));
}
