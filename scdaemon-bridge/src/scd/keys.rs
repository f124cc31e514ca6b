//! Finding keys and showing their public halves: READKEY, KEYINFO.

use data_encoding::BASE64;
use sealcard_api::{
    Timestamp,
    algorithm::{Curve, PublicKey},
};

use super::{Code, KeyFormat, KeyUsage, Session, learn::key_pair_info};
use crate::{
    assuan::hex_upper,
    cards::{CardEntry, Found, Keygrip, Slot, advanced},
    config::SshKeys,
};

impl Session {
    /// The key that `keyref` names: a keygrip (over all cards), `OPENPGP.n` on the current card, or a card's serial
    /// number with or without `/` and a fingerprint. A serial number alone means slot `default`.
    pub(super) fn find_key(&self, keyref: &str, default: Option<u8>) -> Result<Found, Code> {
        let registry = self.daemon.registry();
        if let Ok(grip) = keyref.parse::<Keygrip>() {
            return registry.by_grip(&grip).ok_or(Code::NOT_FOUND);
        }
        if let Some((prefix, number)) = keyref.split_once('.')
            && prefix.eq_ignore_ascii_case("OPENPGP")
        {
            let number = match number {
                "1" => 1,
                "2" => 2,
                "3" => 3,
                _ => return Err(Code::INV_ID),
            };
            let card = self.card_of_operation()?;
            return if card.slot(number).is_some() { Ok(Found { card, number }) } else { Err(Code::NOT_FOUND) };
        }
        let (serial, fingerprint) = keyref.split_once('/').unwrap_or((keyref, ""));
        let card = registry.by_serial(serial).ok_or(Code::INV_ID)?;
        let slot = card.slots().iter().find(|slot| {
            if fingerprint.is_empty() {
                default == Some(slot.number)
            } else {
                slot.component.fingerprint.to_string().eq_ignore_ascii_case(fingerprint)
            }
        });
        let number = slot.ok_or(Code::NOT_FOUND)?.number;
        Ok(Found { card: std::rc::Rc::clone(card), number })
    }

    /// READKEY
    pub(super) fn readkey(&mut self, keyref: &str, info: bool, info_only: bool, format: KeyFormat) -> Result<(), Code> {
        let found = self.find_shown_key(keyref)?;
        let slot = found.slot().ok_or(Code::NOT_FOUND)?;
        if info {
            key_pair_info(&mut self.reply, slot);
        }
        if info_only {
            return Ok(());
        }
        match format {
            KeyFormat::Canonical => self.reply.data(&slot.sexp),
            KeyFormat::Advanced => self.reply.data(advanced(&slot.sexp).ok_or(Code::GENERAL)?.as_bytes()),
            KeyFormat::Ssh => self.reply.data(ssh_line(&found.card, slot)?.as_bytes()),
            KeyFormat::Unknown => return Err(Code::PARAMETER),
        }
        Ok(())
    }

    /// KEYINFO with a keygrip
    pub(super) fn keyinfo(&mut self, grip: Keygrip, as_data: bool, after_serialno_all: bool) -> Result<(), Code> {
        let registry = self.daemon.registry();
        let line = match registry.by_grip(&grip) {
            Some(found) => key_info(found.slot().ok_or(Code::NOT_FOUND)?, found.card.serial()),
            // gpg-agent 2.4 looks for the key of a stub. An error makes it ask the user, in a loop, to insert a
            // card that can't be inserted; so it may go on, and the use of the key says what is wrong.
            None if after_serialno_all => {
                let serial = registry.first().map_or_else(|| "0".repeat(32), |card| card.serial().to_owned());
                format!("{grip} T {serial} OPENPGP.1 -")
            }
            None => return Err(Code::NOT_FOUND),
        };
        self.reply_key_info(&line, as_data);
        Ok(())
    }

    /// KEYINFO --list
    pub(super) fn list_keys(&mut self, usage: KeyUsage, as_data: bool) {
        let registry = self.daemon.registry();
        let letter = match usage {
            KeyUsage::Any => None,
            KeyUsage::Sign => Some("s"),
            KeyUsage::Encrypt => Some("e"),
            KeyUsage::Authenticate => Some("a"),
        };
        let ssh = if usage == KeyUsage::Authenticate { self.daemon.ssh_keys() } else { SshKeys::All };
        let now = Timestamp::now();
        for card in registry.listed().filter(|card| ssh.offers(&card.facts().fingerprint)) {
            // ssh would offer a key that the server refuses, and each offer counts as an attempt.
            let is_over = |slot: &&Slot| {
                slot.usage() == "a" && (slot.component.revoked || slot.component.expires.is_some_and(|end| end <= now))
            };
            let slots = card.slots().iter().filter(|slot| match letter {
                None => true,
                Some(letter) => slot.usage() == letter && !is_over(slot),
            });
            for slot in slots {
                self.reply_key_info(&key_info(slot, card.serial()), as_data);
            }
        }
    }

    fn reply_key_info(&mut self, line: &str, as_data: bool) {
        if as_data {
            self.reply.data(format!("{line}\n").as_bytes());
        } else {
            self.reply.status("KEYINFO", line);
        }
    }

    fn find_shown_key(&self, keyref: &str) -> Result<Found, Code> {
        let found = self.find_key(keyref, Some(1))?;
        if found.card.is_retired() { Err(Code::NOT_FOUND) } else { Ok(found) }
    }
}

fn key_info(slot: &Slot, serial: &str) -> String {
    format!("{} T {serial} {} {}", slot.grip, slot.keyref(), slot.usage())
}

/// The key as a line of `authorized_keys`.
fn ssh_line(card: &CardEntry, slot: &Slot) -> Result<String, Code> {
    let (name, parts) = match &slot.component.public_key {
        PublicKey::Rsa { n, e } => ("ssh-rsa", vec![positive(&e.0), positive(&n.0)]),
        PublicKey::Ec { curve: Curve::NistP256, point } => {
            ("ecdsa-sha2-nistp256", vec![b"nistp256".to_vec(), point.0.clone()])
        }
        PublicKey::Ec { curve: Curve::NistP384, point } => {
            ("ecdsa-sha2-nistp384", vec![b"nistp384".to_vec(), point.0.clone()])
        }
        PublicKey::Ec { curve: Curve::NistP521, point } => {
            ("ecdsa-sha2-nistp521", vec![b"nistp521".to_vec(), point.0.clone()])
        }
        PublicKey::Ec { curve: Curve::Ed25519, point } => ("ssh-ed25519", vec![point.0.clone()]),
        PublicKey::Ec { curve: Curve::Cv25519, .. } => return Err(Code::NOT_SUPPORTED),
    };
    let mut blob = Vec::new();
    for part in std::iter::once(name.as_bytes().to_vec()).chain(parts) {
        blob.extend(u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
        blob.extend(part);
    }
    Ok(format!("{name} {} cardno:{}\n", BASE64.encode(&blob), card.display_serial().replace(' ', "_")))
}

/// An ssh `mpint` (RFC 4251 section 5) of a positive number.
fn positive(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    [sign, bytes].concat()
}

/// Reads the hexadecimal argument of SETDATA; blanks between digits are allowed.
pub(super) fn parse_hex(words: &[&str]) -> Option<Vec<u8>> {
    let text: String = words.concat();
    let bytes = data_encoding::HEXUPPER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    debug_assert_eq!(hex_upper(&bytes).len(), text.len());
    Some(bytes)
}
