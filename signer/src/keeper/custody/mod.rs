//! What the keeper keeps: the secret that opens the keys, and how it is come by.

mod store;
mod token;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sealcard_signer_protocol::envelope::{Binding, Purpose, RecipientKey};
use sealcard_signer_protocol::{KeeperRefusal, MasterKeyId, NONCE_LEN, SecretKind, StoreState};

use super::{KeeperError, identity::Identity};
use crate::{
    control::{Deadlines, Secret, Taken},
    crypto,
    log::{self, Chain, Level},
    seal::{Passphrase, SealError},
};
use store::StoreSecret;
use token::TokenSecret;

/// The wait after the first wrong passphrase; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait after a wrong passphrase.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Nonces that are out at most; the oldest is forgotten first.
const NONCES: usize = 64;
/// How long a nonce is good.
const NONCE_LIFE: Duration = Duration::from_secs(600);

/// The secret of one environment.
pub(super) struct Custody {
    identity: Identity,
    kind: Kind,
    /// Wrong passphrases in a row. Locked while one is tried: guesses can't be made at once.
    failures: Mutex<u32>,
    nonces: Mutex<Vec<([u8; NONCE_LEN], Instant)>>,
}

/// What opens its keys.
enum Kind {
    Store(StoreSecret),
    Token(Box<TokenSecret>),
}

/// What came of an attempt that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// It is open since now.
    Now,
    /// It was open before.
    Before,
}

impl Custody {
    /// Reads what lies in the folder; opens nothing.
    pub(super) fn load(folder: &Path) -> Result<Self, KeeperError> {
        let kind = match TokenSecret::load(folder)? {
            Some(token) => Kind::Token(Box::new(token)),
            None => Kind::Store(StoreSecret::load(folder)?),
        };
        Ok(Self { identity: Identity::load(folder)?, kind, failures: Mutex::default(), nonces: Mutex::default() })
    }

    /// Opens the seal if that needs no person; reads a token's PIN, which is used when the server asks.
    pub(super) fn open_unattended(&self) {
        let outcome = match &self.kind {
            Kind::Store(store) => store.open(None),
            Kind::Token(token) => token.read(),
        };
        // A person can mend whatever it is while the signer runs, and says so with `unseal`.
        if let Err(error) = outcome {
            log::event(Level::Warn, "sealed", &[("seal", &self.name()), ("why", &Chain(&error))]);
        }
    }

    pub(super) fn log_state(&self, all_memory_locked: bool, journal: u64) {
        let (state, key_locked) = match &self.kind {
            Kind::Store(store) => (if store.is_open() { "open" } else { "sealed" }, store.is_locked_in_memory()),
            Kind::Token(token) => (if token.secret().is_some() { "locked" } else { "sealed" }, false),
        };
        let locked = all_memory_locked || key_locked;
        let fields: &[(&str, &dyn std::fmt::Display)] =
            &[("seal", &self.name()), ("state", &state), ("memory-locked", &locked), ("journal", &journal)];
        log::event(Level::Info, "started", fields);
    }

    fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Store(store) => store.kind(),
            Kind::Token(token) => token.kind(),
        }
    }

    /// What a person has to give.
    pub(super) fn wanted(&self) -> SecretKind {
        match &self.kind {
            Kind::Store(store) => store.wanted(),
            Kind::Token(token) => token.wanted(),
        }
    }

    /// Whether nobody has to do anything for keys to be used.
    pub(super) fn is_open(&self) -> bool {
        match &self.kind {
            Kind::Store(store) => store.is_open(),
            Kind::Token(token) => token.is_open(),
        }
    }

    /// Whether the keys are on a token.
    pub(super) const fn is_of_token(&self) -> bool {
        matches!(self.kind, Kind::Token(_))
    }

    /// Takes note of what the worker says of its keys.
    pub(super) fn note_state(&self, state: &StoreState) {
        if let Kind::Token(token) = &self.kind {
            token.set_open(*state == StoreState::Open);
        }
    }

    /// Takes note of what came of a secret.
    pub(super) fn note_outcome(&self, taken: &Taken) {
        if let Kind::Token(token) = &self.kind {
            match taken {
                Taken::Fine => token.was_right(),
                Taken::Refused(_) => token.forget(),
                Taken::Later(_) => {}
            }
        }
    }

    /// What a worker is given.
    pub(super) fn secret(&self) -> Option<Secret> {
        match &self.kind {
            Kind::Store(store) => store.secret(),
            Kind::Token(token) => token.secret(),
        }
    }

    /// What is in a worker's environment.
    pub(super) fn environment(&self) -> Option<&BTreeMap<String, String>> {
        match &self.kind {
            Kind::Store(_) => None,
            Kind::Token(token) => Some(&token.config().sandbox.environment),
        }
    }

    /// How long a worker may take.
    pub(super) fn deadlines(&self) -> Deadlines {
        match &self.kind {
            Kind::Store(_) => Deadlines::default(),
            Kind::Token(token) => Deadlines::of_token(token.config()),
        }
    }

    /// What imported keys are encrypted to; none while the seal is closed, and for a token, which takes in none.
    pub(super) fn envelope_key(&self) -> Result<RecipientKey, &'static str> {
        match &self.kind {
            Kind::Store(store) => store.envelope_key().ok_or("the key store is sealed"),
            Kind::Token(_) => Err("keys are not imported into a token; see keeper-key for its PIN"),
        }
    }

    /// Reads the seal again, whose file has changed. The error is for people.
    pub(super) fn reload(&self, typed: Option<&Passphrase>) -> Result<(), String> {
        let Kind::Store(store) = &self.kind else { return Err("a token has no seal".to_owned()) };
        // As for `open`: guesses can't be made at once.
        let _failures = self.failures.lock();
        store.reload(typed).map_err(|error| {
            log::event(Level::Warn, "seal-not-reloaded", &[("why", &Chain(&error))]);
            Chain(&error).to_string()
        })?;
        log::event(Level::Info, "seal-reloaded", &[("seal", &self.name())]);
        Ok(())
    }

    /// Takes note of master keys under which nothing is stored.
    pub(super) fn note_unused(&self, ids: Vec<MasterKeyId>) {
        if let Kind::Store(store) = &self.kind {
            store.note_unused(ids);
        }
    }

    /// The ids of the master keys, and of those that nothing is stored under; none while the seal is closed.
    pub(super) fn master_key_ids(&self) -> Result<(Vec<MasterKeyId>, Vec<MasterKeyId>), &'static str> {
        match &self.kind {
            Kind::Store(store) => store.master_key_ids().ok_or("the key store is sealed: unseal it first"),
            Kind::Token(_) => Err("a token has no master key"),
        }
    }

    /// Opens the seal with what a person has given or mended. A wrong passphrase is slow; whether a PIN is right, the
    /// worker says. The error is for people.
    pub(super) fn open(&self, typed: Option<&Passphrase>) -> Result<Opened, String> {
        let mut failures = self.failures.lock();
        if self.is_open() {
            return Ok(Opened::Before);
        }
        let outcome = match &self.kind {
            Kind::Store(store) => store.open(typed),
            Kind::Token(token) => token.take(typed),
        };
        match outcome {
            Ok(()) => {
                *failures = 0;
                // Whether a PIN is right, only the token knows.
                let event = if self.is_of_token() { "pin-given" } else { "unsealed" };
                log::event(Level::Info, event, &[("seal", &self.name())]);
                Ok(Opened::Now)
            }
            Err(error) => {
                log::event(Level::Warn, "unseal-failed", &[("why", &Chain(&error))]);
                if matches!(error, SealError::WrongSecret(_)) {
                    let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX));
                    *failures = failures.saturating_add(1);
                    std::thread::sleep(wait.min(LONGEST_WAIT));
                }
                Err(Chain(&error).to_string())
            }
        }
    }

    /// The key that a passphrase is encrypted to, and a nonce that makes the envelope good for one attempt.
    pub(super) fn recipient(&self) -> Result<(RecipientKey, [u8; NONCE_LEN]), KeeperRefusal> {
        let nonce = crypto::random::<NONCE_LEN>().map_err(|e| KeeperRefusal::Invalid(e.to_string()))?;
        let mut nonces = self.nonces.lock();
        nonces.retain(|(_, given)| given.elapsed() < NONCE_LIFE);
        if nonces.len() >= NONCES {
            nonces.remove(0);
        }
        nonces.push((*nonce, Instant::now()));
        Ok((self.identity.public(), *nonce))
    }

    /// The passphrase in an envelope. Its nonce is used up, whatever is in it.
    pub(super) fn read_envelope(&self, nonce: &[u8; NONCE_LEN], envelope: &[u8]) -> Result<Passphrase, KeeperRefusal> {
        let known = {
            let mut nonces = self.nonces.lock();
            nonces.retain(|(_, given)| given.elapsed() < NONCE_LIFE);
            let place = nonces.iter().position(|(known, _)| known == nonce);
            place.map(|place| nonces.remove(place)).is_some()
        };
        if !known {
            return Err(KeeperRefusal::Nonce);
        }
        if self.wanted() == SecretKind::None {
            return Err(KeeperRefusal::NotWanted("passphrase or PIN".into()));
        }
        let binding = Binding::unseal(&self.identity.public(), nonce);
        let secret =
            self.identity.private().open(Purpose::Unseal, &binding, envelope).map_err(|_| KeeperRefusal::Envelope)?;
        Passphrase::from_utf8(secret).ok_or(KeeperRefusal::Envelope)
    }
}
