//! Building an answer.

use zeroize::Zeroizing;

use super::MAX_LINE;

/// The lines of an answer, collected so that they leave in one write. The buffer is wiped when it is dropped, because a
/// decrypted session key passes through it.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Zeroizing<Vec<u8>>,
}

impl Reply {
    /// What is to be sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets (and wipes) what was collected.
    pub fn clear(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.bytes);
    }

    /// `OK`, with an optional text.
    pub fn ok(&mut self, text: &str) {
        self.line("OK", text);
    }

    /// `ERR` with a full gpg-error number and a text, which libassuan throws away.
    pub fn err(&mut self, number: u32, text: &str) {
        self.line("ERR", &format!("{number} {text}"));
    }

    /// `S KEYWORD arguments`.
    pub fn status(&mut self, keyword: &str, arguments: &str) {
        if arguments.is_empty() {
            self.line("S", keyword);
        } else {
            self.line("S", &format!("{keyword} {arguments}"));
        }
    }

    /// `INQUIRE KEYWORD arguments`.
    pub fn inquire(&mut self, keyword: &str, arguments: &str) {
        self.line("INQUIRE", &format!("{keyword} {arguments}"));
    }

    /// One or more `D` lines. `%`, CR and LF are escaped, everything else goes raw.
    pub fn data(&mut self, data: &[u8]) {
        // Growing would leave copies behind that nobody wipes.
        self.bytes.reserve(data.len() * 3 + (data.len() * 3 / (MAX_LINE - 4) + 1) * 3 + 16);
        let mut used = 0;
        for &byte in data {
            let escaped = matches!(byte, b'%' | b'\r' | b'\n');
            let width = if escaped { 3 } else { 1 };
            if used == 0 || used + width > MAX_LINE {
                if used != 0 {
                    self.bytes.push(b'\n');
                }
                self.bytes.extend_from_slice(b"D ");
                used = 2;
            }
            if escaped {
                self.bytes.extend_from_slice(match byte {
                    b'%' => b"%25",
                    b'\r' => b"%0D",
                    _ => b"%0A",
                });
            } else {
                self.bytes.push(byte);
            }
            used += width;
        }
        if used != 0 {
            self.bytes.push(b'\n');
        }
    }

    /// A line of text. Line ends inside are replaced and the line is cut to its limit: whatever a card holds, one call
    /// is one line.
    fn line(&mut self, kind: &str, text: &str) {
        let mut end = text.len().min(MAX_LINE - kind.len() - 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes.extend_from_slice(kind.as_bytes());
        let text = text.get(..end).unwrap_or_default();
        if !text.is_empty() {
            self.bytes.push(b' ');
            self.bytes.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r' | 0) { b'?' } else { byte }));
        }
        self.bytes.push(b'\n');
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_have_the_documented_form() {
        let mut reply = Reply::default();
        reply.status("SERIALNO", "D276");
        reply.data(b"a%b\r\n\x00\xFF");
        reply.err(100_663_571, "Unknown IPC command <SCD>");
        reply.ok("");
        assert_eq!(
            reply.as_bytes(),
            b"S SERIALNO D276\nD a%25b%0D%0A\x00\xFF\nERR 100663571 Unknown IPC command <SCD>\nOK\n"
        );
    }

    proptest! {
        #[test]
        fn data_survives_and_lines_keep_their_limit(data in prop::collection::vec(any::<u8>(), 0..5000)) {
            let mut reply = Reply::default();
            reply.data(&data);
            let mut back = Vec::new();
            for line in reply.as_bytes().split_inclusive(|byte| *byte == b'\n') {
                prop_assert!(line.len() <= MAX_LINE + 1);
                back.extend(super::super::unescape(line.strip_prefix(b"D ").unwrap().strip_suffix(b"\n").unwrap()));
            }
            prop_assert_eq!(back, data);
        }

        #[test]
        fn one_call_is_one_line(text in "\\PC{0,2000}|[\\n\\r\\x00a]{0,20}") {
            let mut reply = Reply::default();
            reply.status("X", &text);
            let bytes = reply.as_bytes();
            prop_assert!(bytes.len() <= MAX_LINE + 1);
            prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        }
    }
}
