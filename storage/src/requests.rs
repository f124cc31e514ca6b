//! Signing requests: one row for each idempotency key.

use sealcard_api::{
    Timestamp,
    approvals::ApprovalState,
    ids::{ApprovalId, ComponentId, GrantId, KeyId, PrincipalId, ProjectId, RequestId},
    record::RequestState,
};
use sealcard_record::{
    Actor, Draft, Named,
    event::{SignerOperation, SigningKey},
};
use uuid::Uuid;

use super::{
    ApprovalBody, ApprovalChange, ApprovalRow, ApprovedUse, DecisionRow, Facts, FactsQuery, QuotaUse, RuleTexts,
    StorageError, Store, TooManyWaiting, WaitLimits, WriteTx,
    sql::{FromRow, Row, params},
};

/// A request that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRequest {
    /// The HTTP request.
    pub id: RequestId,
    /// The requester.
    pub principal: PrincipalId,
    /// The grant that was shown. The idempotency key is bound to it.
    pub grant: GrantId,
    /// The client's value, unique among the requests of one principal.
    pub idempotency_key: Uuid,
    /// The signing key that the idempotency key is bound to.
    pub key: KeyId,
    /// The operation that it is bound to: [`sealcard_signer_protocol::Operation::name`].
    pub operation: &'static str,
    /// SHA-256 of the input that it is bound to.
    pub input_sha256: [u8; 32],
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
    /// The requester.
    pub principal: PrincipalId,
    /// The project, if there is such a key.
    pub project: Option<ProjectId>,
    /// The signing key.
    pub key: KeyId,
    /// The operation.
    pub operation: String,
    /// The approval that it waits for, or was allowed by.
    pub approval: Option<ApprovalId>,
    /// Until when it waits, or waited.
    pub deadline: Option<Timestamp>,
}

/// How a request compares with earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Its idempotency key is new, or nothing came of it that could be given again.
    New,
    /// The same request waits for people, or they have approved it: it is decided anew.
    Waiting(RequestRow),
    /// The same request was made before.
    Repeated(RequestRow),
    /// Its idempotency key belongs to another grant, signing key, operation or input.
    Mismatched,
}

/// What the transaction sees when a request is decided in it.
pub struct Snapshot<'a> {
    /// What the request is judged by; none if its grant is unknown.
    pub facts: Option<&'a Facts>,
    /// Whether the request is new.
    pub arrival: &'a Arrival,
    /// The transaction's time.
    pub now: Timestamp,
    /// The request's row as it is now.
    row: RequestId,
    tx: &'a mut WriteTx,
}

