//! Ends of the record that others know: signers' journals have what the server stated with each use, and each
//! checkpoint that was signed; files say at which entry they were read. All must be ends of the log that the entries give.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use sealcard_transparency::{Frontier, Hash};

use super::{
    fact::{Fact, LENGTH},
    finding::{Finding, Findings, HeadPlace},
    sort::{Sorted, Sorter},
};
use crate::Sha256;

/// Bytes of the leaves' hashes that are read at once.
const READ: usize = 1 << 16;

/// An end of the record that was known.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownHead {
    /// How many entries it has.
    pub(super) size: u64,
    pub(super) root: [u8; 32],
    pub(super) from: Source,
    /// Which journal, from 1; or which of the other sources.
    pub(super) source: u16,
    /// The number of the journal's entry.
    pub(super) sequence: u64,
    /// Whether it may be younger than the record that is compared.
    pub(super) later: bool,
}

/// Where an end of the record is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Source {
    /// What the server stated, in a journal.
    Stated,
    /// A checkpoint, in a journal.
    Checkpoint,
    /// Something else that has a name.
    Other,
}

/// Takes entries and known ends in any order.
pub(super) struct Heads {
    known: Sorter,
    leaves: Leaves,
    /// What the others are called.
    others: Vec<String>,
}

impl Heads {
    /// Keeps so many bytes in memory at most, and the others in temporary files in `folder`.
    pub(super) fn new(folder: PathBuf, memory: usize) -> Self {
        Self {
            known: Sorter::new(folder.clone(), memory / 2),
            leaves: Leaves { folder, capacity: (memory / 2 / 32).max(1), recent: Vec::new(), file: None },
            others: Vec::new(),
        }
    }

    /// Takes the hash of the next entry's leaf.
    pub(super) fn leaf(&mut self, hash: [u8; 32]) -> io::Result<()> {
        self.leaves.push(hash)
    }

    /// Takes a known end.
    pub(super) fn known(&mut self, head: KnownHead) -> io::Result<()> {
        self.known.push(head.encode())
    }

    /// Takes a known end that is in no journal.
    pub(super) fn other(&mut self, name: String, size: u64, root: [u8; 32]) -> io::Result<()> {
        self.others.push(name);
        let source = u16::try_from(self.others.len()).unwrap_or(u16::MAX);
        self.known(KnownHead { size, root, from: Source::Other, source, sequence: 0, later: false })
    }

    /// Compares all known ends with those that the entries give, the smallest first. Of each journal the first one that
    /// does not fit is named: later ones build on it.
    pub(super) fn compare(self, journals: &[String], findings: &mut Findings) -> io::Result<()> {
        let Self { known, leaves, others } = self;
        let name = |known: &KnownHead| {
            let names = if known.from == Source::Other { &others } else { journals };
            usize::from(known.source).checked_sub(1).and_then(|at| names.get(at)).cloned().unwrap_or_default()
        };
        let mut wrong: BTreeMap<(Source, u16), (KnownHead, Found, u64)> = BTreeMap::new();
        let mut log = Rebuilt { leaves: leaves.read()?, log: Frontier::new(), root: None };
        let mut sorted: Sorted = known.sorted()?;
        while let Some(fact) = sorted.next()? {
            let known = KnownHead::decode(&fact).ok_or_else(|| io::Error::other("the temporary file was changed"))?;
            let found = match log.root_of(known.size)? {
                Some(root) if root == known.root => continue,
                Some(root) => Found::Root(Sha256(root)),
                None if known.later => continue,
                None => Found::Short(log.log.size()),
            };
            wrong.entry((known.from, known.source)).and_modify(|(.., more)| *more += 1).or_insert((known, found, 0));
        }
        for (known, found, more) in wrong.into_values() {
            let place = match known.from {
                Source::Stated => HeadPlace::Stated { journal: name(&known), sequence: known.sequence },
                Source::Checkpoint => HeadPlace::Checkpoint { journal: name(&known), sequence: known.sequence },
                Source::Other => HeadPlace::Other(name(&known)),
            };
            let (size, root) = (known.size, Sha256(known.root));
            findings.add(match found {
                Found::Root(found) => Finding::OtherPast { place, size, root, found, more },
                Found::Short(has) => Finding::RecordCut { place, size, has, more },
            });
        }
        Ok(())
    }
}

