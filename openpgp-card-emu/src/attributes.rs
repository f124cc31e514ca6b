//! Algorithm attributes: data objects C1, C2 and C3 (section 4.4.3.9).

/// What kind of key is, or may be, in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlgorithmAttributes {
    /// RSA, algorithm id 1.
    Rsa {
        /// Length of the modulus in bits.
        modulus_bits: u16,
        /// Length of the public exponent in bits; GnuPG writes 32, others 17.
        exponent_bits: u16,
        /// What an imported key consists of.
        import_format: ImportFormat,
    },
    /// ECDSA, algorithm id 19.
    Ecdsa(Curve),
    /// ECDH, algorithm id 18.
    Ecdh(Curve),
    /// EdDSA, algorithm id 22.
    EdDsa(Curve),
}

impl AlgorithmAttributes {
    /// RSA in the form in which GnuPG writes it: exponent of 32 bits, standard import format.
    pub const fn rsa(modulus_bits: u16) -> Self {
        Self::Rsa { modulus_bits, exponent_bits: 32, import_format: ImportFormat::Standard }
    }

    /// The data object's value. Edwards and Montgomery curves get the identifiers that GnuPG knows.
    pub fn encode(&self) -> Vec<u8> {
        let (algorithm, curve) = match *self {
            Self::Rsa { modulus_bits, exponent_bits, import_format } => {
                let mut value = vec![RSA];
                value.extend(modulus_bits.to_be_bytes());
                value.extend(exponent_bits.to_be_bytes());
                value.push(import_format.to_byte());
                return value;
            }
            Self::Ecdsa(curve) => (ECDSA, curve),
            Self::Ecdh(curve) => (ECDH, curve),
            Self::EdDsa(curve) => (EDDSA, curve),
        };
        let mut value = vec![algorithm];
        value.extend(curve.oid());
        value
    }

    /// Reads a data object's value; `None` where algorithm, curve or their combination is unknown.
    ///
    /// A trailing byte `FF` or `00` after a curve (whether an import carries the public key) is accepted and dropped:
    /// the card takes both kinds of import.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (&algorithm, rest) = value.split_first()?;
        if algorithm == RSA {
            let &[m1, m0, e1, e0, format] = rest else { return None };
            return Some(Self::Rsa {
                modulus_bits: u16::from_be_bytes([m1, m0]),
                exponent_bits: u16::from_be_bytes([e1, e0]),
                import_format: ImportFormat::from_byte(format)?,
            });
        }
        let curve = Curve::from_oid(rest).or_else(|| match rest.split_last()? {
            (0xFF | 0x00, oid) => Curve::from_oid(oid),
            _ => None,
        })?;
        match (algorithm, curve.kind()) {
            (ECDSA, CurveKind::Weierstrass) => Some(Self::Ecdsa(curve)),
            (ECDH, CurveKind::Weierstrass | CurveKind::Montgomery) => Some(Self::Ecdh(curve)),
            (EDDSA, CurveKind::Edwards) => Some(Self::EdDsa(curve)),
            _ => None,
        }
    }
}

impl Default for AlgorithmAttributes {
    /// RSA-2048: what an empty slot of a new card says.
    fn default() -> Self {
        Self::rsa(2048)
    }
}

/// The parts of an RSA private key that an import carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportFormat {
    /// e, p, q.
    Standard,
    /// e, p, q and the modulus.
    StandardWithModulus,
    /// e, p, q and the values of the Chinese remainder theorem.
    Crt,
    /// All of them.
    CrtWithModulus,
}

impl ImportFormat {
    const ALL: [Self; 4] = [Self::Standard, Self::StandardWithModulus, Self::Crt, Self::CrtWithModulus];

