//! PSO: DECIPHER, MANAGE SECURITY ENVIRONMENT, GET CHALLENGE.

use aws_lc_rs::agreement::{self, PrivateKey as AgreementKey};
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::{encoding::AsDer, signature::KeyPair};
use openpgp_card_emu::host::{HostCommand, read_public_key};
use openpgp_card_emu::{Curve, KeyOperation, PublicKey, SignInput, Slot, Status, Step};

use crate::client::Client;
use crate::key_holder::{KeyHolder, PrivateKey, agreement_algorithm};

fn client(decrypt: PrivateKey) -> Client {
    Client::new(KeyHolder { decrypt: Some(decrypt), ..KeyHolder::default() })
}

#[test]
fn what_was_encrypted_for_the_rsa_key_is_deciphered() {
    let key = PrivateKey::rsa();
    let PrivateKey::Rsa(pair) = &key else { panic!("an RSA key") };
    let public = PublicEncryptingKey::from_der(pair.public_key().as_der().unwrap().as_ref()).unwrap();
    let public = Pkcs1PublicEncryptingKey::new(public).unwrap();
    let mut cryptogram = vec![0; public.ciphertext_size()];
    let cryptogram = public.encrypt(SESSION_KEY, &mut cryptogram).unwrap().to_vec();
    let mut client = client(key);
    assert_eq!(client.ok(&HostCommand::decipher_rsa(&cryptogram)), SESSION_KEY);
    assert_eq!(client.send_short(&HostCommand::decipher_rsa(&cryptogram)), (SESSION_KEY.to_vec(), Status::Success));
}

#[test]
fn both_sides_of_ecdh_agree() {
    for curve in [Curve::X25519, Curve::P256, Curve::P521] {
        let mut client = client(PrivateKey::ecdh(curve));
        let PublicKey::Point(point) =
            read_public_key(&client.ok(&HostCommand::read_public_key(Slot::Decrypt))).unwrap()
        else {
            panic!("a point")
        };
        assert_eq!(point.len(), curve.point_bytes());
        let algorithm = agreement_algorithm(curve);
        let ephemeral = AgreementKey::generate(algorithm).unwrap();
        let sent = ephemeral.compute_public_key().unwrap();
        let peer = agreement::UnparsedPublicKey::new(algorithm, point);
        let shared = agreement::agree(&ephemeral, peer, (), |shared| Ok(shared.to_vec())).unwrap();
        assert_eq!(client.ok(&HostCommand::decipher_ecdh(sent.as_ref())), shared);
    }
}

#[test]
fn a_cryptogram_that_lost_its_leading_zeroes_gets_them_back() {
    let mut client = client(PrivateKey::rsa());
    let apdu = HostCommand::decipher_rsa(&[0xAB; 254]).to_extended_apdu().unwrap();
    let Step::Operation(KeyOperation::Decipher { ciphertext, slot }) = client.session.command(&mut client.card, &apdu)
    else {
        panic!("an operation")
    };
    assert_eq!((slot, ciphertext.len(), &ciphertext[..3]), (Slot::Decrypt, 256, &[0, 0, 0xAB][..]));
}

#[test]
fn a_cryptogram_that_does_not_fit_the_key_is_refused() {
    let ecdh = HostCommand::decipher_ecdh;
    let cases: [(PrivateKey, Vec<HostCommand>); 3] = [
        (PrivateKey::rsa(), vec![HostCommand::decipher_rsa(&[1; 257]), HostCommand::decipher_rsa(&[]), ecdh(&[1; 32])]),
        (PrivateKey::ecdh(Curve::X25519), vec![ecdh(&[1; 31]), ecdh(&[]), HostCommand::decipher_rsa(&[1; 256])]),
        (PrivateKey::ecdh(Curve::P256), vec![ecdh(&[4; 64]), ecdh(&[3; 65]), ecdh(&[])]),
    ];
    for (key, commands) in cases {
        let mut client = client(key);
        for command in commands {
            let apdu = command.to_extended_apdu().unwrap();
            let step = client.session.command(&mut client.card, &apdu);
            assert_eq!(step, Step::Reply(vec![0x6A, 0x80]), "the key is not asked: {command:?}");
        }
    }
}

