//! The proof that the record is whole and tells of every key use.
//!
//! The chain shows changed, removed and inserted entries. The signers' journals, which this process can't write, show
//! uses that the record lacks and, because every released signature is in a journal, an end that was cut off.

use std::collections::{HashMap, HashSet};

use data_encoding::HEXLOWER;
use sealcard_api::{
    ids::RequestId,
    record::{RecordKind, RecordVerification, RequestState},
};
use sealcard_signer_protocol::JournalEntry;
use serde::Deserialize;
use uuid::Uuid;

use super::journal::JournalReader;
use crate::{
    requests::Requests,
    storage::{Body, RecordFilter, RecordHead, RecordRow, StorageError},
};

/// Entries that are read at once.
const PAGE: u32 = 1000;

/// Findings beyond this number help nobody.
const MAX_FINDINGS: usize = 1000;

/// A use of a component for a request.
type UseId = (Uuid, Uuid);

/// What the record tells of key uses.
#[derive(Debug, Default)]
struct Told {
    /// Uses with an intent.
    intents: HashMap<UseId, Intent>,
    /// Requests with an intent and no outcome yet.
    open: HashSet<RequestId>,
    /// Uses that gave something.
    signed: HashSet<UseId>,
    /// Components that key management makes or adopts for a request.
    made: HashSet<UseId>,
    /// What it has them certify: how often each input, as SHA-256 in hexadecimal digits.
    certified: HashMap<(UseId, String), usize>,
    /// Components that it destroys.
    destroyed: HashSet<UseId>,
    /// The machine whose journals are compared.
    host: Option<Uuid>,
}

/// What the signer was to be asked for.
#[derive(Debug)]
struct Intent {
    operation: String,
    /// SHA-256 of what it was to work on, in hexadecimal digits.
    input: String,
}

/// What is read of the details. Kinds that have others have none of these.
#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    signer_operation: Option<String>,
    #[serde(default)]
    input_sha256: Option<String>,
    #[serde(default)]
    component: Option<Uuid>,
    #[serde(default)]
    components: Vec<Uuid>,
    #[serde(default)]
    event: Option<String>,
    /// The server's machine, if several share the database: its signers alone have the use in their journals.
    #[serde(default)]
    host: Option<Uuid>,
}

/// Verifies the whole record, alone and against the journals of all signers that answer.
///
/// # Errors
/// If the database fails. What is wrong with the record is no error but a finding.
pub async fn verify(signing: &Requests) -> Result<RecordVerification, StorageError> {
    let mut findings = Vec::new();
    // First the journals, then the record: every use that is in a journal by now has its intent in the record by now.
    let mut journals = Vec::new();
    let mut uses = Vec::new();
    let signers = signing.signers.all();
    for (environment, signer) in &signers {
        let mut reader = JournalReader::default();
        match reader.read(signer, &mut findings, |entry| uses.push(entry.clone())).await {
            Ok(()) => journals.push((signer, reader)),
            Err(error) => findings.push(format!("the journal of environment {environment} was not compared: {error}")),
        }
    }
    let complete = journals.len() == signers.len();

    let mut told = Told { host: signing.store.host(), ..Told::default() };
    let head = read_record(signing, &mut told, &mut findings).await?;

    let mut used: HashSet<UseId> = HashSet::with_capacity(uses.len());
    for entry in &uses {
        findings.extend(compare(&mut told, entry));
        if !used.insert((entry.request, entry.component))
            && told.intents.contains_key(&(entry.request, entry.component))
        {
            let JournalEntry { sequence, operation, component, request, .. } = entry;
            findings.push(format!(
                "journal entry {sequence}: {operation} with component {component} once more for request {request}"
            ));
        }
    }
    // Outcomes that came while the record was read have their entries in the journals' newest part.
    for (signer, mut reader) in journals {
        let newest = |entry: &JournalEntry| {
            used.insert((entry.request, entry.component));
        };
        let _ = reader.read(signer, &mut findings, newest).await;
    }
    if complete {
        for (request, component) in told.signed.difference(&used) {
            findings.push(format!(
                "request {request}: the record says that component {component} was used, the journal does not"
            ));
        }
    }
    for request in told.open {
        if !signing.running.contains(request) {
            findings.push(format!(
                "request {request}: an intent without an outcome, it is unknown whether the key was used"
            ));
        }
    }
    let surplus = findings.len().saturating_sub(MAX_FINDINGS);
    findings.truncate(MAX_FINDINGS);
    if surplus > 0 {
        findings.push(format!("and {surplus} more"));
    }
    Ok(RecordVerification { entries: head.sequence, head: HEXLOWER.encode(&head.hash), findings })
}

