//! The licences of the crates that the programs link, word by word, as most of them ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use sealcard_tests::run;
use serde::Deserialize;
use xtask::cargo::cargo;

use super::sbom::{Crate, Crates};

/// Where the source of each crate is.
pub(super) struct Sources(BTreeMap<Crate, PathBuf>);

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// None for crates of the workspace.
    source: Option<String>,
    manifest_path: PathBuf,
}

impl Sources {
    /// Asks cargo.
    pub(super) fn find() -> Result<Self> {
        let mut metadata = cargo(&["metadata", "--locked", "--format-version", "1"]);
        let answer = run(&mut metadata, Duration::from_secs(120))?.success()?;
        let metadata: Metadata = serde_json::from_slice(&answer.stdout).context("reading cargo metadata")?;
        let foreign = metadata.packages.into_iter().filter(|package| package.source.is_some());
        Ok(Self(
            foreign
                .filter_map(|package| {
                    let folder = package.manifest_path.parent()?.to_owned();
                    Some((Crate(package.name, package.version), folder))
                })
                .collect(),
        ))
    }

    /// All texts, each once, with the crates that have it.
    pub(super) fn notices(&self, crates: &Crates) -> Result<String> {
        let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (one, licence) in crates.licences() {
            let Some(folder) = self.0.get(one) else { continue };
            let found = texts_in(folder)?;
            // Such a crate says in Cargo.toml only under which licence it is.
            let found = if found.is_empty() { vec![format!("Licence: {licence}")] } else { found };
            for text in found {
                texts.entry(text).or_default().insert(format!("{} {}", one.0, one.1));
            }
        }
        let mut notices = "The programs contain these crates, under these licences.\n".to_owned();
        for (text, names) in texts {
            let names: Vec<String> = names.into_iter().collect();
            notices.push_str(&format!("\n{}\n{}\n\n{text}\n", "=".repeat(78), names.join(", ")));
        }
        Ok(notices)
    }
}

/// The content of the files with licences in the folder of a crate.
fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut texts = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) {
            // Line ends and spaces at the end differ between copies of the same text.
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
            texts.insert(lines.join("\n"));
        }
    }
    Ok(texts.into_iter().collect())
}

const BEGINNINGS: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
