//! The one place that prints.

use std::io::Write as _;

/// Prints a line of the command's result. A reader that is gone is no error.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a line for the person at the terminal.
pub(super) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
