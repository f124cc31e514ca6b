//! What a sink does not send.

use serde_json::{Map, Value};

/// Fields that a sink leaves out of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redaction(Vec<String>);

/// Fields that can't be left out: receivers tell entries apart by them.
const KEPT: [&str; 4] = ["schema", "sequence", "time", "event"];

impl Redaction {
    /// Of fields such as `peer` or `claims.host`.
    ///
    /// # Errors
    /// A sentence without its end, if there is no such field: a typing mistake would let it leave.
    pub fn parse(fields: &[String]) -> Result<Self, String> {
        for field in fields {
            if KEPT.contains(&field.as_str()) {
                return Err(format!("{field:?} can't be left out of entries"));
            }
            if FIELDS.binary_search(&field.as_str()).is_err() {
                return Err(format!("entries have no field {field:?}"));
            }
        }
        Ok(Self(fields.to_vec()))
    }

    /// The fields.
    pub(super) fn fields(&self) -> &[String] {
        &self.0
    }

    /// Takes the fields away. Returns those that were there.
    pub(super) fn apply(&self, entry: &mut Map<String, Value>) -> Vec<String> {
        self.0.iter().filter(|path| remove(entry, path)).cloned().collect()
    }
}

fn remove(object: &mut Map<String, Value>, path: &str) -> bool {
    match path.split_once('.') {
        None => object.remove(path).is_some(),
        Some((first, rest)) => object.get_mut(first).is_some_and(|value| remove_below(value, rest)),
    }
}

fn remove_below(value: &mut Value, path: &str) -> bool {
    match value {
        Value::Object(object) => remove(object, path),
        // In each element.
        Value::Array(values) => values.iter_mut().fold(false, |any, value| remove_below(value, path) | any),
        _ => false,
    }
}

