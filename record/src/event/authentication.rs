//! Logins, grants and users' own passwords.

use sealcard_api::{
    Timestamp,
    ids::{GrantId, PrincipalId, ServiceTokenId},
};
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::{HashPrefix, Named};

/// What a principal is authenticated by at a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginMethod {
    /// A user's password.
    Password,
    /// A service account's token.
    ServiceToken,
}

/// A principal got a grant. The principal is the entry's actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// By what it was authenticated.
    pub by: LoginMethod,
    /// The grant. Its name is its label.
    pub grant: Named<GrantId>,
    /// Whether every account of a workstation uses the grant.
    #[serde(skip_serializing_if = "is_false", default)]
    pub machine: bool,
    /// The service account's token that the grant was issued for: it ends with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_token: Option<ServiceTokenId>,
    /// When the grant was issued.
    pub created: Timestamp,
    /// From when on it is refused, unless it is refreshed.
    pub expires: Timestamp,
    /// Until when it can be refreshed.
    pub refreshable_until: Timestamp,
    /// Of the grant's first token.
    pub token_sha256: HashPrefix,
    /// Grants of the same principal that ended long ago and were forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub forgotten: Vec<GrantId>,
}

/// Why a login gave no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginFailure {
    /// There is no such user.
    UnknownUser,
    /// The password is not the user's.
    WrongPassword,
    /// The token is unknown, revoked or expired, or its service account is disabled.
    UnusableToken,
    /// The password is right, but the account is disabled.
    Disabled,
    /// The one-time password is right, but its time is over.
    OneTimePasswordExpired,
    /// The secret was replaced, or the account disabled, between its check and the grant.
    ChangedMeanwhile,
}

/// A login gave no grant. Nobody was authenticated, so that the entry has no actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFailed {
    /// What was shown.
    pub by: LoginMethod,
    /// Why it was not enough.
    pub reason: LoginFailure,
    /// Whose name or token was shown, if it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal: Option<Named<PrincipalId>>,
    /// The token, if it is known. Its name is its label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<Named<ServiceTokenId>>,
    /// A keyed hash of a name that no user has: it may be a password typed into the wrong field.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unknown_user: Option<String>,
}

/// A one-time password was right, and must be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChangeRequired {
    /// The user.
    pub principal: Named<PrincipalId>,
}

/// A user's own change of the password. The user is the entry's actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// Whether it took the place of a one-time password.
    #[serde(skip_serializing_if = "is_false", default)]
    pub one_time: bool,
    /// Of the stored hash of the new password.
    pub password_sha256: HashPrefix,
}

/// The old password was wrong. The user is the entry's actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChangeFailed {}

/// A user got a one-time password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordReset {
    /// The user.
    pub principal: Named<PrincipalId>,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Of the stored hash of the password.
    pub password_sha256: HashPrefix,
}

/// The actor's own grant got one more token and a later end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRefreshed {
    /// The grant. Its name is its label.
    pub grant: Named<GrantId>,
    /// From when on it is refused, unless it is refreshed again.
    pub expires: Timestamp,
    /// Of the token that it was refreshed with.
    pub earlier_token: HashPrefix,
    /// From when on that token is refused.
    pub retires: Timestamp,
    /// Of the new token.
    pub token_sha256: HashPrefix,
    /// Of earlier tokens that were forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub forgotten: Vec<HashPrefix>,
}

/// A grant ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRevoked {
    /// The grant. Its name is its label.
    pub grant: Named<GrantId>,
    /// Its holder.
    pub principal: Named<PrincipalId>,
}

impl Subject for Login {}

impl Subject for LoginFailed {
    fn principal(&self) -> Option<&Named<PrincipalId>> {
        self.principal.as_ref()
    }
}

impl Subject for PasswordChangeRequired {
    fn principal(&self) -> Option<&Named<PrincipalId>> {
        Some(&self.principal)
    }
}

impl Subject for PasswordChanged {}

impl Subject for PasswordChangeFailed {}

impl Subject for PasswordReset {
    fn principal(&self) -> Option<&Named<PrincipalId>> {
        Some(&self.principal)
    }
}

impl Subject for GrantRefreshed {}

impl Subject for GrantRevoked {
    fn principal(&self) -> Option<&Named<PrincipalId>> {
        Some(&self.principal)
    }
}

pub(super) const fn is_false(flag: &bool) -> bool {
    !*flag
}
