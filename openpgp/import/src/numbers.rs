//! The little arithmetic that OpenPGP's form of RSA keys needs.

use zeroize::Zeroizing;

/// `value mod (prime - 1)`, for an odd `prime`, all big-endian: the exponents of the Chinese remainder theorem, which
/// OpenPGP leaves out. Runs once, on the machine that has the key in the clear anyway, so it need not be constant-time.
/// `None` if `prime` is even or no longer than one byte.
pub(super) fn reduce(value: &[u8], prime: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let start = prime.iter().position(|byte| *byte != 0)?;
    let mut modulus = Zeroizing::new(prime.get(start..)?.to_vec());
    let last = modulus.last_mut()?;
    if *last & 1 == 0 {
        return None;
    }
    *last &= !1;
    if modulus.len() < 2 {
        return None;
    }
    // One byte more than the modulus, so that doubling never overflows.
    let mut rest = Zeroizing::new(vec![0_u8; modulus.len() + 1]);
    for byte in value {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for digit in rest.iter_mut().rev() {
                let high = *digit >> 7;
                *digit = *digit << 1 | carry;
                carry = high;
            }
            if !less(&rest, &modulus) {
                subtract(&mut rest, &modulus);
            }
        }
    }
    let mut out = Zeroizing::new(Vec::with_capacity(modulus.len()));
    out.extend_from_slice(rest.get(1..)?);
    Some(out)
}

/// Whether `a` (one byte longer) is smaller than `b`.
fn less(a: &[u8], b: &[u8]) -> bool {
    match a.split_first() {
        Some((0, low)) => low < b,
        _ => false,
    }
}

/// `a -= b`, where `a` has one byte more and is not smaller.
fn subtract(a: &mut [u8], b: &[u8]) {
    let mut borrow = false;
    for (digit, other) in a.iter_mut().rev().zip(b.iter().rev().chain(std::iter::once(&0))) {
        let (first, under) = digit.overflowing_sub(*other);
        let (second, under_too) = first.overflowing_sub(u8::from(borrow));
        *digit = second;
        borrow = under || under_too;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_remainder_is_that_of_the_processor(value: u128, prime in 129_u64..) {
            let prime = prime | 1;
            let rest = reduce(&value.to_be_bytes(), &prime.to_be_bytes()).unwrap();
            let rest = rest.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
            prop_assert_eq!(rest, value % u128::from(prime - 1));
        }

        #[test]
        fn any_numbers_give_a_smaller_one_or_none(value: Vec<u8>, prime: Vec<u8>) {
            if let Some(rest) = reduce(&value, &prime) {
                let significant: Vec<u8> = prime.iter().copied().skip_while(|byte| *byte == 0).collect();
                prop_assert_eq!(rest.len(), significant.len());
                prop_assert!(rest[..] < significant[..]);
            }
        }
    }
}
