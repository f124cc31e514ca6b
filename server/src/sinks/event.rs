//! An entry of the record on its way out.

use sealcard_api::{Timestamp, record::RequestState};
use serde_json::{Map, Value, json, value::RawValue};

use super::redact::Redaction;
use crate::storage::RecordRow;

/// How weighty an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// All went as it should.
    Notice,
    /// Something was refused.
    Warning,
    /// Something failed.
    Error,
}

/// An entry of the record as a sink sends it, without what the sink redacts.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkEvent {
    /// The same in each attempt and by each way: the log's name, `#`, and the entry's number.
    pub id: String,
    /// The log's name.
    pub origin: String,
    /// The entry's number.
    pub sequence: u64,
    /// When the entry was written.
    pub time: Timestamp,
    /// [`sealcard_record::Event::name`].
    pub event: String,
    /// How weighty it is.
    pub severity: Severity,
    /// The hash of the entry's leaf in the log, lower-case hexadecimal.
    pub hash: Option<String>,
    /// The entry.
    pub fields: Map<String, Value>,
    /// The entry's exact bytes, if nothing was taken away.
    exact: Option<String>,
    /// What the sink has taken away.
    pub redacted: Vec<String>,
    /// Whether long values were left out, because the receiver takes no more.
    pub cut: bool,
}

/// An entry that is no JSON object. Retrying can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {0} of the record can't be read")]
pub struct Unreadable(pub u64);

impl SinkEvent {
    /// The entry of this row.
    pub(super) fn of(row: &RecordRow, origin: &str, redaction: &Redaction) -> Result<Self, Unreadable> {
        let hash = Some(row.hash.to_string());
        let place = (row.sequence, row.time, row.event.as_str());
        Self::new(origin, place, &row.body, (hash, row.state.as_deref() == Some(DENIED)), redaction)
    }

    /// An entry of this number, time, event and bytes.
    ///
    /// # Errors
    /// If the bytes are no JSON object.
    pub fn new(
        origin: &str,
        (sequence, time, event): (u64, Timestamp, &str),
        body: &str,
        (hash, denied): (Option<String>, bool),
        redaction: &Redaction,
    ) -> Result<Self, Unreadable> {
        let mut fields: Map<String, Value> = serde_json::from_str(body).map_err(|_| Unreadable(sequence))?;
        let severity = severity(event, denied, &fields);
        let redacted = redaction.apply(&mut fields);
        Ok(Self {
            id: format!("{origin}#{sequence}"),
            origin: origin.to_owned(),
            sequence,
            time,
            event: event.to_owned(),
            severity,
            hash,
            exact: redacted.is_empty().then(|| body.to_owned()),
            fields,
            redacted,
            cut: false,
        })
    }

    /// An event that is no entry, for tests of a sink.
    #[must_use]
    pub fn test(origin: &str, id: &str, by: &str, now: Timestamp) -> Self {
        let Value::Object(fields) =
            json!({"schema": 1, "sequence": 0, "time": now, "event": TEST, "actor": {"name": by}})
        else {
            return Self::empty(now);
        };
        let id = format!("{origin}#test-{id}");
        Self { id, origin: origin.to_owned(), fields, ..Self::empty(now) }
    }

    fn empty(now: Timestamp) -> Self {
        Self {
            id: String::new(),
            origin: String::new(),
            sequence: 0,
            time: now,
            event: TEST.to_owned(),
            severity: Severity::Notice,
            hash: None,
            fields: Map::new(),
            exact: None,
            redacted: Vec::new(),
            cut: false,
        }
    }

    /// The text at this path, such as `["actor", "name"]`.
    #[must_use]
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        let mut value = self.fields.get(*first)?;
        for name in rest {
            value = value.get(name)?;
        }
        value.as_str()
    }

    /// The principal that the event is about, as name and id: the actor, or who was not authenticated.
    #[must_use]
    pub fn who(&self) -> (Option<&str>, Option<&str>) {
        let named = |field: &str| (self.text(&[field, "name"]), self.text(&[field, "id"]));
        match named("actor") {
            (None, None) => named("principal"),
            actor => actor,
        }
    }

    /// The key, as `PROJECT/NAME`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        let key = self.text(&["key", "name"])?;
        Some(self.text(&["project", "name"]).map_or_else(|| key.to_owned(), |project| format!("{project}/{key}")))
    }

    /// Why something came to nothing, as one text.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let reasons = self
            .fields
            .get("reasons")
            .and_then(Value::as_array)
            .map(|reasons| reasons.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "));
        let text = |name| self.text(&[name]).map(str::to_owned);
        reasons.or_else(|| text("error")).or_else(|| text("reason")).or_else(|| text("why"))
    }

    /// Whether it tells of something that came to nothing.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.severity != Severity::Notice
    }

    /// The whole entry as Sealcard's own JSON: `id`, `hash`, `entry`, perhaps `redacted` and `cut`.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = format!("{{\"id\":{}", quoted(&self.id));
        if let Some(hash) = &self.hash {
            text.push_str(&format!(",\"hash\":{}", quoted(hash)));
        }
        if !self.redacted.is_empty() {
            text.push_str(&format!(",\"redacted\":{}", Value::from(self.redacted.clone())));
        }
        if self.cut {
            text.push_str(",\"cut\":true");
        }
        let entry = match &self.exact {
            Some(exact) => exact.clone(),
            None => Value::Object(self.fields.clone()).to_string(),
        };
        text.push_str(&format!(",\"entry\":{entry}}}"));
        text
    }

    /// The same, to be part of another document: `entry` keeps its exact bytes.
    pub(super) fn raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.json()).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    /// The same event with its most important fields alone, for receivers that take no long ones.
    #[must_use]
    pub fn brief(&self) -> Self {
        let mut fields = self.fields.clone();
        fields.retain(|name, _| BRIEF.contains(&name.as_str()));
        for value in fields.values_mut() {
            shorten(value);
        }
        Self { fields, exact: None, cut: true, ..self.clone() }
    }
}

/// The event of a test.
const TEST: &str = "sink-test";

/// The state of a request that was denied.
const DENIED: &str = RequestState::Denied.name();

/// Fields of an event that is cut.
const BRIEF: [&str; 16] = [
    "schema",
    "sequence",
    "time",
    "request_id",
    "actor",
    "peer",
    "event",
    "principal",
    "project",
    "key",
    "operation",
    "hash",
    "digest",
    "state",
    "signature_sha256",
    "cause",
];

/// The longest text of an event that is cut, in characters.
const SHORT: usize = 200;

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(SHORT) {
                text.truncate(end);
            }
        }
        Value::Array(values) => values.clear(),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn severity(event: &str, denied: bool, fields: &Map<String, Value>) -> Severity {
    let state = fields.get("state").and_then(Value::as_str).unwrap_or_default();
    match (event, state) {
        _ if denied => Severity::Warning,
        ("use-denied" | "use-denied-burst" | "login-failed" | "password-change-failed" | "use-expired", _) => {
            Severity::Warning
        }
        ("key-revoked" | "key-destroyed" | "unseal-with-secret" | "log-begun", _) => Severity::Warning,
        (_, "failed" | "unknown") => Severity::Error,
        (_, "rejected" | "expired") => Severity::Warning,
        ("pin-refused" | "pin-not-judged" | "clock-jumped", _) => Severity::Error,
        _ if event.ends_with("-failed") => Severity::Error,
        _ => Severity::Notice,
    }
}
