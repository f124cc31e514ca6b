//! Pages of the handbook, whose commands the tests run.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

/// A page's text.
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Reads `docs/NAME`.
    pub(crate) fn read(name: &str) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { text })
    }

    /// What is below a heading of the second level.
    pub(crate) fn section(&self, heading: &str) -> Result<&str> {
        let (_, rest) = self.text.split_once(&format!("\n## {heading}\n")).with_context(|| format!("no {heading}"))?;
        Ok(rest.split("\n## ").next().unwrap_or_default())
    }

    /// The first block of a language below a heading.
    pub(crate) fn block(&self, heading: &str, language: &str) -> Result<String> {
        let block = blocks(self.section(heading)?, language).next();
        Ok(block.with_context(|| format!("no {language} below {heading}"))?.to_owned())
    }

    /// The commands of the console blocks below a heading.
    pub(crate) fn commands(&self, heading: &str) -> Result<Vec<String>> {
        let lines = blocks(self.section(heading)?, "console").flat_map(str::lines);
        let commands: Vec<String> = lines.filter_map(|line| line.strip_prefix("$ ")).map(ToOwned::to_owned).collect();
        ensure!(!commands.is_empty(), "no commands below {heading}");
        Ok(commands)
    }

    /// The page as pieces: prose and blocks, in order.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = vec![Piece { info: None, text: &self.text }];
        while let Some(Piece { info: None, text }) = pieces.pop() {
            let Some((prose, info, block, rest)) = first_block(text) else {
                pieces.push(Piece { info: None, text });
                break;
            };
            pieces.extend([Piece { info: None, text: prose }, Piece { info: Some(info), text: block }]);
            pieces.push(Piece { info: None, text: rest });
        }
        pieces
    }

    /// All console blocks, in order.
    pub(crate) fn consoles(&self) -> impl Iterator<Item = &str> {
        blocks(&self.text, "console")
    }
}

/// Prose, or the inside of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// What is behind the first fence of a block, such as `console`.
    pub(crate) info: Option<&'a str>,
    pub(crate) text: &'a str,
}

/// What is before the first block with its fence, what is behind the fence, what is in the block, and the rest.
fn first_block(text: &str) -> Option<(&str, &str, &str, &str)> {
    let fence = if text.starts_with("```") { 0 } else { text.find("\n```")? + 1 };
    let begin = fence + text.get(fence..)?.find('\n')? + 1;
    let end = begin + text.get(begin..)?.find("```\n")?;
    Some((text.get(..begin)?, text.get(fence + 3..begin)?.trim(), text.get(begin..end)?, text.get(end + 4..)?))
}

fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<usize> = text.match_indices(&fence).map(|(at, _)| at + fence.len()).collect();
    starts.into_iter().filter_map(|start| text.get(start..)?.split("```\n").next())
}

/// The commands of a console block, each with what the page shows below it.
pub(crate) fn commands(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, shown))) => shown.push(line),
            (None, None) => {}
        }
    }
    commands
}
