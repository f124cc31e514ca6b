//! What the card asks its caller to do with a private key.

/// A use of a private key that the caller performs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOperation {
    /// PSO: COMPUTE DIGITAL SIGNATURE with the signature key (section 7.2.10).
    Sign(SignInput),
    /// INTERNAL AUTHENTICATE with the authentication key (section 7.2.13).
    Authenticate(SignInput),
    /// PSO: DECIPHER with the decryption key (section 7.2.11).
    Decipher {
        /// RSA: the cryptogram, as wide as the modulus. ECDH: the ephemeral point, `04 || X || Y` or 32 bytes.
        ciphertext: Vec<u8>,
    },
}

/// What is to be signed, by the kind of key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInput {
    /// RSA: what goes behind the PKCS#1 padding, normally a `DigestInfo` (RFC 8017 section 9.2).
    DigestInfo(Vec<u8>),
    /// ECDSA: a digest, not yet truncated to the curve.
    Digest(Vec<u8>),
    /// EdDSA: the message. OpenPGP signs the digest as message; ssh signs the whole message.
    Message(Vec<u8>),
}

/// Why an operation gave nothing; each becomes a status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Denied, or consent was not given: 6982.
    #[error("denied")]
    Denied,
    /// The key's holder can't be reached or gave up: 6400.
    #[error("unavailable")]
    Unavailable,
    /// The data do not fit the key or are not allowed: 6A80.
    #[error("wrong data")]
    WrongData,
}
