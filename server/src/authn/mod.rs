//! Who asks: passwords, service tokens and grants.
//!
//! A secret is 32 random bytes in base64url behind a prefix that tells what it is; only its SHA-256 is stored. Grants
//! are judged anew for each request, or when the use begins that it is for, so that a revocation is seen by the very
//! next one.

mod caller;
mod error;
mod facts;
mod grants;
mod last_uses;
mod login;
mod metrics;
mod name_key;
mod password;
mod password_change;
mod secret;
mod slowdown;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use prometheus_client::registry::Registry;
use sealcard_api::{
    Timestamp,
    ids::{PrincipalId, RequestId},
};
use sealcard_record::Named;

pub use caller::{Authorization, AuthorizationError, Caller, RequestContext};
pub use error::AuthenticationError;
pub use facts::policy_facts;
pub use grants::IssueError;
pub use last_uses::LastUses;
pub use name_key::{NAME_KEY_FILE, NameKey, NameKeyError};
pub use password::{PasswordError, PasswordPermit, Passwords, hash_now as hash_password_now};
pub use secret::{GRANT_PREFIX, SERVICE_TOKEN_PREFIX, Secret, hash, one_time_password};
pub use slowdown::{Slowdown, Subject};

use crate::{
    config::Limits,
    storage::{Facts, FactsQuery, Store, Target},
};

/// Lets principals in: by password or token for a grant, by grant for a request.
pub struct Authentication {
    store: Store,
    limits: Limits,
    /// Hides what is typed as a name and is none.
    names: NameKey,
    /// Hashing and checking.
    pub passwords: Passwords,
    /// Who has to wait after wrong attempts.
    slowdown: Slowdown,
    /// When grants were used last.
    pub last_uses: LastUses,
    metrics: metrics::Metrics,
}

type Result<T> = std::result::Result<T, AuthenticationError>;

impl Authentication {
    /// For the principals in `store`, with nothing remembered.
    #[must_use]
    pub fn new(store: Store, limits: Limits, names: NameKey) -> Self {
        Self {
            store,
            limits,
            names,
            passwords: Passwords::new(limits.password_checks),
            slowdown: Slowdown::new(limits.free_attempts),
            last_uses: LastUses::default(),
            metrics: metrics::Metrics::default(),
        }
    }

    /// Registers what is counted of logins.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authentication(…)")
    }
}

/// What the grant `token` is stored as; none if no server issues such tokens.
#[must_use]
pub fn hash_of_grant(token: &str) -> Option<[u8; 32]> {
    (token.starts_with(GRANT_PREFIX) && token.len() <= 128).then(|| hash(token))
}

/// How much the caller's facts must be worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Those of this moment.
    Now,
    /// Those that this server knows: good enough for what is judged again in a transaction.
    Cached,
}

impl Authentication {
    /// The caller that holds the grant with this [`hash_of_grant`].
    ///
    /// # Errors
    /// See [`AuthorizationError`].
    pub async fn authenticate(
        &self,
        token: [u8; 32],
        request: (RequestId, SocketAddr, Timestamp),
        freshness: Freshness,
    ) -> std::result::Result<Caller, AuthorizationError> {
        let query = FactsQuery { token, target: Target::Server };
        let caller = |facts: Option<Facts>| {
            let facts = facts.ok_or(AuthorizationError::UnknownGrant)?;
            Caller::new(&facts, token, request).map_err(AuthorizationError::Denied)
        };
        let mut found = Err(AuthorizationError::UnknownGrant);
        if freshness == Freshness::Cached {
            found = caller(self.store.cached_facts(query).await?);
        }
        // Nothing is refused for what may be out of date.
        if found.is_err() {
            found = caller(self.store.facts(query).await?);
        }
        let caller = found?;
        self.last_uses.note(caller.grant, caller.peer.ip(), caller.received);
        Ok(caller)
    }

    /// The holder of the grant with this [`hash_of_grant`], also of one that has ended.
    pub(crate) async fn holder_of(&self, token: [u8; 32]) -> Option<Named<PrincipalId>> {
        let facts = self.store.facts(FactsQuery { token, target: Target::Server }).await.ok()??;
        Some(Named::new(facts.principal.id, facts.principal.name.clone()))
    }
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