/// What there is in the place of a known end.
enum Found {
    /// Another root.
    Root(Sha256),
    /// So many entries only.
    Short(u64),
}

impl KnownHead {
    fn encode(&self) -> Fact {
        let Self { size, root, from, source, sequence, later } = self;
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.push(*from as u8);
        bytes.extend_from_slice(&source.to_be_bytes());
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.push(u8::from(*later));
        bytes.extend_from_slice(root);
        let mut fact = [0; LENGTH];
        fact.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        fact
    }

    fn decode(fact: &Fact) -> Option<Self> {
        let (size, rest) = fact.split_first_chunk::<8>()?;
        let ([from], rest) = rest.split_first_chunk::<1>()?;
        let (source, rest) = rest.split_first_chunk::<2>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let ([later], rest) = rest.split_first_chunk::<1>()?;
        let (root, _) = rest.split_first_chunk::<32>()?;
        Some(Self {
            size: u64::from_be_bytes(*size),
            root: *root,
            from: [Source::Stated, Source::Checkpoint, Source::Other].get(usize::from(*from)).copied()?,
            source: u16::from_be_bytes(*source),
            sequence: u64::from_be_bytes(*sequence),
            later: *later != 0,
        })
    }
}

/// The hashes of all leaves, in their order.
struct Leaves {
    /// Where the temporary file is made. It has no name there.
    folder: PathBuf,
    /// How many are kept in memory.
    capacity: usize,
    recent: Vec<[u8; 32]>,
    /// Those before.
    file: Option<BufWriter<File>>,
}

impl Leaves {
    fn push(&mut self, hash: [u8; 32]) -> io::Result<()> {
        if self.recent.len() >= self.capacity {
            let file = match &mut self.file {
                Some(file) => file,
                None => self.file.insert(BufWriter::with_capacity(READ, tempfile::tempfile_in(&self.folder)?)),
            };
            self.recent.iter().try_for_each(|hash| file.write_all(hash))?;
            self.recent.clear();
        }
        self.recent.push(hash);
        Ok(())
    }

    fn read(self) -> io::Result<ReadLeaves> {
        let file = match self.file {
            Some(file) => {
                let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.seek(SeekFrom::Start(0))?;
                Some(BufReader::with_capacity(READ, file))
            }
            None => None,
        };
        Ok(ReadLeaves { file, recent: self.recent.into_iter() })
    }
}

/// Gives them back.
struct ReadLeaves {
    file: Option<BufReader<File>>,
    recent: std::vec::IntoIter<[u8; 32]>,
}

impl ReadLeaves {
    fn next(&mut self) -> io::Result<Option<[u8; 32]>> {
        if let Some(file) = &mut self.file {
            let mut hash = [0; 32];
            match file.read_exact(&mut hash) {
                Ok(()) => return Ok(Some(hash)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.file = None,
                Err(error) => return Err(error),
            }
        }
        Ok(self.recent.next())
    }
}

/// The log as it grew.
struct Rebuilt {
    leaves: ReadLeaves,
    log: Frontier,
    /// The root of `log`, once it was wanted.
    root: Option<[u8; 32]>,
}

impl Rebuilt {
    /// The root when there were so many entries; sizes never decrease. None if there are fewer.
    fn root_of(&mut self, size: u64) -> io::Result<Option<[u8; 32]>> {
        while self.log.size() < size {
            let Some(hash) = self.leaves.next()? else { return Ok(None) };
            self.log.append(Hash(hash)).map_err(|error| io::Error::other(error.to_string()))?;
            self.root = None;
        }
        Ok(Some(*self.root.get_or_insert_with(|| self.log.root().0)))
    }
}
