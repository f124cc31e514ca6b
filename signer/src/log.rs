//! One line of `key=value` pairs on stderr for each event. Never a secret.

use std::{
    fmt::{self, Display, Write as _},
    io::Write as _,
};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Writes one event. A stderr that is gone is no reason to stop.
pub(crate) fn event(level: Level, name: &str, fields: &[(&str, &dyn Display)]) {
    let line = render(level, name, fields);
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn render(level: Level, name: &str, fields: &[(&str, &dyn Display)]) -> String {
    let mut line = format!("level={} event={name}", level.name());
    for (key, value) in fields {
        let text = value.to_string();
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=');
        let _ = if plain { write!(line, " {key}={text}") } else { write!(line, " {key}={text:?}") };
    }
    line.push('\n');
    line
}

/// An error and what caused it, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self.0, f)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_always_one_line() {
        let line = render(Level::Warn, "torn-tail", &[("bytes", &7), ("text", &"a \"b\"\nc"), ("none", &"")]);
        assert_eq!(line, "level=warn event=torn-tail bytes=7 text=\"a \\\"b\\\"\\nc\" none=\"\"\n");
    }
}
