//! Cutting a stream of bytes into lines.

use super::MAX_LINE;

/// What [`LineBuffer::next`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A line without its line end.
    Line(Vec<u8>),
    /// A line of more than [`MAX_LINE`] bytes. It was thrown away up to its end; the next line is read as usual.
    TooLong,
}

/// Holds bytes until a line is complete. It never keeps more than one line and what was pushed with it.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Up to here there is no line feed.
    searched: usize,
    /// The rest of an overlong line is being thrown away.
    discarding: bool,
}

impl LineBuffer {
    /// Adds bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next complete line, or `None` if more bytes are needed.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Incoming> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(offset) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                if self.bytes.len() > MAX_LINE + 1 {
                    self.bytes.clear();
                    self.searched = 0;
                    if !std::mem::replace(&mut self.discarding, true) {
                        return Some(Incoming::TooLong);
                    }
                }
                return None;
            };
            let mut line: Vec<u8> = self.bytes.drain(..=self.searched + offset).collect();
            self.searched = 0;
            if std::mem::take(&mut self.discarding) {
                continue;
            }
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Some(if line.len() > MAX_LINE { Incoming::TooLong } else { Incoming::Line(line) });
        }
    }

    /// Whether a complete line waits.
    #[must_use]
    pub fn has_line(&self) -> bool {
        self.bytes.contains(&b'\n')
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Incoming> {
        let mut buffer = LineBuffer::default();
        let mut found = Vec::new();
        for chunk in chunks {
            buffer.push(chunk);
            while let Some(incoming) = buffer.next() {
                found.push(incoming);
            }
        }
        found
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let expected =
            vec![Incoming::Line(b"NOP".to_vec()), Incoming::Line(Vec::new()), Incoming::Line(b"BYE".to_vec())];
        assert_eq!(all(&[b"NOP\n\r\nBYE\r\n"]), expected);
        assert_eq!(all(&[b"N", b"OP\n\r", b"\nBY", b"E\r", b"\n"]), expected);
        assert_eq!(all(&[b"no end"]), []);
    }

    #[test]
    fn an_overlong_line_is_reported_once_and_the_next_line_is_read() {
        let mut long = vec![b'x'; 5000];
        long.extend_from_slice(b"\nNOP\n");
        let expected = vec![Incoming::TooLong, Incoming::Line(b"NOP".to_vec())];
        assert_eq!(all(&[&long]), expected);
        assert_eq!(all(&long.chunks(7).collect::<Vec<_>>()), expected);
        assert_eq!(all(&long.chunks(700).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn the_longest_line_is_accepted() {
        let mut line = vec![b'x'; MAX_LINE];
        line.push(b'\n');
        assert_eq!(all(&[&line]), [Incoming::Line(vec![b'x'; MAX_LINE])]);
    }

    proptest! {
        #[test]
        fn the_cuts_between_chunks_do_not_matter(
            lines in prop::collection::vec("[a-z \\x00]{0,30}", 0..6),
            size in 1_usize..9,
        ) {
            let mut bytes = lines.join("\n").into_bytes();
            bytes.push(b'\n');
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(all(&chunks), all(&[&bytes]));
        }

        #[test]
        fn memory_stays_bounded_without_a_line_end(chunks in prop::collection::vec(1_usize..3000, 1..20)) {
            let mut buffer = LineBuffer::default();
            for len in chunks {
                buffer.push(&vec![b'a'; len]);
                while buffer.next().is_some() {}
                prop_assert!(buffer.bytes.len() <= MAX_LINE + 1);
            }
        }
    }
}
