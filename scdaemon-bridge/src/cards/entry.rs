//! One card as the daemon shows it.

use std::cell::{OnceCell, RefCell};

use sealcard_api::{
    algorithm::{ComponentRole, Curve, PublicKey, Scheme},
    cards::Card,
    keys::Component,
};

use super::{EmulationError, Keygrip, emulate, keygrip, public_key_sexp};

/// A card of the cache, with what gpg-agent asks about it worked out.
#[derive(Debug)]
pub struct CardEntry {
    facts: Card,
    serial: String,
    slots: Vec<Slot>,
    retired: bool,
    emulated: OnceCell<RefCell<openpgp_card_emu::Card>>,
}

impl CardEntry {
    /// Works out a card. Components of a form that can't be right, and those without a place on a card, are left out,
    /// so that one bad key does not spoil the list.
    #[must_use]
    pub fn new(facts: Card, retired: bool) -> Self {
        let serial = facts.serial.to_string();
        let mut slots: Vec<Slot> = Vec::new();
        for component in &facts.components {
            if let Some(slot) = Slot::new(component)
                && slots.iter().all(|other| other.number != slot.number && other.grip != slot.grip)
            {
                slots.push(slot);
            }
        }
        slots.sort_by_key(|slot| slot.number);
        Self { facts, serial, slots, retired, emulated: OnceCell::new() }
    }

    /// What the server said.
    #[must_use]
    pub fn facts(&self) -> &Card {
        &self.facts
    }

    /// 32 upper-case hexadecimal digits.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Manufacturer, blank, serial number: `FFFE 10000001`.
    #[must_use]
    pub fn display_serial(&self) -> String {
        format!("{} {}", self.serial.get(16..20).unwrap_or_default(), self.serial.get(20..28).unwrap_or_default())
    }

    /// The keys, in the order of their slots.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The key in slot 1, 2 or 3.
    #[must_use]
    pub fn slot(&self, number: u8) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.number == number)
    }

    /// Whether the server no longer lists the card. Such a card is shown to nobody.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether `serial` names this card: case and the four digits of the application's version do not matter.
    #[must_use]
    pub fn is_named(&self, serial: &str) -> bool {
        match (split_serial(serial), split_serial(&self.serial)) {
            (Some(asked), Some(own)) => asked.0.eq_ignore_ascii_case(own.0) && asked.1.eq_ignore_ascii_case(own.1),
            _ => false,
        }
    }

    /// The emulated card, made when it is first needed. It is the same for all sessions.
    ///
    /// # Errors
    /// If the card's facts can't be those of an OpenPGP card.
    pub fn emulated(&self) -> Result<&RefCell<openpgp_card_emu::Card>, EmulationError> {
        if let Some(card) = self.emulated.get() {
            return Ok(card);
        }
        let card = emulate(&self.facts, &self.slots)?;
        Ok(self.emulated.get_or_init(|| RefCell::new(card)))
    }
}

/// What stands before and behind the version.
fn split_serial(serial: &str) -> Option<(&str, &str)> {
    if serial.len() != 32 {
        return None;
    }
    Some((serial.get(..12)?, serial.get(16..)?))
}

/// One key of a card.
#[derive(Debug, Clone)]
pub struct Slot {
    /// 1 signs, 2 decrypts, 3 authenticates.
    pub number: u8,
    /// The keygrip.
    pub grip: Keygrip,
    /// The public key as READKEY answers it.
    pub sexp: Vec<u8>,
    /// What the server said of it.
    pub component: Component,
}

impl Slot {
    fn new(component: &Component) -> Option<Self> {
        let number = match component.role {
            ComponentRole::Certify => return None,
            ComponentRole::Sign => 1,
            ComponentRole::Decrypt => 2,
            ComponentRole::Authenticate => 3,
        };
        let grip = keygrip(&component.public_key).ok()?;
        let sexp = public_key_sexp(&component.public_key).ok()?;
        Some(Self { number, grip, sexp, component: component.clone() })
    }

    /// `OPENPGP.1`, `OPENPGP.2` or `OPENPGP.3`.
    #[must_use]
    pub fn keyref(&self) -> &'static str {
        match self.number {
            1 => "OPENPGP.1",
            2 => "OPENPGP.2",
            _ => "OPENPGP.3",
        }
    }

    /// The letter that KEYINFO uses.
    #[must_use]
    pub fn usage(&self) -> &'static str {
        match self.number {
            1 => "s",
            2 => "e",
            _ => "a",
        }
    }

    /// libgcrypt's name of the algorithm, such as `rsa4096` or `cv25519`.
    #[must_use]
    pub fn algorithm_name(&self) -> String {
        match self.component.algorithm.curve() {
            None => format!("rsa{}", self.modulus_bits()),
            Some(Curve::NistP256) => "nistp256".to_owned(),
            Some(Curve::NistP384) => "nistp384".to_owned(),
            Some(Curve::NistP521) => "nistp521".to_owned(),
            Some(Curve::Ed25519) => "ed25519".to_owned(),
            Some(Curve::Cv25519) => "cv25519".to_owned(),
        }
    }

    /// The value of KEY-ATTR behind the slot's number: OpenPGP algorithm, then size or curve.
    #[must_use]
    pub fn key_attributes(&self) -> String {
        let curve = match self.component.algorithm.curve() {
            None => return format!("1 rsa{} 32 0", self.modulus_bits()),
            Some(Curve::NistP256) => "NIST P-256",
            Some(Curve::NistP384) => "NIST P-384",
            Some(Curve::NistP521) => "NIST P-521",
            Some(Curve::Ed25519) => "Ed25519",
            Some(Curve::Cv25519) => "Curve25519",
        };
        let id = match self.component.algorithm.scheme() {
            Scheme::Rsa { .. } => 1,
            Scheme::Ecdh(_) => 18,
            Scheme::Ecdsa(_) => 19,
            Scheme::Eddsa => 22,
        };
        format!("{id} {curve}")
    }

    /// RSA: the modulus' size; 0 for curves.
    #[must_use]
    pub fn modulus_bits(&self) -> usize {
        match &self.component.public_key {
            PublicKey::Rsa { n, .. } => {
                let zeros = n.0.first().map_or(0, |byte| byte.leading_zeros());
                n.0.len() * 8 - usize::try_from(zeros).unwrap_or(0)
            }
            PublicKey::Ec { .. } => 0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::scd::testing::sample_list;

    #[test]
    fn a_serial_number_is_compared_without_case_and_version() {
        let card = CardEntry::new(sample_list().cards.remove(0), false);
        let serial = card.serial().to_owned();
        let other_version = format!("{}0201{}", &serial[..12], &serial[16..]);
        assert!(card.is_named(&serial) && card.is_named(&serial.to_lowercase()) && card.is_named(&other_version));
        assert!(!card.is_named(&serial[..30]) && !card.is_named("") && !card.is_named(&format!("{serial}00")));
    }

    #[test]
    fn a_malformed_component_is_left_out_and_the_rest_stays() {
        let mut facts = sample_list().cards.remove(2);
        if let PublicKey::Ec { point, .. } = &mut facts.components[1].public_key {
            point.0.pop();
        }
        let numbers: Vec<_> = CardEntry::new(facts, false).slots().iter().map(|slot| slot.number).collect();
        assert_eq!(numbers, [1, 3]);
    }
}
