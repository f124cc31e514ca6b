//! What a card says of itself: GETATTR, and the lines that LEARN has in common with it.

use super::{Code, Session};
use crate::{
    assuan::{Reply, escape_status},
    cards::CardEntry,
};

/// What LEARN sends, in the order of scdaemon.
pub(super) const LEARNED: [&str; 12] = [
    "APPTYPE",
    "APPVERSION",
    "EXTCAP",
    "MANUFACTURER",
    "DISP-NAME",
    "DISP-LANG",
    "DISP-SEX",
    "LOGIN-DATA",
    "KEY-FPR",
    "KEY-TIME",
    "CHV-STATUS",
    "SIG-COUNTER",
];

impl Session {
    /// GETATTR
    pub(super) fn getattr(&mut self, name: &str, keyref: Option<&str>) -> Result<(), Code> {
        let card = match keyref {
            Some(keyref) => self.find_key(keyref, None)?.card,
            None => self.card()?,
        };
        // gpg-agent 2.2 asks for it to learn what to offer to ssh.
        if name == "$AUTHKEYID" && !self.daemon.ssh_keys().offers(&card.facts().fingerprint) {
            return Err(Code::NOT_FOUND);
        }
        attribute(&mut self.reply, &card, name)
    }
}

/// Writes the status lines of one attribute.
pub(super) fn attribute(reply: &mut Reply, card: &CardEntry, name: &str) -> Result<(), Code> {
    match name {
        "SERIALNO" | "AID" => reply.status(name, card.serial()),
        "APPTYPE" => reply.status(name, "OPENPGP"),
        "APPVERSION" => reply.status(name, "304"),
        // Nothing can be changed here: no key import, no attributes, no private data, no consent button, no KDF.
        "EXTCAP" => reply.status(name, "gc=1+ki=0+fc=0+pd=0+mcl3=0+aac=0+sm=0+si=5+dec=0+bt=0+kdf=0"),
        "MANUFACTURER" => {
            let number = card.serial().get(16..20).and_then(|hex| u16::from_str_radix(hex, 16).ok());
            reply.status(name, &format!("{} Sealcard", number.unwrap_or_default()));
        }
        "DISP-NAME" => reply.status(name, &escape_status(&crate::cards::cardholder(&card.facts().user_id))),
        "DISP-LANG" => reply.status(name, "en"),
        "DISP-SEX" => reply.status(name, "9"),
        "LOGIN-DATA" | "PUBKEY-URL" => reply.status(name, ""),
        "KEY-FPR" => each(reply, card, name, |slot| slot.component.fingerprint.to_string()),
        "KEY-TIME" => each(reply, card, name, |slot| slot.component.created.unix().to_string()),
        "KEY-ATTR" => each(reply, card, name, super::super::cards::Slot::key_attributes),
        "KEY-STATUS" => {
            for slot in card.slots() {
                // 1: made on the card.
                reply.status(name, &format!("{} 1", slot.keyref()));
            }
        }
        "KEY-ATTR-INFO" => {
            for slot in card.slots() {
                reply.status(name, &format!("{} {}", slot.keyref(), slot.algorithm_name()));
            }
        }
        "CA-FPR" => {}
        // No PIN is ever asked: not forced, three tries left for ever.
        "CHV-STATUS" => reply.status(name, "+1+127+127+127+3+0+3"),
        "SIG-COUNTER" => {
            // What the last sync knew, and what was signed here since.
            let counter = card.emulated().map(|card| u64::from(card.borrow().signature_counter()));
            reply.status(name, &counter.unwrap_or(card.facts().signatures).to_string());
        }
        "$SIGNKEYID" => key_id(reply, card, name, 1)?,
        "$ENCRKEYID" => key_id(reply, card, name, 2)?,
        "$AUTHKEYID" => key_id(reply, card, name, 3)?,
        "$DISPSERIALNO" => reply.status(name, &escape_status(&card.display_serial())),
        _ => return Err(Code::INV_NAME),
    }
    Ok(())
}

/// `NAME <slot> <value>` for each slot that holds a key.
fn each(reply: &mut Reply, card: &CardEntry, name: &str, value: impl Fn(&crate::cards::Slot) -> String) {
    for slot in card.slots() {
        reply.status(name, &format!("{} {}", slot.number, value(slot)));
    }
}

fn key_id(reply: &mut Reply, card: &CardEntry, name: &str, number: u8) -> Result<(), Code> {
    let slot = card.slot(number).ok_or(Code::NOT_FOUND)?;
    reply.status(name, slot.keyref());
    Ok(())
}
