//! Passwords: argon2id (RFC 9106), as PHC strings.

use std::{fmt, net::IpAddr};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    limiter::{Bound, Busy, FairLimiter, Limits, Permit},
    limits,
};

/// KiB of memory, passes and lanes: what OWASP's password storage cheat sheet names first.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

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

/// Hashes and checks passwords, a few at once, so that memory stays small, and in turn for all networks.
pub struct Passwords {
    limiter: FairLimiter<IpAddr>,
    /// Checked in the place of an unknown user's, so that both take the same time.
    decoy: String,
}

/// The right to one hashing or checking.
pub type PasswordPermit = Permit<IpAddr>;

impl Passwords {
    /// At most `at_once` checks run together; of each network, 32 more for each of them wait.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        // 22 and 43 base64 characters: salt and hash of the right length that no password leads to.
        let decoy =
            format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${}${}", "c2VhbGNhcmRzZWFsY2FyZA", "A".repeat(43));
        let all = Bound::count(at_once);
        // All may come from one network, behind a proxy.
        let limits = Limits { all, of_one: all, waiting_of_one: at_once * limits::WAITING_PASSWORDS };
        Self { limiter: FairLimiter::new(limits, limits::PASSWORD_WAIT), decoy }
    }

    /// The PHC string to store.
    ///
    /// # Errors
    /// If there is no memory or no randomness; [`PasswordError::Busy`] if too many of this network wait.
    pub async fn hash(&self, network: IpAddr, password: Zeroizing<String>) -> Result<String, PasswordError> {
        work(self.permit(network).await?, move || hash_now(&password)).await?.0
    }

    /// The right to check a password for a [`super::network_of`] an address; waits for it.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] if too many of this network wait.
    pub async fn permit(&self, network: IpAddr) -> Result<PasswordPermit, PasswordError> {
        self.limiter.permit(network, limits::PASSWORD_ESTIMATE).await.map_err(|Busy| PasswordError::Busy)
    }

    /// Whether `password` is the one that `stored` was made from. `None` stands for an unknown user: never right, and
    /// it takes as long. Gives the permit back: to be kept until a wrong attempt has been counted.
    ///
    /// # Errors
    /// If `stored` is damaged or the check could not be made.
    pub async fn verify(
        &self,
        permit: PasswordPermit,
        password: Zeroizing<String>,
        stored: Option<String>,
    ) -> Result<(bool, PasswordPermit), PasswordError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        let (right, permit) = work(permit, move || verify_now(&password, &stored)).await?;
        Ok((right? && known, permit))
    }
}

async fn work<T: Send + 'static>(
    permit: PasswordPermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, PasswordPermit), PasswordError> {
    // The permit goes along: a caller that gives up must not let another check start beside this one.
    tokio::task::spawn_blocking(move || (work(), permit)).await.map_err(|_| PasswordError::Failed)
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
    let in_bounds = password.len() <= limits::MAX_PASSWORD;
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
    use std::{net::Ipv4Addr, sync::Arc};

    use tokio::sync::mpsc;

    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    const NETWORK: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    async fn verify(passwords: &Passwords, password: Zeroizing<String>, stored: Option<String>) -> bool {
        let permit = passwords.permit(NETWORK).await.unwrap();
        passwords.verify(permit, password, stored).await.unwrap().0
    }

    #[tokio::test]
    async fn passwords_beyond_the_queue_of_a_network_are_refused() {
        let passwords = Arc::new(Passwords::new(1));
        let running = passwords.permit(NETWORK).await.unwrap();
        let (told, mut order) = mpsc::unbounded_channel();
        let wait = |network: IpAddr| {
            let (passwords, told) = (Arc::clone(&passwords), told.clone());
            tokio::spawn(async move {
                let permit = passwords.permit(network).await;
                told.send((network, permit.is_ok())).unwrap();
            });
        };
        (0..=limits::WAITING_PASSWORDS).for_each(|_| wait(NETWORK));
        assert_eq!(order.recv().await, Some((NETWORK, false)));
        wait(OTHER);
        tokio::task::yield_now().await;
        // The network that has only just come is next.
        drop(running);
        assert_eq!(order.recv().await, Some((OTHER, true)));
        for _ in 0..limits::WAITING_PASSWORDS {
            assert_eq!(order.recv().await, Some((NETWORK, true)));
        }
        assert!(passwords.permit(NETWORK).await.is_ok());
    }

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let passwords = Passwords::new(1);
        let stored = passwords.hash(NETWORK, secret("correct horse")).await.unwrap();
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
