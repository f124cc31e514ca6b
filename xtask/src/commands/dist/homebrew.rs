//! A formula with which Homebrew builds the workstation's programs from the source.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use xtask::cargo::workspace;

use super::{Release, sbom::sha256};

/// Writes the formula beside the archive of the source, and returns where it is.
pub(super) fn formula(release: &Release, source: &Path) -> Result<PathBuf> {
    let template = fs::read_to_string(workspace().join("packaging/homebrew/sealcard.rb"))?;
    let name = source.file_name().context("a source without a name")?.to_string_lossy();
    let downloads = release.downloads.trim_end_matches('/');
    let text = fill(&template, downloads, &name, &sha256(release, source)?)?;
    let file = source.with_file_name(FORMULA);
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// Homebrew finds a formula by this name.
pub(super) const FORMULA: &str = "sealcard.rb";

fn fill(template: &str, downloads: &str, source: &str, sha256: &str) -> Result<String> {
    // In a text between double quotes Ruby would evaluate more than the address.
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._~:/%+@".contains(c);
    ensure!(downloads.chars().all(harmless), "{downloads:?} is no address of a folder");
    let text = template.replace("@HOMEPAGE@", downloads);
    let text = text.replace("@URL@", &format!("{downloads}/{source}")).replace("@SHA256@", sha256);
    ensure!(text.contains(sha256) && text.contains(source), "the template lacks the source or its digest");
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "homepage \"@HOMEPAGE@\"\nurl \"@URL@\"\nsha256 \"@SHA256@\"\n";

    #[test]
    fn formula_names_the_source_and_its_digest() {
        let filled = fill(TEMPLATE, "https://example.org/1", "sealcard-1.tar.gz", "ab12").unwrap();
        let wanted = "homepage \"https://example.org/1\"\nurl \"https://example.org/1/sealcard-1.tar.gz\"\n\
                      sha256 \"ab12\"\n";
        assert_eq!(filled, wanted);
    }

    #[test]
    fn address_that_is_code_is_refused() {
        assert!(fill(TEMPLATE, "https://example.org/#{exit}", "sealcard-1.tar.gz", "ab12").is_err());
    }
}