impl Snapshot<'_> {
    /// What is approved for this use and not used up.
    ///
    /// # Errors
    /// If the database fails.
    pub fn approved_uses(
        &mut self,
        requester: PrincipalId,
        (key, operation): (KeyId, &str),
    ) -> Result<Vec<ApprovedUse>, StorageError> {
        self.tx.approved_uses(requester, (key, operation))
    }

    /// Takes one use of an approval for the request. False if none is left by now.
    ///
    /// # Errors
    /// If the database fails.
    pub fn spend_approval(&mut self, id: ApprovalId) -> Result<bool, StorageError> {
        const WITH: &str = "UPDATE key_request SET approval_id = $2 WHERE id = $1";
        let spent = self.tx.spend_approval(id)?;
        if spent {
            self.tx.conn_for_uses().execute(WITH, params![self.row.0, id.0])?;
        }
        Ok(spent)
    }

    /// Gives back the use that was taken last.
    ///
    /// # Errors
    /// If the database fails.
    pub fn give_approval_back(&mut self, id: ApprovalId) -> Result<(), StorageError> {
        self.tx.give_approval_back(id)
    }

    /// Lets the request wait for a new approval until `deadline`. Returns the earlier approvals that it replaces.
    ///
    /// # Errors
    /// If the database fails.
    pub fn wait_for(
        &mut self,
        approval: &ApprovalRow,
        deadline: Timestamp,
        limits: WaitLimits,
    ) -> Result<Result<Vec<ApprovalRow>, TooManyWaiting>, StorageError> {
        const WAIT: &str = "UPDATE key_request SET approval_id = $2, deadline = $3 WHERE id = $1";
        let earlier = match self.tx.wait_for(approval, limits)? {
            Ok(earlier) => earlier,
            Err(too_many) => return Ok(Err(too_many)),
        };
        self.tx.conn_for_uses().execute(WAIT, params![self.row.0, approval.id.0, deadline.unix()])?;
        Ok(Ok(earlier))
    }

    /// The transaction, for what goes with the decision.
    pub const fn transaction(&mut self) -> &mut WriteTx {
        self.tx
    }

    /// What was decided about an approval, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn decisions(&mut self, id: ApprovalId) -> Result<Vec<DecisionRow>, StorageError> {
        self.tx.decisions(id)
    }

    /// The approval of this id.
    ///
    /// # Errors
    /// If the database fails.
    pub fn approval(&mut self, id: ApprovalId) -> Result<Option<ApprovalRow>, StorageError> {
        self.tx.approval(id)
    }

    /// Asks for an approval again, with these flows.
    ///
    /// # Errors
    /// If the database fails.
    pub fn ask_again(&mut self, id: ApprovalId, body: &ApprovalBody) -> Result<(), StorageError> {
        self.tx.ask_again(id, body)
    }

    /// Ends an approval that nobody needs any more, if it is still open.
    ///
    /// # Errors
    /// If the database fails.
    pub fn end_approval(&mut self, row: &ApprovalRow, state: ApprovalState) -> Result<bool, StorageError> {
        self.tx.change_approval(row.id, row.version, ApprovalChange { state, expires: row.expires })
    }

    /// Names the request that waits for an approval.
    ///
    /// # Errors
    /// If the database fails.
    pub fn set_request(&mut self, approval: ApprovalId, request: RequestId) -> Result<(), StorageError> {
        const SET: &str = "UPDATE approval SET request_id = $2 WHERE id = $1";
        self.tx.conn_for_uses().execute(SET, params![approval.0, request.0])?;
        Ok(())
    }

    /// Adds an entry to the record beside that of the verdict.
    pub fn append_record(&mut self, entry: Draft) {
        self.tx.append_record(entry);
    }

    /// The texts of the rules that the facts name.
    ///
    /// # Errors
    /// As [`WriteTx::rule_texts`].
    pub fn rule_texts(&mut self) -> Result<RuleTexts, StorageError> {
        match self.facts {
            Some(facts) => self.tx.rule_texts(facts),
            None => Ok(RuleTexts::default()),
        }
    }

    /// Takes one use from each quota, or none at all. Returns the indices of those that have nothing left.
    ///
    /// # Errors
    /// If the database fails.
    pub fn take_from_quotas(&mut self, quotas: &[QuotaUse]) -> Result<Vec<usize>, StorageError> {
        self.tx.take_from_quotas(quotas)
    }
}

/// What is decided about a request.
#[derive(Debug)]
pub struct Verdict<T> {
    /// What becomes of the request: its new state and the entry that goes with it. None if an earlier one answers it.
    pub next: Option<(RequestState, Draft)>,
    /// What the caller makes of it.
    pub value: T,
}

/// A request without an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedRequest {
    /// The HTTP request.
    pub id: RequestId,
    /// The requester.
    pub requester: Actor,
    /// The signing key.
    pub signing_key: SigningKey,
    /// The component key.
    pub component: ComponentId,
    /// The operation.
    pub operation: SignerOperation,
    /// The run of the server that works, or worked, on it.
    pub node: Uuid,
}

/// How many requests need a look. Finished ones are counted as long as they are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenRequests {
    /// Those that wait for people.
    pub waiting: u64,
    /// Those of which it is not known whether the key was used.
    pub unknown: u64,
}

struct Stored {
    row: RequestRow,
    grant: GrantId,
    input_sha256: Vec<u8>,
}

impl FromRow for Stored {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { row: RequestRow::from_row(row)?, grant: GrantId(row.get(9)?), input_sha256: row.get(10)? })
    }
}

impl FromRow for RequestRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: RequestId(row.get(0)?),
            state: state(&row.get::<String>(1)?)?,
            signature: row.get(2)?,
            principal: PrincipalId(row.get(3)?),
            project: row.get::<Option<Uuid>>(4)?.map(ProjectId),
            key: KeyId(row.get(5)?),
            operation: row.get(6)?,
            approval: row.get::<Option<Uuid>>(7)?.map(ApprovalId),
            deadline: row.get::<Option<i64>>(8)?.map(Timestamp::from_unix),
        })
    }
}

impl FromRow for UnfinishedRequest {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let name = |index| Ok::<_, StorageError>(row.get::<Option<String>>(index)?.unwrap_or_default());
        let operation: String = row.get(9)?;
        let damaged = |_| StorageError::Damaged(format!("a request with the operation {operation:?}"));
        Ok(Self {
            id: RequestId(row.get(0)?),
            requester: Actor::new(PrincipalId(row.get(1)?), name(2)?, GrantId(row.get(3)?)),
            signing_key: SigningKey {
                project: Named::new(ProjectId(row.get(4)?), name(5)?),
                key: Named::new(KeyId(row.get(6)?), name(7)?),
            },
            component: ComponentId(row.get(8)?),
            operation: operation.parse().map_err(damaged)?,
            node: row.get(10)?,
        })
    }
}

