//! The cleartext signature framework (RFC 9580 section 7): readable text with a signature below.

use sealcard_api::algorithm::HashAlgorithm;

use super::{Draft, Form, SignatureError, SigningKey};

/// Text that waits for its signature.
#[derive(Debug, Clone)]
pub struct Cleartext {
    draft: Draft,
    /// Dash-escaped, with a line feed at the end.
    escaped: Vec<u8>,
}

impl Cleartext {
    /// Hashes a text as the framework wants it: line ends are CR LF, blanks at the ends of lines do not count, nor does
    /// the last line end.
    ///
    /// # Errors
    ///
    /// When the library refuses.
    pub fn new(key: &SigningKey, hash: HashAlgorithm, text: &[u8]) -> Result<Self, SignatureError> {
        Ok(Self { draft: Draft::of_text(key, hash, &canonical(text))?, escaped: dash_escape(text) })
    }

    /// What the server is to sign.
    #[must_use]
    pub const fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The whole message, from what the server made.
    ///
    /// # Errors
    ///
    /// As [`Draft::finish`].
    pub fn finish(self, key: &SigningKey, raw: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let hash = self.draft.hash().name().to_uppercase();
        let signature = self.draft.finish(key, raw, Form::Armored)?;
        let head = format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: {hash}\n\n");
        Ok([head.as_bytes(), &self.escaped, &signature].concat())
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n')
}

/// What is hashed.
fn canonical(text: &[u8]) -> Vec<u8> {
    let trimmed: Vec<&[u8]> = lines(text)
        .map(|line| {
            let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).map_or(0, |last| last + 1);
            line.get(..end).unwrap_or_default()
        })
        .collect();
    trimmed.join(&b"\r\n"[..])
}

/// Section 7.1: a dash at the beginning of a line gets `- ` before it. So does `From `, which mail programs change.
fn dash_escape(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len() + 64);
    for line in lines(text) {
        if line.starts_with(b"-") || line.starts_with(b"From ") {
            escaped.extend_from_slice(b"- ");
        }
        escaped.extend_from_slice(line);
        escaped.push(b'\n');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_standard_forms() {
        assert_eq!(canonical(b"a \t\r\nb\n"), b"a\r\nb");
        assert_eq!(canonical(b"a\n\n"), b"a\r\n");
        assert_eq!(canonical(b""), b"");
        assert_eq!(dash_escape(b"-a\nFrom x\nb"), b"- -a\n- From x\nb\n");
    }

    proptest! {
        #[test]
        fn what_is_hashed_does_not_depend_on_line_ends(text in "[a \\t-]{0,20}(\\n[a \\t-]{0,20}){0,5}") {
            let dos = text.replace('\n', "\r\n");
            prop_assert_eq!(canonical(text.as_bytes()), canonical(dos.as_bytes()));
        }
    }
}
