//! Who asks: passwords, service tokens and grants.
//!
//! A secret is 32 random bytes in base64url behind a prefix that tells what it is; only its SHA-256 is stored. Grants
//! are judged anew for each request, or when the use begins that it is for, so that a revocation is seen by the very next one.

mod grants;
mod last_uses;
mod name_key;
mod password;
mod rights;
mod secret;
mod slowdown;

use std::{fmt, net::IpAddr};

use sealcard_api::{Timestamp, problem::ProblemCode};

pub use grants::{IssuedTo, Shown, issue, refresh};
pub use last_uses::LastUses;
pub use name_key::{NAME_KEY_FILE, NameKey, NameKeyError};
pub use password::{PasswordError, Passwords, Turn, hash_now as hash_password_now};
pub use rights::{Rights, RightsLost};
pub use secret::{GRANT_PREFIX, SERVICE_TOKEN_PREFIX, Secret, hash, one_time_password};
pub use slowdown::{Slowdown, Subject};

use crate::{
    config::Limits,
    http::{ApiError, AppState, Caller, RequestContext},
    storage::HeldGrant,
};

/// The parts of authentication that live in memory.
pub struct Authentication {
    /// Hides what is typed as a name and is none.
    pub names: NameKey,
    /// Hashing and checking.
    pub passwords: Passwords,
    /// Who has to wait after wrong attempts.
    pub slowdown: Slowdown,
    /// When grants were used last.
    pub last_uses: LastUses,
}

impl Authentication {
    /// With nothing remembered.
    #[must_use]
    pub fn new(limits: &Limits, names: NameKey) -> Self {
        Self {
            names,
            passwords: Passwords::new(limits.password_checks),
            slowdown: Slowdown::new(limits.free_attempts),
            last_uses: LastUses::default(),
        }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authentication(…)")
    }
}

/// What the grant `token` is stored as.
///
/// # Errors
/// [`ProblemCode::Unauthenticated`] if no server issues such tokens.
pub fn hash_of_grant(token: &str) -> Result<[u8; 32], ApiError> {
    if token.starts_with(GRANT_PREFIX) && token.len() <= 128 { Ok(hash(token)) } else { Err(unknown_grant()) }
}

/// The caller that holds the grant with this [`hash_of_grant`]. Judged anew for each request, so that a revocation is seen by
/// the next one.
///
/// # Errors
/// [`ProblemCode::Unauthenticated`], [`ProblemCode::GrantExpired`] or [`ProblemCode::GrantRevoked`].
pub async fn authenticate(state: &AppState, token: [u8; 32], context: RequestContext) -> Result<Caller, ApiError> {
    let held = state.store.held_grant(token).await?.ok_or_else(unknown_grant)?;
    admit(state, held, token, context)
}

/// The same as far as this server has heard, without asking the database; good enough for the use of a key, which begins only
/// if it is still so. Nobody, if the database is to be asked.
#[must_use]
pub fn believe(state: &AppState, token: [u8; 32], context: RequestContext) -> Option<Caller> {
    admit(state, state.store.believed_grant(token)?, token, context).ok()
}

fn unknown_grant() -> ApiError {
    ApiError::new(ProblemCode::Unauthenticated).detail("This server has not issued that grant.")
}

fn admit(state: &AppState, held: HeldGrant, token: [u8; 32], context: RequestContext) -> Result<Caller, ApiError> {
    let revoked = |what: &str| Err(ApiError::new(ProblemCode::GrantRevoked).detail(what));
    if held.removed {
        return revoked("The account has been removed.");
    }
    if held.disabled {
        return revoked("The account has been disabled. An administrator can enable it.");
    }
    if held.revoked {
        return revoked("The grant has been revoked. Log in again: sealcard login");
    }
    let now = Timestamp::now().unix();
    if held.expires <= now || held.retired.is_some_and(|retired| retired <= now) {
        return Err(
            ApiError::new(ProblemCode::GrantExpired).detail("The grant has expired. Log in again: sealcard login")
        );
    }
    state.authentication.last_uses.note(held.grant, context.peer.ip());
    Ok(Caller {
        principal: held.principal,
        name: held.name,
        kind: held.kind,
        administrator: held.administrator,
        grant: held.grant,
        token,
        request_id: context.request_id,
        peer: context.peer,
    })
}

/// What is slowed down together: one IPv4 address, or one IPv6 /64, which is what one person easily has.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
