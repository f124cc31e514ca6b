//! Tools: what a program must be like to match.

use regex::{Regex, RegexBuilder};
use sealcard_api::context::Process;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The longest regular expression, in bytes.
const MAX_PATTERN: usize = 1000;

/// The most memory that a compiled regular expression may take, in bytes. It bounds the time of compiling too; matching
/// takes time in proportion to the text.
const MAX_PROGRAM: usize = 256 * 1024;

/// What a program must be like. All that is given must match.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Tool {
    /// One of these paths.
    path: Option<Vec<String>>,
    /// One of these executables.
    sha256: Option<Vec<Sha256Text>>,
    /// The command line, as [`Process::command`] writes it.
    command: Option<Pattern>,
}

impl Tool {
    /// Whether nothing is asked of a program, so that all match.
    pub(super) const fn is_empty(&self) -> bool {
        self.path.is_none() && self.sha256.is_none() && self.command.is_none()
    }

    /// Whether one of the processes matches.
    pub(super) fn matches(&self, processes: &[Process]) -> bool {
        processes.iter().any(|process| self.matches_one(process))
    }

    fn matches_one(&self, process: &Process) -> bool {
        let given = |list: Option<&[String]>, value: Option<&String>| match (list, value) {
            (None, _) => true,
            (Some(list), Some(value)) => list.contains(value),
            (Some(_), None) => false,
        };
        let hashes: Option<Vec<String>> =
            self.sha256.as_ref().map(|hashes| hashes.iter().map(|hash| hash.0.clone()).collect());
        let command = match (&self.command, &process.command) {
            (None, _) => true,
            (Some(pattern), Some(command)) => pattern.0.is_match(command),
            (Some(_), None) => false,
        };
        !self.is_empty()
            && given(self.path.as_deref(), process.path.as_ref())
            && given(hashes.as_deref(), process.sha256.as_ref())
            && command
    }
}

/// 64 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sha256Text(String);

impl<'de> Deserialize<'de> for Sha256Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(text));
        }
        Err(D::Error::custom("a SHA-256 has 64 hexadecimal digits, as sha256sum prints it"))
    }
}

#[derive(Debug, Clone)]
struct Pattern(Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX_PATTERN {
            return Err(D::Error::custom(format!("a regular expression has at most {MAX_PATTERN} bytes")));
        }
        let regex = RegexBuilder::new(&text).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_PROGRAM).build();
        regex.map(Self).map_err(|error| D::Error::custom(pattern_error(&error)))
    }
}

fn pattern_error(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "the regular expression is too large: use fewer or smaller repetitions".into()
        }
        // The last line says what is wrong, the others draw where.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the regular expression is not valid: {last}")
        }
    }
}
