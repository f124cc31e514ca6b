//! VERIFY, and what it opens.

use openpgp_card_emu::host::{HostCommand, PasswordReference};
use openpgp_card_emu::{Card, Password, Passwords, PinPolicy, Session, SigningValidity, Status};

use crate::client::Client;
use crate::key_holder::{KeyHolder, PrivateKey};

const PW1: &[u8] = b"123456";
const PW3: &[u8] = b"12345678";
const ALL: [PasswordReference; 3] = [PasswordReference::Sign, PasswordReference::Other, PasswordReference::Admin];

fn keys() -> KeyHolder {
    KeyHolder { sign: Some(PrivateKey::ed25519()), authenticate: Some(PrivateKey::ed25519()), decrypt: None }
}

fn client(signing: SigningValidity) -> Client {
    let keys = keys();
    let mut profile = keys.profile();
    let (pw1, pw3) = (Password::new(PW1).unwrap(), Password::new(PW3).unwrap());
    profile.pin_policy = PinPolicy::Required(Passwords { pw1, pw3, signing });
    Client::with_card(Card::new(profile), keys)
}

fn sign() -> HostCommand {
    HostCommand::compute_digital_signature(b"message")
}

fn authenticate() -> HostCommand {
    HostCommand::internal_authenticate(b"message")
}

#[test]
fn each_mode_of_pw1_opens_its_own_commands_only() {
    let mut client = client(SigningValidity::Session);
    for command in [sign(), authenticate(), HostCommand::decipher_rsa(&[1; 256])] {
        assert_eq!(client.status(&command), Status::SecurityStatusNotSatisfied);
    }
    client.ok(&HostCommand::verify(PasswordReference::Sign, PW1));
    assert_eq!(client.ok(&sign()).len(), 64);
    assert_eq!(client.status(&authenticate()), Status::SecurityStatusNotSatisfied);
    client.ok(&HostCommand::verify(PasswordReference::Other, PW1));
    assert_eq!(client.ok(&authenticate()).len(), 64);
    assert_eq!(client.ok(&sign()).len(), 64);
}

#[test]
fn one_verification_allows_one_signature_where_the_card_says_so() {
    let mut client = client(SigningValidity::OneSignature);
    assert_eq!(client.ok(&HostCommand::get_data(0xC4)), [0, 127, 127, 127, 3, 0, 3]);
    client.ok(&HostCommand::verify(PasswordReference::Sign, PW1));
    client.ok(&HostCommand::verify(PasswordReference::Other, PW1));
    client.ok(&sign());
    assert_eq!(client.status(&sign()), Status::SecurityStatusNotSatisfied);
    client.ok(&authenticate());
    client.ok(&HostCommand::verify(PasswordReference::Sign, PW1));
    client.ok(&sign());
}

#[test]
fn input_that_can_not_be_signed_does_not_use_the_verification_up() {
    let mut client = client(SigningValidity::OneSignature);
    client.ok(&HostCommand::verify(PasswordReference::Sign, PW1));
    assert_eq!(client.status(&HostCommand::compute_digital_signature(&[])), Status::WrongLength);
    client.ok(&sign());
}

#[test]
fn wrong_tries_are_counted_shown_and_shared_by_both_modes() {
    let mut client = client(SigningValidity::Session);
    let wrong = |mode| HostCommand::verify(mode, b"654321");
    assert_eq!(client.status(&wrong(PasswordReference::Sign)), Status::RemainingRetries(2));
    assert_eq!(client.status(&wrong(PasswordReference::Other)), Status::RemainingRetries(1));
    let asked = HostCommand::verification_status(PasswordReference::Sign);
    assert_eq!(client.status(&asked), Status::RemainingRetries(1));
    assert_eq!(client.ok(&HostCommand::get_data(0xC4))[4..], [1, 0, 3]);
    assert_eq!(client.status(&wrong(PasswordReference::Sign)), Status::RemainingRetries(0));
    for mode in [PasswordReference::Sign, PasswordReference::Other] {
        assert_eq!(client.status(&HostCommand::verify(mode, PW1)), Status::OperationBlocked);
    }
    client.ok(&HostCommand::verify(PasswordReference::Admin, PW3));
}

#[test]
fn a_wrong_try_takes_a_verification_back() {
    let mut client = client(SigningValidity::Session);
    let verify = HostCommand::verify(PasswordReference::Sign, PW1);
    client.ok(&verify);
    client.ok(&HostCommand::verification_status(PasswordReference::Sign));
    assert_eq!(client.status(&HostCommand::verify(PasswordReference::Sign, b"x")), Status::RemainingRetries(2));
    assert_eq!(client.status(&sign()), Status::SecurityStatusNotSatisfied);
    client.ok(&verify);
    assert_eq!(client.ok(&HostCommand::get_data(0xC4))[4], 3, "the right password restores the counter");
}