impl Stored {
    fn arrival(self, request: &NewRequest) -> Arrival {
        let bound = self.grant == request.grant
            && self.row.key == request.key
            && self.row.operation == request.operation
            && self.input_sha256 == request.input_sha256;
        if !bound {
            Arrival::Mismatched
        } else if matches!(self.row.state, RequestState::Waiting | RequestState::Approved) {
            Arrival::Waiting(self.row)
        } else if self.may_be_done_again() {
            Arrival::New
        } else {
            Arrival::Repeated(self.row)
        }
    }

    /// Whether nothing came of it that could be given again: a decrypted text is never kept.
    fn may_be_done_again(&self) -> bool {
        match self.row.state {
            RequestState::Signed => self.row.signature.is_none(),
            RequestState::Denied
            | RequestState::Failed
            | RequestState::Rejected
            | RequestState::Expired
            | RequestState::Cancelled => true,
            RequestState::Received
            | RequestState::Waiting
            | RequestState::Approved
            | RequestState::Signing
            | RequestState::Unknown => false,
        }
    }
}

impl WriteTx {
    /// Decides about a request that has arrived, and notes in table and record what becomes of it. `decide` gets
    /// what this transaction sees.
    ///
    /// # Errors
    /// The error of `decide`, which leaves nothing of the request; if the database fails.
    fn begin_request<T, E: From<StorageError>>(
        &mut self,
        request: &NewRequest,
        query: &FactsQuery,
        cached: Option<Facts>,
        decide: impl FnOnce(Snapshot<'_>) -> Result<Verdict<T>, E>,
    ) -> Result<T, E> {
        const ARRIVE: &str =
            "INSERT INTO key_request (id, principal_id, idempotency_key, grant_id, key_id, component_id, operation,
                input_sha256, state, project_id, node_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'signing', $9, $10)
             ON CONFLICT (principal_id, idempotency_key) DO NOTHING";
        const EARLIER: &str =
            "SELECT id, state, signature, principal_id, project_id, key_id, operation, approval_id, deadline, grant_id,
                input_sha256
             FROM key_request WHERE principal_id = $1 AND idempotency_key = $2";
        const REPLACE: &str =
            "UPDATE key_request SET id = $2, state = $3, node_id = $4, signature = NULL WHERE id = $1";
        const FORGET: &str = "UPDATE key_request SET approval_id = NULL, deadline = NULL WHERE id = $1";
        let facts = self.facts(query, cached)?;
        let component = facts.as_ref().and_then(|facts| Some(facts.key.as_ref()?.component.as_ref()?.key.component));
        let project = facts.as_ref().and_then(|facts| Some(facts.project.as_ref()?.id.0));
        let input = request.input_sha256.as_slice();
        let NewRequest { id, principal, grant, idempotency_key, key, operation, node, .. } = request;
        let values =
            params![id.0, principal.0, idempotency_key, grant.0, key.0, component, operation, input, project, node];
        let is_new = self.conn_for_uses().execute(ARRIVE, values)? == 1;
        let mut replaced = *id;
        let arrival = if is_new {
            Arrival::New
        } else {
            let values = params![principal.0, idempotency_key];
            let earlier: Option<Stored> = self.conn_for_uses().optional(EARLIER, values)?;
            let earlier = earlier.ok_or(StorageError::NotFound("request with this idempotency key"))?;
            replaced = earlier.row.id;
            let arrival = earlier.arrival(request);
            if arrival == Arrival::New {
                self.conn_for_uses().execute(FORGET, params![replaced.0])?;
            }
            arrival
        };
        let Verdict { next, value } =
            decide(Snapshot { facts: facts.as_ref(), arrival: &arrival, now: self.now(), row: replaced, tx: self })?;
        if let Some((state, entry)) = next {
            // Most requests are new and allowed: they have their state from the start.
            let decided = matches!(arrival, Arrival::New | Arrival::Waiting(_));
            if decided && !(is_new && state == RequestState::Signing) {
                self.conn_for_uses().execute(REPLACE, params![replaced.0, id.0, state.name(), node])?;
            }
            self.append_record(entry);
        }
        Ok(value)
    }

