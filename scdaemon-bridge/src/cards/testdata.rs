//! Keys that real software made, for tests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use data_encoding::HEXLOWER;
use sealcard_api::{
    Bytes,
    algorithm::{Curve, PublicKey},
};

/// A public key of gpg-agent 2.2.40.
pub(crate) struct GpgKey {
    pub(crate) name: String,
    pub(crate) grip: String,
    pub(crate) sexp: Vec<u8>,
    pub(crate) key: PublicKey,
}

pub(crate) fn gpg_keys() -> Vec<GpgKey> {
    let text = include_str!("testdata/gpg-keys.txt");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [name, grip, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let sexp = HEXLOWER.decode(hex.as_bytes()).unwrap();
            GpgKey { name: name.to_owned(), grip: grip.to_owned(), key: key_of(name, &sexp), sexp }
        })
        .collect()
}

/// Takes the numbers out of the S-expression by position, so that the code under test has no part in it.
fn key_of(name: &str, sexp: &[u8]) -> PublicKey {
    let after = |marker: &str, len: usize| {
        let at = sexp.windows(marker.len()).position(|window| window == marker.as_bytes()).unwrap() + marker.len();
        Bytes(sexp[at..at + len].to_vec())
    };
    match name {
        "ed25519" => PublicKey::Ec { curve: Curve::Ed25519, point: after("(1:q33:\x40", 32) },
        "cv25519" => PublicKey::Ec { curve: Curve::Cv25519, point: after("(1:q33:\x40", 32) },
        "nistp256" | "nistp256-ecdh" => PublicKey::Ec { curve: Curve::NistP256, point: after("(1:q65:", 65) },
        "nistp384" | "nistp384-ecdh" => PublicKey::Ec { curve: Curve::NistP384, point: after("(1:q97:", 97) },
        "nistp521" | "nistp521-ecdh" => PublicKey::Ec { curve: Curve::NistP521, point: after("(1:q133:", 133) },
        _ => PublicKey::Rsa { n: after("(1:n257:\0", 256), e: after("(1:e3:", 3) },
    }
}
