//! A host with a card, a session and the keys: sends commands and performs what the card asks for.

use openpgp_card_emu::host::{HostCommand, Response};
use openpgp_card_emu::{Card, Session, Status, Step};

use crate::key_holder::{KeyHolder, random};

pub(crate) struct Client {
    pub(crate) card: Card,
    pub(crate) session: Session,
    pub(crate) keys: KeyHolder,
}

impl Client {
    /// A client that has selected the application.
    pub(crate) fn new(keys: KeyHolder) -> Self {
        let card = keys.card();
        Self::with_card(card, keys)
    }

    pub(crate) fn with_card(card: Card, keys: KeyHolder) -> Self {
        let mut client = Self { card, session: Session::new(), keys };
        client.ok(&HostCommand::select());
        client
    }

    /// Sends one APDU as it is.
    pub(crate) fn transmit(&mut self, apdu: &[u8]) -> (Vec<u8>, Status) {
        let response = match self.session.command(&mut self.card, apdu) {
            Step::Reply(response) => response,
            Step::Operation(operation) => {
                let result = self.keys.perform(&operation);
                self.session.complete(&mut self.card, result)
            }
            Step::Random { bytes } => self.session.complete(&mut self.card, Ok(random(bytes))),
        };
        let response = Response::parse(&response).unwrap();
        (response.data.to_vec(), response.status)
    }

    /// Sends a command as one APDU of extended length.
    pub(crate) fn send(&mut self, command: &HostCommand) -> (Vec<u8>, Status) {
        self.transmit(&command.to_extended_apdu().unwrap())
    }

    /// Sends a command as short APDUs, and fetches the answer with GET RESPONSE where it must.
    pub(crate) fn send_short(&mut self, command: &HostCommand) -> (Vec<u8>, Status) {
        let mut apdus = command.to_short_apdus();
        let last = apdus.pop().unwrap();
        for apdu in apdus {
            assert_eq!(self.transmit(&apdu), (Vec::new(), Status::Success), "each part but the last is taken");
        }
        let (mut data, mut status) = self.transmit(&last);
        while let Status::MoreAvailable(_) = status {
            let (more, next) = self.transmit(&HostCommand::get_response().to_short_apdus()[0]);
            data.extend(more);
            status = next;
        }
        (data, status)
    }

    /// The answer of a command that must succeed.
    pub(crate) fn ok(&mut self, command: &HostCommand) -> Vec<u8> {
        let (data, status) = self.send(command);
        assert_eq!(status, Status::Success, "{command:?}");
        data
    }

    /// The status word of a command that must have no answer.
    pub(crate) fn status(&mut self, command: &HostCommand) -> Status {
        let (data, status) = self.send(command);
        assert_eq!(data, [], "{command:?}");
        status
    }
}
