//! Manual pages, with the sections that man-pages(7) names, help texts that fit the terminal, and completion, all from
//! the definitions of the commands.

pub mod check;
mod completion;
mod flow;
mod help;
mod roff;

pub use completion::{INSTALL, Shell, answer_shell};
pub use flow::flowing;

use std::{fs, io, path::Path};

use clap::{Arg, Command};

use help::{Block, blocks};
use roff::Page;

/// What the definition of a program does not say.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Variables that no option names, and what they do.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files, and what they hold.
    pub files: &'static [(&'static str, &'static str)],
    /// What each exit status means, unless a command says it.
    pub exit_status: &'static str,
    /// Other pages, such as `gpg(1)`.
    pub see_also: &'static [&'static str],
}

impl Program {
    /// Writes a page for the command and one for each command below it that is not hidden.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn write(&self, command: Command, folder: &Path) -> io::Result<()> {
        self.pages(command).into_iter().try_for_each(|(name, page)| fs::write(folder.join(name), page))
    }

    /// The pages with their file names, that of the program itself first.
    #[must_use]
    pub fn pages(&self, command: Command) -> Vec<(String, String)> {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        self.add(&command, None, &mut pages);
        pages
    }

    fn add(&self, command: &Command, parent: Option<&Command>, pages: &mut Vec<(String, String)>) {
        let page = self.page(command, parent);
        pages.push((format!("{}.1", page_name(command)), page));
        for below in visible(command) {
            self.add(below, Some(command), pages);
        }
    }

    fn page(&self, command: &Command, parent: Option<&Command>) -> String {
        let (name, typed) = (page_name(command), command.get_bin_name().unwrap_or_else(|| command.get_name()));
        let version = command.get_version().or_else(|| parent.and_then(Command::get_version)).unwrap_or_default();
        let mut page = Page::new(&name, version);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        page.section("NAME");
        page.name(&name, about.trim_end_matches('.'));
        page.section("SYNOPSIS");
        page.synopsis(typed, &synopsis(command));
        let blocks = command.get_after_help().map(|help| blocks(&help.to_string())).unwrap_or_default();
        describe(&mut page, command, &blocks);
        options(&mut page, command);
        commands(&mut page, command);
        for (title, wanted) in [("EXAMPLES", true), ("EXIT STATUS", false)] {
            self.after(&mut page, &blocks, title, wanted);
        }
        self.environment(&mut page, command);
        page.tagged_section("FILES", self.files);
        self.see_also(&mut page, command, parent);
        page.finish()
    }

    fn after(&self, page: &mut Page, blocks: &[Block], title: &str, is_examples: bool) {
        let chosen: Vec<&Block> = blocks.iter().filter(|block| block.is_example() == is_examples).collect();
        if is_examples {
            if !chosen.is_empty() {
                page.section(title);
            }
            chosen.iter().for_each(|block| page.block(block));
            return;
        }
        page.section(title);
        match chosen.iter().find(|block| block.is_exit_status()) {
            Some(block) => page.block(block),
            None => page.paragraph(self.exit_status),
        }
    }

    fn environment(&self, page: &mut Page, command: &Command) {
        let options: Vec<(String, String)> = command
            .get_arguments()
            .filter_map(|argument| {
                let variable = argument.get_env()?.to_string_lossy().into_owned();
                let option = argument.get_long().map(|long| format!("The value of --{long}, unless it is given."));
                Some((variable, option.unwrap_or_else(|| "The value of the argument, unless it is given.".to_owned())))
            })
            .collect();
        let named = options.iter().map(|(variable, text)| (variable.as_str(), text.as_str()));
        let all: Vec<(&str, &str)> = named.chain(self.environment.iter().copied()).collect();
        page.tagged_section("ENVIRONMENT", &all);
    }

    fn see_also(&self, page: &mut Page, command: &Command, parent: Option<&Command>) {
        let mut others: Vec<String> = Vec::new();
        if let Some(parent) = parent {
            others.push(format!("{}(1)", page_name(parent)));
        }
        others.extend(visible(command).map(|below| format!("{}(1)", page_name(below))));
        others.extend(self.see_also.iter().map(|other| (*other).to_owned()));
        page.section("SEE ALSO");
        page.references(&others);
    }
}

fn page_name(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).replace(' ', "-")
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| !argument.is_hide_set())
}

/// A piece of a synopsis or of an option's heading.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Typed as it is.
    Literal(String),
    /// Stands for a value.
    Value(String),
    Plain(&'static str),
}

fn synopsis(command: &Command) -> Vec<Vec<Word>> {
    let is_long = |argument: &&Arg| matches!(argument.get_id().as_str(), "help" | "version");
    let mut parts: Vec<Vec<Word>> = Vec::new();
    for argument in arguments(command).filter(|argument| !argument.is_positional() && !is_long(argument)) {
        let mut part = names(argument, "|");
        part.extend(value(argument));
        parts.push(if argument.is_required_set() { part } else { bracketed(part) });
    }
    for argument in command.get_positionals() {
        let mut part: Vec<Word> = value(argument).into_iter().filter(|word| *word != Word::Plain(" ")).collect();
        if argument.get_num_args().is_some_and(|range| range.max_values() > 1) {
            part.push(Word::Plain("..."));
        }
        parts.push(if argument.is_required_set() { part } else { bracketed(part) });
    }
    if visible(command).next().is_some() {
        let part = vec![Word::Value("COMMAND".to_owned())];
        parts.push(if command.is_subcommand_required_set() { part } else { bracketed(part) });
    }
    parts
}

