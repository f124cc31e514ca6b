//! What the keeper keeps: the secret that opens the keys, and how it is come by.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealcard_envelope::{Binding, Purpose, RecipientKey};

use super::identity::Identity;
use crate::{
    crypto,
    leash::{KeyBytes, Secret},
    log::{self, Chain, Level},
    protocol::{KeeperRefusal, NONCE_LEN, SecretKind},
    seal::{self, MasterKey, Passphrase, SealError, SealFile, SealSource},
};

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
    folder: PathBuf,
    seal: SealFile,
    identity: Identity,
    master: Mutex<Option<MasterKey>>,
    /// Wrong passphrases in a row. Locked while one is tried: guesses can't be made at once.
    failures: Mutex<u32>,
    nonces: Mutex<Vec<([u8; NONCE_LEN], Instant)>>,
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
    pub(super) fn load(folder: &Path) -> Result<Self, SealError> {
        Ok(Self {
            folder: folder.to_owned(),
            seal: seal::load(folder)?,
            identity: Identity::load(folder)?,
            master: Mutex::default(),
            failures: Mutex::default(),
            nonces: Mutex::default(),
        })
    }

    /// Opens the seal if that needs no person.
    pub(super) fn open_unattended(&self) {
        match seal::unseal(&self.seal, &self.folder, None) {
            Ok(master) => *lock(&self.master) = Some(master),
            // A person can mend all of these while the signer runs, and says so with `unseal`.
            Err(error) => {
                log::event(Level::Warn, "sealed", &[("seal", &self.kind()), ("why", &Chain(&error))]);
            }
        }
    }

    pub(super) fn log_state(&self, all_memory_locked: bool, journal: u64) {
        let state = if self.is_open() { "open" } else { "sealed" };
        let key_locked = lock(&self.master).as_ref().is_some_and(MasterKey::is_locked_in_memory);
        let locked = all_memory_locked || key_locked;
        let fields: &[(&str, &dyn std::fmt::Display)] =
            &[("seal", &self.kind()), ("state", &state), ("memory-locked", &locked), ("journal", &journal)];
        log::event(Level::Info, "started", fields);
    }

    fn kind(&self) -> &'static str {
        self.seal.source().kind()
    }

    /// What a person has to give.
    pub(super) const fn wanted(&self) -> SecretKind {
        match self.seal.source() {
            SealSource::Passphrase { .. } => SecretKind::Passphrase,
            SealSource::KeyFile { .. } | SealSource::SystemdCredential { .. } => SecretKind::None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.master).is_some()
    }

    /// What a worker is given.
    pub(super) fn secret(&self) -> Option<Secret> {
        lock(&self.master).as_ref().map(|master| Secret::MasterKey(KeyBytes::new(master.bytes())))
    }

    /// What imported keys are encrypted to; none while the seal is closed.
    pub(super) fn envelope_key(&self) -> Option<RecipientKey> {
        lock(&self.master).as_ref()?.envelope_key().ok()?.recipient().ok()
    }

    /// Opens the seal, with a passphrase if it wants one. A wrong one is slow. The error is for people.
    pub(super) fn open(&self, passphrase: Option<&Passphrase>) -> Result<Opened, String> {
        let mut failures = lock(&self.failures);
        if self.is_open() {
            return Ok(Opened::Before);
        }
        match seal::unseal(&self.seal, &self.folder, passphrase) {
            Ok(master) => {
                *failures = 0;
                *lock(&self.master) = Some(master);
                log::event(Level::Info, "unsealed", &[("seal", &self.kind())]);
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
        let mut nonces = lock(&self.nonces);
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
            let mut nonces = lock(&self.nonces);
            nonces.retain(|(_, given)| given.elapsed() < NONCE_LIFE);
            let place = nonces.iter().position(|(known, _)| known == nonce);
            place.map(|place| nonces.remove(place)).is_some()
        };
        if !known {
            return Err(KeeperRefusal::Nonce);
        }
        if self.wanted() == SecretKind::None {
            return Err(KeeperRefusal::NotWanted("passphrase".into()));
        }
        let binding = Binding::unseal(&self.identity.public(), nonce);
        let secret =
            self.identity.private().open(Purpose::Unseal, &binding, envelope).map_err(|_| KeeperRefusal::Envelope)?;
        Passphrase::from_utf8(secret).ok_or(KeeperRefusal::Envelope)
    }
}

/// A panic leaves what is locked whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
