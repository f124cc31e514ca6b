//! Reading a command line.

/// A command line: its name, and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// The first word, as it was sent; names are compared without case.
    pub name: &'a str,
    /// What follows the name, without the blanks around it.
    pub rest: &'a str,
}

impl<'a> CommandLine<'a> {
    /// Reads a line. `None` if it is not text: no command of this protocol carries raw binary data.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t']);
        let (name, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        Some(Self { name, rest: rest.trim_matches([' ', '\t']) })
    }

    /// Whether this line wants no answer: it is empty or a comment.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.name.is_empty() || self.name.starts_with('#')
    }

    /// The options and arguments in the rest of the line.
    #[must_use]
    pub fn options(&self) -> Options<'a> {
        Options::parse(self.rest)
    }
}

/// `--name`, `--name=value`, then arguments. `--` ends the options; unknown options are kept and hurt nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options<'a> {
    options: Vec<(&'a str, Option<&'a str>)>,
    arguments: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Reads what follows a command's name.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let mut parsed = Self::default();
        let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
        for word in words.by_ref() {
            match word.strip_prefix("--") {
                Some("") => break,
                Some(option) => parsed.options.push(match option.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (option, None),
                }),
                None => {
                    parsed.arguments.push(word);
                    break;
                }
            }
        }
        parsed.arguments.extend(words);
        parsed
    }

    /// Whether `--name` or `--name=…` was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(n, _)| *n == name)
    }

    /// The value of the first `--name=value`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.options.iter().find(|(n, _)| *n == name).and_then(|(_, value)| *value)
    }

    /// Argument `index`, counted from 0.
    #[must_use]
    pub fn argument(&self, index: usize) -> Option<&'a str> {
        self.arguments.get(index).copied()
    }

    /// All arguments.
    #[must_use]
    pub fn arguments(&self) -> &[&'a str] {
        &self.arguments
    }
}

/// A line of the client while an inquiry is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InquiryLine {
    /// `D` and data, with its escapes undone.
    Data(Vec<u8>),
    /// `END`: the answer is complete.
    End,
    /// `CAN`: the inquiry is cancelled.
    Cancel,
    /// Empty or a comment.
    Silent,
    /// Anything else: the client is out of step.
    Unexpected,
}

impl InquiryLine {
    /// Reads a line.
    #[must_use]
    pub fn parse(line: &[u8]) -> Self {
        match line {
            [] | [b'#', ..] => Self::Silent,
            [b'D' | b'd', b' ', data @ ..] => Self::Data(super::unescape(data)),
            b"D" | b"d" => Self::Data(Vec::new()),
            _ if is_word(line, b"END") => Self::End,
            _ if is_word(line, b"CAN") || is_word(line, b"CANCEL") => Self::Cancel,
            _ => Self::Unexpected,
        }
    }
}

fn is_word(line: &[u8], word: &[u8]) -> bool {
    line.split(|byte| *byte == b' ').next().is_some_and(|first| first.eq_ignore_ascii_case(word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_rests_are_told_apart() {
        let command = CommandLine::parse(b"SERIALNO --demand=D276 --all openpgp ").unwrap();
        assert_eq!((command.name, command.rest), ("SERIALNO", "--demand=D276 --all openpgp"));
        assert!(CommandLine::parse(b"").unwrap().is_silent());
        assert!(CommandLine::parse(b"  # comment").unwrap().is_silent());
        assert_eq!(CommandLine::parse(b"\xFF\xFE"), None);
    }

    #[test]
    fn options_end_at_the_first_argument_or_at_two_dashes() {
        let options = Options::parse("--demand=D276 --all --new-in-2.7 openpgp --late");
        assert_eq!(options.value("demand"), Some("D276"));
        assert!(options.has("all") && options.has("new-in-2.7") && !options.has("late"));
        assert_eq!(options.arguments(), ["openpgp", "--late"]);

        let options = Options::parse("--info -- --all");
        assert!(options.has("info") && !options.has("all"));
        assert_eq!(options.argument(0), Some("--all"));
        // An unknown digest is sent as two blanks (agent/call-scd.c, agent_card_pksign).
        assert_eq!(Options::parse("  4757B4EF").argument(0), Some("4757B4EF"));
    }

    #[test]
    fn inquiry_lines_are_recognized() {
        assert_eq!(InquiryLine::parse(b"D a%25b%0Ac"), InquiryLine::Data(b"a%b\nc".to_vec()));
        assert_eq!(InquiryLine::parse(b"END"), InquiryLine::End);
        assert_eq!(InquiryLine::parse(b"can"), InquiryLine::Cancel);
        assert_eq!(InquiryLine::parse(b"NOP"), InquiryLine::Unexpected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(line: Vec<u8>) {
            if let Some(command) = CommandLine::parse(&line) {
                let options = command.options();
                let _ = (options.has("x"), options.value("x"), options.argument(3));
            }
            let _ = InquiryLine::parse(&line);
        }
    }
}
