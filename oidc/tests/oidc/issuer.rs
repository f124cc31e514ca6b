//! An issuer with one key of each kind.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    },
};
use data_encoding::BASE64URL_NOPAD;
use sealcard_api::Timestamp;
use sealcard_oidc::{Algorithm, KeySet, SignedToken, Token, TokenError};
use serde_json::{Value, json};

/// When the tests happen.
pub(crate) const NOW: i64 = 1_796_000_000;

pub(crate) const ISSUER: &str = "https://issuer.example.org";
pub(crate) const AUDIENCE: &str = "https://sign.example.org:8443";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix(NOW)
}

/// The issuer's keys.
pub(crate) struct Issuer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

/// Made once: RSA keys take a while.
pub(crate) static ISSUERS: LazyLock<[Issuer; 2]> = LazyLock::new(|| [Issuer::new(), Issuer::new()]);

/// The issuer that is trusted.
pub(crate) fn issuer() -> &'static Issuer {
    &ISSUERS[0]
}

/// Another one, with keys of the same names.
pub(crate) fn stranger() -> &'static Issuer {
    &ISSUERS[1]
}

impl Issuer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed25519: Ed25519KeyPair::generate().unwrap(),
        }
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(padding, &random, message, &mut signature).unwrap();
            signature
        };
        match algorithm {
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
            Algorithm::Es256 => self.p256.sign(&random, message).unwrap().as_ref().to_vec(),
            Algorithm::Es384 => self.p384.sign(&random, message).unwrap().as_ref().to_vec(),
            Algorithm::EdDsa => self.ed25519.sign(message).as_ref().to_vec(),
        }
    }

    /// One public key as JSON has it.
    pub(crate) fn jwk(&self, algorithm: Algorithm) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let public = self.rsa.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": "rsa", "use": "sig", "n": text(n), "e": text(e)})
            }
            Algorithm::Es256 => {
                let point = self.p256.public_key().as_ref();
                let (x, y) = (&point[1..33], &point[33..]);
                json!({"kty": "EC", "crv": "P-256", "kid": "p256", "alg": "ES256", "x": text(x), "y": text(y)})
            }
            Algorithm::Es384 => {
                let point = self.p384.public_key().as_ref();
                let (x, y) = (&point[1..49], &point[49..]);
                json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": text(x), "y": text(y)})
            }
            Algorithm::EdDsa => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(self.ed25519.public_key().as_ref())})
            }
        }
    }

    pub(crate) fn jwks(&self) -> Value {
        let all = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
        json!({ "keys": all.map(|algorithm| self.jwk(algorithm)) })
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::parse(self.jwks().to_string().as_bytes()).unwrap()
    }

    /// The public RSA key in the form that a confused verifier would take for a secret.
    pub(crate) fn rsa_public_der(&self) -> Vec<u8> {
        AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(self.rsa.public_key()).unwrap().as_ref().to_vec()
    }

    /// A token with this header and these claims, signed with the key of this algorithm.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value, algorithm: Algorithm) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = BASE64URL_NOPAD.encode(&self.sign(algorithm, message.as_bytes()));
        format!("{message}.{signature}")
    }

    pub(crate) fn token(&self, claims: &Value, algorithm: Algorithm) -> String {
        self.token_with(&header(algorithm), claims, algorithm)
    }
}

pub(crate) fn part(json: &Value) -> String {
    BASE64URL_NOPAD.encode(json.to_string().as_bytes())
}

pub(crate) fn key_id(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => "rsa",
        Algorithm::Es256 => "p256",
        Algorithm::Es384 => "p384",
        Algorithm::EdDsa => "ed",
    }
}

pub(crate) fn header(algorithm: Algorithm) -> Value {
    json!({"alg": algorithm.name(), "typ": "JWT", "kid": key_id(algorithm)})
}

/// Claims that are right, with these over them. `null` takes one away.
pub(crate) fn claims(over: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "job", "jti": "one",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300,
    });
    let map = claims.as_object_mut().unwrap();
    for (name, value) in over.as_object().unwrap() {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// What the trusted issuer's keys make of a token.
pub(crate) fn verify(token: &str) -> Result<Token, TokenError> {
    SignedToken::parse(token)?.verify(&issuer().keys(), ISSUER, &[AUDIENCE], now())
}
