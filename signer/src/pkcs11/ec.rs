//! Curves, points and signatures as tokens write them, which is in more ways than one.

use sealcard_api::algorithm::Curve;

/// `CKA_EC_PARAMS` for a key that is to be made, best first. Tokens of the 2.40 time know the Edwards and Montgomery
/// curves by name only (RFC 8410 was not there yet), later ones by object identifier too.
pub(super) const fn parameters(curve: Curve) -> &'static [&'static [u8]] {
    match curve {
        Curve::NistP256 => &[P256],
        Curve::NistP384 => &[P384],
        Curve::NistP521 => &[P521],
        Curve::Ed25519 => &[ED25519_NAME, ED25519],
        Curve::Cv25519 => &[X25519_NAME, X25519],
    }
}

const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23];
/// `PrintableString` "edwards25519" (PKCS#11 3.0, section 2.3.5).
const ED25519_NAME: &[u8] = b"\x13\x0Cedwards25519";
/// 1.3.101.112 (RFC 8410).
const ED25519: &[u8] = &[0x06, 0x03, 0x2B, 0x65, 0x70];
/// 1.3.6.1.4.1.11591.15.1, from before RFC 8410.
const ED25519_GNU: &[u8] = &[0x06, 0x09, 0x2B, 0x06, 0x01, 0x04, 0x01, 0xDA, 0x47, 0x0F, 0x01];
const X25519_NAME: &[u8] = b"\x13\x0Acurve25519";
/// 1.3.101.110 (RFC 8410).
const X25519: &[u8] = &[0x06, 0x03, 0x2B, 0x65, 0x6E];
/// 1.3.6.1.4.1.3029.1.5.1, from before RFC 8410.
const X25519_OPENPGP: &[u8] = &[0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01];

/// The curve that `CKA_EC_PARAMS` names; `None` for all others, and for parameters that are written out.
pub(super) fn curve(parameters: &[u8]) -> Option<Curve> {
    Some(match parameters {
        P256 => Curve::NistP256,
        P384 => Curve::NistP384,
        P521 => Curve::NistP521,
        ED25519_NAME | ED25519 | ED25519_GNU => Curve::Ed25519,
        X25519_NAME | X25519 | X25519_OPENPGP => Curve::Cv25519,
        _ => return None,
    })
}

/// The point of `CKA_EC_POINT`: a DER `OCTET STRING` as the standard has it, a `BIT STRING` as PKCS#11 3.0 had it for
/// some curves, or the plain bytes that some tokens give. `None` if it is neither of this curve. It need not lie on the
/// curve.
pub(super) fn point(curve: Curve, value: &[u8]) -> Option<&[u8]> {
    // A plain point can look like an octet string, but never like one that holds a point: it would be longer.
    octet_string(value)
        .filter(|inner| curve.has_form_of(inner))
        .or_else(|| bit_string(value).filter(|inner| curve.has_form_of(inner)))
        .or_else(|| Some(value).filter(|plain| curve.has_form_of(plain)))
}

/// The content of a DER `OCTET STRING` that is all there is.
fn octet_string(value: &[u8]) -> Option<&[u8]> {
    content(0x04, value)
}

/// The content of a DER `BIT STRING` of whole bytes that is all there is.
fn bit_string(value: &[u8]) -> Option<&[u8]> {
    content(0x03, value)?.strip_prefix(&[0])
}

/// The content of a DER value with this tag that is all there is.
fn content(tag: u8, value: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = value.strip_prefix(&[tag])?.split_first()?;
    let (length, content) = match length {
        0..=0x7F => (length, rest),
        0x81 => {
            let (&length, content) = rest.split_first()?;
            (length, content)
        }
        // No point of these curves is longer than 255 bytes.
        _ => return None,
    };
    (usize::from(length) == content.len()).then_some(content)
}

/// The signature `r || s` with both numbers as wide as the order (`width` bytes). A token may leave out zeros that both
/// numbers begin with; it must not leave out anything else. `None` if the bytes can't be two such numbers.
pub(super) fn signature(width: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let half = bytes.len() / 2;
    if !bytes.len().is_multiple_of(2) || half == 0 || half > width {
        return None;
    }
    let (r, s) = bytes.split_at_checked(half)?;
    let mut wide = Vec::with_capacity(2 * width);
    for number in [r, s] {
        wide.resize(wide.len() + width - half, 0);
        wide.extend_from_slice(number);
    }
    Some(wide)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_curve() -> impl Strategy<Value = Curve> {
        proptest::sample::select(&Curve::ALL[..])
    }

    /// Bytes in the form of a point.
    fn any_point() -> impl Strategy<Value = (Curve, Vec<u8>)> {
        any_curve().prop_flat_map(|curve| {
            proptest::collection::vec(any::<u8>(), curve.point_len()).prop_map(move |mut bytes| {
                if curve.is_nist() {
                    bytes[0] = 4;
                }
                (curve, bytes)
            })
        })
    }

    fn der(content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let header = if length < 0x80 { vec![4, length] } else { vec![4, 0x81, length] };
        [header, content.to_vec()].concat()
    }

    #[test]
    fn a_curve_has_the_parameters_that_it_is_known_by() {
        for known in Curve::ALL {
            for parameters in parameters(known) {
                assert_eq!(curve(parameters), Some(known));
            }
        }
        // secp256k1, and explicit parameters.
        assert_eq!(curve(&[6, 5, 0x2B, 0x81, 4, 0, 10]), None);
        assert_eq!(curve(&[0x30, 0]), None);
        assert_eq!(curve(&[]), None);
    }

    #[test]
    fn odd_signatures_are_refused() {
        for (width, len) in [(32, 0), (32, 1), (32, 63), (32, 65), (32, 66), (32, 72), (66, 131), (66, 133), (66, 134)]
        {
            assert_eq!(signature(width, &vec![1; len]), None, "{len} bytes for {width}");
        }
        assert_eq!(signature(32, &[7; 64]).unwrap(), [7; 64]);
        assert_eq!(signature(2, &[1, 2]).unwrap(), [0, 1, 0, 2]);
    }

    proptest! {
        #[test]
        fn a_signature_keeps_its_numbers_and_gets_its_width(width in 1_usize..67, bytes: Vec<u8>) {
            match signature(width, &bytes) {
                None => prop_assert!(bytes.len() % 2 == 1 || bytes.is_empty() || bytes.len() > 2 * width),
                Some(wide) => {
                    prop_assert_eq!(wide.len(), 2 * width);
                    for (number, wide) in bytes.chunks(bytes.len() / 2).zip(wide.chunks(width)) {
                        prop_assert!(wide.ends_with(number));
                        prop_assert!(wide[..width - number.len()].iter().all(|byte| *byte == 0));
                    }
                }
            }
        }

        #[test]
        fn a_point_is_found_in_both_of_its_forms((curve, bytes) in any_point()) {
            prop_assert_eq!(point(curve, &bytes), Some(&bytes[..]));
            let encoded = der(&bytes);
            prop_assert_eq!(point(curve, &encoded), Some(&bytes[..]));
            for damaged in [&bytes[1..], &[&bytes[..], &[0]].concat(), &der(&bytes)[..bytes.len() + 1]] {
                prop_assert!(point(curve, damaged).is_none_or(|found| found.len() == curve.point_len()));
            }
        }

        #[test]
        fn what_is_found_has_the_form_of_the_curve(curve in any_curve(), bytes: Vec<u8>) {
            if let Some(found) = point(curve, &bytes) {
                prop_assert!(curve.has_form_of(found) && bytes.ends_with(found));
            }
        }
    }
}
