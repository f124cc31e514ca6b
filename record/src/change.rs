//! What a change is, for comparing it with what was approved.

use std::collections::BTreeMap;

use sealcard_api::ids::PrincipalId;
use serde_json::Value;

use crate::{Event, Sha256};

/// Fields of entries that are another one at each attempt, and that people can't judge.
pub const MADE_ANEW: &[&str] = &["password_sha256", "password_expires", "token_sha256", "certificate"];

/// SHA-256 of a change: of its author and its events, without what each attempt makes anew.
#[must_use]
pub fn change_sha256<'e>(author: PrincipalId, events: impl IntoIterator<Item = &'e Event>) -> Sha256 {
    let mut text = author.to_string();
    for event in events {
        let mut value = serde_json::to_value(event).unwrap_or_default();
        forget_what_is_new(event, &mut value);
        text.push('\n');
        write_sorted(&value, &mut text);
    }
    Sha256::of(text.as_bytes())
}

fn forget_what_is_new(event: &Event, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    let made = match event {
        Event::UserAdded(_) | Event::ServiceAccountAdded(_) => Some("principal"),
        Event::GroupAdded(_) => Some("group"),
        Event::ProjectAdded(_) => Some("project"),
        Event::ServiceTokenAdded(_) => Some("token"),
        Event::KeyBegun(begun) if begun.algorithm.is_some() => Some("key"),
        _ => None,
    };
    if let Some(Value::Object(named)) = made.and_then(|made| fields.get_mut(made)) {
        named.remove("id");
    }
    // Each attempt makes another salt, another token, another certificate.
    for name in MADE_ANEW {
        fields.remove(*name);
    }
    if matches!(event, Event::PasswordReset(_) | Event::KeyBegun(_)) {
        fields.remove("expires");
        fields.remove("components");
    }
    if let (Event::ServiceTokenAdded(token), Some(expires)) = (event, fields.get_mut("expires")) {
        // The end is counted from now on: whole days are enough to compare.
        *expires = (token.expires.unix().div_euclid(86_400) / 2).into();
    }
}

/// Writes JSON with sorted names: the server and the offline verifier may order the fields of objects differently.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            text.push('{');
            for (name, value) in fields.iter().collect::<BTreeMap<_, _>>() {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for value in values {
                write_sorted(value, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}
