//! Open Cybersecurity Schema Framework 1.8.0. Uses of keys are API Activity, logins Authentication, and so on; what the
//! classes have no attribute for is in `unmapped`.

use serde_json::{Map, Value, json};

use crate::sinks::{Severity, SinkEvent};

/// The version of the schema.
const VERSION: &str = "1.8.0";

/// "Other": the activity has no number in its class, and `activity_name` says what it is.
const OTHER: u32 = 99;

/// The class of an event, and what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    AccountChange(u32),
    Authentication(u32),
    EntityManagement(u32),
    UserAccess(u32),
    GroupManagement(u32),
    ApiActivity,
}

impl Class {
    /// The class that an event belongs to, with its activity.
    fn of(event: &str, fields: &Map<String, Value>) -> Self {
        match event {
            "use-intent" | "use-outcome" | "use-denied" | "use-denied-burst" | "use-cancelled" | "use-waiting"
            | "use-expired" => Self::ApiActivity,
            "login" | "login-failed" => Self::Authentication(1),
            "logout" => Self::Authentication(2),
            "grant-refreshed" | "grant-revoked" | "password-change-required" => Self::Authentication(OTHER),
            "user-added" | "service-account-added" => Self::AccountChange(1),
            "password-changed" | "password-change-failed" => Self::AccountChange(3),
            "password-reset" => Self::AccountChange(4),
            "user-removed" | "service-account-removed" => Self::AccountChange(6),
            "user-changed" | "service-account-changed" | "service-token-added" | "service-token-revoked" => {
                Self::AccountChange(OTHER)
            }
            "group-added" => Self::GroupManagement(6),
            "group-removed" => Self::GroupManagement(5),
            "group-member-added" => Self::GroupManagement(3),
            "group-member-removed" => Self::GroupManagement(4),
            "group-changed" => Self::GroupManagement(OTHER),
            "project-member-added" if fields.contains_key("group") => Self::GroupManagement(1),
            "project-member-removed" if fields.contains_key("group") => Self::GroupManagement(2),
            "project-member-added" => Self::UserAccess(1),
            "project-member-removed" => Self::UserAccess(2),
            other => Self::EntityManagement(entity_activity(other)),
        }
    }

    const fn uid(self) -> u32 {
        match self {
            Self::AccountChange(_) => 3001,
            Self::Authentication(_) => 3002,
            Self::EntityManagement(_) => 3004,
            Self::UserAccess(_) => 3005,
            Self::GroupManagement(_) => 3006,
            Self::ApiActivity => 6003,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::AccountChange(_) => "Account Change",
            Self::Authentication(_) => "Authentication",
            Self::EntityManagement(_) => "Entity Management",
            Self::UserAccess(_) => "User Access Management",
            Self::GroupManagement(_) => "Group Management",
            Self::ApiActivity => "API Activity",
        }
    }

    /// The category's number and name.
    const fn category(self) -> (u32, &'static str) {
        match self {
            Self::ApiActivity => (6, "Application Activity"),
            _ => (3, "Identity & Access Management"),
        }
    }

    const fn activity(self) -> u32 {
        match self {
            Self::AccountChange(id)
            | Self::Authentication(id)
            | Self::EntityManagement(id)
            | Self::UserAccess(id)
            | Self::GroupManagement(id) => id,
            Self::ApiActivity => OTHER,
        }
    }
}

/// The activity of Entity Management.
fn entity_activity(event: &str) -> u32 {
    let ends = |ends: &[&str]| ends.iter().any(|end| event.ends_with(end));
    if ends(&["-added", "-created", "-imported", "-adopted", "-begun"]) {
        1
    } else if ends(&["-read"]) {
        2
    } else if ends(&["-changed", "-renamed", "-extended", "-merged", "-applied", "-reverted", "-restored"]) {
        3
    } else if ends(&["-removed", "-revoked", "-destroyed", "-withdrawn", "-discarded"]) {
        4
    } else if ends(&["-enabled"]) {
        8
    } else if ends(&["-disabled"]) {
        9
    } else {
        OTHER
    }
}

