//! Command chaining, extended length, GET RESPONSE.

use openpgp_card_emu::host::HostCommand;
use openpgp_card_emu::{Card, KeyOperation, SignInput, Slot, Status, Step};

use crate::client::Client;
use crate::key_holder::{AID, KeyHolder, PrivateKey};

fn client() -> Client {
    let keys = KeyHolder { sign: Some(PrivateKey::ed25519()), ..KeyHolder::default() };
    let mut profile = keys.profile();
    profile.certificates[0] = (0..3000u32).map(|number| number.to_be_bytes()[3]).collect();
    Client::with_card(Card::new(profile), keys)
}

#[test]
fn a_long_answer_comes_in_parts_that_say_how_much_is_left() {
    let mut client = client();
    let certificate = client.card.profile().certificates[0].clone();
    let (mut data, mut status) = client.transmit(&[0x00, 0xCA, 0x7F, 0x21, 0x00]);
    let mut statuses = Vec::new();
    while let Status::MoreAvailable(left) = status {
        statuses.push(left);
        let (part, next) = client.transmit(&[0x00, 0xC0, 0x00, 0x00, 0x00]);
        data.extend(part);
        status = next;
    }
    assert_eq!(status, Status::Success);
    assert_eq!(data, certificate);
    assert_eq!(statuses, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3000u16.to_be_bytes()[1]]);
    assert_eq!(client.transmit(&[0x00, 0xC0, 0x00, 0x00, 0x00]).1, Status::ConditionsOfUseNotSatisfied);
}

#[test]
fn an_answer_longer_than_asked_for_is_cut_and_can_be_fetched() {
    let mut client = client();
    assert_eq!(client.transmit(&[0x00, 0xCA, 0x00, 0x4F, 0x04]), (AID[..4].to_vec(), Status::MoreAvailable(12)));
    assert_eq!(client.transmit(&[0x00, 0xC0, 0x00, 0x00, 0x02]), (AID[4..6].to_vec(), Status::MoreAvailable(10)));
    assert_eq!(client.transmit(&[0x00, 0xC0, 0x00, 0x00, 0x0A]), (AID[6..].to_vec(), Status::Success));
    // The same with extended length.
    let (data, status) = client.transmit(&[0x00, 0xCA, 0x7F, 0x21, 0x00, 0x0B, 0xB7]);
    assert_eq!((data.len(), status), (2999, Status::MoreAvailable(1)));
    assert_eq!(client.transmit(&[0x00, 0xC0, 0x00, 0x00, 0x00]).0.len(), 1);
}

#[test]
fn a_host_that_leaves_the_expected_length_out_still_gets_the_answer() {
    assert_eq!(client().transmit(&[0x00, 0xCA, 0x00, 0x4F]), (AID.to_vec(), Status::Success));
}

#[test]
fn the_rest_of_an_answer_is_gone_after_another_command() {
    let mut client = client();
    assert_eq!(client.transmit(&[0x00, 0xCA, 0x7F, 0x21, 0x00]).1, Status::MoreAvailable(0));
    assert_eq!(client.status(&HostCommand::get_data(0x6D)), Status::KeyReferenceNotFound);
    assert_eq!(client.transmit(&[0x00, 0xC0, 0x00, 0x00, 0x00]).1, Status::ConditionsOfUseNotSatisfied);
}

#[test]
fn a_chained_command_is_the_same_as_one_of_extended_length() {
    let message: Vec<u8> = (0..1000u32).map(|number| number.to_be_bytes()[3]).collect();
    let mut client = client();
    let command = HostCommand::compute_digital_signature(&message);
    let apdus = command.to_short_apdus();
    assert_eq!(apdus.len(), 4);
    let expected = Step::Operation(KeyOperation::Sign(SignInput::Message(message)));
    let mut steps: Vec<_> = apdus.iter().map(|apdu| client.session.command(&mut client.card, apdu)).collect();
    assert_eq!(steps.pop().unwrap(), expected);
    assert!(steps.iter().all(|step| *step == Step::Reply(vec![0x90, 0x00])));
    client.session.abort();
    let apdu = command.to_extended_apdu().unwrap();
    assert_eq!(client.session.command(&mut client.card, &apdu), expected);
}