fn bracketed(part: Vec<Word>) -> Vec<Word> {
    [vec![Word::Plain("[")], part, vec![Word::Plain("]")]].concat()
}

fn names(argument: &Arg, between: &'static str) -> Vec<Word> {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let mut words = Vec::new();
    for name in short.into_iter().chain(long) {
        if !words.is_empty() {
            words.push(Word::Plain(between));
        }
        words.push(Word::Literal(name));
    }
    words
}

/// The value that follows an option; nothing if it takes none.
fn value(argument: &Arg) -> Vec<Word> {
    if !argument.is_positional() && !argument.get_action().takes_values() {
        return Vec::new();
    }
    let name = match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    };
    vec![Word::Plain(" "), Word::Value(name)]
}

fn describe(page: &mut Page, command: &Command, blocks: &[Block]) {
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    page.section("DESCRIPTION");
    for paragraph in about.split("\n\n") {
        let end = if paragraph.ends_with(['.', ':', '!']) { "" } else { "." };
        page.paragraph(&format!("{paragraph}{end}"));
    }
    for block in blocks.iter().filter(|block| !block.is_example() && !block.is_exit_status()) {
        page.block(block);
    }
}

fn options(page: &mut Page, command: &Command) {
    if arguments(command).next().is_none() {
        return;
    }
    page.section("OPTIONS");
    let positionals = command.get_positionals().filter(|argument| !argument.is_hide_set());
    for argument in positionals.chain(arguments(command).filter(|argument| !argument.is_positional())) {
        let mut heading = names(argument, ", ");
        heading.extend(value(argument).into_iter().filter(|word| !heading_is_empty(word, argument)));
        page.tagged(&heading, &help_of(argument));
    }
}

/// A positional's value has nothing before it.
fn heading_is_empty(word: &Word, argument: &Arg) -> bool {
    argument.is_positional() && *word == Word::Plain(" ")
}

fn help_of(argument: &Arg) -> String {
    // clap's own text names a short form, which is no help in a manual.
    if argument.get_id() == "help" {
        return "Print help.".to_owned();
    }
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut help = help.trim_end_matches('.').to_owned();
    help.push('.');
    let values = argument.get_possible_values();
    let values: Vec<&str> = values.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name()).collect();
    if argument.get_action().takes_values() && !values.is_empty() {
        help.push_str(&format!(" Possible values: {}.", values.join(", ")));
    }
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && defaults.iter().any(|value| !value.is_empty()) {
        help.push_str(&format!(" Default: {}.", defaults.join(", ")));
    }
    help
}

fn commands(page: &mut Page, command: &Command) {
    if visible(command).next().is_none() {
        return;
    }
    page.section("COMMANDS");
    for below in visible(command) {
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        let heading = [Word::Literal(page_name(below)), Word::Plain("(1)")];
        page.tagged(&heading, &format!("{}.", about.trim_end_matches('.')));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        environment: &[("GNUPGHOME", "The GnuPG home.")],
        files: &[("~/.config/sealcard/config.toml", "The server.")],
        exit_status: "0 done, 1 failed.",
        see_also: &["gpg(1)"],
    };

    fn pages() -> Vec<(String, String)> {
        let key = Arg::new("key").long("key").short('k').value_name("NAME").env("SEALCARD_KEY").help("The key");
        let path = Arg::new("path").required(true).num_args(1..).value_name("PATH").help("Files");
        let sign = Command::new("sign").about("Sign files").arg(key).arg(path).after_help(
            ".dots and - dashes are text.\n\nExamples:\n  sealcard sign a.tar\n      makes a.tar.asc\n\n\
             Exit codes: 0 all, 1 not.",
        );
        PROGRAM.pages(Command::new("sealcard").version("1.2").about("Sign").subcommand(sign))
    }

    fn page(name: &str) -> String {
        pages().into_iter().find(|(file, _)| file == name).unwrap().1
    }

    #[test]
    fn every_command_has_a_page_with_all_sections() {
        assert_eq!(
            pages().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["sealcard.1", "sealcard-sign.1"]
        );
        let page = page("sealcard-sign.1");
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXAMPLES",
            "EXIT STATUS",
            "ENVIRONMENT",
            "FILES",
            "SEE ALSO",
        ] {
            let quoted = format!(".SH \"{section}\"\n");
            assert_eq!(page.matches(&quoted).count(), 1, "{section}: {page}");
        }
    }

    #[test]
    fn the_synopsis_names_values() {
        let page = page("sealcard-sign.1");
        assert!(page.contains("[\\fB\\-k\\fR|\\fB\\-\\-key\\fR\\ \\fINAME\\fR]"), "{page}");
        assert!(page.contains("\\fIPATH\\fR..."), "{page}");
    }

    #[test]
    fn examples_are_not_filled() {
        let page = page("sealcard-sign.1");
        assert!(page.contains(".EX\nsealcard sign a.tar\n    makes a.tar.asc\n.EE"), "{page}");
        assert!(page.contains("0 all, 1 not.") && !page.contains("0 done"), "{page}");
    }

    #[test]
    fn text_is_no_request() {
        assert!(page("sealcard-sign.1").contains("\\&.dots and \\- dashes"));
    }
}
