//! Where secrets are searched for.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use sealcard_test_pause::Pause;
use sealcard_tests::Playground;

/// The content of every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            files.push((entry.path().display().to_string(), fs::read(entry.path())?));
        }
    }
    Ok(files)
}

/// Command line and environment of every process of the server: what `ps` shows, and more.
pub(crate) fn processes(playground: &Playground) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for pid in [vec![playground.server.pid()], playground.server.signers()?].concat() {
        for name in ["cmdline", "environ"] {
            let path = format!("/proc/{pid}/{name}");
            found.push((path.clone(), fs::read(path)?));
        }
    }
    ensure!(found.len() >= 4, "server and signer do not run");
    Ok(found)
}

/// Shows the memory of a process to `look`, region by region, in parts that overlap. It stands still meanwhile, as in a
/// core image.
pub(crate) fn memory(pid: u32, mut look: impl FnMut(&str, &[u8])) -> Result<()> {
    const PART: u64 = 16 * 1024 * 1024;
    const OVERLAP: u64 = 4096;

    let _still = Pause::of(pid)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let image = File::open(format!("/proc/{pid}/mem"))?;
    let mut seen = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').context("a line of maps")?;
        let (start, end) = range.split_once('-').context("a range of maps")?;
        let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
        // The kernel's own pages can't be read and hold nothing of ours.
        if !rest.starts_with('r') || rest.contains("[v") {
            continue;
        }
        let mut position = start;
        while position < end {
            let length = usize::try_from((end - position).min(PART + OVERLAP))?;
            let mut content = vec![0; length];
            let read = image.read_at(&mut content, position).with_context(|| format!("reading {line}"))?;
            look(&format!("memory at {line}"), &content[..read]);
            seen += read;
            position += PART;
        }
    }
    ensure!(seen > 1024 * 1024, "only {seen} bytes of memory were read");
    Ok(())
}
