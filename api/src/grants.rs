//! Logging in and what comes of it: `POST /v1/login`, `/v1/grants…`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    ids::{GrantId, PrincipalId},
    roles::{PrincipalKind, SystemRole},
};

/// A password, token or other secret on the wire. Wiped by whoever reads it; never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
#[serde(transparent)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// Body of `POST /v1/login`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LoginRequest {
    /// A user's name and password.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: SecretText,
        /// The password that takes the place of a one-time password, which gives no grant without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::NewPassword>))]
        new_password: Option<SecretText>,
        /// What the grant is for, for the person who looks at the list of grants: usually the machine's name.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Label))]
        label: String,
    },
    /// A service account's token.
    ServiceToken {
        /// The token, as `POST /v1/service-accounts/{id}/tokens` gave it.
        token: SecretText,
        /// As above.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Label))]
        label: String,
        /// Whether the grant is for a whole machine. Those who use it there may not write it, so it is never refreshed:
        /// it is valid from the start for as long as refreshes could make it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        machine: bool,
    },
}

/// Body of `POST /v1/password`: one's own password. All other logins of the user end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password until now.
    pub old: SecretText,
    /// The password from now on.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::NewPassword))]
    pub new: SecretText,
}

/// Answer of `POST /v1/login` and `POST /v1/grants/refresh`. The refreshed grant's earlier token stays valid for a
/// short while, so that two processes may refresh at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantIssued {
    /// The secret to send as `Authorization: Bearer …`. Only its hash is stored.
    pub token: SecretText,
    /// What is known about it.
    pub grant: GrantInfo,
}

/// A grant, without its secret. Answer of `GET /v1/grants/current`, and item of `GET /v1/grants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantInfo {
    /// The grant's id.
    pub id: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// The holder's name.
    pub principal_name: String,
    /// What the holder may do on the whole server.
    pub roles: Vec<SystemRole>,
    /// What the holder called it at login.
    pub label: String,
    /// When it was given.
    pub created: Timestamp,
    /// After this moment it must be renewed by a login. A refresh moves it, up to [`Self::refreshable_until`].
    pub expires: Timestamp,
    /// No refresh moves the expiry past this moment.
    pub refreshable_until: Timestamp,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<Timestamp>,
    /// Whether a person or a program holds it.
    pub kind: PrincipalKind,
    /// When it was used last, to within some minutes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used: Option<Timestamp>,
    /// From which address it was used last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_address: Option<String>,
    /// What its holder showed at login.
    pub login_method: LoginMethod,
    /// From which address its holder logged in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub login_address: Option<String>,
}

/// What somebody shows at login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LoginMethod {
    /// A user's password.
    Password,
    /// A service account's token.
    ServiceToken,
}

impl LoginMethod {
    /// The name as JSON and commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::ServiceToken => "service-token",
        }
    }
}

/// Answer of `GET /v1/server`: what anyone may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerInfo {
    /// Made at `init`; tells two servers apart.
    pub server_id: uuid::Uuid,
    /// The server's release, such as `0.1.0`.
    pub version: String,
    /// Whether it is for trying Sealcard out: its signers run as its own user, so it could read the private keys.
    pub trial: bool,
}