/// The event as an object of its class.
pub(super) fn render(event: &SinkEvent) -> Value {
    let class = Class::of(&event.event, &event.fields);
    let (category, category_name) = class.category();
    let activity_name = match event.text(&["operation"]) {
        Some("sign") => "Sign".to_owned(),
        Some("decrypt") => "Decrypt".to_owned(),
        Some("authenticate") => "Authenticate".to_owned(),
        _ => event.event.clone(),
    };
    let (severity_id, severity) = match event.severity {
        Severity::Notice => (1, "Informational"),
        Severity::Warning => (3, "Medium"),
        Severity::Error => (4, "High"),
    };
    let (status_id, status) = if event.is_failure() { (2, "Failure") } else { (1, "Success") };
    let mut object = json!({
        "category_uid": category,
        "category_name": category_name,
        "class_uid": class.uid(),
        "class_name": class.name(),
        "activity_id": class.activity(),
        "type_uid": class.uid() * 100 + class.activity(),
        "time": event.time.unix().saturating_mul(1000),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "metadata": {
            "version": VERSION,
            "uid": event.id,
            "sequence": event.sequence,
            "event_code": event.event,
            "log_name": event.origin,
            "product": {
                "name": "Sealcard",
                "vendor_name": "Sealcard",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "actor": actor(event),
        "unmapped": unmapped(event),
    });
    // Otherwise the number has a name of its own.
    if class.activity() == OTHER {
        set(&mut object, "activity_name", activity_name.into());
    }
    if let Some(reason) = event.reason() {
        set(&mut object, "status_detail", Value::from(reason));
    }
    if let Some(message) = event.key().map(|key| format!("{}: {key}", event.event)) {
        set(&mut object, "message", Value::from(message));
    }
    let peer = event.text(&["peer"]);
    match class {
        Class::ApiActivity => {
            let request = event.text(&["request_id"]).unwrap_or(&event.id);
            let operation = event.text(&["operation"]).unwrap_or(&event.event);
            let api = json!({"operation": operation, "request": {"uid": request}, "service": {"name": SERVICE}});
            set(&mut object, "api", api);
            // It must have an address or a name.
            let source = peer.map_or_else(|| json!({"name": "unknown"}), |ip| json!({"ip": ip}));
            set(&mut object, "src_endpoint", source);
            if let Some(key) = event.key() {
                let resource = json!({"type": "signing key", "name": key, "uid": event.text(&["key", "id"])});
                set(&mut object, "resources", Value::Array(vec![resource]));
            }
            return object;
        }
        Class::Authentication(_) => {
            set(&mut object, "user", subject(event));
            set(&mut object, "service", json!({"name": SERVICE}));
        }
        Class::AccountChange(_) => set(&mut object, "user", subject(event)),
        Class::UserAccess(_) => {
            set(&mut object, "user", subject(event));
            set(&mut object, "privileges", privileges(event));
        }
        Class::GroupManagement(_) => {
            set(&mut object, "group", named(event, "group"));
            set(&mut object, "privileges", privileges(event));
            if event.fields.contains_key("principal") {
                set(&mut object, "user", named(event, "principal"));
            }
        }
        Class::EntityManagement(_) => set(&mut object, "entity", entity(event)),
    }
    if let Some(ip) = peer {
        set(&mut object, "src_endpoint", json!({"ip": ip}));
    }
    object
}

/// What acts, as API Activity names it.
const SERVICE: &str = "sealcard-server";

fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}

/// A thing with its name and id. One of both must be there.
fn thing(name: Option<&str>, id: Option<&str>) -> Value {
    let mut fields = Map::new();
    if let Some(name) = name {
        fields.insert("name".to_owned(), name.into());
    }
    if let Some(id) = id {
        fields.insert("uid".to_owned(), id.into());
    }
    if fields.is_empty() {
        fields.insert("name".to_owned(), "unknown".into());
    }
    Value::Object(fields)
}

fn named(event: &SinkEvent, field: &str) -> Value {
    thing(event.text(&[field, "name"]), event.text(&[field, "id"]))
}

/// Who acted: a user, or the server itself.
fn actor(event: &SinkEvent) -> Value {
    if event.fields.contains_key("actor") {
        let mut actor = json!({"user": named(event, "actor")});
        if let Some(grant) = event.text(&["actor", "grant"]) {
            set(&mut actor, "session", json!({"uid": grant}));
        }
        return actor;
    }
    json!({"app_name": SERVICE})
}

/// The user whom the event is about.
fn subject(event: &SinkEvent) -> Value {
    if event.fields.contains_key("principal") {
        return named(event, "principal");
    }
    let (name, id) = event.who();
    thing(name, id)
}

fn privileges(event: &SinkEvent) -> Value {
    let role = event.text(&["role"]).unwrap_or("member");
    let of = event.text(&["project", "name"]).map_or_else(String::new, |project| format!(" of {project}"));
    json!([format!("{role}{of}")])
}

/// The thing that was managed: the one that is named most exactly.
fn entity(event: &SinkEvent) -> Value {
    for kind in ["key", "environment", "group", "principal", "project", "token", "grant"] {
        if event.fields.contains_key(kind) && event.fields.get(kind).is_some_and(Value::is_object) {
            let mut entity = named(event, kind);
            if kind == "key"
                && let Some(name) = event.key()
            {
                set(&mut entity, "name", name.into());
            }
            set(&mut entity, "type", kind.into());
            return entity;
        }
    }
    let name = ["template", "channel", "sink", "origin", "approval"].iter().find_map(|field| event.text(&[field]));
    let mut entity = thing(Some(name.unwrap_or(SERVICE)), None);
    set(&mut entity, "type", Value::from("configuration"));
    entity
}

/// The entry itself, and its hash.
fn unmapped(event: &SinkEvent) -> Value {
    serde_json::from_str(&event.json()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::collections::BTreeSet;

    use sealcard_record::Event;

    use super::*;
    use crate::sinks::Redaction;

    /// An event of each sample of the record.
    fn samples(redaction: &[&str]) -> Vec<SinkEvent> {
        let fields: Vec<String> = redaction.iter().map(ToString::to_string).collect();
        let redaction = Redaction::parse(&fields).unwrap();
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../record/tests/entries.jsonl");
        let text = std::fs::read_to_string(samples).unwrap();
        let events = text.lines().map(|line| {
            let body = sealcard_record::parse(line).unwrap();
            let place = (body.sequence, body.time, body.event.name());
            SinkEvent::new("log.example/a", place, line, (Some("ab".repeat(32)), false), &redaction).unwrap()
        });
        events.collect()
    }

    /// What schema.ocsf.io requires of each class in 1.8.0, beside the attributes of the base event.
    fn required(class: u64) -> &'static [&'static str] {
        match class {
            6003 => &["actor", "api", "src_endpoint"],
            3001 | 3002 => &["user"],
            3004 => &["entity"],
            3005 => &["user", "privileges"],
            3006 => &["group"],
            other => panic!("no class {other}"),
        }
    }

    #[test]
    fn each_event_has_what_its_class_requires() {
        const BASE: [&str; 8] =
            ["category_uid", "class_uid", "activity_id", "type_uid", "time", "severity_id", "metadata", "status_id"];
        for redaction in [&[][..], &["actor", "peer", "principal", "project.name", "key", "group", "request_id"]] {
            let events = samples(redaction);
            let names: BTreeSet<_> = events.iter().map(|event| event.event.as_str()).collect();
            assert!(names.len() >= Event::NAMES.len() - 1, "a sample of each event");
            for event in &events {
                let object = render(event);
                let class = object["class_uid"].as_u64().unwrap();
                for name in BASE.iter().chain(required(class)) {
                    assert!(object.get(name).is_some_and(|value| !value.is_null()), "{name}: {object:#}");
                }
                assert_eq!(object["category_uid"], class / 1000);
                assert_eq!(object["type_uid"].as_u64().unwrap(), class * 100 + object["activity_id"].as_u64().unwrap());
                assert_eq!(object["time"].as_i64().unwrap(), event.time.unix() * 1000);
                assert_eq!(object["metadata"]["version"], "1.8.0");
                for thing in ["user", "group", "entity", "src_endpoint", "actor"] {
                    let empty = object.get(thing).and_then(Value::as_object).is_some_and(Map::is_empty);
                    assert!(!empty, "{thing}: {object:#}");
                }
                if class == 3002 {
                    assert_eq!(object["service"]["name"], SERVICE);
                }
                if class == 6003 {
                    assert!(object["api"]["operation"].is_string() && object["api"]["request"]["uid"].is_string());
                }
            }
        }
    }

    #[test]
    fn signature_is_api_activity_sign() {
        let events = samples(&[]);
        let event = events.iter().find(|event| event.event == "use-outcome").unwrap();
        let object = render(event);
        assert_eq!((&object["class_uid"], &object["type_uid"]), (&json!(6003), &json!(600_399)));
        assert_eq!((&object["activity_id"], &object["activity_name"]), (&json!(99), &json!("Sign")));
        assert_eq!(object["actor"]["user"]["name"], "alice");
        assert_eq!(object["src_endpoint"]["ip"], "192.0.2.7");
        assert_eq!(object["resources"][0]["name"], "release/tags");
        assert_eq!(object["unmapped"]["entry"]["event"], "use-outcome");
    }

    #[test]
    fn what_is_redacted_is_nowhere_in_the_object() {
        for event in samples(&["actor.name", "peer"]) {
            let object = render(&event);
            let text = object.to_string();
            assert!(object["actor"]["user"].get("name").is_none(), "{text}");
            assert!(object["unmapped"]["entry"]["actor"].get("name").is_none(), "{text}");
            assert!(!text.contains("192.0.2.7"), "{text}");
        }
    }
}
