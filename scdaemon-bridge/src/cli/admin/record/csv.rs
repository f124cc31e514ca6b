//! Entries for spreadsheets (RFC 4180).

use sealcard_record::{
    Body, Event,
    event::{Asked, UseDenied},
};

use super::entry::Told;

/// The first line.
pub(in crate::cli::admin) const HEADINGS: [&str; 18] = [
    "sequence",
    "time",
    "event",
    "who",
    "did",
    "on",
    "from",
    "result",
    "who_id",
    "project",
    "project_id",
    "key",
    "key_id",
    "hash",
    "digest",
    "host",
    "signature_sha256",
    "request_id",
];

/// The values of an entry under [`HEADINGS`]. The time is RFC 3339 in UTC.
pub(in crate::cli::admin) fn values(body: &Body) -> [String; 18] {
    let Told { who, did, on, from, result } = Told::of(body);
    let event = &body.event;
    let (asked, host): (Option<&Asked>, _) = match event {
        Event::UseIntent(intent) => (Some(&intent.asked), intent.host),
        Event::UseOutcome(outcome) => (Some(&outcome.asked), outcome.host),
        Event::UseDenied(UseDenied { asked, host, .. }) => (Some(asked), *host),
        _ => (None, None),
    };
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        body.sequence.to_string(),
        body.time.to_string(),
        event.name().to_owned(),
        who,
        did,
        on,
        from,
        result,
        text(body.actor.as_ref().map(|actor| actor.id.to_string())),
        text(event.project().map(|project| project.name.clone())),
        text(event.project().map(|project| project.id.to_string())),
        text(event.key().map(|key| key.name.clone())),
        text(event.key().map(|key| key.id.to_string())),
        text(asked.and_then(|asked| asked.hash).map(|hash| hash.name().to_owned())),
        text(asked.and_then(|asked| asked.digest.as_ref()).map(ToString::to_string)),
        text(host.map(|host| host.to_string())),
        text(event.signature_sha256().map(|hash| hash.to_string())),
        body.request_id.to_string(),
    ]
}

/// A line with its end.
pub(in crate::cli::admin) fn line<T: AsRef<str>>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| cell(value.as_ref())).collect();
    format!("{}\r\n", values.join(","))
}

/// A value that no spreadsheet takes for a formula: an apostrophe before what begins like one.
fn cell(value: &str) -> String {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && value != "-";
    let value = if is_formula { format!("'{value}") } else { value.to_owned() };
    if value.contains(['"', ',', '\r', '\n', '\'']) || value.starts_with(' ') || value.ends_with(' ') {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formulas_are_no_formulas() {
        for (value, written) in [
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("-", "-"),
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
        ] {
            assert_eq!(cell(value), written);
        }
    }

    #[test]
    fn entries_have_a_value_for_each_heading() {
        let entries = include_str!("../../../../../record/tests/entries.jsonl");
        let values = values(&sealcard_record::parse(entries.lines().nth(1).unwrap()).unwrap());
        let [sequence, time, event, who, ..] = &values;
        assert_eq!([sequence, time, event, who], ["2", "2026-11-29T01:00:00Z", "use-outcome", "alice"]);
        assert_eq!(values.len(), HEADINGS.len());
    }

    proptest! {
        #[test]
        fn cells_can_be_read_back_and_begin_like_no_formula(value in "[=+@\"',\\r\\n a-c-]{0,12}") {
            let cell = cell(&value);
            let inner = match cell.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"').unwrap().replace("\"\"", "\""),
                None => cell.clone(),
            };
            let escaped = format!("'{value}");
            let begins_like_a_formula = inner != "-" && inner.starts_with(['=', '+', '-', '@']);
            prop_assert!(inner == value || inner == escaped);
            prop_assert!(!begins_like_a_formula);
        }
    }
}
