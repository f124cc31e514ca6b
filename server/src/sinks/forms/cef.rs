//! ArcSight Common Event Format, version 0:
//! `CEF:0|VENDOR|PRODUCT|VERSION|EVENT CLASS|NAME|SEVERITY|KEY=VALUE KEY=VALUE …`.

use std::fmt::Write as _;

use crate::sinks::{Severity, SinkEvent};

/// The event in one line.
pub(super) fn render(event: &SinkEvent) -> String {
    let name = event.event.replace('-', " ");
    let severity = match event.severity {
        Severity::Notice => 3,
        Severity::Warning => 6,
        Severity::Error => 8,
    };
    let mut text = format!(
        "CEF:0|Sealcard|sealcard-server|{}|{}|{}|{severity}|",
        header(env!("CARGO_PKG_VERSION")),
        header(&event.event),
        header(&name),
    );
    let mut first = true;
    let mut add = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let space = if first { "" } else { " " };
            let _ = write!(text, "{space}{key}={}", extension(value));
            first = false;
        }
    };
    add("rt", Some(&(event.time.unix().saturating_mul(1000)).to_string()));
    add("externalId", Some(&event.sequence.to_string()));
    let (user, id) = event.who();
    add("suser", user);
    add("suid", id);
    // An address of IPv6 has another key.
    match event.text(&["peer"]) {
        Some(peer) if peer.contains(':') => {
            add("c6a2Label", Some("Source IPv6 Address"));
            add("c6a2", Some(peer));
        }
        peer => add("src", peer),
    }
    add("shost", event.text(&["claims", "host"]));
    add("act", event.text(&["operation"]));
    add("outcome", Some(if event.is_failure() { "failure" } else { "success" }));
    add("reason", event.reason().as_deref());
    let mut custom = |number: u8, label: &str, value: Option<&str>| {
        if let Some(value) = value {
            add(&format!("cs{number}Label"), Some(label));
            add(&format!("cs{number}"), Some(value));
        }
    };
    custom(1, "key", event.key().as_deref());
    custom(2, "id", Some(&event.id));
    custom(3, "requestId", event.text(&["request_id"]));
    custom(4, "digest", event.text(&["digest"]));
    custom(5, "signatureSha256", event.text(&["signature_sha256"]));
    custom(6, "state", event.text(&["state"]));
    text
}

/// A field of the header: one line, with `\` before `\` and `|`.
fn header(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '|' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A value of an extension, with `\` before `\` and `=`, and line breaks as `\n` and `\r`.
fn extension(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '=' => escaped.extend(['\\', letter]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::sinks::Redaction;

    fn event(name: &str, body: &Value) -> SinkEvent {
        let place = (41, Timestamp::from_unix(1_764_000_000), name);
        SinkEvent::new("log.example/a", place, &body.to_string(), (None, false), &Redaction::default()).unwrap()
    }

    /// Reads a line back, as a collector does: the fields of the header, then keys and values.
    fn parse(line: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut fields = vec![String::new()];
        let mut letters = line.chars();
        while fields.len() < 8 {
            match letters.next().unwrap() {
                '\\' => fields.last_mut().unwrap().push(letters.next().unwrap()),
                '|' => fields.push(String::new()),
                letter => fields.last_mut().unwrap().push(letter),
            }
        }
        fields.pop();
        let rest: String = letters.collect();
        // A key is the word before each `=` that is not escaped.
        let mut pairs: Vec<(String, String)> = Vec::new();
        let (mut value, mut escaped) = (String::new(), false);
        for letter in rest.chars() {
            match (escaped, letter) {
                (true, 'n') => value.push('\n'),
                (true, 'r') => value.push('\r'),
                (true, letter) => value.push(letter),
                (false, '\\') => {}
                (false, '=') => {
                    let (before, key) = value.rsplit_once(' ').unwrap_or(("", &value));
                    let (before, key) = (before.to_owned(), key.to_owned());
                    if let Some(last) = pairs.last_mut() {
                        last.1 = before;
                    }
                    pairs.push((key, String::new()));
                    value.clear();
                }
                (false, letter) => value.push(letter),
            }
            escaped = !escaped && letter == '\\';
        }
        pairs.last_mut().unwrap().1 = value;
        (fields, pairs)
    }

    #[test]
    fn line_has_what_arcsight_expects() {
        let body = json!({"actor": {"id": "1", "name": "al|ice=x\\"}, "peer": "192.0.2.7", "operation": "sign",
            "project": {"name": "tools"}, "key": {"name": "tags"}, "request_id": "r", "reasons": ["no\nway", "b"]});
        let line = render(&event("use-denied", &body));
        let begin = format!("CEF:0|Sealcard|sealcard-server|{}|use-denied|use denied|6|", env!("CARGO_PKG_VERSION"));
        let rest = line.strip_prefix(&begin).unwrap();
        assert_eq!(
            rest,
            "rt=1764000000000 externalId=41 suser=al|ice\\=x\\\\ suid=1 src=192.0.2.7 act=sign outcome=failure \
             reason=no\\nway; b cs1Label=key cs1=tools/tags cs2Label=id cs2=log.example/a#41 cs3Label=requestId cs3=r"
        );
    }

    #[test]
    fn address_of_ipv6_has_a_key_of_its_own() {
        let line = render(&event("login", &json!({"peer": "2001:db8::1"})));
        assert!(line.contains(" c6a2Label=Source IPv6 Address c6a2=2001:db8::1 ") && !line.contains("src="), "{line}");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(name in "[a-z-]{1,20}", user: String, reason: String, key: String) {
            let body = json!({"actor": {"name": user, "id": "i"}, "error": reason, "key": {"name": key}});
            let line = render(&event(&name, &body));
            prop_assert!(!line.chars().any(char::is_control));
            let (fields, pairs) = parse(&line);
            prop_assert_eq!(&fields[4], &name);
            let plain = |text: &str| -> String {
                text.chars().map(|c| if c.is_control() && c != '\n' && c != '\r' { ' ' } else { c }).collect()
            };
            for (wanted, text) in [("suser", user), ("reason", reason), ("cs1", key)] {
                if !text.is_empty() {
                    let found = pairs.iter().find(|(key, _)| key == wanted);
                    prop_assert_eq!(&found.unwrap().1, &plain(&text), "{}", line);
                }
            }
        }
    }
}
