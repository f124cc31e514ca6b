//! Help texts that a terminal wraps.

use clap::Command;

/// The command, with each paragraph below the options on one line: clap wraps it to the terminal's width. In the source
/// paragraphs have several lines. Indented lines, such as examples, stay as they are.
#[must_use]
pub fn flowing(command: Command) -> Command {
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(text) => command.after_help(joined(&text)),
        None => command,
    };
    command.mut_subcommands(flowing)
}

fn joined(text: &str) -> String {
    let mut joined = String::new();
    let mut in_paragraph = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !joined.is_empty() {
            joined.push(if in_paragraph && is_prose { ' ' } else { '\n' });
        }
        joined.push_str(line);
        in_paragraph = is_prose;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        assert_eq!(joined("One\ntwo.\n\nExamples:\n  a\n  b\n\nCodes"), "One two.\n\nExamples:\n  a\n  b\n\nCodes");
    }
}
