//! A log and witnesses for tests.
#![allow(dead_code)]

use std::{collections::HashMap, convert::Infallible};

use sealcard_transparency::{
    Checkpoint, Frontier, Hash, HashReader, KeyType, Node, Note, SeedSigner, Signer, TreeHead, sign,
};
use zeroize::Zeroizing;

pub(crate) const TIME: u64 = 1_764_500_000;

pub(crate) fn signer(name: &str, key_type: KeyType, seed: u8) -> SeedSigner {
    SeedSigner::new(name.parse().unwrap(), key_type, &Zeroizing::new([seed; 32])).unwrap()
}

/// A log whose entries are the numbers from 0.
pub(crate) struct Log {
    pub(crate) frontier: Frontier,
    nodes: HashMap<Node, Hash>,
    pub(crate) signers: Vec<SeedSigner>,
}

impl Log {
    pub(crate) fn new(origin: &str, size: u64) -> Self {
        let signers = vec![signer(origin, KeyType::Ed25519, 1), signer(origin, KeyType::MlDsa44, 2)];
        let mut log = Self { frontier: Frontier::new(), nodes: HashMap::new(), signers };
        log.grow(size);
        log
    }

    pub(crate) fn grow(&mut self, size: u64) {
        while self.frontier.size() < size {
            let leaf = Hash::leaf(&self.frontier.size().to_be_bytes());
            self.nodes.extend(self.frontier.append(leaf).unwrap());
        }
    }

    pub(crate) fn reader(&self) -> impl HashReader<Error = Infallible> {
        |node| Ok(self.nodes[&node])
    }

    pub(crate) fn origin(&self) -> &str {
        self.signers[0].key().name().as_str()
    }

    /// The newest checkpoint, signed by the log.
    pub(crate) fn checkpoint(&self) -> Note {
        signed(self.origin(), self.frontier.head(), &self.signers)
    }
}

pub(crate) fn signed<'a>(origin: &str, tree: TreeHead, signers: impl IntoIterator<Item = &'a SeedSigner>) -> Note {
    let mut note = Note::new(Checkpoint::new(origin, tree).unwrap().to_string()).unwrap();
    cosign(&mut note, signers);
    note
}

pub(crate) fn cosign<'a>(note: &mut Note, signers: impl IntoIterator<Item = &'a SeedSigner>) {
    for signer in signers {
        note.add(sign(note.text(), TIME, signer).unwrap()).unwrap();
    }
}
