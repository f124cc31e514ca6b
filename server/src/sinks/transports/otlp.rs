//! OpenTelemetry's logs: OTLP over HTTP with JSON, `POST …/v1/logs`. Names are in lowerCamelCase, integers of 64 bits are
//! decimal texts, enums are integers.

use reqwest::{Client, Url, header::HeaderMap};
use sealcard_api::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Fault, Sent};
use crate::sinks::{Form, Severity, SinkEvent};

/// A collector.
pub(in crate::sinks) struct OtlpReceiver {
    pub(in crate::sinks) client: Client,
    pub(in crate::sinks) url: Url,
    /// Such as `authorization`.
    pub(in crate::sinks) headers: HeaderMap,
}

/// The answer of a success.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExportAnswer {
    partial_success: PartialSuccess,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    /// A decimal text, or a number.
    rejected_log_records: Value,
    error_message: String,
}

impl PartialSuccess {
    fn rejected(&self) -> u64 {
        let text = self.rejected_log_records.as_str().and_then(|text| text.parse().ok());
        text.or_else(|| self.rejected_log_records.as_u64()).unwrap_or_default()
    }
}

impl OtlpReceiver {
    pub(super) async fn send(&self, form: Form, events: &[SinkEvent]) -> Sent {
        match self.post(form, events).await {
            Ok(()) => Sent::all(events),
            Err(fault) => Sent::nothing(fault),
        }
    }

    async fn post(&self, form: Form, events: &[SinkEvent]) -> Result<(), Fault> {
        let body = request(form, events, Timestamp::now()).to_string();
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let answer = Answer::to(request, "application/json", body).await?;
        if !answer.status.is_success() {
            return Err(answer.fault());
        }
        // An empty body is that of full success; anything else that is no answer of a collector acknowledges nothing.
        let said: ExportAnswer = match answer.body.as_slice() {
            [] => ExportAnswer::default(),
            body => serde_json::from_slice(body)
                .map_err(|error| Fault::again(format!("{}: no answer of an OTLP collector: {error}", answer.text())))?,
        };
        match said.partial_success.rejected() {
            0 => Ok(()),
            rejected => {
                let why = sealcard_api::text::one_line(&said.partial_success.error_message, 200);
                if usize::try_from(rejected).is_ok_and(|rejected| rejected >= events.len()) {
                    return Err(Fault::Event { index: None, error: format!("all records were rejected: {why}") });
                }
                Err(Fault::Partial(format!("{rejected} of {} records were rejected: {why}", events.len())))
            }
        }
    }
}

/// The body of a request.
fn request(form: Form, events: &[SinkEvent], now: Timestamp) -> Value {
    let origin = events.first().map_or("", |event| event.origin.as_str());
    let version = env!("CARGO_PKG_VERSION");
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            attribute("service.name", &"sealcard-server".into()),
            attribute("service.version", &version.into()),
            attribute("service.instance.id", &origin.into()),
        ]},
        "scopeLogs": [{
            "scope": {"name": "sealcard.record", "version": version},
            "logRecords": events.iter().map(|event| record(form, event, now)).collect::<Vec<_>>(),
        }],
    }]})
}

fn record(form: Form, event: &SinkEvent, now: Timestamp) -> Value {
    let (number, text) = match event.severity {
        Severity::Notice => (9, "INFO"),
        Severity::Warning => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    let mut attributes = vec![
        attribute("sealcard.id", &event.id.as_str().into()),
        attribute("sealcard.sequence", &event.sequence.into()),
    ];
    if let Some(request) = event.text(&["request_id"]) {
        attributes.push(attribute("sealcard.request_id", &request.into()));
    }
    if let (Some(user), _) = event.who() {
        attributes.push(attribute("user.name", &user.into()));
    }
    if let Some(peer) = event.text(&["peer"]) {
        attributes.push(attribute("client.address", &peer.into()));
    }
    json!({
        "timeUnixNano": nanoseconds(event.time),
        "observedTimeUnixNano": nanoseconds(now),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("sealcard.{}", event.event),
        "body": any_value(&form.value(event)),
        "attributes": attributes,
    })
}

fn nanoseconds(time: Timestamp) -> String {
    format!("{}000000000", time.unix().max(0))
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({"key": key, "value": any_value(value)})
}

/// A value as an `AnyValue` of OTLP.
fn any_value(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({"boolValue": value}),
        Value::String(value) => json!({"stringValue": value}),
        Value::Number(number) => match number.as_i64() {
            Some(number) => json!({"intValue": number.to_string()}),
            None => json!({"doubleValue": number.as_f64()}),
        },
        Value::Array(values) => json!({"arrayValue": {"values": values.iter().map(any_value).collect::<Vec<_>>()}}),
        Value::Object(fields) => {
            let values: Vec<Value> = fields.iter().map(|(key, value)| attribute(key, value)).collect();
            json!({"kvlistValue": {"values": values}})
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::{config::SinkForm, sinks::Redaction};

    /// Reads an `AnyValue` back.
    fn plain(value: &Value) -> Value {
        let Some((kind, value)) = value.as_object().unwrap().iter().next() else { return Value::Null };
        match kind.as_str() {
            "intValue" => value.as_str().unwrap().parse::<i64>().unwrap().into(),
            "arrayValue" => value["values"].as_array().unwrap().iter().map(plain).collect(),
            "kvlistValue" => {
                let pairs = value["values"].as_array().unwrap().iter();
                Value::Object(
                    pairs.map(|pair| (pair["key"].as_str().unwrap().to_owned(), plain(&pair["value"]))).collect(),
                )
            }
            _ => value.clone(),
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn each_value_is_read_back(value in value()) {
            prop_assert_eq!(plain(&any_value(&value)), value);
        }
    }

    #[test]
    fn record_has_the_names_and_types_of_the_specification() {
        let body = json!({"event": "use-denied", "sequence": 41, "actor": {"name": "alice"}, "peer": "192.0.2.7"});
        let time = Timestamp::from_unix(1_764_000_000);
        let event = SinkEvent::new(
            "a.example/r",
            (41, time, "use-denied"),
            &body.to_string(),
            (None, false),
            &Redaction::default(),
        );
        let now = Timestamp::from_unix(1_764_000_001);
        let request = request(Form(SinkForm::Json), &[event.unwrap()], now);
        let scope = &request["resourceLogs"][0]["scopeLogs"][0];
        assert_eq!(scope["scope"]["name"], "sealcard.record");
        let record = &scope["logRecords"][0];
        assert_eq!(record["timeUnixNano"], "1764000000000000000");
        assert_eq!(record["observedTimeUnixNano"], "1764000001000000000");
        assert_eq!((&record["severityNumber"], &record["eventName"]), (&json!(13), &json!("sealcard.use-denied")));
        assert_eq!(record["attributes"][1], json!({"key": "sealcard.sequence", "value": {"intValue": "41"}}));
        assert_eq!(plain(&record["body"]), json!({"id": "a.example/r#41", "entry": body}));
    }

    #[test]
    fn rejected_records_are_a_text_or_a_number() {
        for (text, rejected) in [
            ("{}", 0),
            (r#"{"partialSuccess": {}}"#, 0),
            (r#"{"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "x"}}"#, 3),
            (r#"{"partialSuccess": {"rejectedLogRecords": 2}}"#, 2),
        ] {
            let answer: ExportAnswer = serde_json::from_str(text).unwrap();
            assert_eq!(answer.partial_success.rejected(), rejected, "{text}");
        }
    }
}
