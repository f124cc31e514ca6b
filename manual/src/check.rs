//! What tests of a program ask of its help texts.

use clap::Command;

/// 80 columns, less man's indentation of 7, and with that of 2 which man takes away.
const MAX_EXAMPLE: usize = 80 - 7 + 2;

/// Every command with its name, after those that it belongs to.
fn commands(command: &Command) -> Vec<(String, Command)> {
    let mut all = vec![(command.get_name().to_owned(), command.clone())];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        all.extend(commands(below).into_iter().map(|(name, found)| (format!("{} {name}", command.get_name()), found)));
    }
    all
}

/// Lines of help texts that are longer than a terminal of this many columns. One long word is what it is.
#[must_use]
pub fn lines_too_long(command: &Command, columns: usize) -> Vec<String> {
    let mut long = Vec::new();
    for (name, command) in commands(command) {
        let text = command.term_width(columns).render_long_help().to_string();
        // clap does not wrap the line with the usage.
        let wrappable = |line: &&str| !line.starts_with("Usage:") && line.trim().contains(' ');
        let lines = text.lines().filter(wrappable).filter(|line| line.chars().count() > columns);
        long.extend(lines.map(|line| format!("{name}: {line}")));
    }
    long
}

/// Lines of examples that a terminal of 80 columns would wrap, in the help or in the manual page, which is indented
/// more.
#[must_use]
pub fn examples_too_long(command: &Command) -> Vec<String> {
    let mut long = Vec::new();
    for (name, command) in commands(command) {
        let text = command.term_width(1000).render_long_help().to_string();
        let examples = text.lines().skip_while(|line| !line.starts_with("Example"));
        let lines = examples.filter(|line| line.starts_with("  ") && line.chars().count() > MAX_EXAMPLE);
        long.extend(lines.map(|line| format!("{name}: {line}")));
    }
    long
}

/// Commands and arguments without a help text.
#[must_use]
pub fn undocumented(command: &Command) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, command) in commands(command) {
        if command.get_about().is_none() {
            missing.push(name.clone());
        }
        let arguments = command.get_arguments().filter(|argument| argument.get_help().is_none());
        missing.extend(arguments.map(|argument| format!("{name} {}", argument.get_id())));
    }
    missing
}