#[test]
fn parts_of_extended_length_may_be_chained_too() {
    let mut client = client();
    let mut first = vec![0x10, 0x2A, 0x9E, 0x9A, 0x00, 0x01, 0x2C];
    first.extend([1; 300]);
    assert_eq!(client.transmit(&first), (Vec::new(), Status::Success));
    let last = [0x00, 0x2A, 0x9E, 0x9A, 0x01, 0x02, 0x00];
    let Step::Operation(KeyOperation::Sign(SignInput::Message(message))) =
        client.session.command(&mut client.card, &last)
    else {
        panic!("an operation")
    };
    assert_eq!(message, [&[1; 300][..], &[2]].concat());
}

#[test]
fn a_command_that_breaks_a_chain_is_refused_once() {
    let mut client = client();
    let part = [0x10, 0x2A, 0x9E, 0x9A, 0x01, 0x01];
    for other in [&[0x00, 0xCA, 0x00, 0x4F, 0x00][..], &[0x00, 0x2A, 0x80, 0x86, 0x01, 0x00]] {
        assert_eq!(client.transmit(&part), (Vec::new(), Status::Success));
        assert_eq!(client.transmit(other), (Vec::new(), Status::LastCommandOfChainExpected));
        client.ok(&HostCommand::get_data(0x4F));
    }
}

#[test]
fn a_reset_forgets_the_application_and_a_chain() {
    let mut client = client();
    assert_eq!(client.transmit(&[0x10, 0x2A, 0x9E, 0x9A, 0x01, 0x01]), (Vec::new(), Status::Success));
    client.session.reset();
    assert_eq!(client.status(&HostCommand::get_data(0x4F)), Status::ConditionsOfUseNotSatisfied);
}

#[test]
fn select_begins_anew_whatever_was_under_way() {
    let mut client = client();
    assert_eq!(client.transmit(&[0x10, 0x2A, 0x9E, 0x9A, 0x01, 0x01]), (Vec::new(), Status::Success));
    client.ok(&HostCommand::select());
    client.ok(&HostCommand::read_public_key(Slot::Sign));
}

#[test]
fn a_malformed_apdu_or_get_response_ends_a_chain() {
    for between in [&[0x00][..], &[0x0C, 0xCA, 0x00, 0x4F, 0x00], &[0x00, 0xC0, 0x00, 0x00, 0x00]] {
        let mut client = client();
        assert_eq!(client.transmit(&[0x10, 0x2A, 0x9E, 0x9A, 0x01, 0x01]), (Vec::new(), Status::Success));
        client.transmit(between);
        let last = [0x00, 0x2A, 0x9E, 0x9A, 0x01, 0x02, 0x00];
        let expected = Step::Operation(KeyOperation::Sign(SignInput::Message(vec![2])));
        assert_eq!(client.session.command(&mut client.card, &last), expected, "only the new command's data");
    }
}

#[test]
fn a_command_longer_than_the_card_says_is_refused_in_one_piece_and_in_parts() {
    let mut client = client();
    let limit = 0x4000;
    let fits = HostCommand::compute_digital_signature(&vec![1; limit - 9]);
    assert_eq!(fits.to_extended_apdu().unwrap().len(), limit);
    assert_eq!(client.ok(&fits).len(), 64);
    assert_eq!(client.status(&HostCommand::compute_digital_signature(&vec![1; limit - 8])), Status::WrongLength);

    let mut statuses = Vec::new();
    for apdu in HostCommand::compute_digital_signature(&vec![1; limit + 1]).to_short_apdus() {
        statuses.push(client.transmit(&apdu).1);
    }
    assert_eq!(statuses.pop(), Some(Status::WrongLength));
    assert!(statuses.iter().all(|status| *status == Status::Success));
}

#[test]
fn more_data_than_any_apdu_carries_is_an_error_of_the_host() {
    let command = HostCommand::compute_digital_signature(&vec![0; 65536]);
    assert_eq!(command.to_extended_apdu().unwrap_err().bytes, 65536);
}
