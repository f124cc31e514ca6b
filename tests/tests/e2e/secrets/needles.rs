//! What is searched for, in every form.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use anyhow::Result;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// Secrets to search for.
#[derive(Default)]
pub(crate) struct Needles {
    names: Vec<String>,
    /// The number of a name, and what gives the secret away.
    patterns: Vec<(usize, Vec<u8>)>,
}

/// So many bytes of a private key are enough to tell it.
const WINDOW: usize = 24;

impl Needles {
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// A secret that is told by all of it.
    pub(crate) fn add(&mut self, name: &str, secret: &[u8]) {
        let number = self.name(name);
        self.patterns.extend(forms(secret).into_iter().map(|form| (number, form)));
    }

    /// A private key, of which any part of 24 bytes is too much: PKCS#8 for RSA, the secret number or seed for curves.
    pub(crate) fn add_private_key(&mut self, name: &str, bytes: &[u8]) {
        let number = self.name(name);
        // In front of the private numbers of RSA stand headers, modulus and exponent, which everyone may know.
        let (start, step) = if bytes.len() > 256 { (bytes.len() / 3, 40) } else { (0, 8) };
        let mut windows: Vec<&[u8]> = bytes[start..].windows(WINDOW).step_by(step).collect();
        let backwards: Vec<u8> = bytes.iter().rev().copied().collect();
        // Curve25519's secret number is written in either order.
        windows.extend(backwards[..backwards.len().min(32)].windows(WINDOW).step_by(8));
        for window in windows {
            self.patterns.extend(forms(window).into_iter().map(|form| (number, form)));
        }
    }

    pub(crate) fn build(self) -> Result<Search> {
        let automaton = AhoCorasick::new(self.patterns.iter().map(|(_, pattern)| pattern))?;
        Ok(Search { names: self.names, of: self.patterns.into_iter().map(|(number, _)| number).collect(), automaton })
    }

    fn name(&mut self, name: &str) -> usize {
        self.names.push(name.to_owned());
        self.names.len() - 1
    }
}

/// A search for all of them at once.
pub(crate) struct Search {
    names: Vec<String>,
    of: Vec<usize>,
    automaton: AhoCorasick,
}

impl Search {
    /// What was found, in words, each secret once.
    pub(crate) fn find(&self, place: &str, content: &[u8]) -> BTreeSet<String> {
        let found = self.automaton.find_overlapping_iter(content).map(|hit| self.of[hit.pattern().as_usize()]);
        found.map(|number| format!("{} in {place}", self.names[number])).collect()
    }
}

/// The forms in which bytes could be written: as they are, hexadecimal in both cases, and base64 (both alphabets) at
/// each of the three offsets to its groups of three bytes, without the characters that neighbours have a part in.
pub(crate) fn forms(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms =
        BTreeSet::from([secret.to_vec(), HEXLOWER.encode(secret).into_bytes(), HEXUPPER.encode(secret).into_bytes()]);
    for offset in 0..3 {
        let shifted = [&[0; 3][..offset], secret].concat();
        let (first, last) = ((offset * 8).div_ceil(6), shifted.len() * 8 / 6);
        for text in [BASE64.encode(&shifted), BASE64URL_NOPAD.encode(&shifted)] {
            forms.insert(text.as_bytes()[first..last].to_vec());
        }
    }
    forms
}
