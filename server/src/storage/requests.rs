//! Uses of keys: one row for each idempotency key.

use sealcard_api::{
    ids::{GrantId, KeyId, PrincipalId, ProjectId, RequestId},
    record::RequestState,
};
use sealcard_record::Draft;
use uuid::Uuid;

use super::{
    KeyUse, StorageError, Store, UseOf, WriteTx,
    sql::{FromRow, Param, Row, params},
};

/// What a use is recognised by when it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// Which key is used for whom. To that key and grant it is bound.
    pub use_of: UseOf,
    /// The client's value, unique among the requests of one principal.
    pub key: Uuid,
    /// The operation that it is bound to: [`sealcard_signer_protocol::Operation::name`].
    pub operation: &'static str,
    /// SHA-256 of the input that it is bound to.
    pub input_sha256: [u8; 32],
}

/// A use that is about to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewRequest {
    /// The HTTP request.
    pub id: RequestId,
    /// What it is recognised by.
    pub idempotency: Idempotency,
    /// The component key.
    pub component: Uuid,
    /// The project.
    pub project: ProjectId,
    /// The run of the server that works on it: [`Store::node`].
    pub node: Uuid,
}

/// What is known of an earlier request with the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// The HTTP request that used the key.
    pub id: RequestId,
    /// How it stands.
    pub state: RequestState,
    /// What came of it.
    pub signature: Option<Vec<u8>>,
}

/// What came of the attempt to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The intent is in the record: use the key.
    New,
    /// The same request was made before.
    Known(RequestRow),
    /// The idempotency key belongs to another grant, signing key, operation or input.
    Mismatch,
}

/// A use without an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedRequest {
    /// The HTTP request.
    pub id: RequestId,
    /// Who asked.
    pub principal: PrincipalId,
    /// The project.
    pub project: ProjectId,
    /// The signing key.
    pub key: KeyId,
    /// The component key.
    pub component: Uuid,
    /// The operation.
    pub operation: String,
    /// The run of the server that works, or worked, on it.
    pub node: Uuid,
}

impl NewRequest {
    /// The values of the columns that a new row is given, in the order of `BEGIN`, but for the state. `input` is the digest: a
    /// slice is a parameter, an array is none.
    pub(super) fn values<'v>(&'v self, input: &'v &'v [u8]) -> [&'v dyn Param; 10] {
        let Self { id, idempotency, component, project, node } = self;
        let Idempotency { use_of, key, operation, .. } = idempotency;
        [&id.0, &use_of.principal.0, key, &use_of.grant.0, &use_of.key.0, component, operation, input, &project.0, node]
    }
}

struct Stored {
    row: RequestRow,
    grant: GrantId,
    key: KeyId,
    operation: String,
    input_sha256: Vec<u8>,
    changes: i64,
}

impl FromRow for Stored {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let state = state(&row.get::<String>(1)?);
        Ok(Self {
            row: RequestRow { id: RequestId(row.get(0)?), state, signature: row.get(2)? },
            grant: GrantId(row.get(3)?),
            key: KeyId(row.get(4)?),
            operation: row.get(5)?,
            input_sha256: row.get(6)?,
            changes: row.get(7)?,
        })
    }
}

impl FromRow for UnfinishedRequest {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: RequestId(row.get(0)?),
            principal: PrincipalId(row.get(1)?),
            project: ProjectId(row.get(2)?),
            key: KeyId(row.get(3)?),
            component: row.get(4)?,
            operation: row.get(5)?,
            node: row.get(6)?,
        })
    }
}

impl Stored {
    fn belongs_to(&self, idempotency: &Idempotency) -> bool {
        self.grant == idempotency.use_of.grant
            && self.key == idempotency.use_of.key
            && self.operation == idempotency.operation
            && self.input_sha256 == idempotency.input_sha256
    }

    /// Nothing came of it, or what came of it is never kept: the key is used anew.
    fn may_be_done_again(&self) -> bool {
        match self.row.state {
            RequestState::Failed => true,
            RequestState::Signed => self.row.signature.is_none(),
            RequestState::Signing | RequestState::Unknown => false,
        }
    }
}

