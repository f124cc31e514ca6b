//! The other side: command APDUs as a host builds them, and response APDUs as it reads them.

use iso7816::command::class::{Class, ZERO_CLA};
use iso7816::command::{CommandBuilder, ExpectedLen};
use iso7816::{Instruction, Status};
use zeroize::Zeroizing;

use crate::{PublicKey, Slot, tlv};

/// One command, not yet split into APDUs.
#[derive(Clone)]
pub struct HostCommand {
    instruction: u8,
    p1: u8,
    p2: u8,
    data: Zeroizing<Vec<u8>>,
    expected: ExpectedLen,
}

impl HostCommand {
    /// SELECT of the OpenPGP application (section 7.2.1): ends all that an earlier client verified.
    pub fn select() -> Self {
        Self::with_data(0xA4, 0x04, 0x00, &APPLICATION)
    }

    /// GET DATA (section 7.2.6) of the object with this tag.
    pub fn get_data(tag: u16) -> Self {
        let [p1, p2] = tag.to_be_bytes();
        Self::with_data(0xCA, p1, p2, &[])
    }

    /// GET NEXT DATA (section 7.2.7): the next occurrence of the object that GET DATA gave.
    pub fn get_next_data(tag: u16) -> Self {
        let [p1, p2] = tag.to_be_bytes();
        Self::with_data(0xCC, p1, p2, &[])
    }

    /// SELECT DATA (section 7.2.5): chooses the occurrence, from 0, of the object with this tag.
    pub fn select_data(tag: u16, occurrence: u8) -> Self {
        let mut tag_list = Vec::new();
        match tag.to_be_bytes() {
            [0, low] => tag_list.push(low),
            both => tag_list.extend(both),
        }
        let (mut reference, mut data) = (Vec::new(), Vec::new());
        tlv::write(&mut reference, 0x5C, &tag_list);
        tlv::write(&mut data, 0x60, &reference);
        Self { expected: NOTHING, ..Self::with_data(0xA5, occurrence, 0x04, &data) }
    }

    /// VERIFY (section 7.2.2).
    pub fn verify(password: PasswordReference, value: &[u8]) -> Self {
        Self { expected: NOTHING, ..Self::with_data(0x20, 0x00, password.to_byte(), value) }
    }

    /// VERIFY without a value: is this password verified, and if not, how many tries are left?
    pub fn verification_status(password: PasswordReference) -> Self {
        Self { expected: NOTHING, ..Self::with_data(0x20, 0x00, password.to_byte(), &[]) }
    }

    /// VERIFY that makes a verified password unverified.
    pub fn log_out(password: PasswordReference) -> Self {
        Self { expected: NOTHING, ..Self::with_data(0x20, 0xFF, password.to_byte(), &[]) }
    }

    /// PSO: COMPUTE DIGITAL SIGNATURE (section 7.2.10): RSA a `DigestInfo`, ECDSA a digest, EdDSA the message.
    pub fn compute_digital_signature(input: &[u8]) -> Self {
        Self::with_data(0x2A, 0x9E, 0x9A, input)
    }

    /// INTERNAL AUTHENTICATE (section 7.2.13), with input as for a signature.
    pub fn internal_authenticate(input: &[u8]) -> Self {
        Self::with_data(0x88, 0x00, 0x00, input)
    }

    /// PSO: DECIPHER (section 7.2.11) with RSA; the cryptogram is as wide as the modulus.
    pub fn decipher_rsa(cryptogram: &[u8]) -> Self {
        let mut data = vec![0x00];
        data.extend(cryptogram);
        Self::with_data(0x2A, 0x80, 0x86, &data)
    }

    /// PSO: DECIPHER with ECDH; the ephemeral point is `04 || X || Y`, or 32 bytes for X25519.
    pub fn decipher_ecdh(ephemeral_point: &[u8]) -> Self {
        let (mut point, mut key, mut data) = (Vec::new(), Vec::new(), Vec::new());
        tlv::write(&mut point, 0x86, ephemeral_point);
        tlv::write(&mut key, 0x7F49, &point);
        tlv::write(&mut data, 0xA6, &key);
        Self::with_data(0x2A, 0x80, 0x86, &data)
    }

    /// GENERATE ASYMMETRIC KEY PAIR in its reading form (section 7.2.14); see [`read_public_key`] for the answer.
    pub fn read_public_key(slot: Slot) -> Self {
        Self::with_data(0x47, 0x81, 0x00, &[slot.control_reference(), 0x00])
    }

    /// GET CHALLENGE (section 7.2.15): this many random bytes; 0 asks for 65536, which no card gives.
    pub fn get_challenge(bytes: u16) -> Self {
        Self { expected: bytes.into(), ..Self::with_data(0x84, 0x00, 0x00, &[]) }
    }

