//! The one place that writes to the terminal.
//!
//! Progress goes to standard error: standard output belongs to what a command was asked for.

use std::io::{self, IsTerminal, Write};

/// A step begins.
pub fn step(text: &str) {
    line(&mut io::stderr(), &format!("{} {text}", paint(io::stderr().is_terminal(), "1;34", "==>")));
}

/// Something worth knowing about the current step.
pub fn note(text: &str) {
    line(&mut io::stderr(), &format!("    {text}"));
}

/// What went wrong.
pub fn error(text: &str) {
    line(&mut io::stderr(), &format!("{} {text}", paint(io::stderr().is_terminal(), "1;31", "error:")));
}

/// A result that was asked for.
pub fn result(text: &str) {
    line(&mut io::stdout(), text);
}

/// A headline among results.
pub fn headline(text: &str) {
    line(&mut io::stdout(), &format!("\n{}", paint(io::stdout().is_terminal(), "1;34", text)));
}

/// A command that is about to be run, as a person would type it.
pub fn command(who: &str, text: &str) {
    line(&mut io::stdout(), &paint(io::stdout().is_terminal(), "1;32", &format!("{who}$ {text}")));
}

fn paint(terminal: bool, colour: &str, text: &str) -> String {
    if terminal { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

fn line(to: &mut dyn Write, text: &str) {
    // Whoever closed the terminal does not read this either.
    writeln!(to, "{text}").and_then(|()| to.flush()).ok();
}