#[test]
fn logging_out_select_and_reset_take_verifications_back() {
    let endings: [fn(&mut Client); 3] = [
        |client| {
            for mode in ALL {
                client.ok(&HostCommand::log_out(mode));
            }
        },
        |client| {
            client.ok(&HostCommand::select());
        },
        |client| {
            client.session.reset();
            client.ok(&HostCommand::select());
        },
    ];
    for end in endings {
        let mut client = client(SigningValidity::Session);
        for (mode, value) in ALL.into_iter().zip([PW1, PW1, PW3]) {
            client.ok(&HostCommand::verify(mode, value));
            client.ok(&HostCommand::verification_status(mode));
        }
        end(&mut client);
        for mode in ALL {
            assert_eq!(client.status(&HostCommand::verification_status(mode)), Status::RemainingRetries(3));
        }
    }
}

#[test]
fn sessions_of_one_card_do_not_see_each_others_verifications() {
    let mut client = client(SigningValidity::Session);
    client.ok(&HostCommand::verify(PasswordReference::Sign, PW1));
    let first = std::mem::replace(&mut client.session, Session::new());
    client.ok(&HostCommand::select());
    assert_eq!(client.status(&sign()), Status::SecurityStatusNotSatisfied);
    // But wrong tries are the card's: a second session is no second chance.
    assert_eq!(client.status(&HostCommand::verify(PasswordReference::Sign, b"x")), Status::RemainingRetries(2));
    client.session = first;
    client.ok(&sign());
    assert_eq!(client.ok(&HostCommand::get_data(0xC4))[4], 2);
}

#[test]
fn a_session_that_tries_a_password_blocked_elsewhere_loses_its_verification() {
    let mut client = client(SigningValidity::Session);
    client.ok(&HostCommand::verify(PasswordReference::Sign, PW1));
    let first = std::mem::replace(&mut client.session, Session::new());
    client.ok(&HostCommand::select());
    for tries_left in [2, 1, 0] {
        let wrong = HostCommand::verify(PasswordReference::Other, b"x");
        assert_eq!(client.status(&wrong), Status::RemainingRetries(tries_left));
    }
    client.session = first;
    assert_eq!(client.status(&HostCommand::verify(PasswordReference::Sign, PW1)), Status::OperationBlocked);
    assert_eq!(client.status(&sign()), Status::SecurityStatusNotSatisfied);
}

#[test]
fn private_objects_are_read_by_whom_the_table_names() {
    let mut client = client(SigningValidity::Session);
    for open in [0x0101, 0x0102] {
        client.ok(&HostCommand::get_data(open));
    }
    for (tag, mode, value) in [(0x0103, PasswordReference::Other, PW1), (0x0104, PasswordReference::Admin, PW3)] {
        assert_eq!(client.status(&HostCommand::get_data(tag)), Status::SecurityStatusNotSatisfied);
        client.ok(&HostCommand::verify(mode, value));
        client.ok(&HostCommand::get_data(tag));
    }
}

#[test]
fn a_card_without_passwords_takes_any_and_has_no_administrator() {
    let mut client = Client::new(keys());
    for mode in [PasswordReference::Sign, PasswordReference::Other] {
        client.ok(&HostCommand::verification_status(mode));
        client.ok(&HostCommand::verify(mode, b"anything"));
        client.ok(&HostCommand::log_out(mode));
    }
    client.ok(&sign());
    client.ok(&authenticate());
    assert_eq!(client.status(&HostCommand::verify(PasswordReference::Admin, PW3)), Status::OperationBlocked);
    assert_eq!(client.status(&HostCommand::get_data(0x0104)), Status::SecurityStatusNotSatisfied);
}

#[test]
fn the_state_of_the_passwords_can_be_carried_to_the_cards_next_run() {
    let mut client = client(SigningValidity::Session);
    assert_eq!(client.status(&HostCommand::verify(PasswordReference::Admin, b"x")), Status::RemainingRetries(2));
    let PinPolicy::Required(passwords) = &client.card.profile().pin_policy else { panic!("passwords") };
    let tries = passwords.pw3.tries_left();
    let mut restored = Passwords {
        pw1: Password::new(PW1).unwrap(),
        pw3: Password::new(PW3).unwrap().with_tries_left(tries),
        signing: SigningValidity::Session,
    };
    assert_eq!(restored.pw3.tries_left(), 2);
    restored.pw3 = restored.pw3.with_tries_left(200);
    assert_eq!(restored.pw3.tries_left(), 3);
}
