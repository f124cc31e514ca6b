//! Splunk's HTTP Event Collector: JSON objects one after the other, posted to `/services/collector/event`.

use std::{collections::BTreeMap, fmt::Write as _};

use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Answer, Fault, Sent};
use crate::{
    config::SinkForm,
    limits,
    sinks::{Form, SinkEvent},
};

/// A collector.
pub(in crate::sinks) struct SplunkReceiver {
    pub(in crate::sinks) client: Client,
    /// Without a path.
    pub(in crate::sinks) url: Url,
    pub(in crate::sinks) token: SecretString,
    pub(in crate::sinks) index: Option<String>,
    /// The channel of acknowledgements, if indexers send some.
    pub(in crate::sinks) channel: Option<Uuid>,
}

#[derive(Serialize)]
struct Event<'a> {
    /// Seconds since 1970.
    time: i64,
    host: &'a str,
    source: &'static str,
    sourcetype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: Box<RawValue>,
    /// Flat: Splunk indexes them.
    fields: BTreeMap<&'static str, &'a str>,
}

/// What a collector answers.
#[derive(Debug, Default, Deserialize)]
struct CollectorAnswer {
    #[serde(default)]
    code: Option<u32>,
    #[serde(rename = "invalid-event-number", default)]
    invalid_event: Option<usize>,
    #[serde(rename = "ackId", default)]
    ack: Option<u64>,
    #[serde(default)]
    acks: BTreeMap<String, bool>,
}

/// Codes of 400 that say that an event is wrong: invalid data format, event field required, event field blank, error in
/// handling indexed fields. Others, such as "incorrect index", are about the configuration.
const EVENT_CODES: [u32; 4] = [6, 12, 13, 15];

impl SplunkReceiver {
    pub(super) async fn send(&self, form: Form, events: &[SinkEvent]) -> Sent {
        match self.post(form, events).await {
            Ok(()) => Sent::all(events),
            Err(fault) => Sent::nothing(fault),
        }
    }

    async fn post(&self, form: Form, events: &[SinkEvent]) -> Result<(), Fault> {
        let mut body = String::new();
        for (index, event) in events.iter().enumerate() {
            let wrong = |error: serde_json::Error| Fault::Event { index: Some(index), error: error.to_string() };
            let object = self.object(form, event).map_err(wrong)?;
            let _ = writeln!(body, "{}", serde_json::to_string(&object).map_err(wrong)?);
        }
        let answer = Answer::to(self.request("services/collector/event", "")?, "application/json", body).await?;
        let said = parsed(&answer);
        match answer.status {
            status if status.is_success() => match (self.channel, said.ack) {
                (None, _) if said.code == Some(0) => Ok(()),
                (None, _) => Err(Fault::again(format!("{}: no answer of a collector that took all", answer.text()))),
                (Some(_), Some(ack)) => self.wait_for(ack).await,
                (Some(_), None) => Err(Fault::again(
                    "Splunk sent no ackId: switch indexer acknowledgement on for this token, or off for this sink"
                        .to_owned(),
                )),
            },
            StatusCode::BAD_REQUEST if said.code.is_some_and(|code| EVENT_CODES.contains(&code)) => {
                Err(Fault::Event { index: said.invalid_event, error: answer.text() })
            }
            StatusCode::BAD_REQUEST => Err(Fault::Again { error: answer.text(), after: answer.after }),
            _ => Err(answer.fault()),
        }
    }

    fn object<'a>(&'a self, form: Form, event: &'a SinkEvent) -> serde_json::Result<Event<'a>> {
        let data = match form.0 {
            SinkForm::Json => event.raw(),
            _ => to_raw_value(&form.value(event))?,
        };
        Ok(Event {
            time: event.time.unix(),
            host: &event.origin,
            source: "sealcard",
            sourcetype: match form.0 {
                SinkForm::Json => "sealcard:record",
                SinkForm::Ocsf => "sealcard:record:ocsf",
                SinkForm::Cef => "sealcard:record:cef",
            },
            index: self.index.as_deref(),
            event: data,
            fields: BTreeMap::from([("sealcard_id", event.id.as_str()), ("sealcard_event", event.event.as_str())]),
        })
    }

    /// Waits until the events of a request are indexed.
    async fn wait_for(&self, ack: u64) -> Result<(), Fault> {
        let end = Instant::now() + limits::SINK_ACKNOWLEDGEMENT;
        let query = self.channel.map_or_else(String::new, |channel| format!("channel={channel}"));
        loop {
            let request = self.request("services/collector/ack", &query)?;
            let answer = Answer::to(request, "application/json", json!({"acks": [ack]}).to_string()).await?;
            if !answer.status.is_success() {
                return Err(Fault::Again { error: answer.text(), after: answer.after });
            }
            if parsed(&answer).acks.get(&ack.to_string()) == Some(&true) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Fault::again("Splunk's indexers did not acknowledge in time".to_owned()));
            }
            sleep(limits::SINK_ACKNOWLEDGEMENT_POLL).await;
        }
    }

    fn request(&self, path: &str, query: &str) -> Result<reqwest::RequestBuilder, Fault> {
        let mut url = self.url.join(path).map_err(|_| Fault::again("the url can't be used".to_owned()))?;
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let mut value = reqwest::header::HeaderValue::from_str(&format!("Splunk {}", self.token.expose_secret()))
            .map_err(|_| Fault::again("token-file: the token can't be used".to_owned()))?;
        value.set_sensitive(true);
        let mut request = self.client.post(url).header("authorization", value);
        if let Some(channel) = self.channel {
            request = request.header("x-splunk-request-channel", channel.to_string());
        }
        Ok(request)
    }
}

fn parsed(answer: &Answer) -> CollectorAnswer {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}
