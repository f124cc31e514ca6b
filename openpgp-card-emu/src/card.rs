//! A card's persistent state: what stays when a session ends.

use crate::PinPolicy;
use crate::attributes::AlgorithmAttributes;

/// One card. Any number of sessions may use it, one command at a time.
#[derive(Debug, Clone)]
pub struct Card {
    profile: CardProfile,
}

impl Card {
    /// A card with this content.
    pub fn new(profile: CardProfile) -> Self {
        Self { profile }
    }

    /// What the card holds now, for whoever stores it.
    pub fn profile(&self) -> &CardProfile {
        &self.profile
    }

    /// How many signatures the signature key has made (data object 93); stays at its largest value, 16777215.
    pub fn signature_counter(&self) -> u32 {
        self.profile.signature_counter.min(MAX_SIGNATURE_COUNTER)
    }

    /// What a slot holds, if anything.
    pub fn slot(&self, slot: Slot) -> Option<&KeySlot> {
        self.profile.slot(slot)
    }

    pub(crate) fn count_signature(&mut self) {
        self.profile.signature_counter = self.signature_counter().saturating_add(1).min(MAX_SIGNATURE_COUNTER);
    }

    pub(crate) fn pin_policy_mut(&mut self) -> &mut PinPolicy {
        &mut self.profile.pin_policy
    }
}

/// Everything that a card holds.
#[derive(Debug, Clone)]
pub struct CardProfile {
    /// Application identifier (data object 4F, section 4.2.1): its last bytes are manufacturer, serial number, `0000`.
    pub aid: [u8; 16],
    /// Name (5B) in the form `Surname<<Given<Names`, at most 39 bytes.
    pub cardholder: String,
    /// Language preferences (5F2D): one to four codes of two letters, `en` or `deen`.
    pub language: String,
    /// Login data (5E).
    pub login: String,
    /// Where the public key can be fetched (5F50).
    pub url: String,
    /// Signatures made so far (93).
    pub signature_counter: u32,
    /// Who must verify a password before using a key.
    pub pin_policy: PinPolicy,
    /// The signature key.
    pub sign: Option<KeySlot>,
    /// The decryption key.
    pub decrypt: Option<KeySlot>,
    /// The authentication key.
    pub authenticate: Option<KeySlot>,
    /// Cardholder certificates (7F21) by occurrence: authentication, decryption, signature. Empty where there is none.
    pub certificates: [Vec<u8>; 3],
}

impl CardProfile {
    /// A card without keys, names and passwords.
    pub fn new(aid: [u8; 16]) -> Self {
        Self {
            aid,
            cardholder: String::new(),
            language: String::new(),
            login: String::new(),
            url: String::new(),
            signature_counter: 0,
            pin_policy: PinPolicy::NotRequired,
            sign: None,
            decrypt: None,
            authenticate: None,
            certificates: Default::default(),
        }
    }

    /// What a slot holds, if anything.
    pub fn slot(&self, slot: Slot) -> Option<&KeySlot> {
        match slot {
            Slot::Sign => self.sign.as_ref(),
            Slot::Decrypt => self.decrypt.as_ref(),
            Slot::Authenticate => self.authenticate.as_ref(),
        }
    }
}

/// One of the three places for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Signature key: GnuPG's `OPENPGP.1`.
    Sign,
    /// Decryption key: `OPENPGP.2`.
    Decrypt,
    /// Authentication key: `OPENPGP.3`.
    Authenticate,
}

impl Slot {
    /// All of them, in the order in which data objects list them.
    pub const ALL: [Self; 3] = [Self::Sign, Self::Decrypt, Self::Authenticate];

    /// The key's number, 1 to 3: how MANAGE SECURITY ENVIRONMENT, DE and GnuPG name it.
    pub const fn number(self) -> u8 {
        match self {
            Self::Sign => 1,
            Self::Decrypt => 2,
            Self::Authenticate => 3,
        }
    }

    /// Tag of the control reference template that names the slot (section 7.2.14).
    pub const fn control_reference(self) -> u8 {
        match self {
            Self::Sign => 0xB6,
            Self::Decrypt => 0xB8,
            Self::Authenticate => 0xA4,
        }
    }
}

/// The public side of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// Its algorithm (C1, C2, C3).
    pub attributes: AlgorithmAttributes,
    /// Its public key.
    pub public_key: PublicKey,
    /// Its OpenPGP v4 fingerprint (in C5).
    pub fingerprint: [u8; 20],
    /// When it was made, in seconds since 1970 (in CD).
    pub created: u32,
    /// Whether someone must agree to each use (D6, D7, D8).
    pub user_interaction: UserInteraction,
}

impl KeySlot {
    /// A key whose uses need nobody's consent.
    pub fn new(attributes: AlgorithmAttributes, public_key: PublicKey, fingerprint: [u8; 20], created: u32) -> Self {
        Self { attributes, public_key, fingerprint, created, user_interaction: UserInteraction::Off }
    }
}

/// A public key as the card's holder sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA: both numbers big-endian, without leading zeroes.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Public exponent.
        e: Vec<u8>,
    },
    /// A curve's point: `04 || X || Y`, or 32 bytes for Ed25519 and X25519.
    Point(Vec<u8>),
}

/// User interaction flag of a key (section 4.4.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserInteraction {
    /// Nobody is asked.
    Off,
    /// Someone is asked at each use; an administrator may switch it off.
    On,
    /// As before, and can't be switched off.
    Permanent,
}

const MAX_SIGNATURE_COUNTER: u32 = 0x00FF_FFFF;
