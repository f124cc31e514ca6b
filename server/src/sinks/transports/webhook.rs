//! Standard Webhooks: one request for each entry, signed.

use reqwest::{Client, StatusCode, Url};
use sealcard_api::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use super::{Answer, Fault, Sent};
use crate::{
    config::SinkForm,
    limits,
    notices::Signer,
    sinks::{Form, SinkEvent},
};

/// The receiver of a webhook.
pub(in crate::sinks) struct WebhookReceiver {
    pub(in crate::sinks) client: Client,
    /// It may be a secret: it is never logged, nor in any message.
    pub(in crate::sinks) url: Url,
    pub(in crate::sinks) signer: Signer,
}

/// The body, as Standard Webhooks proposes it.
#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    timestamp: Timestamp,
    data: Box<RawValue>,
}

impl WebhookReceiver {
    pub(super) async fn send(&self, form: Form, events: &[SinkEvent]) -> Sent {
        let begin = Instant::now();
        for (taken, event) in events.iter().enumerate() {
            // What was taken is noted before too much of it would come again.
            if taken > 0 && begin.elapsed() > limits::SINK_ROUND {
                return Sent { taken, fault: None };
            }
            if let Err(fault) = self.post(form, event).await {
                return Sent { taken, fault: Some(fault) };
            }
        }
        Sent::all(events)
    }

    async fn post(&self, form: Form, event: &SinkEvent) -> Result<(), Fault> {
        let mut body = body(form, event)?;
        if body.len() > limits::WEBHOOK_BODY {
            body = self::body(form, &event.brief())?;
        }
        let (id, timestamp) = (message_id(&event.id), Timestamp::now().unix());
        let request = self
            .client
            .post(self.url.clone())
            .header("webhook-signature", self.signer.signature(&id, timestamp, &body))
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp);
        let answer = Answer::to(request, "application/json", body).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(Fault::Gone(answer.text())),
            // It is alone in its request.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Fault::Event { index: Some(0), error: answer.text() })
            }
            _ => Err(answer.fault()),
        }
    }

    pub(super) fn public_keys(&self) -> Vec<String> {
        self.signer.public_keys()
    }
}

fn body(form: Form, event: &SinkEvent) -> Result<String, Fault> {
    let wrong = |error: serde_json::Error| Fault::Event { index: Some(0), error: error.to_string() };
    let data = match form.0 {
        SinkForm::Json => event.raw(),
        _ => to_raw_value(&form.value(event)).map_err(wrong)?,
    };
    let kind = format!("record.{}", event.event.replace('-', "_"));
    serde_json::to_string(&Body { kind, timestamp: event.time, data }).map_err(wrong)
}

/// The id of a message: signatures are made over `ID.TIMESTAMP.BODY`, so an id must have no dot.
fn message_id(id: &str) -> String {
    id.replace('.', "_")
}