    /// MANAGE SECURITY ENVIRONMENT (section 7.2.18): the commands that belong to `role` (decryption or authentication)
    /// use the key of `slot` from now on.
    pub fn manage_security_environment(role: Slot, slot: Slot) -> Self {
        let data = [0x83, 0x01, slot.number()];
        Self { expected: NOTHING, ..Self::with_data(0x22, 0x41, role.control_reference(), &data) }
    }

    /// GET RESPONSE (section 7.2.17): what `61xx` announced.
    pub fn get_response() -> Self {
        Self::with_data(0xC0, 0x00, 0x00, &[])
    }

    /// The command as one APDU of extended length.
    ///
    /// # Errors
    /// [`DataTooLongError`] over 65535 bytes of data. A card takes less than that.
    pub fn to_extended_apdu(&self) -> Result<Vec<u8>, DataTooLongError> {
        if self.data.len() > usize::from(u16::MAX) {
            return Err(DataTooLongError { bytes: self.data.len() });
        }
        Ok(self.builder(ZERO_CLA, &self.data, self.expected).force_extended().serialize_to_vec())
    }

    /// The command as APDUs of short length, to be sent in turn (command chaining, ISO 7816-4 section 5.3.3).
    pub fn to_short_apdus(&self) -> Vec<Vec<u8>> {
        let expected = self.expected.min(ExpectedLen::Ne(256));
        let mut chunks = self.data.chunks(255).peekable();
        if chunks.peek().is_none() {
            return vec![self.builder(ZERO_CLA, &[], expected).serialize_to_vec()];
        }
        let mut apdus = Vec::new();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            let class = if last { ZERO_CLA } else { ZERO_CLA.as_chained() };
            let expected = if last { expected } else { NOTHING };
            apdus.push(self.builder(class, chunk, expected).serialize_to_vec());
        }
        apdus
    }

    fn with_data(instruction: u8, p1: u8, p2: u8, data: &[u8]) -> Self {
        Self { instruction, p1, p2, data: Zeroizing::new(data.to_vec()), expected: ExpectedLen::Max }
    }

    fn builder<'a>(&self, class: Class, data: &'a [u8], expected: ExpectedLen) -> CommandBuilder<&'a [u8]> {
        CommandBuilder::new(class, Instruction::from(self.instruction), self.p1, self.p2, data, expected)
    }
}

impl std::fmt::Debug for HostCommand {
    // Without the data: they may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostCommand({:02X} {:02X} {:02X}, {} bytes)", self.instruction, self.p1, self.p2, self.data.len())
    }
}

/// Which password, and for what (section 7.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordReference {
    /// PW1 for PSO: COMPUTE DIGITAL SIGNATURE: 81.
    Sign,
    /// PW1 for everything else: 82.
    Other,
    /// PW3, the administrator: 83.
    Admin,
}

impl PasswordReference {
    fn to_byte(self) -> u8 {
        match self {
            Self::Sign => 0x81,
            Self::Other => 0x82,
            Self::Admin => 0x83,
        }
    }
}

/// A response APDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// What the card answered.
    pub data: &'a [u8],
    /// How it went.
    pub status: Status,
}

impl<'a> Response<'a> {
    /// Splits a response APDU; `None` under two bytes.
    pub fn parse(apdu: &'a [u8]) -> Option<Self> {
        let (data, &[sw1, sw2]) = apdu.split_last_chunk::<2>()?;
        Some(Self { data, status: Status::from_u16(u16::from_be_bytes([sw1, sw2])) })
    }
}

/// The public key in an answer to [`HostCommand::read_public_key`]; `None` where the bytes are none.
pub fn read_public_key(data: &[u8]) -> Option<PublicKey> {
    let key = tlv::only(data, 0x7F49)?;
    match (tlv::find(key, 0x81), tlv::find(key, 0x82), tlv::find(key, 0x86)) {
        (Some(n), Some(e), None) => Some(PublicKey::Rsa { n: n.to_vec(), e: e.to_vec() }),
        (None, None, Some(point)) => Some(PublicKey::Point(point.to_vec())),
        _ => None,
    }
}

/// More data than an APDU can carry. A retry never helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a command APDU carries at most 65535 bytes, not {bytes}")]
pub struct DataTooLongError {
    /// How many there were.
    pub bytes: usize,
}

/// Registered identifier of FSFE and application number (section 4.2.1).
const APPLICATION: [u8; 6] = [0xD2, 0x76, 0x00, 0x01, 0x24, 0x01];

const NOTHING: ExpectedLen = ExpectedLen::Ne(0);
