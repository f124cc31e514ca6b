//! The card: APDUs in, APDUs out.

use openpgp_card_emu::{
    AlgorithmAttributes, Card, CardProfile, Curve, KeyOperation, KeySlot, OperationError, Password, Passwords,
    PinPolicy, PublicKey, Session, SignInput, SigningValidity, Step,
};

/// Reads `data` as a choice of card and a sequence of APDUs and sends them.
///
/// First byte: bits 0 and 1 choose the keys, bit 2 whether passwords are needed, bit 3 whether operations fail. Then
/// per APDU a length of two bytes (big-endian) and the bytes; an end in the middle is a shorter APDU.
///
/// # Panics
/// Where the card broke a promise.
pub fn apdu(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let mut card = card(choice);
    let mut session = Session::new();
    while let [high, low, following @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (apdu, after) = following.split_at_checked(length).unwrap_or((following, &[]));
        rest = after;
        let counter = card.signature_counter();
        let response = match session.command(&mut card, apdu) {
            Step::Reply(response) => response,
            step => {
                assert!(session.is_pending(), "an operation that was handed out is under way");
                let meanwhile = session.command(&mut card, &[0x00, 0xCA, 0x00, 0x4F, 0x00]);
                assert_eq!(meanwhile, Step::Reply(vec![0x69, 0x85]), "nothing runs beside an operation");
                let result = if choice & 0b1000 == 0 { Ok(answer(&card, &step)) } else { Err(OperationError::Denied) };
                session.complete(&mut card, result)
            }
        };
        assert!(!session.is_pending(), "an answered command is over");
        assert!(card.signature_counter() >= counter, "the signature counter only grows");
        assert!(response.len() <= usize::from(u16::MAX), "the answer is an APDU");
        let status = response.last_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
        assert!(matches!(status, Some(0x6100..=0x6FFF | 0x9000)), "the answer ends in a status word: {status:04X?}");
    }
}

/// A result as long as a key's holder would give.
fn answer(card: &Card, step: &Step) -> Vec<u8> {
    let bytes = match step {
        Step::Random { bytes } => *bytes,
        Step::Operation(operation) => match (card.slot(operation.slot()).map(|key| key.attributes), operation) {
            (Some(AlgorithmAttributes::Rsa { .. }), KeyOperation::Decipher { .. }) => 32,
            (Some(AlgorithmAttributes::Rsa { modulus_bits, .. }), _) => usize::from(modulus_bits / 8),
            (Some(AlgorithmAttributes::Ecdh(curve)), _) => curve.field_bytes(),
            (Some(AlgorithmAttributes::Ecdsa(curve) | AlgorithmAttributes::EdDsa(curve)), operation) => {
                assert!(
                    matches!(
                        operation,
                        KeyOperation::Sign(SignInput::Digest(_) | SignInput::Message(_))
                            | KeyOperation::Authenticate { .. }
                    ),
                    "a key for signatures only signs"
                );
                curve.field_bytes() * 2
            }
            (None, _) => 0,
        },
        Step::Reply(_) => 0,
    };
    vec![0xA5; bytes]
}

/// A card as the lower three bits say.
pub fn card(choice: u8) -> Card {
    let mut profile = CardProfile::new([0xD2, 0x76, 0x00, 0x01, 0x24, 0x01, 0x03, 0x04, 0xFF, 0x00, 0, 0, 0, 1, 0, 0]);
    profile.cardholder = "Doe<<Jane".into();
    profile.language = "en".into();
    profile.certificates = [vec![0x30; 3000], Vec::new(), vec![0x30; 300]];
    if choice & 0b100 != 0 {
        let password = |value: &[u8]| Password::new(value).unwrap_or_else(|error| unreachable!("{error}"));
        let (pw1, pw3) = (password(b"123456"), password(b"12345678"));
        profile.pin_policy = PinPolicy::Required(Passwords { pw1, pw3, signing: SigningValidity::OneSignature });
    }
    let rsa = |attributes| {
        let public_key = PublicKey::Rsa { n: vec![0xC5; 512], e: vec![0x01, 0x00, 0x01] };
        Some(KeySlot::new(attributes, public_key, [0x11; 20], 1_700_000_000))
    };
    let curve = |attributes, curve: Curve| {
        let public_key = PublicKey::Point(vec![0x04; curve.point_bytes()]);
        Some(KeySlot::new(attributes, public_key, [0x22; 20], 1_700_000_000))
    };
    match choice & 0b11 {
        0 => {}
        1 => {
            profile.sign = rsa(AlgorithmAttributes::rsa(4096));
            profile.decrypt = rsa(AlgorithmAttributes::rsa(4096));
            profile.authenticate = rsa(AlgorithmAttributes::rsa(4096));
        }
        2 => {
            profile.sign = curve(AlgorithmAttributes::Ecdsa(Curve::P256), Curve::P256);
            profile.decrypt = curve(AlgorithmAttributes::Ecdh(Curve::P521), Curve::P521);
            profile.authenticate = curve(AlgorithmAttributes::Ecdsa(Curve::P384), Curve::P384);
        }
        _ => {
            profile.sign = curve(AlgorithmAttributes::EdDsa(Curve::Ed25519), Curve::Ed25519);
            profile.decrypt = curve(AlgorithmAttributes::Ecdh(Curve::X25519), Curve::X25519);
            profile.authenticate = curve(AlgorithmAttributes::EdDsa(Curve::Ed25519), Curve::Ed25519);
        }
    }
    Card::new(profile)
}
