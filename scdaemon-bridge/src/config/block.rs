//! A block of our lines in front of another program's configuration file, so that every byte of the person's own can be
//! given back.
//!
//! Lines that would contradict ours are put behind `# sealcard: was: `, and so is, so that undoing is exact, every line
//! that looks like one of ours.

use std::path::Path;

use super::{ConfigError, files};

const BEGIN: &str = "# sealcard: begin, written by `sealcard setup` and undone by `sealcard setup --remove`\n";
/// Stands for [`BEGIN`] in a file that did not exist before.
const BEGIN_FILE: &str =
    "# sealcard: begin, a file made by `sealcard setup` and removed by `sealcard setup --remove`\n";
const END: &str = "# sealcard: end\n";
const MARK: &[u8] = b"# sealcard: ";
const WAS: &[u8] = b"# sealcard: was: ";

/// What an installation or a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockChange {
    /// Nothing: it was so already.
    None,
    /// The file was written. These lines of the person's own were set aside, now or earlier.
    Written(Vec<String>),
    /// The file is as it was before us.
    Restored,
}

/// The content with a block of these lines (each with its line end), in place of an earlier one. Lines for which
/// `contradicts` holds are set aside.
#[must_use]
pub fn with_block(content: &[u8], block: &str, contradicts: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    with_block_under(if is_of_new_file(content) { BEGIN_FILE } else { BEGIN }, content, block, contradicts)
}

fn with_block_under(begin: &str, content: &[u8], block: &str, contradicts: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let own = without_block(content);
    let mut result = begin.as_bytes().to_vec();
    result.extend_from_slice(block.as_bytes());
    result.extend_from_slice(END.as_bytes());
    for line in lines(&own) {
        if line.starts_with(MARK) || contradicts(line) {
            result.extend_from_slice(WAS);
        }
        result.extend_from_slice(line);
    }
    result
}

/// The content as it would be without us. Content without our block is given back as it is.
#[must_use]
pub fn without_block(content: &[u8]) -> Vec<u8> {
    if !has_block(content) {
        return content.to_vec();
    }
    let mut result = Vec::with_capacity(content.len());
    let mut inside = false;
    for line in lines(content) {
        if is_begin(line) {
            inside = true;
        } else if inside {
            inside = line != END.as_bytes();
        } else {
            result.extend_from_slice(line.strip_prefix(WAS).unwrap_or(line));
        }
    }
    result
}

/// Whether our block is there, whole.
#[must_use]
pub fn has_block(content: &[u8]) -> bool {
    lines(content).any(is_begin) && lines(content).any(|line| line == END.as_bytes())
}

/// The lines of our block, without their line ends; `None` if it is not there.
#[must_use]
pub fn block_lines(content: &[u8]) -> Option<Vec<String>> {
    if !has_block(content) {
        return None;
    }
    let inside = lines(content).skip_while(|line| !is_begin(line)).skip(1);
    let inside = inside.take_while(|line| *line != END.as_bytes());
    Some(inside.map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect())
}

/// Writes a block into a file, as [`with_block`] does. A file that does not exist is made.
///
/// # Errors
///
/// When the file can't be read or written.
pub fn install(path: &Path, block: &str, contradicts: impl Fn(&[u8]) -> bool) -> Result<BlockChange, ConfigError> {
    let old = files::read_foreign(path)?;
    let after = match &old {
        Some(before) => with_block(before, block, &contradicts),
        None => with_block_under(BEGIN_FILE, b"", block, &contradicts),
    };
    if old.as_ref().is_some_and(|before| *before == after) {
        return Ok(BlockChange::None);
    }
    let own = without_block(old.as_deref().unwrap_or_default());
    let aside = lines(&own).filter(|line| contradicts(line));
    let aside = aside.map(|line| String::from_utf8_lossy(line).trim().to_owned()).collect();
    replace_keeping_mode(path, &after)?;
    Ok(BlockChange::Written(aside))
}

/// Takes our block out of a file. A file that did not exist before us, and holds nothing else, is removed.
///
/// # Errors
///
/// When the file can't be read or written.
pub fn remove(path: &Path) -> Result<BlockChange, ConfigError> {
    let Some(content) = files::read_foreign(path)? else { return Ok(BlockChange::None) };
    if !has_block(&content) {
        return Ok(BlockChange::None);
    }
    let own = without_block(&content);
    if own.is_empty() && is_of_new_file(&content) {
        files::remove(path)?;
    } else {
        replace_keeping_mode(path, &own)?;
    }
    Ok(BlockChange::Restored)
}

/// Replaces a file, with the mode that it has. Follows a symbolic link: people keep such files in a repository of dot
/// files.
///
/// # Errors
///
/// When the file can't be written.
pub fn replace_keeping_mode(path: &Path, content: &[u8]) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mode = std::fs::metadata(&path).map_or(0o600, |facts| facts.permissions().mode() & 0o777);
    files::replace(&path, content, mode)
}

/// With their line ends; the last line may have none.
pub fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|byte| *byte == b'\n')
}

fn is_begin(line: &[u8]) -> bool {
    line == BEGIN.as_bytes() || line == BEGIN_FILE.as_bytes()
}

fn is_of_new_file(content: &[u8]) -> bool {
    has_block(content) && lines(content).any(|line| line == BEGIN_FILE.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_key(line: &[u8]) -> bool {
        line.starts_with(b"key")
    }

    #[test]
    fn removing_gives_back_the_file_or_its_absence() {
        for own in [None, Some(&b""[..]), Some(b"key 1\nother\n"), Some(b"no newline")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("conf");
            if let Some(own) = own {
                std::fs::write(&path, own).unwrap();
            }
            assert!(matches!(install(&path, "key 2\n", is_key).unwrap(), BlockChange::Written(_)));
            assert_eq!(install(&path, "key 2\n", is_key).unwrap(), BlockChange::None);
            assert!(matches!(install(&path, "key 3\n", is_key).unwrap(), BlockChange::Written(_)));
            assert_eq!(block_lines(&std::fs::read(&path).unwrap()).unwrap(), ["key 3"]);
            assert_eq!(remove(&path).unwrap(), BlockChange::Restored);
            assert_eq!(remove(&path).unwrap(), BlockChange::None);
            assert_eq!(files::read_foreign(&path).unwrap().as_deref(), own);
        }
    }

    #[test]
    fn lines_that_were_set_aside_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conf");
        std::fs::write(&path, "other\nkey 1\n").unwrap();
        assert_eq!(install(&path, "key 2\n", is_key).unwrap(), BlockChange::Written(vec!["key 1".to_owned()]));
    }

    #[test]
    fn a_line_added_to_a_new_file_stays_after_removal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conf");
        install(&path, "key 2\n", is_key).unwrap();
        let mut edited = std::fs::read(&path).unwrap();
        edited.extend_from_slice(b"mine\n");
        std::fs::write(&path, edited).unwrap();
        remove(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"mine\n");
    }

    proptest! {
        #[test]
        fn removing_gives_back_every_byte(content: Vec<u8>) {
            prop_assert_eq!(without_block(&with_block(&content, "key 2\n", is_key)), without_block(&content));
        }
    }
}