/// All fields of entries, in their order.
const FIELDS: &[&str] = &[
    "actor",
    "actor.grant",
    "actor.id",
    "actor.name",
    "algorithm",
    "approval",
    "approval_kind",
    "approval_state",
    "approvals",
    "approved_events",
    "asked_by",
    "asked_by.id",
    "asked_by.name",
    "at_start",
    "before",
    "binding",
    "binding.body_sha256",
    "binding.change_sha256",
    "binding.created",
    "binding.flows",
    "binding.flows.name",
    "binding.flows.stages",
    "binding.flows.stages.by",
    "binding.flows.stages.count",
    "binding.flows.veto",
    "binding.group",
    "binding.host",
    "binding.max_uses",
    "binding.networks",
    "binding.not_before",
    "binding.operation",
    "binding.requester",
    "binding.tool",
    "binding.use_seconds",
    "by",
    "cause",
    "certificate",
    "certificate.components",
    "certificate.components.algorithm",
    "certificate.components.component",
    "certificate.components.created",
    "certificate.components.fingerprint",
    "certificate.components.public_key_sha256",
    "certificate.components.role",
    "certificate.lives",
    "certificate.lives.expires",
    "certificate.lives.fingerprint",
    "certificate.lives.revoked",
    "certificate.sha256",
    "certificate.user_id",
    "changes",
    "changes.type",
    "changes.user_id",
    "channel",
    "claims",
    "claims.host",
    "claims.justification",
    "claims.processes",
    "claims.processes.command",
    "claims.processes.path",
    "claims.processes.sha256",
    "closed",
    "comment",
    "component",
    "components",
    "count",
    "created",
    "deadline",
    "demanded",
    "demanded.by",
    "demanded.count",
    "demanded.flow",
    "description",
    "digest",
    "disabled",
    "earlier_token",
    "email",
    "environment",
    "environment.id",
    "environment.name",
    "environment_kind",
    "error",
    "event",
    "evidence",
    "evidence.always_sensitive",
    "evidence.extractable",
    "evidence.firmware",
    "evidence.id",
    "evidence.label",
    "evidence.local",
    "evidence.mechanism",
    "evidence.never_extractable",
    "evidence.sensitive",
    "evidence.token_label",
    "evidence.token_serial",
    "expires",
    "finding",
    "fingerprint",
    "forgotten",
    "from",
    "grant",
    "grant.id",
    "grant.name",
    "group",
    "group.id",
    "group.name",
    "hash",
    "host",
    "idempotency_key",
    "input_sha256",
    "journal",
    "judged",
    "judged.approval",
    "judged.approvals",
    "judged.by_service_token",
    "judged.decided_by",
    "judged.demanded",
    "judged.demanded.by",
    "judged.demanded.count",
    "judged.demanded.flow",
    "judged.environment",
    "judged.exhausted",
    "judged.groups",
    "judged.key",
    "judged.login",
    "judged.project",
    "judged.templates",
    "key",
    "key.id",
    "key.name",
    "keys",
    "machine",
    "master_key",
    "message",
    "new_name",
    "node",
    "note",
    "one_time",
    "one_time_password",
    "operation",
    "origin",
    "owner",
    "owner.id",
    "owner.name",
    "parked",
    "password",
    "password_expires",
    "password_sha256",
    "peer",
    "position",
    "principal",
    "principal.id",
    "principal.name",
    "profile",
    "project",
    "project.id",
    "project.name",
    "reason",
    "reasons",
    "refreshable_until",
    "refusal",
    "request_id",
    "retires",
    "reverted_to",
    "role",
    "roles",
    "route",
    "schema",
    "seconds",
    "sequence",
    "serial",
    "service_token",
    "several_networks",
    "sha256",
    "signature_sha256",
    "signer_operation",
    "since",
    "sink",
    "ssh_namespace",
    "ssh_user",
    "stages",
    "state",
    "strict_separation",
    "template",
    "terms",
    "time",
    "token",
    "token.id",
    "token.name",
    "token_sha256",
    "unknown_key",
    "unknown_user",
    "until",
    "until_entry",
    "usable_until",
    "used",
    "user_id",
    "verdict",
    "version",
    "via",
    "wants",
    "why",
    "work",
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn redact(fields: &[&str], entry: &Value) -> (Value, Vec<String>) {
        let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        let mut entry = entry.as_object().unwrap().clone();
        let gone = Redaction::parse(&fields).unwrap().apply(&mut entry);
        (Value::Object(entry), gone)
    }

    #[test]
    fn fields_are_taken_away_at_each_place() {
        let entry = json!({"event": "use-intent", "peer": "192.0.2.7", "claims": {"host": "pc", "processes": [
            {"path": "/usr/bin/gpg", "command": "gpg --sign"}, {"path": "/bin/sh"}, {"command": "make"}]}});
        let (left, gone) = redact(&["peer", "claims.processes.command", "claims.justification"], &entry);
        let expected = json!({"event": "use-intent", "claims": {"host": "pc", "processes": [
            {"path": "/usr/bin/gpg"}, {"path": "/bin/sh"}, {}]}});
        assert_eq!(left, expected);
        assert_eq!(gone, ["peer", "claims.processes.command"]);
        assert_eq!(redact(&["claims"], &entry).0, json!({"event": "use-intent", "peer": "192.0.2.7"}));
    }

    #[test]
    fn unknown_and_necessary_fields_are_named() {
        for wrong in ["claims.comand", "Peer", "", "sequence", "event"] {
            let error = Redaction::parse(&[wrong.to_owned()]).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }

    fn collect(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    collect(value, &path, into);
                    into.insert(path);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, path, into)),
            _ => {}
        }
    }

    #[test]
    fn each_field_of_the_record_is_known() {
        let mut found = BTreeSet::new();
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../record/tests/entries.jsonl");
        for line in std::fs::read_to_string(samples).unwrap().lines() {
            collect(&serde_json::from_str(line).unwrap(), "", &mut found);
        }
        let unknown: Vec<_> = found.iter().filter(|path| FIELDS.binary_search(&path.as_str()).is_err()).collect();
        assert!(unknown.is_empty(), "add these to FIELDS: {unknown:?}");
        assert!(FIELDS.is_sorted());
    }
}
