//! Checkpoints: the text that a log signs (<https://c2sp.org/tlog-checkpoint>), and what its keys and witnesses sign of
//! it (<https://c2sp.org/tlog-cosignature>).

use std::fmt;

use crate::{
    Hash, KeyName, TreeHead,
    note::key::MAX_NAME,
    text::{line, number},
};

/// A tree head of a log, as the text of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    tree: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of a log, without extension lines.
    ///
    /// # Errors
    /// If there is no such log or tree.
    pub fn new(origin: &str, tree: TreeHead) -> Result<Self, CheckpointError> {
        let checkpoint = Self { origin: origin.to_owned(), tree, extensions: Vec::new() };
        // Only what can be read again is a checkpoint.
        Self::parse(&checkpoint.to_string())
            .and_then(|read| if read == checkpoint { Ok(checkpoint) } else { Err(CheckpointError::Origin) })
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// If it is no checkpoint, or not in the only form that the specification has.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let (origin, rest) = line(text).ok_or(CheckpointError::Lines)?;
        let (size, rest) = line(rest).ok_or(CheckpointError::Lines)?;
        let (root, mut rest) = line(rest).ok_or(CheckpointError::Lines)?;
        if origin.is_empty() || origin.contains(|c: char| c < ' ') {
            return Err(CheckpointError::Origin);
        }
        let size = number(size).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Root)?;
        if size == 0 && root != Hash::EMPTY_TREE {
            return Err(CheckpointError::Root);
        }
        let mut extensions = Vec::new();
        while !rest.is_empty() {
            let (extension, after) = line(rest).ok_or(CheckpointError::Lines)?;
            if extension.is_empty() {
                return Err(CheckpointError::Lines);
            }
            extensions.push(extension.to_owned());
            rest = after;
        }
        Ok(Self { origin: origin.to_owned(), tree: TreeHead { size, root }, extensions })
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root of its tree.
    #[must_use]
    pub const fn tree(&self) -> &TreeHead {
        &self.tree
    }

    /// Further lines. ML-DSA-44 signatures don't cover them: rely on none of them.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// The message of an Ed25519 cosignature (tlog-cosignature, "Ed25519 signed message").
    #[must_use]
    pub fn cosignature_message(&self, time: u64) -> Vec<u8> {
        format!("cosignature/v1\ntime {time}\n{self}").into_bytes()
    }

    /// The message of an ML-DSA-44 cosignature (tlog-cosignature, "ML-DSA-44 signed message"): the whole tree is the
    /// subtree from 0. `None` if a name is longer than 255 bytes.
    #[must_use]
    pub fn subtree_message(&self, cosigner: &KeyName, time: u64) -> Option<Vec<u8>> {
        let mut message = b"subtree/v1\n\0".to_vec();
        push_name(&mut message, cosigner.as_str())?;
        message.extend(time.to_be_bytes());
        push_name(&mut message, &self.origin)?;
        message.extend(0u64.to_be_bytes());
        message.extend(self.tree.size.to_be_bytes());
        message.extend(self.tree.root.0);
        Some(message)
    }
}

/// `opaque name<1..2^8-1>`: its length in one byte, then itself.
fn push_name(message: &mut Vec<u8>, name: &str) -> Option<()> {
    let length = u8::try_from(name.len()).ok().filter(|length| (1..=MAX_NAME).contains(&usize::from(*length)))?;
    message.push(length);
    message.extend(name.as_bytes());
    Some(())
}

/// The text of the note.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.tree.size, self.tree.root.to_base64())?;
        self.extensions.iter().try_for_each(|extension| writeln!(f, "{extension}"))
    }
}

/// Why a text is no checkpoint. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Fewer than three lines, an empty one, or the last has no end.
    #[error("a checkpoint has at least three lines, none of them empty")]
    Lines,
    /// The origin is empty or has control characters.
    #[error("the origin of the checkpoint is empty or has control characters")]
    Origin,
    /// The size is no decimal number, has leading zeros or is too large.
    #[error("the size in the checkpoint is no number of leaves")]
    Size,
    /// The root is not 32 bytes in base64, or not that of the empty tree though the size is 0.
    #[error("the root in the checkpoint is not valid")]
    Root,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn example_of_the_specification_is_read() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.tree().size, 20_852_163);
        assert_eq!(checkpoint.to_string(), EXAMPLE);
        assert_eq!(Checkpoint::new(checkpoint.origin(), *checkpoint.tree()), Ok(checkpoint));
        let extended = format!("{EXAMPLE}time 1\n");
        let checkpoint = Checkpoint::parse(&extended).unwrap();
        assert_eq!(checkpoint.extensions(), ["time 1"]);
        assert_eq!(checkpoint.to_string(), extended);
    }

    #[test]
    fn other_forms_are_refused() {
        use CheckpointError::{Lines, Origin, Root, Size};
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for (text, error) in [
            (String::new(), Lines),
            (format!("log\n1\n{root}"), Lines),
            (format!("log\n1\n{root}\n\n"), Lines),
            (format!("log\n1\n{root}\n\nmore\n"), Lines),
            (format!("log\n1\n{root}\nmore"), Lines),
            (format!("\n1\n{root}\n"), Origin),
            (format!("log\r\n1\n{root}\n"), Origin),
            (format!("log\n\n{root}\n"), Size),
            (format!("log\n01\n{root}\n"), Size),
            (format!("log\n+1\n{root}\n"), Size),
            (format!("log\n1 \n{root}\n"), Size),
            (format!("log\n9223372036854775808\n{root}\n"), Size),
            (format!("log\n1\n{root}=\n"), Root),
            ("log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n".to_owned(), Root),
            ("log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n".to_owned(), Root),
            (format!("log\n0\n{root}\n"), Root),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
        }
        assert_eq!(Checkpoint::new("two\nlines", TreeHead::EMPTY), Err(Size));
        assert!(Checkpoint::new("log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", TreeHead::EMPTY).is_err());
        assert!(Checkpoint::new("log", TreeHead::EMPTY).is_ok());
    }

    #[test]
    fn messages_are_those_of_the_specification() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        let expected = format!("cosignature/v1\ntime 1679315147\n{EXAMPLE}");
        assert_eq!(checkpoint.cosignature_message(1_679_315_147), expected.as_bytes());

        let message = checkpoint.subtree_message(&"witness.example.com/w1".parse().unwrap(), 1_679_315_147).unwrap();
        let mut expected = b"subtree/v1\n\x00\x16witness.example.com/w1\x00\x00\x00\x00\x64\x18\x50\xCB".to_vec();
        expected.extend(b"\x1Bexample.com/behind-the-sofa\x00\x00\x00\x00\x00\x00\x00\x00");
        expected.extend(b"\x00\x00\x00\x00\x01\x3E\x2D\xC3");
        expected.extend(checkpoint.tree().root.0);
        assert_eq!(message, expected);

        let long = Checkpoint::new(&"l".repeat(256), TreeHead::EMPTY).unwrap();
        assert_eq!(long.subtree_message(&"w".parse().unwrap(), 0), None);
    }
}
