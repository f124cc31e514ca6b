//! The grant in the system's keyring.
//!
//! The keyring may ask the person for its password, and libraries wait for the answer. So each call runs in a thread of
//! its own and is given up after [`LIMIT`]; the question stays on the screen, and once it is answered the next call
//! succeeds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use keyring_core::{Entry, Error};
use zeroize::Zeroizing;

use super::GrantError;
use crate::{config::Paths, os};

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(3);

const SERVICE: &str = "sealcard";

/// Calls that were given up and still wait for the person. While there is one, no further question is asked.
static GIVEN_UP: AtomicUsize = AtomicUsize::new(0);

/// Whether there is a keyring that lets us in without asking.
pub(super) fn is_usable() -> bool {
    with_entry("probe".to_owned(), |entry| match entry.get_secret() {
        Ok(_) | Err(Error::NoEntry) => Ok(()),
        Err(error) => Err(error),
    })
    .is_ok()
}

pub(super) fn read(paths: &Paths) -> Result<Option<Zeroizing<Vec<u8>>>, GrantError> {
    with_entry(account(paths), |entry| match entry.get_secret() {
        Ok(secret) => Ok(Some(Zeroizing::new(secret))),
        Err(Error::NoEntry) => Ok(None),
        Err(error) => Err(error),
    })
}

pub(super) fn write(paths: &Paths, content: Zeroizing<Vec<u8>>) -> Result<(), GrantError> {
    with_entry(account(paths), move |entry| entry.set_secret(&content))
}

pub(super) fn remove(paths: &Paths) -> Result<(), GrantError> {
    with_entry(account(paths), |entry| match entry.delete_credential() {
        Ok(()) | Err(Error::NoEntry) => Ok(()),
        Err(error) => Err(error),
    })
}

/// Several configurations of one person must not share a grant.
fn account(paths: &Paths) -> String {
    paths.config_folder().to_string_lossy().into_owned()
}

fn with_entry<T: Send + 'static>(
    account: String,
    work: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
) -> Result<T, GrantError> {
    if let Some(reason) = os::keyring_is_absent() {
        return Err(GrantError::NoKeyring(reason.to_owned()));
    }
    if GIVEN_UP.load(Ordering::SeqCst) > 0 {
        return Err(GrantError::Locked);
    }
    let (sender, receiver) = sync_channel(1);
    // Set by whichever comes first: the end of the call, or the end of our patience.
    let settled = Arc::new(AtomicBool::new(false));
    let ended = settled.clone();
    thread::Builder::new()
        .name("keyring".to_owned())
        .spawn(move || {
            let result = os::keyring_entry(SERVICE, &account).and_then(|entry| work(&entry));
            // Nobody waits any more when the limit has passed.
            let _ = sender.send(result);
            if ended.swap(true, Ordering::SeqCst) {
                GIVEN_UP.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .map_err(|error| GrantError::NoKeyring(error.to_string()))?;
    let answer = receiver.recv_timeout(LIMIT);
    if matches!(answer, Err(RecvTimeoutError::Timeout)) {
        GIVEN_UP.fetch_add(1, Ordering::SeqCst);
        if settled.swap(true, Ordering::SeqCst) {
            GIVEN_UP.fetch_sub(1, Ordering::SeqCst);
        }
    }
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::NoStorageAccess(_))) | Err(RecvTimeoutError::Timeout) => Err(GrantError::Locked),
        Ok(Err(Error::PlatformFailure(error))) => Err(GrantError::NoKeyring(error.to_string())),
        Ok(Err(error)) => Err(GrantError::Keyring(error.to_string())),
        Err(RecvTimeoutError::Disconnected) => Err(GrantError::Keyring("it stopped".to_owned())),
    }
}
