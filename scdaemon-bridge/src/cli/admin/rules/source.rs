//! Texts from files.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use sealcard_api::key_rules::MAX_RULES;

use crate::cli::output::clean_path;

/// A text and what messages call it.
#[derive(Debug)]
pub(in crate::cli::admin) struct Source {
    pub(in crate::cli::admin) name: String,
    pub(in crate::cli::admin) text: String,
}

impl Source {
    /// Reads a file; `-` is standard input.
    pub(in crate::cli::admin) fn read(file: &Path) -> anyhow::Result<Self> {
        let (name, bytes) = if file == Path::new("-") {
            ("standard input".to_owned(), read(io::stdin().lock()))
        } else {
            (clean_path(file), fs::File::open(file).and_then(read))
        };
        let bytes = bytes.with_context(|| format!("can't read {name}"))?;
        if bytes.len() > MAX_RULES {
            bail!("{name} has more than {MAX_RULES} bytes, which is the most that rules may have");
        }
        let text = String::from_utf8(bytes).ok().with_context(|| format!("{name} is not valid UTF-8"))?;
        Ok(Self { name, text })
    }
}

/// One byte more than is allowed tells that it is too long.
fn read(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_RULES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
