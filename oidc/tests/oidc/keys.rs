//! What issuers publish.

use sealcard_oidc::{Algorithm, Discovery, Issuer, IssuerError, KeySet, KeySetError, MAX_DOCUMENT, MAX_KEYS};
use serde_json::{Value, json};

use super::issuer::{issuer, stranger};

fn parse(keys: &Value) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn keys_of_other_kinds_and_uses_are_left_out() {
    let mut encrypts = issuer().jwk(Algorithm::Rs256);
    encrypts["use"] = json!("enc");
    let mut wraps = issuer().jwk(Algorithm::Es384);
    wraps["key_ops"] = json!(["wrapKey"]);
    let mut weak = issuer().jwk(Algorithm::EdDsa);
    weak["alg"] = json!("HS256");
    let set =
        json!([encrypts, wraps, weak, {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, {"kty": "new"}, {}]);
    assert_eq!(parse(&set), Err(KeySetError::Empty));
    let mut with_one = set;
    with_one.as_array_mut().unwrap().push(issuer().jwk(Algorithm::Es256));
    assert_eq!(parse(&with_one).unwrap().keys().count(), 1);
}

#[test]
fn weak_and_malformed_keys_are_left_out() {
    let rsa = issuer().jwk(Algorithm::Rs256);
    let with = |name: &str, value: &str| {
        let mut key = rsa.clone();
        key[name] = json!(value);
        parse(&json!([key]))
    };
    let short = "_".repeat(128 * 4 / 3);
    for (name, value) in
        [("n", short.as_str()), ("n", ""), ("n", "!"), ("e", "AQ"), ("e", "Ag"), ("e", ""), ("e", "AQAAAAAB")]
    {
        assert_eq!(with(name, value), Err(KeySetError::Empty), "{name}={value}");
    }
    let mut point = issuer().jwk(Algorithm::Es256);
    point["crv"] = json!("P-384");
    assert_eq!(parse(&json!([point])), Err(KeySetError::Empty));
}

#[test]
fn kind_of_a_key_says_which_algorithms_it_serves() {
    for (of, served) in [
        (Algorithm::Rs256, &[Algorithm::Rs256, Algorithm::Ps256][..]),
        (Algorithm::Es256, &[Algorithm::Es256]),
        (Algorithm::Es384, &[Algorithm::Es384]),
        (Algorithm::EdDsa, &[Algorithm::EdDsa]),
    ] {
        let mut key = issuer().jwk(of);
        key.as_object_mut().unwrap().remove("alg");
        let set = parse(&json!([key])).unwrap();
        for algorithm in Algorithm::ALL {
            assert_eq!(set.find(None, algorithm).is_some(), served.contains(&algorithm), "{of} for {algorithm}");
        }
    }
}

#[test]
fn key_serves_the_algorithm_that_it_names() {
    let mut rsa = issuer().jwk(Algorithm::Rs256);
    rsa["alg"] = json!("PS256");
    let set = parse(&json!([rsa])).unwrap();
    assert!(set.find(Some("rsa"), Algorithm::Ps256).is_some());
    assert!(set.find(Some("rsa"), Algorithm::Rs256).is_none());
}

#[test]
fn two_keys_of_one_name_are_refused() {
    let set = json!([issuer().jwk(Algorithm::Es256), stranger().jwk(Algorithm::Es256)]);
    assert_eq!(parse(&set), Err(KeySetError::TwoOfOneName("p256".to_owned())));
    let twice = json!([issuer().jwk(Algorithm::Es256), issuer().jwk(Algorithm::Es256)]);
    assert_eq!(parse(&twice).unwrap().keys().count(), 1);
}

#[test]
fn nameless_token_needs_one_key_that_fits() {
    let nameless = |issuer: &super::issuer::Issuer| {
        let mut key = issuer.jwk(Algorithm::Es256);
        key.as_object_mut().unwrap().remove("kid");
        key
    };
    let one = parse(&json!([nameless(issuer())])).unwrap();
    assert!(one.find(None, Algorithm::Es256).is_some());
    let two = parse(&json!([nameless(issuer()), nameless(stranger())])).unwrap();
    assert!(two.find(None, Algorithm::Es256).is_none());
    assert!(two.find(Some("p256"), Algorithm::Es256).is_none());
}

#[test]
fn too_large_sets_are_refused() {
    assert_eq!(KeySet::parse(&vec![b' '; MAX_DOCUMENT + 1]), Err(KeySetError::Size));
    assert_eq!(parse(&Value::Array(vec![json!({}); MAX_KEYS + 1])), Err(KeySetError::Count));
    assert!(matches!(KeySet::parse(b"[]"), Err(KeySetError::Form(_))));
}

#[test]
fn discovery_names_the_issuer_byte_by_byte() {
    let issuer = Issuer::parse("https://ci.example.org/a").unwrap();
    assert_eq!(issuer.discovery_url(), "https://ci.example.org/a/.well-known/openid-configuration");
    let parse = |name: &str, keys: &str| {
        Discovery::parse(json!({"issuer": name, "jwks_uri": keys, "x": 1}).to_string().as_bytes(), &issuer)
    };
    let found = parse("https://ci.example.org/a", "https://keys.example.org/k?v=1").unwrap();
    assert_eq!(found.keys_url, "https://keys.example.org/k?v=1");
    for other in ["https://ci.example.org/a/", "https://ci.example.org", "https://evil.example"] {
        assert_eq!(parse(other, "https://k.example/"), Err(IssuerError::Other(other.to_owned())));
    }
    for keys in ["http://ci.example.org/k", "file:///etc/passwd", "https://", "https://u@h/", "https://h/#f"] {
        assert_eq!(parse("https://ci.example.org/a", keys), Err(IssuerError::Keys(keys.to_owned())));
    }
    assert_eq!(Discovery::parse(b"{}", &issuer), Err(IssuerError::Form));
}

#[test]
fn issuer_is_an_https_address() {
    for wrong in
        ["", "http://h", "https://", "https:///x", "https://h?q", "https://h#f", "https://u:p@h", "https://h x"]
    {
        assert!(Issuer::parse(wrong).is_err(), "{wrong}");
    }
}