    /// Notes what came of a request, in table and record. `counted` is the key whose card counts one more signature.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if the request is not in the state `signing`; if the database fails.
    pub fn finish_request(
        &mut self,
        signature: Option<&[u8]>,
        counted: Option<KeyId>,
        outcome: Draft,
    ) -> Result<(), StorageError> {
        const FINISH: &str = "UPDATE key_request SET state = $2, signature = $3 WHERE id = $1 AND state = 'signing'
             RETURNING approval_id";
        const COUNT: &str = "UPDATE card_counter SET signatures = signatures + 1 WHERE key_id = $1";
        let state = outcome.event.state().unwrap_or(RequestState::Unknown);
        let values = params![outcome.request_id.0, state.name(), signature];
        let finished: Option<(Option<Uuid>,)> = self.conn_for_uses().optional(FINISH, values)?;
        let (approval,) = finished.ok_or(StorageError::NotFound("request in the state signing"))?;
        if let (RequestState::Failed, Some(approval)) = (state, approval) {
            // The key was not used.
            self.give_approval_back(ApprovalId(approval))?;
        }
        if let Some(key) = counted {
            self.conn_for_uses().execute(COUNT, params![key.0])?;
        }
        self.append_record(outcome);
        Ok(())
    }

    /// Gives a request that waits, or is approved and was not sent again, another state, with an entry in the record.
    /// False if it does not wait any more.
    ///
    /// # Errors
    /// If the database fails.
    pub fn end_waiting(&mut self, id: RequestId, state: RequestState, entry: Draft) -> Result<bool, StorageError> {
        const END: &str = "UPDATE key_request SET state = $2 WHERE id = $1 AND state IN ('waiting', 'approved')";
        let ended = self.conn_for_uses().execute(END, params![id.0, state.name()])? == 1;
        if ended {
            self.append_record(entry);
        }
        Ok(ended)
    }
}

impl Store {
    /// Decides about a request that has arrived, and notes in table and record what becomes of it, in one transaction.
    /// `cached` are facts that the decision is made from if they are still true; else the transaction reads them.
    ///
    /// # Errors
    /// The error of `decide`, which leaves nothing of the request; if the database fails.
    pub async fn begin_request<T, E>(
        &self,
        request: NewRequest,
        query: FactsQuery,
        cached: Option<Facts>,
        decide: impl FnOnce(Snapshot<'_>) -> Result<Verdict<T>, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        self.write(move |tx| tx.begin_request(&request, &query, cached, decide)).await
    }

    /// Notes what came of a request, in table and record. `counted` is the key whose card counts one more signature.
    ///
    /// # Errors
    /// As [`WriteTx::finish_request`].
    pub async fn finish_request(
        &self,
        signature: Option<Vec<u8>>,
        counted: Option<KeyId>,
        outcome: Draft,
    ) -> Result<(), StorageError> {
        self.write(move |tx| tx.finish_request(signature.as_deref(), counted, outcome)).await
    }

    /// A request.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn request(&self, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        const ONE: &str =
            "SELECT id, state, signature, principal_id, project_id, key_id, operation, approval_id, deadline
             FROM key_request WHERE id = $1";
        self.reader().optional(ONE, params![id.0]).await
    }

    /// The requests whose outcome is not known, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unfinished_requests(&self) -> Result<Vec<UnfinishedRequest>, StorageError> {
        const UNFINISHED: &str =
            "SELECT r.id, r.principal_id, p.name, r.grant_id, r.project_id, j.name, r.key_id, k.name,
                r.component_id, r.operation, r.node_id
             FROM key_request r LEFT JOIN principal p ON p.id = r.principal_id
             LEFT JOIN project j ON j.id = r.project_id LEFT JOIN signing_key k ON k.id = r.key_id
             WHERE r.state = 'signing' ORDER BY r.id";
        self.reader().all(UNFINISHED, params![]).await
    }

    /// How many requests wait for people or have an unknown outcome.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn open_requests(&self) -> Result<OpenRequests, StorageError> {
        // As the index `key_request_open` says it.
        const OPEN: &str = "SELECT state, count(*) FROM key_request WHERE state IN ('waiting', 'unknown')
             GROUP BY state";
        let counts: Vec<(String, i64)> = self.reader().all(OPEN, params![]).await?;
        let of = |state: RequestState| {
            let count = counts.iter().find(|(name, _)| name == state.name());
            count.map_or(0, |(_, count)| count.cast_unsigned())
        };
        Ok(OpenRequests { waiting: of(RequestState::Waiting), unknown: of(RequestState::Unknown) })
    }
}

fn state(name: &str) -> Result<RequestState, StorageError> {
    let state = RequestState::ALL.into_iter().find(|state| state.name() == name);
    state.ok_or_else(|| StorageError::Damaged(format!("a request in the state {name:?}")))
}
