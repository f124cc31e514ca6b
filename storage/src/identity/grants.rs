//! Grants and their tokens.

use sealcard_api::{
    Timestamp,
    grants::{GrantInfo, LoginMethod},
    ids::{GrantId, PrincipalId, ServiceTokenId},
    roles::{PrincipalKind, SystemRoles},
};
use sealcard_record::HashPrefix;
use uuid::Uuid;

use super::{
    super::{
        StorageError, Store, WriteTx,
        sql::{FromRow, Row, params},
    },
    kind_from, system_roles_from,
};

/// A grant with its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The grant.
    pub id: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// The holder's name.
    pub principal_name: String,
    /// What the holder may do on the whole server.
    pub system_roles: SystemRoles,
    /// What the holder called it.
    pub label: String,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub expires: i64,
    /// Unix seconds.
    pub refreshable_until: i64,
    /// Unix seconds.
    pub revoked: Option<i64>,
    /// Person or program.
    pub kind: PrincipalKind,
    /// About when it was used last, unix seconds.
    pub last_used: Option<i64>,
    /// From which address.
    pub last_address: Option<String>,
    /// From which address its holder logged in.
    pub login_address: Option<String>,
    /// Whether a service account's token was shown for it, and no password.
    pub by_service_token: bool,
}

impl FromRow for GrantRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: GrantId(row.get(0)?),
            principal: PrincipalId(row.get(1)?),
            principal_name: row.get(2)?,
            system_roles: system_roles_from(row, 3)?,
            label: row.get(6)?,
            created: row.get(7)?,
            expires: row.get(8)?,
            refreshable_until: row.get(9)?,
            revoked: row.get(10)?,
            kind: kind_from(&row.get::<String>(11)?)?,
            last_used: row.get(12)?,
            last_address: row.get(13)?,
            login_address: row.get(14)?,
            by_service_token: row.get(15)?,
        })
    }
}

/// A grant to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrantRow {
    /// The id.
    pub id: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// The token it was given for, if it was a token.
    pub service_token: Option<ServiceTokenId>,
    /// What the holder called it.
    pub label: String,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub expires: i64,
    /// Unix seconds.
    pub refreshable_until: i64,
    /// From which address its holder logged in.
    pub address: Option<String>,
}

/// Which grants are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrantFilter {
    /// One holder's only.
    pub principal: Option<PrincipalId>,
    /// After this one.
    pub after: Option<GrantId>,
}

/// The query that a [`GrantRow`] is read from, with what follows FROM.
macro_rules! grant_query {
    ($rest:literal) => {
        concat!(
            "SELECT g.id, g.principal_id, p.name, p.administrator, p.security_officer, p.auditor, g.label, g.created,
                g.expires, g.refreshable_until, g.revoked, p.kind, g.last_used, g.last_address,
                g.login_address, g.service_token_id IS NOT NULL
             FROM access_grant g JOIN principal p ON p.id = g.principal_id ",
            $rest
        )
    };
}

/// What a refresh did to the tokens that there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// From when on the token that it was asked with is refused, unix seconds.
    pub retires: i64,
    /// Tokens that were forgotten.
    pub forgotten: Vec<HashPrefix>,
}

/// How many grants a login forgets at most: its entry names them.
const FORGOTTEN_AT_ONCE: i64 = 500;

/// How many tokens of one grant may be valid at once.
const MAX_TOKENS: u32 = 8;

impl Store {
    /// One grant.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantRow>, StorageError> {
        self.reader().optional(ONE_GRANT, params![id.0]).await
    }

    /// Grants, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn grants(&self, filter: GrantFilter, limit: u32) -> Result<Vec<GrantRow>, StorageError> {
        const GRANTS: &str =
            grant_query!("WHERE g.id > $1 AND (g.principal_id = $2 OR $2 IS NULL) ORDER BY g.id LIMIT $3");
        let after = filter.after.map_or(Uuid::nil(), |id| id.0);
        self.reader().all(GRANTS, params![after, filter.principal.map(|id| id.0), i64::from(limit)]).await
    }
}

const ONE_GRANT: &str = grant_query!("WHERE g.id = $1");

