//! Signed notes: a text and signatures of it (<https://c2sp.org/signed-note>).

pub(crate) mod key;
mod sign;

use std::{fmt, str::FromStr};

use data_encoding::BASE64;

use crate::text;

pub use key::{KeyError, KeyId, KeyName, KeyType, VerifierKey};
pub use sign::{SEED_LENGTH, SeedSigner, SignError, Signer, sign};

/// The most signatures that a note may have. The specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 100;

/// The longest note, in bytes: room for [`MAX_SIGNATURES`] with ML-DSA-44.
pub const MAX_NOTE: usize = 512 * 1024;

/// One signature of a note, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    /// The name of the key that is said to have made it.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of that key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The signature itself: what it is depends on the type of the key.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The line of the note, without its end.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = BASE64.encode(&[&self.id.0[..], &self.bytes].concat());
        write!(f, "\u{2014} {} {encoded}", self.name)
    }
}

impl FromStr for Signature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let (name, encoded) =
            line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or(NoteError::SignatureLine)?;
        let decoded = text::base64(encoded).ok_or(NoteError::SignatureLine)?;
        let (id, bytes) = decoded.split_first_chunk().ok_or(NoteError::SignatureLine)?;
        if bytes.is_empty() {
            return Err(NoteError::SignatureLine);
        }
        let name = name.parse().map_err(|_| NoteError::SignatureLine)?;
        Ok(Self { name, id: KeyId(*id), bytes: bytes.to_vec() })
    }
}

/// Reads signature lines, each with its end, as a note has them and as a witness answers.
///
/// # Errors
/// If there are none, more than [`MAX_SIGNATURES`], or one that is malformed.
pub fn parse_signatures(text: &str) -> Result<Vec<Signature>, NoteError> {
    let lines = text.strip_suffix('\n').ok_or(NoteError::SignatureLine)?.split('\n');
    if lines.clone().count() > MAX_SIGNATURES {
        return Err(NoteError::TooLong);
    }
    lines.map(str::parse).collect()
}

/// A text with signatures. It says nothing until [`Note::verify`] has found the signature of a known key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A note without signatures yet.
    ///
    /// # Errors
    /// If the text is too long, does not end with the end of a line, or has control characters.
    pub fn new(text: String) -> Result<Self, NoteError> {
        check_text(&text)?;
        if text.ends_with('\n') { Ok(Self { text, signatures: Vec::new() }) } else { Err(NoteError::NoEnd) }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// If it is none, has no signatures, or is longer than [`MAX_NOTE`] or [`MAX_SIGNATURES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        check_text(note)?;
        // The text may have empty lines: the last one separates it from the signatures.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        Ok(Self { text: format!("{text}\n"), signatures: parse_signatures(signatures)? })
    }

    /// The text with the end of its last line, not verified.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, not verified.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, unless the note has it already.
    ///
    /// # Errors
    /// If the note has [`MAX_SIGNATURES`].
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::TooLong);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Verifies the signatures of the keys that are known, and ignores all others.
    ///
    /// # Errors
    /// If a signature that names a known key is wrong, or there is none of a known key.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<Vec<Verified<'k>>, VerifyError> {
        let mut verified = Vec::new();
        for key in keys {
            let own = self.signatures.iter().filter(|signature| signature.name == key.name && signature.id == key.id);
            for signature in own {
                let time = key.verify(&self.text, signature).ok_or_else(|| VerifyError::Wrong(key.name.clone()))?;
                verified.push(Verified { key, time });
            }
        }
        if verified.is_empty() { Err(VerifyError::NoKnownKey) } else { Ok(verified) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// A signature that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'k> {
    /// The key that made it.
    pub key: &'k VerifierKey,
    /// When it was made, in seconds since 1970-01-01T00:00:00Z, as the key's holder states. Only cosignatures say it.
    pub time: Option<u64>,
}

/// Why bytes are no signed note. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`], or more than [`MAX_SIGNATURES`].
    #[error("the note is too long or has more than {MAX_SIGNATURES} signatures")]
    TooLong,
    /// Not UTF-8, or control characters in it.
    #[error("the note is not UTF-8 or has control characters")]
    Text,
    /// The last line of the text has no end.
    #[error("the text of a note ends with the end of a line")]
    NoEnd,
    /// No empty line before the signatures.
    #[error("the note has no signatures")]
    NoSignatures,
    /// A line that is no signature.
    #[error("a signature line of the note is malformed")]
    SignatureLine,
}

/// Why a note is refused. Retrying can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature of this known key is wrong.
    #[error("the signature of {0} is wrong")]
    Wrong(KeyName),
    /// No key that is known has signed.
    #[error("no known key has signed the note")]
    NoKnownKey,
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_NOTE {
        return Err(NoteError::TooLong);
    }
    let control = |byte: u8| byte < 0x20 && byte != b'\n';
    if text.bytes().any(control) { Err(NoteError::Text) } else { Ok(()) }
}
