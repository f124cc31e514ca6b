//! Reading a policy file, line by line.

use std::{collections::HashMap, str::FromStr};

use super::{Group, Member, Party, TrustPolicy};
use crate::{KeyError, KeyType, VerifierKey};

/// The longest policy, in bytes.
pub const MAX_POLICY: usize = 1024 * 1024;

/// The most logs, witnesses and groups each. The specification asks for at least 32.
const MAX_DEFINITIONS: usize = 256;

impl TrustPolicy {
    /// Reads a policy. It need not be UTF-8: names and addresses are bytes.
    ///
    /// # Errors
    /// If a line is wrong, or there is no quorum. The error names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > MAX_POLICY {
            return Err(PolicyError { line: 1, problem: Problem::TooLong });
        }
        let mut parser = Parser::default();
        let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
        let mut last = 1;
        for (line, text) in (1..).zip(lines) {
            parser.line(text).map_err(|problem| PolicyError { line, problem })?;
            last = line;
        }
        parser.finish().map_err(|problem| PolicyError { line: last, problem })
    }
}

impl FromStr for TrustPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text.as_bytes())
    }
}

#[derive(Default)]
struct Parser {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    groups: Vec<Group>,
    /// Each name that is defined, and whether a group has it as a member already.
    names: HashMap<Vec<u8>, (Member, bool)>,
    quorum: Option<Option<Member>>,
}

impl Parser {
    fn line(&mut self, text: &[u8]) -> Result<(), Problem> {
        if text.iter().any(|byte| matches!(byte, 0x00..=0x08 | 0x0A..=0x1F | 0x7F)) {
            return Err(Problem::ControlCharacter);
        }
        let mut words = text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(keyword) = words.next().filter(|word| !word.starts_with(b"#")) else { return Ok(()) };
        let words: Vec<&[u8]> = words.collect();
        match (keyword, words.as_slice()) {
            (b"log", [key, url @ ..]) if url.len() <= 1 => self.log(key, url.first()),
            (b"witness", [name, key, url @ ..]) if url.len() <= 1 => self.witness(name, key, url.first()),
            (b"group", [name, threshold, members @ ..]) if !members.is_empty() => self.group(name, threshold, members),
            (b"quorum", [name]) => self.quorum(name),
            (b"log" | b"witness" | b"group" | b"quorum", _) => Err(Problem::Words),
            _ => Err(Problem::Keyword(lossy(keyword))),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&&[u8]>) -> Result<(), Problem> {
        let party = party(key, url, &[KeyType::Ed25519, KeyType::MlDsa44])?;
        add(&mut self.logs, party)
    }

    fn witness(&mut self, name: &[u8], key: &[u8], url: Option<&&[u8]>) -> Result<(), Problem> {
        let party = party(key, url, &[KeyType::Ed25519Cosignature, KeyType::MlDsa44])?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        add(&mut self.witnesses, party)
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], members: &[&[u8]]) -> Result<(), Problem> {
        let threshold = match threshold {
            b"any" => 1,
            b"all" => members.len(),
            number => decimal(number).filter(|k| (1..=members.len()).contains(k)).ok_or(Problem::Threshold)?,
        };
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let (place, taken) = self.names.get_mut(*member).ok_or_else(|| Problem::Undefined(lossy(member)))?;
            if *taken {
                return Err(Problem::SecondMembership(lossy(member)));
            }
            *taken = true;
            found.push(*place);
        }
        if self.groups.len() >= MAX_DEFINITIONS {
            return Err(Problem::TooMany);
        }
        // After its members were looked up: a group can't be its own member.
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members: found });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), Problem> {
        let member = match self.names.get(name) {
            _ if name == b"none" => None,
            Some((member, _)) => Some(*member),
            None => return Err(Problem::Undefined(lossy(name))),
        };
        if self.quorum.replace(member).is_some() { Err(Problem::SecondQuorum) } else { Ok(()) }
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), Problem> {
        let is_new = name != b"none" && self.names.insert(name.to_vec(), (member, false)).is_none();
        if is_new { Ok(()) } else { Err(Problem::NameTaken(lossy(name))) }
    }

    fn finish(self) -> Result<TrustPolicy, Problem> {
        let Self { logs, witnesses, groups, quorum, .. } = self;
        Ok(TrustPolicy { logs, witnesses, groups, quorum: quorum.ok_or(Problem::NoQuorum)? })
    }
}

fn party(key: &[u8], url: Option<&&[u8]>, types: &[KeyType]) -> Result<Party, Problem> {
    let key: VerifierKey = std::str::from_utf8(key).map_err(|_| Problem::Key(KeyError::Form))?.parse()?;
    if types.contains(&key.key_type()) {
        Ok(Party { key, url: url.map(|url| url.to_vec()) })
    } else {
        Err(Problem::KeyType)
    }
}

/// Adds a log or witness. The same public key under another name would count twice.
fn add(parties: &mut Vec<Party>, party: Party) -> Result<(), Problem> {
    if parties.len() >= MAX_DEFINITIONS {
        return Err(Problem::TooMany);
    }
    if parties.iter().any(|other| other.key.key() == party.key.key()) {
        return Err(Problem::DuplicateKey);
    }
    parties.push(party);
    Ok(())
}

fn decimal(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    usize::try_from(crate::text::number(text)?).ok()
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// A policy is wrong. Retrying can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {problem}")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The policy is longer than [`MAX_POLICY`].
    #[error("a policy has at most {MAX_POLICY} bytes")]
    TooLong,
    /// More logs, witnesses or groups than supported.
    #[error("a policy has at most {MAX_DEFINITIONS} logs, witnesses and groups each")]
    TooMany,
    /// A control character other than a tab.
    #[error("control characters other than tabs are not allowed")]
    ControlCharacter,
    /// No such keyword.
    #[error("{0:?} is not \"log\", \"witness\", \"group\" or \"quorum\"")]
    Keyword(String),
    /// Too few or too many words after the keyword.
    #[error("a line is log KEY [URL], witness NAME KEY [URL], group NAME any|all|NUMBER MEMBER… or quorum NAME")]
    Words,
    /// The key is malformed.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The key is of a type that such a party does not have.
    #[error("a log has a key of type 0x01 or 0x06, a witness of type 0x04 or 0x06")]
    KeyType,
    /// Another log or witness has the same public key.
    #[error("an earlier line has the same public key")]
    DuplicateKey,
    /// The name is defined already, or it is `none`.
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    /// No line before defines the name.
    #[error("{0:?} is not defined on an earlier line")]
    Undefined(String),
    /// The name is a member of a group already.
    #[error("{0:?} is a member of a group already")]
    SecondMembership(String),
    /// The number is not between 1 and the number of members.
    #[error("the number must be between 1 and the number of members")]
    Threshold,
    /// There is a quorum already.
    #[error("there is a quorum already")]
    SecondQuorum,
    /// No line defines the quorum.
    #[error("the policy has no quorum")]
    NoQuorum,
}
