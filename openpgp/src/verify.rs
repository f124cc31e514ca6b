//! Judging signatures by certificates that are at hand.

use std::io::{self, Read, Write};

use sealcard_api::Timestamp;
use sequoia_openpgp::{
    Cert, KeyHandle, anyhow,
    cert::{CertParser, amalgamation::ValidAmalgamation as _},
    parse::{
        Parse as _,
        stream::{
            DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure, VerificationError,
            VerificationHelper, VerificationResult, VerifierBuilder,
        },
    },
};
use serde::Serialize;

use crate::{PublicCertificate, SignatureError, certificate::policy, time::timestamp};

/// Certificates to judge by.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Vec<Cert>);

impl Certificates {
    /// Adds all certificates of a file, armored or not. Gives how many there were.
    ///
    /// # Errors
    ///
    /// When it holds something else, or nothing.
    pub fn add(&mut self, content: &[u8]) -> Result<usize, SignatureError> {
        let before = self.0.len();
        for certificate in CertParser::from_bytes(content)? {
            self.0.push(certificate?);
        }
        match self.0.len() - before {
            0 => Err(SignatureError::Library("no certificate is in it".to_owned())),
            added => Ok(added),
        }
    }

    /// Adds one that was read before.
    ///
    /// # Errors
    ///
    /// When the library does not take it.
    pub fn add_certificate(&mut self, certificate: &PublicCertificate) -> Result<(), SignatureError> {
        self.0.push(certificate.cert().map_err(|error| SignatureError::Library(error.to_string()))?);
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What one signature is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Made over this content by this key, which was fit for it.
    Good {
        /// The certificate's fingerprint.
        fingerprint: String,
        /// Its primary user id.
        user_id: String,
        /// When it was made, as the signature says.
        made: Option<Timestamp>,
    },
    /// Not made over this content, or by a key that was not fit for it.
    Bad {
        /// The certificate's fingerprint or key id, if it is known.
        by: Option<String>,
        /// Why.
        reason: String,
    },
    /// Made by a key that is not at hand: nothing is known.
    UnknownKey {
        /// Its fingerprint or key id.
        by: Option<String>,
    },
}

/// What all signatures of a content come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// At least one is good and none is bad.
    Good,
    /// One is bad.
    Bad,
    /// None is bad, and all are by keys that are not at hand.
    Unknown,
}

impl Judgement {
    /// Of these.
    #[must_use]
    pub fn of(verdicts: &[Verdict]) -> Self {
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Bad { .. })) {
            Self::Bad
        } else if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Good { .. })) {
            Self::Good
        } else {
            Self::Unknown
        }
    }
}

/// Judges a detached signature over this content. Gives one verdict for each signature, at least one.
///
/// # Errors
///
/// When it is no detached signature, or the content can't be read.
pub fn verify_detached(
    certificates: &Certificates,
    signature: &[u8],
    content: impl Read + Send + Sync,
) -> Result<Vec<Verdict>, SignatureError> {
    let policy = policy();
    let no_signature = |error: anyhow::Error| SignatureError::NoSignature(format!("{error:#}"));
    // Of a signed text the library would take the signature alone, and judge it over another content.
    if is_cleartext(signature) {
        return Err(SignatureError::NoSignature("it holds a text of its own".to_owned()));
    }
    let mut verifier = DetachedVerifierBuilder::from_bytes(signature)
        .map_err(no_signature)?
        .with_policy(&policy, None, Collector::new(certificates))
        .map_err(no_signature)?;
    verifier.verify_reader(content)?;
    verifier.into_helper().verdicts()
}

/// Whether a text with a signature under it begins anywhere in this.
fn is_cleartext(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----"))
}

/// Judges a message that holds its content: a cleartext signature, or what `gpg --sign` makes. The content goes to
/// `output`; it is worth no more than the verdicts say.
///
/// # Errors
///
/// When it is no such message, or the content can't be written.
pub fn verify_inline(
    certificates: &Certificates,
    message: &[u8],
    output: &mut dyn Write,
) -> Result<Vec<Verdict>, SignatureError> {
    let policy = policy();
    let no_signature = |error: anyhow::Error| SignatureError::NoSignature(format!("{error:#}"));
    let mut verifier = VerifierBuilder::from_bytes(message)
        .map_err(no_signature)?
        .with_policy(&policy, None, Collector::new(certificates))
        .map_err(no_signature)?;
    io::copy(&mut verifier, output)?;
    if is_cleartext(message) {
        // The last line's end is not part of what is signed (RFC 9580 section 7.2); the text has one all the same.
        output.write_all(b"\n")?;
    }
    verifier.into_helper().verdicts()
}

/// Takes the library's results and goes on, so that all are seen.
struct Collector<'a> {
    certificates: &'a Certificates,
    verdicts: Vec<Verdict>,
}

impl<'a> Collector<'a> {
    fn new(certificates: &'a Certificates) -> Self {
        Self { certificates, verdicts: Vec::new() }
    }

    fn verdicts(self) -> Result<Vec<Verdict>, SignatureError> {
        if self.verdicts.is_empty() {
            return Err(SignatureError::NoSignature("it is not signed".to_owned()));
        }
        Ok(self.verdicts)
    }
}

impl VerificationHelper for Collector<'_> {
    fn get_certs(&mut self, handles: &[KeyHandle]) -> sequoia_openpgp::Result<Vec<Cert>> {
        let named = |cert: &&Cert| cert.keys().any(|key| handles.iter().any(|h| h.aliases(key.key().key_handle())));
        Ok(self.certificates.0.iter().filter(named).cloned().collect())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> sequoia_openpgp::Result<()> {
        for layer in structure {
            if let MessageLayer::SignatureGroup { results } = layer {
                self.verdicts.extend(results.into_iter().map(verdict));
            }
        }
        Ok(())
    }
}

fn verdict(result: VerificationResult<'_>) -> Verdict {
    match result {
        Ok(GoodChecksum { sig, ka }) => {
            let user_id = ka.valid_cert().primary_userid();
            Verdict::Good {
                fingerprint: ka.cert().fingerprint().to_hex(),
                user_id: user_id
                    .map(|id| String::from_utf8_lossy(id.userid().value()).into_owned())
                    .unwrap_or_default(),
                made: sig.signature_creation_time().map(timestamp),
            }
        }
        Err(VerificationError::MissingKey { sig }) => {
            Verdict::UnknownKey { by: sig.get_issuers().first().map(ToString::to_string) }
        }
        Err(error) => {
            let by = match &error {
                VerificationError::UnboundKey { cert, .. } => Some(cert.fingerprint().to_hex()),
                VerificationError::BadKey { ka, .. } | VerificationError::BadSignature { ka, .. } => {
                    Some(ka.cert().fingerprint().to_hex())
                }
                _ => None,
            };
            Verdict::Bad { by, reason: reason(&error) }
        }
    }
}

fn reason(error: &VerificationError<'_>) -> String {
    match error {
        VerificationError::BadSignature { .. } => "it was not made over this content".to_owned(),
        VerificationError::BadKey { error, .. } => format!("the key was not fit for it: {error:#}"),
        VerificationError::UnboundKey { error, .. } => format!("the key does not belong to the certificate: {error:#}"),
        VerificationError::MalformedSignature { error, .. } => format!("it is malformed: {error:#}"),
        other => other.to_string(),
    }
}
