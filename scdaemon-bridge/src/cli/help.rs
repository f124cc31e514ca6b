//! Help texts that a terminal wraps.

use clap::Command;

/// The command, with each paragraph below the options on one line: clap wraps it to the terminal's width. In the source
/// paragraphs have several lines. Indented lines, such as examples, stay as they are.
pub(super) fn flowing(command: Command) -> Command {
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Every command's help at this width.
    fn helps(columns: usize) -> Vec<(String, String)> {
        fn add(command: &Command, columns: usize, path: &str, helps: &mut Vec<(String, String)>) {
            let path = format!("{path} {}", command.get_name());
            let text = command.clone().term_width(columns).render_long_help().to_string();
            command.get_subcommands().for_each(|below| add(below, columns, &path, helps));
            helps.push((path, text));
        }
        let mut helps = Vec::new();
        add(&crate::cli::complete::command(), columns, "", &mut helps);
        helps
    }

    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        assert_eq!(joined("One\ntwo.\n\nExamples:\n  a\n  b\n\nCodes"), "One two.\n\nExamples:\n  a\n  b\n\nCodes");
    }

    #[test]
    fn help_fits_terminals_of_80_and_60_columns() {
        for columns in [80, 60] {
            for (path, text) in helps(columns) {
                // clap does not wrap the line with the usage.
                let lines = text.lines().filter(|line| !line.starts_with("Usage:"));
                let longest = lines.max_by_key(|line| line.chars().count()).unwrap();
                assert!(longest.chars().count() <= columns, "{path} at {columns}: {longest}");
            }
        }
    }

    #[test]
    fn no_example_is_wrapped_at_80_columns() {
        let mut too_long = Vec::new();
        for (path, text) in helps(1000) {
            let examples = text.lines().skip_while(|line| !line.starts_with("Example"));
            let long = examples.filter(|line| line.starts_with("  ") && line.chars().count() > 80);
            too_long.extend(long.map(|line| format!("{path}: {line}")));
        }
        assert_eq!(too_long, Vec::<String>::new());
    }
}
