//! Environments: the configured key sources, and the attempts to open their tokens.

use sealcard_api::{Timestamp, admin::EnvironmentKind, ids::EnvironmentId};
use sealcard_record::Named;
use uuid::Uuid;

use super::{
    StorageError, Store, WriteTx,
    sql::{Conn, params},
};

/// One environment, without its live state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRow {
    /// The id.
    pub id: EnvironmentId,
    /// The name; also that of its folder below `signer/`.
    pub name: String,
    /// How its keys are kept.
    pub kind: EnvironmentKind,
    /// When it was made.
    pub created: Timestamp,
}

impl EnvironmentRow {
    /// As the record names it.
    #[must_use]
    pub fn named(&self) -> Named<EnvironmentId> {
        Named::new(self.id, &self.name)
    }
}

/// Whether a server may log in to a token with the configured PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinClaim {
    /// It may, once; the attempt is noted. [`WriteTx::settle_pin`] must follow.
    Granted,
    /// Another server is at it. Its outcome must be waited for.
    Elsewhere,
    /// An attempt failed, or ended without an outcome. A person must act.
    Spent,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinOutcome {
    /// The token took the PIN.
    Good,
    /// The token refused it.
    Refused,
    /// The token was not asked, or said nothing about the PIN.
    NotJudged,
}

impl Store {
    /// All environments, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn environments(&self) -> Result<Vec<EnvironmentRow>, StorageError> {
        let rows: Vec<(Uuid, String, String, i64)> =
            self.reader().all("SELECT id, name, kind, created FROM environment ORDER BY id", params![]).await?;
        Ok(rows
            .into_iter()
            .map(|(id, name, kind, created)| EnvironmentRow {
                id: EnvironmentId(id),
                name,
                kind: if kind == EnvironmentKind::Pkcs11.name() {
                    EnvironmentKind::Pkcs11
                } else {
                    EnvironmentKind::Sealed
                },
                created: Timestamp::from_unix(created),
            })
            .collect())
    }

    /// Whether the last attempt to log in to a token with its configured PIN did not end well, or has not ended.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pin_attempt_is_spent(&self, environment: EnvironmentId) -> Result<bool, StorageError> {
        let sql = "SELECT state FROM pin_attempt WHERE environment_id = $1";
        let row: Option<(String,)> = self.reader().optional(sql, params![environment.0]).await?;
        Ok(row.is_some_and(|(state,)| state != "good"))
    }
}

impl WriteTx {
    /// Adds an environment.
    ///
    /// # Errors
    /// [`StorageError::Taken`] if there is one of this name.
    pub fn insert_environment(
        &mut self,
        id: EnvironmentId,
        name: &str,
        kind: EnvironmentKind,
    ) -> Result<(), StorageError> {
        let now = self.now();
        insert(self.conn(), id, name, kind, now)
    }

    /// Claims the one attempt to log in to a token with its configured PIN. The claim is durable when the write is, so
    /// it outlives a crash during the attempt.
    ///
    /// # Errors
    /// If the database fails.
    pub fn claim_pin(&mut self, environment: EnvironmentId, node: Uuid) -> Result<PinClaim, StorageError> {
        let now = self.now().unix();
        let claimed = self.conn().execute(
            "INSERT INTO pin_attempt (environment_id, state, node_id, at) VALUES ($1, 'trying', $2, $3)
                 ON CONFLICT (environment_id) DO UPDATE SET state = 'trying', node_id = $2, at = $3
                 WHERE pin_attempt.state = 'good'",
            params![environment.0, node, now],
        )?;
        if claimed == 1 {
            return Ok(PinClaim::Granted);
        }
        let row: Option<(String, Uuid)> = self
            .conn()
            .optional("SELECT state, node_id FROM pin_attempt WHERE environment_id = $1", params![environment.0])?;
        let (state, by) = row.ok_or(StorageError::NotFound("attempt with a PIN"))?;
        if state == "trying" && by != node && !self.node_has_ended(by)? {
            Ok(PinClaim::Elsewhere)
        } else {
            Ok(PinClaim::Spent)
        }
    }

    /// Notes what came of the attempt that `node` claimed.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if it has none.
    pub fn settle_pin(
        &mut self,
        environment: EnvironmentId,
        node: Uuid,
        outcome: PinOutcome,
    ) -> Result<(), StorageError> {
        let state = match outcome {
            // Not judged: the next attempt is still the first one that counts.
            PinOutcome::Good | PinOutcome::NotJudged => "good",
            PinOutcome::Refused => "refused",
        };
        let now = self.now().unix();
        let changed = self.conn().execute(
            "UPDATE pin_attempt SET state = $3, at = $4
                 WHERE environment_id = $1 AND node_id = $2 AND state = 'trying'",
            params![environment.0, node, state, now],
        )?;
        if changed == 1 { Ok(()) } else { Err(StorageError::NotFound("attempt with a PIN")) }
    }

    /// Allows attempts again after one that failed or that nobody can conclude any more. Whether there was one. One
    /// that another server has under way stays.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget_spent_pin_attempt(&mut self, environment: EnvironmentId, node: Uuid) -> Result<bool, StorageError> {
        let row: Option<(String, Uuid)> = self
            .conn()
            .optional("SELECT state, node_id FROM pin_attempt WHERE environment_id = $1", params![environment.0])?;
        let spent = match row {
            Some((state, by)) if state == "trying" => by == node || self.node_has_ended(by)?,
            Some((state, _)) => state == "refused",
            None => false,
        };
        if spent {
            let sql = "DELETE FROM pin_attempt WHERE environment_id = $1";
            self.conn().execute(sql, params![environment.0])?;
        }
        Ok(spent)
    }
}

pub(super) fn insert(
    conn: &mut Conn,
    id: EnvironmentId,
    name: &str,
    kind: EnvironmentKind,
    now: Timestamp,
) -> Result<(), StorageError> {
    conn.execute(
        "INSERT INTO environment (id, name, kind, created) VALUES ($1, $2, $3, $4)",
        params![id.0, name, kind.name(), now.unix()],
    )
    .map_err(|error| error.taken(format!("an environment named {name} already exists")))?;
    Ok(())
}
