//! Passwords: argon2id (RFC 9106), as PHC strings.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use sealcard_api::rules::NewPassword;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// KiB of memory, passes and lanes: what OWASP's password storage cheat sheet names first.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The longest password that is looked at, in bytes: those of [`NewPassword`] fit.
const MAX_PASSWORD: usize = 4 * NewPassword::MAX;

/// How many wait for each check that runs: about two seconds' work.
const WAITING: usize = 32;

/// Why a password could not be hashed or checked. Retrying may help.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// A hash in the database is damaged.
    #[error("a stored password hash is damaged")]
    Damaged,
    /// The work did not come to its end.
    #[error("the password could not be hashed")]
    Failed,
    /// Too many wait already.
    #[error("too many passwords wait to be checked")]
    Busy,
}

/// Hashes and checks passwords, a few at once, so that memory stays small.
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// Those that wait included.
    queue: Arc<Semaphore>,
    /// Checked in the place of an unknown user's, so that both take the same time.
    decoy: String,
}

impl Passwords {
    /// At most `at_once` checks run together; 32 more for each wait.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        // 22 and 43 base64 characters: salt and hash of the right length that no password leads to.
        let decoy =
            format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${}${}", "c2VhbGNhcmRzZWFsY2FyZA", "A".repeat(43));
        let queue = Arc::new(Semaphore::new(at_once * (1 + WAITING)));
        Self { permits: Arc::new(Semaphore::new(at_once)), queue, decoy }
    }

    /// The PHC string to store.
    ///
    /// # Errors
    /// If there is no memory or no randomness.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordError> {
        self.turn().await?.work(move || hash_now(&password)).await?.0
    }

    /// A place to work in; waits until there is one.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] if too many wait.
    pub async fn turn(&self) -> Result<Turn, PasswordError> {
        let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| PasswordError::Failed)?;
        Ok(Turn { _permit: permit, _queued: queued })
    }

    /// Whether `password` is the one that `stored` was made from. `None` stands for an unknown user: never right, and it
    /// takes as long. Gives the turn back: to be kept until a wrong attempt has been counted.
    ///
    /// # Errors
    /// If `stored` is damaged or the check could not be made.
    pub async fn verify(
        &self,
        turn: Turn,
        password: Zeroizing<String>,
        stored: Option<String>,
    ) -> Result<(bool, Turn), PasswordError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        let (right, turn) = turn.work(move || verify_now(&password, &stored)).await?;
        Ok((right? && known, turn))
    }
}

/// The right to one hashing or checking.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _queued: OwnedSemaphorePermit,
}

impl Turn {
    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Self), PasswordError> {
        // The permit goes along: a caller that gives up must not let another check start beside this one.
        tokio::task::spawn_blocking(move || (work(), self)).await.map_err(|_| PasswordError::Failed)
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(…)")
    }
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(|_| PasswordError::Failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// As [`Passwords::hash`], on the calling thread.
///
/// # Errors
/// If there is no memory or no randomness.
pub fn hash_now(password: &str) -> Result<String, PasswordError> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| PasswordError::Failed)?;
    let hash: PasswordHash =
        argon2()?.hash_password_with_salt(password.as_bytes(), &salt).map_err(|_| PasswordError::Failed)?;
    Ok(hash.to_string())
}

fn verify_now(password: &str, stored: &str) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(stored).map_err(|_| PasswordError::Damaged)?;
    let in_bounds = password.len() <= MAX_PASSWORD;
    let password = if in_bounds { password } else { "" };
    match argon2()?.verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(in_bounds),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(PasswordError::Damaged),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    async fn verify(passwords: &Passwords, password: Zeroizing<String>, stored: Option<String>) -> bool {
        let turn = passwords.turn().await.unwrap();
        passwords.verify(turn, password, stored).await.unwrap().0
    }

    #[tokio::test]
    async fn passwords_beyond_the_queue_are_refused() {
        let passwords = Arc::new(Passwords::new(1));
        let running = passwords.turn().await.unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.turn().await.is_ok() })
            })
            .collect();
        while passwords.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.turn().await, Err(PasswordError::Busy)));
        drop(running);
        for turn in waiting {
            assert!(turn.await.unwrap());
        }
        assert!(passwords.turn().await.is_ok());
    }

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let passwords = Passwords::new(1);
        let stored = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify(&passwords, secret("correct horse"), Some(stored.clone())).await);
        assert!(!verify(&passwords, secret("correct hors"), Some(stored.clone())).await);
        assert!(!verify(&passwords, secret(&"x".repeat(5000)), Some(stored)).await);
    }

    #[tokio::test]
    async fn an_unknown_user_is_never_right_and_not_an_error() {
        let passwords = Passwords::new(1);
        assert!(!verify(&passwords, secret(""), None).await);
        assert!(!verify(&passwords, secret("anything"), None).await);
    }
}
