//! What stands below the options in a help text, in blocks.

/// A paragraph, and the indented lines under it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) text: String,
    pub(crate) indented: Vec<String>,
}

/// Headings of examples, with or without what they are for.
const EXAMPLES: [&str; 4] = ["Example:", "Examples:", "Example, ", "First steps:"];

impl Block {
    pub(crate) fn is_example(&self) -> bool {
        !self.indented.is_empty() && (self.starts_with(&EXAMPLES) || self.starts_with(&["When ", "Then "]))
    }

    pub(crate) fn is_exit_status(&self) -> bool {
        self.starts_with(&["Exit codes"])
    }

    /// The heading, if it says more than the section's.
    pub(crate) fn caption(&self) -> Option<&str> {
        let text = match self.text.as_str() {
            "Example:" | "Examples:" | "Exit codes:" => return None,
            text => text,
        };
        let text = text.strip_prefix("Exit codes: ").unwrap_or(text);
        (!text.is_empty()).then_some(text)
    }

    fn starts_with(&self, beginnings: &[&str]) -> bool {
        beginnings.iter().any(|beginning| self.text.starts_with(beginning))
    }
}

/// Lines without indentation are a paragraph, up to an empty or an indented line.
pub(crate) fn blocks(help: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut goes_on = false;
    for line in help.lines() {
        let is_indented = line.starts_with(' ');
        match blocks.last_mut() {
            Some(block) if is_indented => block.indented.push(line.to_owned()),
            Some(block) if goes_on && !line.is_empty() => {
                block.text.push(' ');
                block.text.push_str(line);
            }
            _ if line.is_empty() => {}
            _ if is_indented => blocks.push(Block { text: String::new(), indented: vec![line.to_owned()] }),
            _ => blocks.push(Block { text: line.to_owned(), indented: Vec::new() }),
        }
        goes_on = !line.is_empty() && !is_indented;
    }
    blocks
}
