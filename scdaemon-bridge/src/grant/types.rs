//! A grant, and how it is stored.

use std::fmt;

use reqwest::header::HeaderValue;
use sealcard_api::{
    Timestamp,
    grants::{GrantInfo, GrantIssued},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::GrantError;

/// What a login gave: a secret, and what is known about it.
pub struct Grant {
    server: String,
    token: SecretString,
    authorization: HeaderValue,
    obtained: Timestamp,
    info: GrantInfo,
}

impl Grant {
    /// The grant that this server gave just now.
    ///
    /// # Errors
    ///
    /// When its token can't stand in a header.
    pub fn new(server: String, issued: GrantIssued) -> Result<Self, GrantError> {
        Self::assemble(server, issued.token.0.into(), Timestamp::now(), issued.grant)
    }

    fn assemble(server: String, token: SecretString, obtained: Timestamp, info: GrantInfo) -> Result<Self, GrantError> {
        let header = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let mut authorization = HeaderValue::from_str(&header)
            .map_err(|_| GrantError::Invalid("its token holds characters that no token has".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Self { server, token, authorization, obtained, info })
    }

    /// Reads what [`Self::render`] wrote.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn parse(content: &[u8]) -> Result<Self, GrantError> {
        // The error must not quote the content.
        let stored: Stored = serde_json::from_slice(content)
            .map_err(|error| GrantError::Invalid(format!("line {}, column {}", error.line(), error.column())))?;
        Self::assemble(stored.server, stored.token.0.as_str().into(), stored.obtained, stored.grant)
    }

    /// For the store. Holds the secret.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn render(&self) -> Result<Zeroizing<Vec<u8>>, GrantError> {
        let stored = Stored {
            server: self.server.clone(),
            token: WipedText(Zeroizing::new(self.token.expose_secret().to_owned())),
            obtained: self.obtained,
            grant: self.info.clone(),
        };
        serde_json::to_vec(&stored).map(Zeroizing::new).map_err(|error| GrantError::Invalid(error.to_string()))
    }

    /// The server that gave it.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What is known about it, as of the login or the last renewal.
    #[must_use]
    pub const fn info(&self) -> &GrantInfo {
        &self.info
    }

    /// `Bearer …`, marked as sensitive.
    pub(crate) const fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// Whether the other one has the same secret.
    #[must_use]
    pub fn same_token(&self, other: &Self) -> bool {
        let (a, b) = (self.token.expose_secret().as_bytes(), other.token.expose_secret().as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
    }

    /// Whether less than half of its time is left and a renewal would move its end.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let (expires, refreshable_until) = (self.info.expires.unix(), self.info.refreshable_until.unix());
        let whole = expires.saturating_sub(self.obtained.unix());
        let left = expires.saturating_sub(now.unix());
        left > 0 && left < whole / 2 && expires < refreshable_until
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("server", &self.server).field("info", &self.info).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stored {
    server: String,
    token: WipedText,
    obtained: Timestamp,
    grant: GrantInfo,
}

struct WipedText(Zeroizing<String>);

impl Serialize for WipedText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WipedText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::{
        grants::LoginMethod,
        grants::SecretText,
        ids::{GrantId, PrincipalId},
        roles::PrincipalKind,
    };

    use super::*;

    fn issued(token: &str, expires: i64, refreshable_until: i64) -> GrantIssued {
        GrantIssued {
            token: SecretText(token.to_owned()),
            grant: GrantInfo {
                id: GrantId::new(),
                principal: PrincipalId::new(),
                principal_name: "jane".to_owned(),
                roles: Vec::new(),
                label: String::new(),
                created: Timestamp::from_unix(0),
                expires: Timestamp::from_unix(expires),
                refreshable_until: Timestamp::from_unix(refreshable_until),
                revoked: None,
                kind: PrincipalKind::User,
                last_used: None,
                last_address: None,
                login_method: LoginMethod::Password,
                login_address: None,
            },
        }
    }

    #[test]
    fn a_token_is_in_no_debug_text_and_no_error() {
        let grant = Grant::new("https://a".to_owned(), issued("s3cret-token", 1, 1)).unwrap();
        let header = format!("{:?}", grant.authorization());
        assert!(!format!("{grant:?}{header}").contains("s3cret"));
        let mut content = grant.render().unwrap().to_vec();
        content.truncate(content.len() - 1);
        assert!(!Grant::parse(&content).unwrap_err().to_string().contains("s3cret"));
        assert!(Grant::new("https://a".to_owned(), issued("line\nbreak", 1, 1)).is_err());
    }

    #[test]
    fn a_grant_is_due_in_the_second_half_of_its_time_unless_no_renewal_moves_its_end() {
        let at = |obtained, expires, until| {
            let grant = Grant::new("https://a".to_owned(), issued("t", expires, until)).unwrap();
            Grant { obtained: Timestamp::from_unix(obtained), ..grant }
        };
        let grant = at(1000, 2000, 9000);
        let due: Vec<bool> = [1000, 1500, 1501, 1999, 2000].map(|now| grant.is_due(Timestamp::from_unix(now))).into();
        assert_eq!(due, [false, false, true, true, false]);
        assert!(!at(1000, 2000, 2000).is_due(Timestamp::from_unix(1900)));
        // A clock that was set back must not overflow anything.
        assert!(!at(i64::MAX, i64::MIN, i64::MAX).is_due(Timestamp::from_unix(i64::MIN)));
    }

    proptest! {
        #[test]
        fn any_token_survives_the_store(token in "[!-~]{1,200}", server: String) {
            let grant = Grant::new(server.clone(), issued(&token, 5, 9)).unwrap();
            let again = Grant::parse(&grant.render().unwrap()).unwrap();
            prop_assert!(again.same_token(&grant));
            prop_assert_eq!(again.server(), server);
            prop_assert_eq!(again.info(), grant.info());
        }

        #[test]
        fn any_bytes_are_an_error_or_a_grant(bytes: Vec<u8>) {
            let _ = Grant::parse(&bytes);
        }
    }
}
