//! The commands in `docs/` and the README against the command's own grammar.

use std::{fs, path::Path};

use clap::{Parser as _, error::ErrorKind};

use super::Arguments;

/// The lines of console blocks, with continued lines joined.
fn typed() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut lines = Vec::new();
    for page in pages.chain([root.join("README.md")]) {
        let (name, text) =
            (page.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&page).unwrap());
        for line in text.replace("\\\n", " ").lines() {
            if let Some(line) = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")) {
                lines.push((name.clone(), line.to_owned()));
            }
        }
    }
    lines
}

/// The words of each call of `sealcard` in a line of a shell.
fn calls(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_default();
    let ends = |word: &String| ["|", "&&", ";", ">", "2>", ">>"].contains(&word.as_str());
    words
        .split(ends)
        .filter(|words| words.first().is_some_and(|word| word == "sealcard"))
        .map(<[String]>::to_vec)
        .collect()
}

#[test]
fn every_documented_command_is_understood() {
    let mut seen = 0;
    for (page, line) in typed() {
        for words in calls(&line) {
            seen += 1;
            let Err(error) = Arguments::try_parse_from(&words) else { continue };
            // A value that stands for another one, such as ID, need not be a good one.
            let placeholder = matches!(error.kind(), ErrorKind::ValueValidation);
            assert!(placeholder, "{page}: {line}\n{error}");
        }
    }
    assert!(seen > 30, "only {seen} commands were found in the pages");
}