#[test]
fn openpgps_mark_before_an_x25519_point_is_taken_off() {
    let mut client = client(PrivateKey::ecdh(Curve::X25519));
    let apdu = HostCommand::decipher_ecdh(&[&[0x40][..], &[9; 32]].concat()).to_extended_apdu().unwrap();
    let step = client.session.command(&mut client.card, &apdu);
    assert_eq!(step, Step::Operation(KeyOperation::Decipher { slot: Slot::Decrypt, ciphertext: vec![9; 32] }));
}

#[test]
fn the_security_environment_swaps_keys_until_the_next_select() {
    let keys = KeyHolder { decrypt: Some(PrivateKey::rsa()), authenticate: Some(PrivateKey::rsa()), sign: None };
    let mut client = Client::new(keys);
    let used = |client: &mut Client, command: &HostCommand| {
        let apdu = command.to_extended_apdu().unwrap();
        let Step::Operation(operation) = client.session.command(&mut client.card, &apdu) else {
            panic!("an operation")
        };
        client.session.abort();
        operation.slot()
    };
    let decipher = HostCommand::decipher_rsa(&[1; 256]);
    let authenticate = HostCommand::internal_authenticate(&[2; 51]);

    client.ok(&HostCommand::manage_security_environment(Slot::Decrypt, Slot::Authenticate));
    client.ok(&HostCommand::manage_security_environment(Slot::Authenticate, Slot::Decrypt));
    assert_eq!(used(&mut client, &decipher), Slot::Authenticate);
    assert_eq!(used(&mut client, &authenticate), Slot::Decrypt);
    client.ok(&HostCommand::select());
    assert_eq!(used(&mut client, &decipher), Slot::Decrypt);
    assert_eq!(used(&mut client, &authenticate), Slot::Authenticate);

    let sign = HostCommand::manage_security_environment(Slot::Decrypt, Slot::Sign);
    assert_eq!(client.status(&sign), Status::IncorrectDataParameter);
}

#[test]
fn a_key_is_not_used_for_what_its_algorithm_can_not_do() {
    let keys = KeyHolder {
        sign: Some(PrivateKey::ecdh(Curve::X25519)),
        decrypt: Some(PrivateKey::ed25519()),
        authenticate: Some(PrivateKey::ecdh(Curve::P256)),
    };
    let mut client = Client::new(keys);
    for command in [
        HostCommand::compute_digital_signature(&[1; 32]),
        HostCommand::internal_authenticate(&[1; 32]),
        HostCommand::decipher_ecdh(&[1; 32]),
    ] {
        assert_eq!(client.status(&command), Status::ConditionsOfUseNotSatisfied);
    }
}

#[test]
fn a_challenge_is_what_the_caller_gives_and_as_long_as_the_host_asks() {
    let mut client = Client::new(KeyHolder::default());
    let apdu = HostCommand::get_challenge(17).to_extended_apdu().unwrap();
    assert_eq!(client.session.command(&mut client.card, &apdu), Step::Random { bytes: 17 });
    let response = client.session.complete(&mut client.card, Ok(vec![0xC4; 17]));
    assert_eq!(response, [&[0xC4; 17][..], &[0x90, 0x00]].concat());
    assert_eq!(client.session.command(&mut client.card, &apdu), Step::Random { bytes: 17 });
    assert_eq!(client.session.complete(&mut client.card, Ok(vec![0xC4; 16])), [0x6F, 0x00]);

    assert_eq!(client.ok(&HostCommand::get_challenge(1024)).len(), 1024);
    assert_eq!(client.status(&HostCommand::get_challenge(1025)), Status::WrongLength);
    assert_eq!(client.transmit(&[0x00, 0x84, 0x00, 0x00]), (Vec::new(), Status::WrongLength));
}

#[test]
fn what_is_asked_is_only_what_was_sent() {
    let keys = KeyHolder { authenticate: Some(PrivateKey::ed25519()), ..KeyHolder::default() };
    let mut client = Client::new(keys);
    let apdu = HostCommand::internal_authenticate(b"ssh-userauth").to_extended_apdu().unwrap();
    let operation =
        KeyOperation::Authenticate { slot: Slot::Authenticate, input: SignInput::Message(b"ssh-userauth".to_vec()) };
    assert_eq!(client.session.command(&mut client.card, &apdu), Step::Operation(operation));
}

const SESSION_KEY: &[u8] = b"\x09thirty-two bytes of a session key";