async fn read_record(
    signing: &Requests,
    told: &mut Told,
    findings: &mut Vec<String>,
) -> Result<RecordHead, StorageError> {
    let mut head = RecordHead::default();
    loop {
        let rows = signing
            .store
            .record(RecordFilter { after: Some(head.sequence), limit: PAGE, ..RecordFilter::default() })
            .await?;
        if rows.is_empty() {
            return Ok(head);
        }
        for row in &rows {
            let expected = head.next(&row.body);
            if row.sequence != expected.sequence {
                findings.push(format!(
                    "entry {} is missing: {} follows {}",
                    expected.sequence, row.sequence, head.sequence
                ));
            }
            if row.hash != expected.hash {
                findings
                    .push(format!("entry {}: its hash does not fit its content and the entry before it", row.sequence));
            }
            // Goes on from what is stored, so that one change is one finding.
            let hash = row.hash.as_slice().try_into().unwrap_or(expected.hash);
            head = RecordHead { sequence: row.sequence, hash };
            match serde_json::from_str::<Body<Details>>(&row.body) {
                Ok(body) => {
                    if !columns_agree(row, &body) {
                        findings.push(format!("entry {}: the columns beside its body were changed", row.sequence));
                    }
                    told.hear(body);
                }
                Err(error) => findings.push(format!("entry {}: its body can't be read: {error}", row.sequence)),
            }
        }
    }
}

impl Told {
    fn hear(&mut self, body: Body<Details>) {
        let request = body.request_id.0;
        let Details { signer_operation, input_sha256, component, components, event, host } = body.details;
        match (body.kind, component) {
            (RecordKind::Intent, Some(component)) => {
                let intent =
                    Intent { operation: signer_operation.unwrap_or_default(), input: input_sha256.unwrap_or_default() };
                self.intents.insert((request, component), intent);
                self.open.insert(body.request_id);
            }
            (RecordKind::Outcome, Some(component)) => {
                self.open.remove(&body.request_id);
                if body.state == Some(RequestState::Signed) && host == self.host {
                    self.signed.insert((request, component));
                }
            }
            (RecordKind::Administration, _) if event.as_deref() == Some("key-begun") => {
                self.made.extend(components.into_iter().map(|component| (request, component)));
            }
            (RecordKind::Administration, Some(component)) if event.as_deref() == Some("key-certify") => {
                let input = input_sha256.unwrap_or_default();
                *self.certified.entry(((request, component), input)).or_default() += 1;
            }
            (RecordKind::Administration, _)
                if matches!(event.as_deref(), Some("key-destroy-begun" | "key-discard-begun")) =>
            {
                self.destroyed.extend(components.into_iter().map(|component| (request, component)));
            }
            _ => {}
        }
    }
}

/// What is wrong with a use that a journal tells of.
fn compare(told: &mut Told, entry: &JournalEntry) -> Option<String> {
    let id = (entry.request, entry.component);
    let (sequence, operation, request, component) = (entry.sequence, &entry.operation, entry.request, entry.component);
    if operation == "certify" {
        // Each entry of the record explains one certification.
        let left = told.certified.get_mut(&(id, HEXLOWER.encode(&entry.input_sha256))).filter(|left| **left > 0);
        let Some(left) = left else {
            return Some(format!(
                "journal entry {sequence}: a certification with component {component} for request {request} is not in the record"
            ));
        };
        *left -= 1;
        return None;
    }
    let managed = match operation.as_str() {
        "generate" | "import" | "adopt" => Some(&told.made),
        "destroy" => Some(&told.destroyed),
        _ => None,
    };
    if let Some(told) = managed {
        let known = told.contains(&id);
        return (!known).then(|| {
            format!("journal entry {sequence}: {operation} with component {component} for request {request} is not in the record")
        });
    }
    match told.intents.get(&id) {
        None => Some(format!(
            "journal entry {sequence}: {operation} with component {component} for request {request} has no intent in the record"
        )),
        Some(Intent { operation: intended, .. }) if intended != operation => Some(format!(
            "journal entry {sequence}: {operation} with component {component} for request {request}, but the record's intent is {intended}"
        )),
        Some(Intent { input, .. }) if *input != HEXLOWER.encode(&entry.input_sha256) => Some(format!(
            "journal entry {sequence}: {operation} with component {component} for request {request}, but the record's intent is over something else"
        )),
        Some(_) => None,
    }
}

/// The columns serve searching; a filter must not miss what the body tells.
fn columns_agree<D>(row: &RecordRow, body: &Body<D>) -> bool {
    row.sequence == body.sequence
        && row.time == body.time
        && row.kind == body.kind.name()
        && row.request_id == body.request_id
        && row.principal == body.principal
        && row.project == body.project
        && row.key == body.key
        && row.state.as_deref() == body.state.map(RequestState::name)
}
