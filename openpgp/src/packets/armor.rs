//! ASCII armor (RFC 9580 section 6.2), of which a file may hold several blocks.

use std::io::{Read as _, Write as _};

use sequoia_openpgp::armor::{Kind, Reader, ReaderMode, Writer};
use zeroize::Zeroizing;

use super::ReadError;

const BEGIN: &[u8] = b"-----BEGIN PGP ";
const END: &[u8] = b"-----END PGP ";

/// What the head of an armored block says that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Not armored.
    Binary,
    /// A public key.
    Public,
    /// A secret key.
    Secret,
    /// A message, a signature or something that is not known.
    Other,
}

/// One block of a file.
pub struct Block {
    /// What its head says.
    pub kind: BlockKind,
    /// Its packets.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The blocks of a file, which is binary or holds any number of armored blocks with any text between them.
///
/// # Errors
///
/// When there is nothing in it, or a block is damaged.
pub fn blocks(file: &[u8]) -> Result<Vec<Block>, ReadError> {
    match file.first() {
        None => return Err(ReadError::Empty),
        // No text in ASCII begins with a byte like this, and every packet does.
        Some(first) if first & 0x80 != 0 && !file.starts_with(&[0xEF, 0xBB, 0xBF]) => {
            return Ok(vec![Block { kind: BlockKind::Binary, bytes: Zeroizing::new(file.to_vec()) }]);
        }
        Some(_) => {}
    }
    let mut blocks = Vec::new();
    let mut rest = file;
    while let Some(start) = find(rest, BEGIN) {
        let block = rest.get(start..).unwrap_or_default();
        let end = find(block, END).ok_or(ReadError::Armor)?;
        let line = block.get(end..).unwrap_or_default();
        let end = end + line.iter().position(|byte| *byte == b'\n').map_or(line.len(), |at| at + 1);
        let (block, after) = block.split_at_checked(end).ok_or(ReadError::Armor)?;
        let kind = match block.get(BEGIN.len()..).unwrap_or_default() {
            head if head.starts_with(b"PUBLIC KEY BLOCK-") => BlockKind::Public,
            head if head.starts_with(b"PRIVATE KEY BLOCK-") => BlockKind::Secret,
            _ => BlockKind::Other,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(block.len()));
        let armor = match kind {
            BlockKind::Public => Some(Kind::PublicKey),
            BlockKind::Secret => Some(Kind::SecretKey),
            _ => None,
        };
        if let Some(armor) = armor {
            let mut reader = Reader::from_bytes(block, ReaderMode::Tolerant(Some(armor)));
            reader.read_to_end(&mut bytes).map_err(|_| ReadError::Armor)?;
        }
        blocks.push(Block { kind, bytes });
        rest = after;
    }
    if blocks.is_empty() { Err(ReadError::NotOpenPgp) } else { Ok(blocks) }
}

/// A certificate's packets as an armored block with these headers. `None` if the library can't write it.
pub(crate) fn armored(packets: &[u8], headers: &[(&str, String)]) -> Option<String> {
    let mut writer = Writer::with_headers(Vec::new(), Kind::PublicKey, headers.iter().cloned()).ok()?;
    writer.write_all(packets).ok()?;
    String::from_utf8(writer.finalize().ok()?).ok()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxgEE\n-----END PGP PUBLIC KEY BLOCK-----\n";

    #[test]
    fn each_block_of_a_file_is_found() {
        let secret = KEY.replace("PUBLIC", "PRIVATE");
        let message = KEY.replace("PUBLIC KEY BLOCK", "MESSAGE");
        let file = format!("Some text\n{KEY}more\r\n{secret}{message}");
        let kinds: Vec<_> = blocks(file.as_bytes()).unwrap().iter().map(|block| block.kind).collect();
        assert_eq!(kinds, [BlockKind::Public, BlockKind::Secret, BlockKind::Other]);
        assert_eq!(*blocks(KEY.as_bytes()).unwrap().remove(0).bytes, [0xC6, 1, 4]);
    }

    #[test]
    fn text_without_a_whole_block_is_refused() {
        assert_eq!(blocks(b"").err(), Some(ReadError::Empty));
        assert_eq!(blocks(b"hello").err(), Some(ReadError::NotOpenPgp));
        assert_eq!(blocks(KEY.split_at(60).0.as_bytes()).err(), Some(ReadError::Armor));
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(bytes: Vec<u8>, text in "(-----(BEGIN|END) PGP (PUBLIC KEY \
            BLOCK|x)-----|=|\n|a){0,9}") {
            let _ = blocks(&bytes);
            let _ = blocks(text.as_bytes());
        }
    }
}
