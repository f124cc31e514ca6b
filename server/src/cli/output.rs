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

/// Writes over the line that the terminal shows last, on standard error.
pub(super) fn replace_line(text: &str) {
    let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
}

/// A length for people.
pub(super) fn mebibytes(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "it is rounded to a tenth of a mebibyte")]
    let number = bytes as f64 / f64::from(1 << 20);
    format!("{number:.1} MiB")
}

/// Why the command failed, with its causes, on standard error.
pub(super) fn error(error: &anyhow::Error) {
    let _ = writeln!(io::stderr().lock(), "sealcard-server: {error:#}");
}
