//! The difference of two texts.

use std::fmt;

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::clean_line;
use crate::cli::output::{BAD, BOLD, DIM, GOOD, line};

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

/// How many lines a change adds and removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(in crate::cli::admin) struct Lines {
    pub(in crate::cli::admin) added: usize,
    pub(in crate::cli::admin) removed: usize,
}

impl Lines {
    pub(super) fn between(old: &str, new: &str) -> Self {
        let diff = TextDiff::from_lines(old, new);
        let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
        Self { added: count(ChangeTag::Insert), removed: count(ChangeTag::Delete) }
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} -{}", self.added, self.removed)
    }
}

/// Prints a unified diff of two texts under their names.
pub(in crate::cli::admin) fn show((old_name, old): (&str, &str), (new_name, new): (&str, &str)) {
    for text in unified((old_name, old), (new_name, new)) {
        line(match text.chars().next() {
            _ if text.starts_with("--- ") || text.starts_with("+++ ") => format!("{BOLD}{text}{BOLD:#}"),
            Some('+') => format!("{GOOD}{text}{GOOD:#}"),
            Some('-') => format!("{BAD}{text}{BAD:#}"),
            Some('@') => format!("{DIM}{text}{DIM:#}"),
            _ => text,
        });
    }
}

fn unified((old_name, old): (&str, &str), (new_name, new): (&str, &str)) -> Vec<String> {
    let diff = TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    let text = unified.context_radius(CONTEXT).header(old_name, new_name).to_string();
    text.lines().map(clean_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[rule.tags]\nhashes = [\"sha1\"]\noperations = [\"sign\"]\n";
    const NEW: &str = "[rule.tags]\nhashes = [\"sha256\"]\noperations = [\"sign\"]\n\n[rule.b]\n";

    #[test]
    fn changed_lines_are_counted_and_shown() {
        assert_eq!(Lines::between(OLD, NEW), Lines { added: 3, removed: 1 });
        assert_eq!(Lines::between(OLD, OLD).to_string(), "+0 -0");
        let lines = unified(("in force", OLD), ("rules.toml", NEW));
        assert_eq!(
            lines,
            [
                "--- in force",
                "+++ rules.toml",
                "@@ -1,3 +1,5 @@",
                " [rule.tags]",
                "-hashes = [\"sha1\"]",
                "+hashes = [\"sha256\"]",
                " operations = [\"sign\"]",
                "+",
                "+[rule.b]",
            ]
        );
    }

    #[test]
    fn a_terminal_gets_no_escape_sequences_of_a_text() {
        let lines = unified(("a", ""), ("b", "x\u{1b}[2J\u{202e}\ty\n"));
        assert!(lines.iter().all(|line| !line.contains(['\u{1b}', '\u{202e}', '\t'])), "{lines:?}");
    }
}
