//! Canonical S-expressions of public keys.

use std::borrow::Cow;

use sealcard_api::algorithm::{Curve, PublicKey};

use super::{MalformedKeyError, check};

/// The public key in libgcrypt's canonical form, as READKEY answers it and stubs store it.
///
/// # Errors
/// If the key does not have the form that its type promises.
pub fn public_key_sexp(key: &PublicKey) -> Result<Vec<u8>, MalformedKeyError> {
    check(key)?;
    let mut out = Vec::with_capacity(128);
    match key {
        PublicKey::Rsa { n, e } => {
            out.extend_from_slice(b"(10:public-key(3:rsa(1:n");
            atom(&mut out, &unsigned(n.as_slice()));
            out.extend_from_slice(b")(1:e");
            atom(&mut out, &unsigned(e.as_slice()));
        }
        PublicKey::Ec { curve, point } => {
            out.extend_from_slice(b"(10:public-key(3:ecc(5:curve");
            out.extend_from_slice(match curve {
                Curve::NistP256 => b"10:NIST P-256)(1:q",
                Curve::NistP384 => b"10:NIST P-384)(1:q",
                Curve::NistP521 => b"10:NIST P-521)(1:q",
                Curve::Ed25519 => b"7:Ed25519)(5:flags5:eddsa)(1:q",
                Curve::Cv25519 => b"10:Curve25519)(5:flags9:djb-tweak)(1:q",
            });
            // 40 is libgcrypt's mark of a point in the curve's native form.
            let prefix: &[u8] = if curve.is_nist() { &[] } else { &[0x40] };
            atom(&mut out, &[prefix, point.as_slice()].concat());
        }
    }
    out.extend_from_slice(b")))");
    Ok(out)
}

/// The length of the canonical S-expression that `bytes` begin with, as `gcry_sexp_canon_len` finds it; `None` if there
/// is none.
#[must_use]
pub fn canonical_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.strip_prefix(b"(")?;
    let mut depth = 1_usize;
    loop {
        match rest.split_first()? {
            (b'(', tail) => {
                depth += 1;
                rest = tail;
            }
            (b')', tail) => {
                depth -= 1;
                rest = tail;
                if depth == 0 {
                    return Some(bytes.len() - rest.len());
                }
            }
            (b'0'..=b'9', _) => {
                let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
                let (number, tail) = rest.split_at_checked(digits)?;
                if number.len() > 1 && number.first() == Some(&b'0') {
                    return None;
                }
                let len: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
                rest = tail.strip_prefix(b":")?.split_at_checked(len)?.1;
            }
            _ => return None,
        }
    }
}

/// A canonical S-expression in libgcrypt's advanced form, for people; `None` if it is none.
#[must_use]
pub fn advanced(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes.get(..canonical_len(bytes)?)?;
    let mut out = String::new();
    let mut depth = 0_usize;
    while let Some((first, tail)) = rest.split_first() {
        match first {
            b'(' => {
                if depth > 0 {
                    out.push('\n');
                }
                out.push_str(&" ".repeat(depth));
                out.push('(');
                depth += 1;
                rest = tail;
            }
            b')' => {
                depth = depth.saturating_sub(1);
                out.push(')');
                rest = tail;
            }
            _ => {
                let colon = rest.iter().position(|byte| *byte == b':')?;
                let (digits, tail) = rest.split_at_checked(colon)?;
                let len: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
                let (value, tail) = tail.get(1..)?.split_at_checked(len)?;
                if !out.ends_with('(') {
                    out.push(' ');
                }
                write_advanced_atom(&mut out, value);
                rest = tail;
            }
        }
    }
    out.push('\n');
    Some(out)
}

fn write_advanced_atom(out: &mut String, value: &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-./_:*+=".contains(byte);
    let starts_as_token = value.first().is_some_and(|byte| !byte.is_ascii_digit());
    match std::str::from_utf8(value) {
        Ok(text) if starts_as_token && value.iter().all(is_token) => out.push_str(text),
        Ok(text) if starts_as_token && value.iter().all(|byte| is_token(byte) || *byte == b' ') => {
            out.push('"');
            out.push_str(text);
            out.push('"');
        }
        _ => {
            out.push('#');
            out.push_str(&data_encoding::HEXUPPER.encode(value));
            out.push('#');
        }
    }
}

/// An unsigned number in a form where the top bit is a sign: with a zero in front if that bit is set.
pub(super) fn unsigned(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        Cow::Owned([&[0], bytes].concat())
    } else {
        Cow::Borrowed(bytes)
    }
}

fn atom(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::Bytes;

    use super::*;
    use crate::cards::testdata::gpg_keys;

    #[test]
    fn s_expressions_are_those_of_gpg_agent() {
        for known in gpg_keys() {
            assert_eq!(public_key_sexp(&known.key).unwrap(), known.sexp, "{}", known.name);
            assert_eq!(canonical_len(&known.sexp), Some(known.sexp.len()));
        }
    }

    #[test]
    fn the_advanced_form_is_readable() {
        let text = advanced(b"(10:public-key(3:ecc(5:curve10:NIST P-256)(1:q2:\x04\xFF)))").unwrap();
        assert_eq!(text, "(public-key\n (ecc\n  (curve \"NIST P-256\")\n  (q #04FF#)))\n");
        assert_eq!(advanced(b"(1:a"), None);
    }

    #[test]
    fn malformed_expressions_have_no_length() {
        for wrong in [&b""[..], b"1:a", b"(1:a", b"(2:a)", b"(01:a)", b"(1a)", b")", b"(99999999999999999999999:a)"] {
            assert_eq!(canonical_len(wrong), None, "{wrong:?}");
        }
        assert_eq!(canonical_len(b"(1:a)rest"), Some(5));
    }

    proptest! {
        #[test]
        fn any_key_gives_a_well_formed_expression_or_an_error(n: Vec<u8>, e: Vec<u8>, curve in 0_usize..5, long: bool) {
            let n = if long { [vec![0x91; 200], n].concat() } else { n };
            let ec = PublicKey::Ec { curve: Curve::ALL[curve], point: Bytes(n.clone()) };
            for key in [PublicKey::Rsa { n: Bytes(n), e: Bytes(e) }, ec] {
                if let Ok(sexp) = public_key_sexp(&key) {
                    prop_assert_eq!(canonical_len(&sexp), Some(sexp.len()));
                    for cut in 0..sexp.len() {
                        prop_assert_eq!(canonical_len(&sexp[..cut]), None);
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_measured_without_a_panic(bytes: Vec<u8>) {
            let _ = (canonical_len(&bytes), advanced(&bytes));
        }
    }
}
