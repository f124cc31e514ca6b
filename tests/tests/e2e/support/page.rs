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

    /// All console blocks, in order.
    pub(crate) fn consoles(&self) -> impl Iterator<Item = &str> {
        blocks(&self.text, "console")
    }
}

fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<usize> = text.match_indices(&fence).map(|(at, _)| at + fence.len()).collect();
    starts.into_iter().filter_map(|start| text.get(start..)?.split("```\n").next())
}
