//! What a token says of itself and of its keys.

use serde::{Deserialize, Serialize};

use sealcard_api::algorithm::KeyAlgorithm;

/// What [`super::RequestBody::Probe`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReport {
    /// The module's file.
    pub module: String,
    /// `libraryDescription` and version of `CK_INFO`.
    pub library: String,
    /// The version of Cryptoki that the module follows, such as `2.40`.
    pub cryptoki: String,
    /// The token's label.
    pub label: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// Its hardware version.
    pub hardware: String,
    /// Its firmware version.
    pub firmware: String,
    /// Sessions that may be open at most; `None` if the token names no limit.
    pub max_sessions: Option<u64>,
    /// Sessions that are open now, of all applications; `None` if the token does not say.
    pub sessions: Option<u64>,
    /// Shortest and longest PIN.
    pub pin_length: (u64, u64),
    /// Flags of `CK_TOKEN_INFO` that are set, such as `CKF_USER_PIN_COUNT_LOW`.
    pub flags: Vec<String>,
    /// All mechanisms.
    pub mechanisms: Vec<MechanismReport>,
    /// What keys can be made and used with them.
    pub algorithms: Vec<AlgorithmReport>,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// One mechanism of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MechanismReport {
    /// Such as `CKM_ECDSA`.
    pub name: String,
    /// Its smallest key size, in the mechanism's unit.
    pub min: u64,
    /// Its largest key size.
    pub max: u64,
    /// Flags that are set, such as `CKF_SIGN`.
    pub flags: Vec<String>,
}

/// Whether a token can serve an algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlgorithmReport {
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// Whether keys of it can sign.
    pub sign: bool,
    /// Whether keys of it can decrypt.
    pub decrypt: bool,
    /// Whether keys of it can be made on the token.
    pub generate: bool,
    /// What is missing.
    pub missing: Vec<String>,
}

/// What a token says of a private key, read back after the key was made or adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEvidence {
    /// The token's serial number.
    pub token_serial: String,
    /// The token's label.
    pub token_label: String,
    /// The token's firmware version.
    pub firmware: String,
    /// `CKA_ID`.
    pub id: Vec<u8>,
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_LOCAL`: made on the token.
    pub local: Option<bool>,
    /// `CKA_SENSITIVE`.
    pub sensitive: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`.
    pub extractable: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: Option<bool>,
    /// `CKA_KEY_GEN_MECHANISM`, by name.
    pub mechanism: Option<String>,
}
