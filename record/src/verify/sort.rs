//! Sorting of more facts than memory holds: sorted runs in a temporary file, merged at the end.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use super::fact::{Fact, LENGTH};

/// Facts of a run that are read at once.
const READ: usize = 512;

/// Takes facts in any order and gives them sorted.
pub(super) struct Sorter {
    /// Where the temporary file is made. It has no name there.
    folder: PathBuf,
    /// How many facts are kept in memory.
    capacity: usize,
    facts: Vec<Fact>,
    file: Option<File>,
    runs: Vec<Run>,
}

/// A part of the file that is sorted.
struct Run {
    /// The place of the next fact that is to be read.
    offset: u64,
    /// How many are left in the file.
    left: usize,
    /// Those that were read, the next one last.
    buffer: Vec<Fact>,
}

impl Sorter {
    /// A sorter that keeps so many bytes in memory at most, and the others in a temporary file in `folder`.
    pub(super) fn new(folder: PathBuf, memory: usize) -> Self {
        Self { folder, capacity: (memory / LENGTH).max(1), facts: Vec::new(), file: None, runs: Vec::new() }
    }

    pub(super) fn push(&mut self, fact: Fact) -> io::Result<()> {
        if self.facts.len() >= self.capacity {
            self.write_run()?;
        }
        self.facts.push(fact);
        Ok(())
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.facts.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.folder)?),
        };
        let offset = file.seek(SeekFrom::End(0))?;
        let mut writer = BufWriter::with_capacity(READ * LENGTH, file);
        for fact in &self.facts {
            writer.write_all(fact)?;
        }
        writer.flush()?;
        self.runs.push(Run { offset, left: self.facts.len(), buffer: Vec::new() });
        self.facts.clear();
        Ok(())
    }

    /// All facts in their order.
    pub(super) fn sorted(mut self) -> io::Result<Sorted> {
        self.facts.sort_unstable();
        self.facts.reverse();
        let rest = Run { offset: 0, left: 0, buffer: self.facts };
        let mut sorted = Sorted { file: self.file, runs: self.runs, next: BinaryHeap::new() };
        sorted.runs.push(rest);
        for run in 0..sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }
}

/// Sorted facts.
pub(super) struct Sorted {
    file: Option<File>,
    runs: Vec<Run>,
    /// The next fact of each run, and which run that is.
    next: BinaryHeap<Reverse<(Fact, usize)>>,
}

impl Sorted {
    /// The next fact. None at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Fact>> {
        let Some(Reverse((fact, run))) = self.next.pop() else { return Ok(None) };
        self.advance(run)?;
        Ok(Some(fact))
    }

    fn advance(&mut self, number: usize) -> io::Result<()> {
        let Some(run) = self.runs.get_mut(number) else { return Ok(()) };
        if run.buffer.is_empty()
            && let Some(file) = &mut self.file
        {
            run.fill(file)?;
        }
        if let Some(fact) = run.buffer.pop() {
            self.next.push(Reverse((fact, number)));
        }
        Ok(())
    }
}

impl Run {
    fn fill(&mut self, file: &mut File) -> io::Result<()> {
        let count = self.left.min(READ);
        let mut bytes = vec![0; count * LENGTH];
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_exact(&mut bytes)?;
        self.offset += bytes.len() as u64;
        self.left -= count;
        let (facts, _) = bytes.as_chunks::<LENGTH>();
        self.buffer.extend(facts.iter().rev());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn facts_are_sorted_whatever_fits_into_memory(
            seeds in prop::collection::vec(any::<u16>(), 0..3000),
            memory in 1_usize..200_000,
        ) {
            let fact = |seed: u16| {
                let mut fact = [0; LENGTH];
                fact[..2].copy_from_slice(&seed.to_be_bytes());
                fact[LENGTH - 1] = 7;
                fact
            };
            let mut sorter = Sorter::new(std::env::temp_dir(), memory);
            for seed in &seeds {
                sorter.push(fact(*seed)).unwrap();
            }
            let mut sorted = sorter.sorted().unwrap();
            let mut expected: Vec<Fact> = seeds.into_iter().map(fact).collect();
            expected.sort_unstable();
            for fact in expected {
                prop_assert_eq!(sorted.next().unwrap(), Some(fact));
            }
            prop_assert_eq!(sorted.next().unwrap(), None);
        }
    }
}