impl WriteTx {
    /// Stores a grant and its first token. The principal's grants that ended a year ago are forgotten on the way,
    /// unless the clock may be wrong: time has passed only if somebody logged in meanwhile. Returns which ones.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_grant(&mut self, row: &NewGrantRow, token_hash: &[u8]) -> Result<Vec<GrantId>, StorageError> {
        const DAY: i64 = 86_400;
        // A clock that jumps ahead makes valid grants look long ended.
        const FORGET: &str = "DELETE FROM access_grant WHERE id IN (SELECT id FROM access_grant
             WHERE principal_id = $1 AND (refreshable_until < $2 OR revoked < $2)
               AND EXISTS (SELECT 1 FROM access_grant WHERE created BETWEEN $2 AND $3) ORDER BY id LIMIT $4)
             RETURNING id";
        let (year_ago, month_ago) = (row.created - 365 * DAY, row.created - 30 * DAY);
        let forgotten: Vec<(Uuid,)> =
            self.conn().all(FORGET, params![row.principal.0, year_ago, month_ago, FORGOTTEN_AT_ONCE])?;
        self.conn().execute(
            "INSERT INTO access_grant
             (id, principal_id, service_token_id, label, created, expires, refreshable_until, login_address)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            params![
                row.id.0,
                row.principal.0,
                row.service_token.map(|id| id.0),
                &row.label,
                row.created,
                row.expires,
                row.refreshable_until,
                &row.address
            ],
        )?;
        self.add_grant_token(row.id, token_hash, row.created)?;
        Ok(forgotten.into_iter().map(|(id,)| GrantId(id)).collect())
    }

    /// One grant, as this transaction sees it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn find_grant(&mut self, id: GrantId) -> Result<Option<GrantRow>, StorageError> {
        self.conn().optional(ONE_GRANT, params![id.0])
    }

    /// Gives a grant one more token and a later expiry, and retires the token it was asked with (unless that has
    /// happened before). Tokens that are over, or too many, are forgotten.
    ///
    /// # Errors
    /// If the database fails.
    pub fn refresh_grant(
        &mut self,
        id: GrantId,
        expires: i64,
        (old_hash, retire_at): (&[u8], i64),
        new_hash: &[u8],
    ) -> Result<Refreshed, StorageError> {
        let now = self.now().unix();
        self.conn()
            .execute("UPDATE access_grant SET expires = $2 WHERE id = $1 AND expires < $2", params![id.0, expires])?;
        let retired: Option<i64> = self.conn().scalar(
            "UPDATE grant_token SET retired = COALESCE(retired, $2) WHERE hash = $1 RETURNING retired",
            params![old_hash, retire_at],
        )?;
        self.add_grant_token(id, new_hash, now)?;
        let forgotten: Vec<(Vec<u8>,)> = self.conn().all(
            "DELETE FROM grant_token WHERE grant_id = $1 AND (retired < $2 OR hash NOT IN
             (SELECT hash FROM grant_token WHERE grant_id = $1 ORDER BY created DESC, hash LIMIT $3))
             AND hash <> $4 RETURNING hash",
            params![id.0, now - RETIRED_KNOWN, i64::from(MAX_TOKENS), new_hash],
        )?;
        Ok(Refreshed {
            retires: retired.unwrap_or(retire_at),
            forgotten: forgotten.iter().map(|(hash,)| HashPrefix::of_hash(hash)).collect(),
        })
    }

    fn add_grant_token(&mut self, id: GrantId, hash: &[u8], now: i64) -> Result<(), StorageError> {
        self.conn().execute(
            "INSERT INTO grant_token (hash, grant_id, created) VALUES ($1, $2, $3)",
            params![hash, id.0, now],
        )?;
        Ok(())
    }

    /// Notes when and from where a grant was used, unless a later use is noted already.
    ///
    /// # Errors
    /// If the database fails.
    pub fn note_grant_use(&mut self, id: GrantId, at: i64, address: &str) -> Result<(), StorageError> {
        const NOTE: &str = "UPDATE access_grant SET last_used = $2, last_address = $3
             WHERE id = $1 AND (last_used IS NULL OR last_used < $2)";
        self.conn().execute(NOTE, params![id.0, at, address])?;
        Ok(())
    }

    /// Revokes one grant. Whether it was valid before.
    ///
    /// # Errors
    /// If the database fails.
    pub fn revoke_grant(&mut self, id: GrantId) -> Result<bool, StorageError> {
        let now = self.now().unix();
        let done = self
            .conn()
            .execute("UPDATE access_grant SET revoked = $2 WHERE id = $1 AND revoked IS NULL", params![id.0, now])?;
        Ok(done == 1)
    }

    /// Revokes every grant of a principal but one.
    ///
    /// # Errors
    /// If the database fails.
    pub fn revoke_other_grants(&mut self, principal: PrincipalId, kept: GrantId) -> Result<u64, StorageError> {
        const REVOKE: &str =
            "UPDATE access_grant SET revoked = $3 WHERE principal_id = $1 AND id <> $2 AND revoked IS NULL";
        let now = self.now().unix();
        self.conn().execute(REVOKE, params![principal.0, kept.0, now])
    }

    /// Revokes every grant of a principal.
    ///
    /// # Errors
    /// If the database fails.
    pub fn revoke_grants_of(&mut self, principal: PrincipalId) -> Result<u64, StorageError> {
        let now = self.now().unix();
        let done = self.conn().execute(
            "UPDATE access_grant SET revoked = $2 WHERE principal_id = $1 AND revoked IS NULL",
            params![principal.0, now],
        )?;
        Ok(done)
    }
}

/// For how many seconds a retired token is still told that it is over, instead of that it never was.
const RETIRED_KNOWN: i64 = 30 * 86_400;

impl From<GrantRow> for GrantInfo {
    fn from(row: GrantRow) -> Self {
        Self {
            id: row.id,
            principal: row.principal,
            principal_name: row.principal_name,
            roles: row.system_roles.iter().collect(),
            label: row.label,
            created: Timestamp::from_unix(row.created),
            expires: Timestamp::from_unix(row.expires),
            refreshable_until: Timestamp::from_unix(row.refreshable_until),
            revoked: row.revoked.map(Timestamp::from_unix),
            kind: row.kind,
            last_used: row.last_used.map(Timestamp::from_unix),
            last_address: row.last_address,
            login_method: if row.by_service_token { LoginMethod::ServiceToken } else { LoginMethod::Password },
            login_address: row.login_address,
        }
    }
}
