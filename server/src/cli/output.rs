//! The one place that writes to the terminal.

use std::{
    fmt,
    io::{self, Write},
};

/// One line on standard output. A reader that has gone away is no error of the command.
pub(super) fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// One line for the person at the terminal, on standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Why the command failed, with its causes, on standard error.
pub(super) fn error(error: &anyhow::Error) {
    let _ = writeln!(io::stderr().lock(), "sealcard-server: {error:#}");
}