    fn to_byte(self) -> u8 {
        match self {
            Self::Standard => 0,
            Self::StandardWithModulus => 1,
            Self::Crt => 2,
            Self::CrtWithModulus => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// An elliptic curve.
#[allow(missing_docs, reason = "each is the curve's own name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    P256,
    P384,
    P521,
    BrainpoolP256r1,
    BrainpoolP384r1,
    BrainpoolP512r1,
    Secp256k1,
    Ed25519,
    X25519,
    Ed448,
    X448,
}

impl Curve {
    /// All of them, in the order of their documentation.
    pub const ALL: [Self; 11] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::BrainpoolP256r1,
        Self::BrainpoolP384r1,
        Self::BrainpoolP512r1,
        Self::Secp256k1,
        Self::Ed25519,
        Self::X25519,
        Self::Ed448,
        Self::X448,
    ];

    /// The object identifier's content bytes, as GnuPG writes them.
    pub const fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
            Self::P384 => &[0x2B, 0x81, 0x04, 0x00, 0x22],
            Self::P521 => &[0x2B, 0x81, 0x04, 0x00, 0x23],
            Self::BrainpoolP256r1 => &[0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07],
            Self::BrainpoolP384r1 => &[0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0B],
            Self::BrainpoolP512r1 => &[0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0D],
            Self::Secp256k1 => &[0x2B, 0x81, 0x04, 0x00, 0x0A],
            Self::Ed25519 => &[0x2B, 0x06, 0x01, 0x04, 0x01, 0xDA, 0x47, 0x0F, 0x01],
            Self::X25519 => &[0x2B, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01],
            Self::Ed448 => &[0x2B, 0x65, 0x71],
            Self::X448 => &[0x2B, 0x65, 0x6F],
        }
    }

    /// The curve with this identifier; for Ed25519 and X25519 also those of RFC 8410.
    pub fn from_oid(oid: &[u8]) -> Option<Self> {
        match oid {
            [0x2B, 0x65, 0x70] => Some(Self::Ed25519),
            [0x2B, 0x65, 0x6E] => Some(Self::X25519),
            _ => Self::ALL.into_iter().find(|curve| curve.oid() == oid),
        }
    }

    /// Width in bytes of a coordinate, and of each half of an ECDSA signature.
    pub const fn field_bytes(self) -> usize {
        match self {
            Self::P256 | Self::BrainpoolP256r1 | Self::Secp256k1 | Self::Ed25519 | Self::X25519 => 32,
            Self::P384 | Self::BrainpoolP384r1 => 48,
            Self::BrainpoolP512r1 => 64,
            Self::P521 => 66,
            Self::Ed448 => 57,
            Self::X448 => 56,
        }
    }

    /// Length in bytes of a public point: `04 || X || Y`, or the bare bytes of Edwards and Montgomery curves.
    pub const fn point_bytes(self) -> usize {
        match self.kind() {
            CurveKind::Weierstrass => 1 + 2 * self.field_bytes(),
            CurveKind::Edwards | CurveKind::Montgomery => self.field_bytes(),
        }
    }

    /// The family, which says what the curve can do.
    pub const fn kind(self) -> CurveKind {
        match self {
            Self::Ed25519 | Self::Ed448 => CurveKind::Edwards,
            Self::X25519 | Self::X448 => CurveKind::Montgomery,
            _ => CurveKind::Weierstrass,
        }
    }
}

/// A family of curves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CurveKind {
    /// ECDSA and ECDH.
    Weierstrass,
    /// EdDSA only.
    Edwards,
    /// ECDH only.
    Montgomery,
}

// Public-key algorithm ids of OpenPGP (RFC 4880 section 9.1, RFC 6637, GnuPG's EdDSA).
const RSA: u8 = 0x01;
const ECDH: u8 = 0x12;
const ECDSA: u8 = 0x13;
const EDDSA: u8 = 0x16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_4096_has_the_bytes_that_gnupg_writes() {
        assert_eq!(AlgorithmAttributes::rsa(4096).encode(), [0x01, 0x10, 0x00, 0x00, 0x20, 0x00]);
    }

    #[test]
    fn ed25519_has_the_identifier_that_gnupg_writes() {
        let bytes = [0x16, 0x2B, 0x06, 0x01, 0x04, 0x01, 0xDA, 0x47, 0x0F, 0x01];
        assert_eq!(AlgorithmAttributes::EdDsa(Curve::Ed25519).encode(), bytes);
    }

    #[test]
    fn every_attribute_survives_encoding() {
        for curve in Curve::ALL {
            let all = match curve.kind() {
                CurveKind::Weierstrass => vec![AlgorithmAttributes::Ecdsa(curve), AlgorithmAttributes::Ecdh(curve)],
                CurveKind::Edwards => vec![AlgorithmAttributes::EdDsa(curve)],
                CurveKind::Montgomery => vec![AlgorithmAttributes::Ecdh(curve)],
            };
            for attributes in all {
                assert_eq!(AlgorithmAttributes::decode(&attributes.encode()), Some(attributes));
                for trailer in [0xFF, 0x00] {
                    let mut value = attributes.encode();
                    value.push(trailer);
                    assert_eq!(AlgorithmAttributes::decode(&value), Some(attributes));
                }
            }
        }
        for import_format in ImportFormat::ALL {
            let attributes = AlgorithmAttributes::Rsa { modulus_bits: 3072, exponent_bits: 17, import_format };
            assert_eq!(AlgorithmAttributes::decode(&attributes.encode()), Some(attributes));
        }
    }

    #[test]
    fn the_identifiers_of_rfc_8410_are_understood() {
        let ed25519 = AlgorithmAttributes::decode(&[0x16, 0x2B, 0x65, 0x70]);
        assert_eq!(ed25519, Some(AlgorithmAttributes::EdDsa(Curve::Ed25519)));
        let x25519 = AlgorithmAttributes::decode(&[0x12, 0x2B, 0x65, 0x6E]);
        assert_eq!(x25519, Some(AlgorithmAttributes::Ecdh(Curve::X25519)));
    }

    #[test]
    fn a_curve_that_does_not_fit_the_algorithm_is_refused() {
        for algorithm in [ECDSA, ECDH] {
            let mut value = vec![algorithm];
            value.extend(Curve::Ed25519.oid());
            assert_eq!(AlgorithmAttributes::decode(&value), None);
        }
        let mut value = vec![EDDSA];
        value.extend(Curve::P256.oid());
        assert_eq!(AlgorithmAttributes::decode(&value), None);
        assert_eq!(AlgorithmAttributes::decode(&[0x01, 0x10, 0x00, 0x00, 0x20, 0x04]), None);
        assert_eq!(AlgorithmAttributes::decode(&[]), None);
    }
}
