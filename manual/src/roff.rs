//! The language of manual pages.

use crate::{Word, help::Block};

/// Commands that are shorter than this have the rest of their synopsis beside them.
const MAX_HANGING: usize = 24;
const SHORT_HANGING: usize = 4;

/// A page that is being written.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    /// Nothing stands between the section's title and here.
    is_section_empty: bool,
}

impl Page {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let mut page = Self { text: String::new(), is_section_empty: true };
        page.line(&format!(".TH {} 1 \"\" \"Sealcard {}\" \"Sealcard\"", quoted(&name.to_uppercase()), text(version)));
        // Neither hyphenated nor justified: names of options stay whole, and can be copied.
        page.line(".nh");
        page.line(".nr HY 0");
        page.line(".ad l");
        page
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.line(&format!(".SH {}", quoted(title)));
        self.is_section_empty = true;
    }

    pub(crate) fn name(&mut self, name: &str, about: &str) {
        self.line(&format!("{} \\- {}", text(name), text(about)));
    }

    pub(crate) fn synopsis(&mut self, command: &str, parts: &[Vec<Word>]) {
        // Lines after the first begin below the first part, unless the command is so long that little room is left.
        let indent = if command.len() < MAX_HANGING { command.len() + 1 } else { SHORT_HANGING };
        self.line(&format!(".HP {indent}"));
        self.line(&format!("\\fB{}\\fR", text(command)));
        for part in parts {
            // An option stays on one line with its value.
            self.line(&line_start(&words(part).replace(' ', "\\ ")));
        }
    }

    pub(crate) fn paragraph(&mut self, paragraph: &str) {
        self.begin_paragraph();
        self.line(&line_start(&text(paragraph)));
    }

    pub(crate) fn block(&mut self, block: &Block) {
        if let Some(caption) = block.caption() {
            self.paragraph(caption);
        }
        if block.indented.is_empty() {
            return;
        }
        let indent = block.indented.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
        self.begin_paragraph();
        self.line(".EX");
        for line in &block.indented {
            self.line(&line_start(&text(line.get(indent..).unwrap_or(line))));
        }
        self.line(".EE");
    }

    pub(crate) fn tagged(&mut self, heading: &[Word], explanation: &str) {
        self.line(".TP");
        self.line(&line_start(&words(heading)));
        for (number, paragraph) in explanation.split("\n\n").enumerate() {
            if number > 0 {
                self.line(".IP");
            }
            self.line(&line_start(&text(&paragraph.replace('\n', " "))));
        }
    }

    pub(crate) fn tagged_section(&mut self, title: &str, entries: &[(&str, &str)]) {
        if entries.is_empty() {
            return;
        }
        self.section(title);
        for (name, explanation) in entries {
            self.tagged(&[Word::Literal((*name).to_owned())], explanation);
        }
    }

    /// Names of pages, such as `gpg(1)`.
    pub(crate) fn references(&mut self, pages: &[String]) {
        let last = pages.len().saturating_sub(1);
        for (number, page) in pages.iter().enumerate() {
            let (name, section) = page.split_once('(').unwrap_or((page, ""));
            let section = if section.is_empty() { String::new() } else { format!("({section}") };
            let comma = if number < last { "," } else { "" };
            self.line(&format!("\\fB{}\\fR{section}{comma}", text(name)));
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn begin_paragraph(&mut self) {
        if !self.is_section_empty {
            self.line(".PP");
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.is_section_empty = false;
    }
}

fn words(words: &[Word]) -> String {
    words
        .iter()
        .map(|word| match word {
            Word::Literal(literal) => format!("\\fB{}\\fR", text(literal)),
            Word::Value(value) => format!("\\fI{}\\fR", text(value)),
            Word::Plain(plain) => text(plain),
        })
        .collect()
}

fn quoted(title: &str) -> String {
    format!("\"{}\"", text(title))
}

/// Text without what roff would obey, but for the beginning of a line.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '"' => escaped.push_str("\\(dq"),
            '…' => escaped.push_str("..."),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A line that begins with a dot would be a request.
fn line_start(line: &str) -> String {
    if line.starts_with('.') { format!("\\&{line}") } else { line.to_owned() }
}
