//! What a person sees while a program runs.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

/// Shorter waits are not worth a line.
const PATIENCE: Duration = Duration::from_secs(2);

/// A line on the terminal that says what is waited for. It is gone once the program has ended.
pub(super) struct Progress {
    program: &'static str,
    shown: bool,
}

impl Progress {
    pub(super) const fn new(program: &'static str) -> Self {
        Self { program, shown: false }
    }

    pub(super) fn show(&mut self, waited: Duration) {
        if self.shown || waited < PATIENCE || !io::stderr().is_terminal() {
            return;
        }
        self.shown = true;
        write(&format!("waiting for {} …", self.program));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            // Back to the line's begin, and erase it (ECMA-48).
            write("\r\u{1b}[K");
        }
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr();
    // A terminal that went away is no reason to fail.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
