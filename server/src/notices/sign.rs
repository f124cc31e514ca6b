//! Signatures of Standard Webhooks: `v1` is HMAC-SHA256, `v1a` is Ed25519, both over `ID.TIMESTAMP.BODY`.

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use data_encoding::{BASE64, BASE64_NOPAD};
use zeroize::Zeroizing;

/// Bytes of an HMAC secret.
const HMAC_SECRET: std::ops::RangeInclusive<usize> = 24..=64;

/// Bytes of an Ed25519 private key, and of its seed.
const ED25519_SEED: usize = 32;

/// Secrets of one channel: two or more while they are changed.
const SECRETS: usize = 4;

/// Why a file with secrets can't be used. Retrying helps after it was corrected. The text has nothing of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Neither `whsec_` nor `whsk_` and base64.
    #[error("line {0} must be whsec_ (HMAC) or whsk_ (Ed25519), followed by base64")]
    Form(usize),
    /// An HMAC secret of another length.
    #[error("line {0}: a secret whsec_ must have 24 to 64 bytes")]
    HmacLength(usize),
    /// No Ed25519 key.
    #[error("line {0}: a key whsk_ must have 32 bytes (the seed), or 64 (the seed and the public key)")]
    Ed25519(usize),
    /// Nothing.
    #[error("it has no secret")]
    Empty,
    /// Too many.
    #[error("it has more than {SECRETS} secrets")]
    Many,
}

/// What signs the messages of a channel.
pub struct Signer {
    secrets: Vec<Secret>,
}

#[expect(clippy::large_enum_variant, reason = "a channel has few of them")]
enum Secret {
    Hmac(hmac::Key),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// Reads secrets, one a line. Empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// If there is none, or one can't be used.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut secrets = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if secrets.len() == SECRETS {
                return Err(SecretError::Many);
            }
            secrets.push(Secret::parse(line, number)?);
        }
        if secrets.is_empty() { Err(SecretError::Empty) } else { Ok(Self { secrets }) }
    }

    /// The value of the header `webhook-signature`.
    pub(crate) fn signature(&self, id: &str, timestamp: i64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        let signatures: Vec<String> = self.secrets.iter().map(|secret| secret.signature(signed.as_bytes())).collect();
        signatures.join(" ")
    }

    /// The public keys (`whpk_…`) that receivers check with.
    pub(crate) fn public_keys(&self) -> Vec<String> {
        let keys = self.secrets.iter().filter_map(|secret| match secret {
            Secret::Hmac(_) => None,
            Secret::Ed25519(pair) => Some(format!("whpk_{}", BASE64.encode(pair.public_key().as_ref()))),
        });
        keys.collect()
    }
}

impl Secret {
    fn parse(text: &str, line: usize) -> Result<Self, SecretError> {
        if let Some(secret) = text.strip_prefix("whsec_") {
            let bytes = decode(secret).ok_or(SecretError::Form(line))?;
            if !HMAC_SECRET.contains(&bytes.len()) {
                return Err(SecretError::HmacLength(line));
            }
            return Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &bytes)));
        }
        let key = text.strip_prefix("whsk_").ok_or(SecretError::Form(line))?;
        let bytes = decode(key).ok_or(SecretError::Form(line))?;
        let wrong = |_| SecretError::Ed25519(line);
        let pair = match bytes.split_at_checked(ED25519_SEED) {
            Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed).map_err(wrong)?,
            Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(wrong)?,
            None => return Err(SecretError::Ed25519(line)),
        };
        Ok(Self::Ed25519(pair))
    }

    fn signature(&self, signed: &[u8]) -> String {
        match self {
            Self::Hmac(key) => format!("v1,{}", BASE64.encode(hmac::sign(key, signed).as_ref())),
            Self::Ed25519(pair) => format!("v1a,{}", BASE64.encode(pair.sign(signed).as_ref())),
        }
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?;
    Some(Zeroizing::new(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn signature_is_that_of_the_reference_libraries() {
        let signer = Signer::parse(SECRET).unwrap();
        let signature = signer.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs_and_public_keys_are_shown() {
        let seed = [7; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let both = [&seed[..], pair.public_key().as_ref()].concat();
        for key in [&seed[..], &both] {
            let text = format!("# a comment\n{SECRET}\n\nwhsk_{}\n", BASE64.encode(key));
            let signer = Signer::parse(&text).unwrap();
            let signature = signer.signature("id", 1, "body");
            let (hmac, ed25519) = signature.split_once(' ').unwrap();
            assert!(hmac.starts_with("v1,"));
            let ed25519 = BASE64.decode(ed25519.strip_prefix("v1a,").unwrap().as_bytes()).unwrap();
            let [public] = signer.public_keys().try_into().unwrap();
            let public = BASE64.decode(public.strip_prefix("whpk_").unwrap().as_bytes()).unwrap();
            UnparsedPublicKey::new(&ED25519, &public).verify(b"id.1.body", &ed25519).unwrap();
        }
    }

    #[test]
    fn wrong_secrets_are_named_by_their_line_alone() {
        let mut other = vec![7; 32];
        other.extend([1; 32]);
        for (text, expected) in [
            (String::new(), SecretError::Empty),
            ("\nsecret".to_owned(), SecretError::Form(2)),
            ("whsec_!!!".to_owned(), SecretError::Form(1)),
            (format!("whsec_{}", BASE64.encode(&[1; 23])), SecretError::HmacLength(1)),
            (format!("whsec_{}", BASE64.encode(&[1; 65])), SecretError::HmacLength(1)),
            (format!("whsk_{}", BASE64.encode(&[1; 31])), SecretError::Ed25519(1)),
            (format!("whsk_{}", BASE64.encode(&other)), SecretError::Ed25519(1)),
            (format!("{SECRET}\n").repeat(5), SecretError::Many),
        ] {
            assert_eq!(Signer::parse(&text).err(), Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_a_signer(text: String, tail in "[A-Za-z0-9+/=]{0,100}") {
            let _ = Signer::parse(&text);
            for prefix in ["whsec_", "whsk_"] {
                if let Err(error) = Signer::parse(&format!("{prefix}{tail}")) {
                    prop_assert!(tail.len() < 8 || !error.to_string().contains(&tail));
                }
            }
        }
    }
}