impl WriteTx {
    /// Notes the intent to use a key, in table and record, unless the idempotency key is known.
    ///
    /// # Errors
    /// [`StorageError::Stale`] if what was `judged` is not so any more; if the database fails.
    fn begin_request(&mut self, request: &NewRequest, judged: &KeyUse, intent: Draft) -> Result<Begun, StorageError> {
        const BEGIN: &str =
            "INSERT INTO key_request (id, principal_id, idempotency_key, grant_id, key_id, component_id, operation,
                input_sha256, state, project_id, node_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'signing', $9, $10)
             ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING (SELECT changes FROM record_head)";
        const KNOWN: &str = "SELECT id, state, signature, grant_id, key_id, operation, input_sha256,
                (SELECT changes FROM record_head)
             FROM key_request WHERE principal_id = $1 AND idempotency_key = $2";
        let idempotency = &request.idempotency;
        let use_of = &idempotency.use_of;
        let input = idempotency.input_sha256.as_slice();
        let begun: Option<i64> = self.conn_for_uses().scalar(BEGIN, &request.values(&input))?;
        let (changes, known) = match begun {
            Some(changes) => (changes, None),
            None => {
                let values = params![use_of.principal.0, idempotency.key];
                let known: Option<Stored> = self.conn_for_uses().optional(KNOWN, values)?;
                let known = known.ok_or(StorageError::NotFound("request with this idempotency key"))?;
                (known.changes, Some(known))
            }
        };
        // Whoever was told of a revocation, or of anything else that is judged, finds no use after it in the record.
        if !self.is_still_so(use_of, judged, changes)? {
            return Err(StorageError::Stale);
        }
        if let Some(known) = known {
            if !known.belongs_to(idempotency) {
                return Ok(Begun::Mismatch);
            }
            if !known.may_be_done_again() {
                return Ok(Begun::Known(known.row));
            }
            self.conn_for_uses().execute(
                "UPDATE key_request SET id = $2, state = 'signing', node_id = $3 WHERE id = $1",
                params![known.row.id.0, request.id.0, request.node],
            )?;
        }
        self.append_record(intent);
        Ok(Begun::New)
    }

    /// Notes what came of a use, in table and record. `counted` is the key whose card counts one more signature.
    ///
    /// # Errors
    /// If the database fails.
    pub fn finish_request(
        &mut self,
        signature: Option<&[u8]>,
        counted: Option<KeyId>,
        outcome: Draft,
    ) -> Result<(), StorageError> {
        const FINISH: &str = "UPDATE key_request SET state = $2, signature = $3 WHERE id = $1 AND state = 'signing'";
        const COUNT: &str = "UPDATE card_counter SET signatures = signatures + 1 WHERE key_id = $1";
        let state = outcome.event.state().unwrap_or(RequestState::Unknown);
        let (request, state) = (outcome.request_id.0, state.name());
        let values = params![request, state, signature];
        if self.conn_for_uses().execute(FINISH, values)? != 1 {
            return Err(StorageError::NotFound("request in the state signing"));
        }
        if let Some(key) = counted {
            self.conn_for_uses().execute(COUNT, params![key.0])?;
        }
        self.append_record(outcome);
        Ok(())
    }
}

impl Store {
    /// Notes the intent to use a key, in table and record, unless the idempotency key is known.
    ///
    /// # Errors
    /// [`StorageError::Stale`] if what was `judged` is not so any more; if the database fails.
    pub async fn begin_request(
        &self,
        request: NewRequest,
        judged: KeyUse,
        intent: Draft,
    ) -> Result<Begun, StorageError> {
        self.write(move |tx| tx.begin_request(&request, &judged, intent)).await
    }

    /// Notes what came of a use, in table and record. `counted` is the key whose card counts one more signature.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_request(
        &self,
        signature: Option<Vec<u8>>,
        counted: Option<KeyId>,
        outcome: Draft,
    ) -> Result<(), StorageError> {
        self.write(move |tx| tx.finish_request(signature.as_deref(), counted, outcome)).await
    }

    /// An earlier request of the principal.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn request(&self, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        let row: Option<(Uuid, String, Option<Vec<u8>>)> =
            self.reader().optional("SELECT id, state, signature FROM key_request WHERE id = $1", params![id.0]).await?;
        Ok(row.map(|(id, name, signature)| RequestRow { id: RequestId(id), state: state(&name), signature }))
    }

    /// The requests whose outcome is not known, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unfinished_requests(&self) -> Result<Vec<UnfinishedRequest>, StorageError> {
        self.reader()
            .all(
                "SELECT id, principal_id, project_id, key_id, component_id, operation, node_id
                 FROM key_request WHERE state = 'signing' ORDER BY id",
                params![],
            )
            .await
    }
}

/// The table's check allows no other names.
fn state(name: &str) -> RequestState {
    RequestState::ALL.into_iter().find(|state| state.name() == name).unwrap_or(RequestState::Unknown)
}
