//! Opening the seal while the worker runs: whoever asked is answered when the worker can use its keys.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use sealcard_signer_protocol::{KeeperAnswer, KeeperRefusal, NONCE_LEN};

use super::{
    custody::{Custody, Opened},
    supervisor::Event,
};
use crate::seal::Passphrase;

/// How long a worker may take to open its keys before whoever asked is answered anyway.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where passphrases go, from the control socket and from the server.
#[derive(Clone)]
pub(super) struct Unsealer {
    custody: Arc<Custody>,
    events: mpsc::Sender<Event>,
}

impl Unsealer {
    pub(super) const fn new(custody: Arc<Custody>, events: mpsc::Sender<Event>) -> Self {
        Self { custody, events }
    }

    pub(super) fn custody(&self) -> &Custody {
        &self.custody
    }

    /// Opens the seal and gives the worker what opens its keys. The error is for people.
    pub(super) fn unseal(&self, passphrase: Option<&Passphrase>) -> Result<Opened, String> {
        let opened = self.custody.open(passphrase)?;
        let (done, outcome) = mpsc::channel();
        if opened == Opened::Now && self.events.send(Event::Opened(done)).is_ok() {
            // Without a worker that tells of it: the next one gets the secret at its start.
            outcome.recv_timeout(PATIENCE).unwrap_or(Ok(()))?;
        }
        Ok(opened)
    }

    /// Reads the seal again and gives the worker the master keys that it has now. The error is for people.
    pub(super) fn reload(&self, passphrase: Option<&Passphrase>) -> Result<(), String> {
        self.custody.reload(passphrase)?;
        let (done, outcome) = mpsc::channel();
        if self.events.send(Event::Opened(done)).is_ok() {
            outcome.recv_timeout(PATIENCE).unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// [`Unsealer::unseal`] for the server, which brings the passphrase in an envelope, or none.
    pub(super) fn unseal_for_server(
        &self,
        envelope: Option<([u8; NONCE_LEN], Vec<u8>)>,
    ) -> Result<KeeperAnswer, KeeperRefusal> {
        let passphrase = envelope.map(|(nonce, envelope)| self.custody.read_envelope(&nonce, &envelope)).transpose()?;
        match self.unseal(passphrase.as_ref()) {
            Ok(Opened::Now) => Ok(KeeperAnswer::Unsealed),
            Ok(Opened::Before) => Ok(KeeperAnswer::AlreadyOpen),
            Err(why) => Err(KeeperRefusal::StaysSealed(why)),
        }
    }
}
