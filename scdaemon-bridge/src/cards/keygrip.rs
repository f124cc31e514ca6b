//! Keygrips: how gpg-agent names a key, whatever its OpenPGP wrapping.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use sealcard_api::algorithm::{Curve, PublicKey};

use super::{MalformedKeyError, check, sexp::unsigned};

/// SHA-1 over the key's parameters, as libgcrypt's `gcry_pk_get_keygrip` computes it. A name, not a protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Keygrip(pub [u8; 20]);

impl fmt::Display for Keygrip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXUPPER.encode(&self.0))
    }
}

impl FromStr for Keygrip {
    type Err = MalformedKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        data_encoding::HEXUPPER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(MalformedKeyError)
    }
}

/// The keygrip of a public key.
///
/// # Errors
/// If the key does not have the form that its type promises.
pub fn keygrip(key: &PublicKey) -> Result<Keygrip, MalformedKeyError> {
    check(key)?;
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    match key {
        PublicKey::Rsa { n, .. } => context.update(&unsigned(n.as_slice())),
        PublicKey::Ec { curve, point } => {
            let parameters = parameters(*curve);
            let values = [parameters.p, parameters.a, parameters.b, parameters.g, parameters.n, point.as_slice()];
            for (name, value) in ["p", "a", "b", "g", "n", "q"].into_iter().zip(values) {
                context.update(format!("(1:{name}{}:", value.len()).as_bytes());
                context.update(value);
                context.update(b")");
            }
        }
    }
    context.finish().as_ref().try_into().map(Keygrip).map_err(|_| MalformedKeyError)
}

/// The domain parameters as libgcrypt hashes them.
struct Parameters {
    p: &'static [u8],
    a: &'static [u8],
    b: &'static [u8],
    g: &'static [u8],
    n: &'static [u8],
}

const fn parameters(curve: Curve) -> Parameters {
    match curve {
        Curve::NistP256 => Parameters { p: &P256_P, a: &P256_A, b: &P256_B, g: &P256_G, n: &P256_N },
        Curve::NistP384 => Parameters { p: &P384_P, a: &P384_A, b: &P384_B, g: &P384_G, n: &P384_N },
        Curve::NistP521 => Parameters { p: &P521_P, a: &P521_A, b: &P521_B, g: &P521_G, n: &P521_N },
        Curve::Ed25519 => Parameters { p: &P25519, a: &[1], b: &ED25519_B, g: &ED25519_G, n: &N25519 },
        Curve::Cv25519 => Parameters { p: &P25519, a: &[0x01, 0xDB, 0x41], b: &[1], g: &CV25519_G, n: &N25519 },
    }
}

/// Reads a constant; every use is evaluated by the compiler.
pub(crate) const fn hex<const N: usize>(text: &str) -> [u8; N] {
    let mut rest = text.as_bytes();
    let mut out = [0; N];
    let mut unfilled: &mut [u8] = &mut out;
    while let ([high, low, tail @ ..], [first, others @ ..]) = (rest, unfilled) {
        *first = digit(*high) << 4 | digit(*low);
        rest = tail;
        unfilled = others;
    }
    out
}

const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte - b'A' + 10,
    }
}

// SEC 2 section 2.4.2.
const P256_P: [u8; 32] = hex("FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF");
const P256_A: [u8; 32] = hex("FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFC");
const P256_B: [u8; 32] = hex("5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B");
const P256_N: [u8; 32] = hex("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
const P256_G: [u8; 65] = hex(concat!(
    "04",
    "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296",
    "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
));

// SEC 2 section 2.5.1.
const P384_P: [u8; 48] =
    hex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFF");
const P384_A: [u8; 48] =
    hex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFC");
const P384_B: [u8; 48] =
    hex("B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF");
const P384_N: [u8; 48] =
    hex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973");
const P384_G: [u8; 97] = hex(concat!(
    "04",
    "AA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7",
    "3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F"
));

// SEC 2 section 2.6.1. libgcrypt hashes numbers, which have no leading zeros: B loses one byte, points keep theirs.
const P521_P: [u8; 66] = hex(concat!(
    "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
));
const P521_A: [u8; 66] = hex(concat!(
    "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC"
));
const P521_B: [u8; 65] = hex(concat!(
    "51953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109",
    "E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00"
));
const P521_N: [u8; 66] = hex(concat!(
    "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409"
));
const P521_G: [u8; 133] = hex(concat!(
    "04",
    "00C6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3D",
    "BAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66",
    "011839296A789A3BC0045C8A5FB42C7D1BD998F54449579B446817AFBD17273E66",
    "2C97EE72995EF42640C550B9013FAD0761353C7086A272C24088BE94769FD16650"
));

// RFC 8032 section 5.1 and RFC 7748 section 4.1.
const P25519: [u8; 32] = hex("7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFED");
const N25519: [u8; 32] = hex("1000000000000000000000000000000014DEF9DEA2F79CD65812631A5CF5D3ED");
const ED25519_B: [u8; 32] = hex("2DFC9311D490018C7338BF8688861767FF8FF5B2BEBE27548A14B235ECA6874A");
const ED25519_G: [u8; 65] = hex(concat!(
    "04",
    "216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A",
    "6666666666666666666666666666666666666666666666666666666666666658"
));
const CV25519_G: [u8; 65] = hex(concat!(
    "04",
    "0000000000000000000000000000000000000000000000000000000000000009",
    "20AE19A1B8A086B4E01EDD2C7748D14C923D4D7E6D7C61B229E9C5A27ECED3D9"
));

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cards::testdata::gpg_keys;

    #[test]
    fn keygrips_agree_with_libgcrypt() {
        for known in gpg_keys() {
            assert_eq!(keygrip(&known.key).unwrap().to_string(), known.grip, "{}", known.name);
            assert_eq!(known.grip.to_lowercase().parse(), Ok(keygrip(&known.key).unwrap()));
        }
    }
}
