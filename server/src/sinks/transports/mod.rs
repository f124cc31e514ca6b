//! The ways to receivers. Each has a file.

mod jsonl;
mod otlp;
mod splunk;
mod syslog;
mod webhook;

use std::time::Duration;

use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use sealcard_api::{Timestamp, text::one_line};

pub(super) use self::{
    jsonl::JsonlFiles, otlp::OtlpReceiver, splunk::SplunkReceiver, syslog::Header as SyslogHeader,
    syslog::SyslogReceiver, webhook::WebhookReceiver,
};
use super::{Form, SinkEvent};
use crate::{
    limits,
    outbound::{failure_reason, retry_after},
};

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    /// So many of the first events are with the receiver.
    pub(super) taken: usize,
    /// Why it did not take all of the others. None: they were not tried yet.
    pub(super) fault: Option<Fault>,
}

/// Why a receiver did not take a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not now, or not as the sink is configured. It may work later.
    Again {
        /// Why. Has no secret.
        error: String,
        /// What the receiver asks to wait.
        after: Option<Duration>,
    },
    /// The receiver refuses an event for what it is: the one at this place in the batch, or one that it does not name.
    Event {
        /// Its place among those that were not taken.
        index: Option<usize>,
        /// What the receiver said.
        error: String,
    },
    /// The batch is too large for the receiver.
    TooLarge(String),
    /// The receiver has the batch, did not keep some of it, does not say which, and wants none of it again.
    Partial(String),
    /// The receiver wants no more at all.
    Gone(String),
}

impl Sent {
    /// All events are with the receiver.
    pub(super) const fn all(events: &[SinkEvent]) -> Self {
        Self { taken: events.len(), fault: None }
    }

    /// None is.
    pub(super) const fn nothing(fault: Fault) -> Self {
        Self { taken: 0, fault: Some(fault) }
    }
}

impl Fault {
    pub(super) const fn again(error: String) -> Self {
        Self::Again { error, after: None }
    }
}

/// The way to a receiver.
pub(super) enum Transport {
    Jsonl(JsonlFiles),
    Syslog(Box<SyslogReceiver>),
    Splunk(SplunkReceiver),
    Otlp(OtlpReceiver),
    Webhook(WebhookReceiver),
}

impl Transport {
    /// Sends these events, in this order.
    pub(super) async fn send(&self, form: Form, events: &[SinkEvent]) -> Sent {
        match self {
            Self::Jsonl(files) => files.send(form, events).await,
            Self::Syslog(receiver) => receiver.send(form, events).await,
            Self::Splunk(receiver) => receiver.send(form, events).await,
            Self::Otlp(receiver) => receiver.send(form, events).await,
            Self::Webhook(receiver) => receiver.send(form, events).await,
        }
    }

    /// Makes what belongs to the server itself.
    pub(super) fn prepare(&self) -> std::io::Result<()> {
        match self {
            Self::Jsonl(files) => files.prepare(),
            _ => Ok(()),
        }
    }

    /// The keys that the receiver checks signatures with.
    pub(super) fn public_keys(&self) -> Vec<String> {
        match self {
            Self::Webhook(receiver) => receiver.public_keys(),
            _ => Vec::new(),
        }
    }
}

/// The answer to a request: its status and the beginning of its body.
struct Answer {
    status: StatusCode,
    after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    /// Posts a body.
    async fn to(request: RequestBuilder, content_type: &str, body: String) -> Result<Self, Fault> {
        let sent = request.header(CONTENT_TYPE, content_type).body(body).send().await;
        Self::read(sent.map_err(|error| Fault::again(failure_reason(error)))?).await
    }

    /// Reads an answer, and no more of it than is of use.
    async fn read(mut response: Response) -> Result<Self, Fault> {
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = header.and_then(|value| retry_after(value, Timestamp::now()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Fault::again(failure_reason(error)))? {
            body.extend_from_slice(&chunk);
            if body.len() > limits::SINK_ANSWER {
                body.truncate(limits::SINK_ANSWER);
                break;
            }
        }
        Ok(Self { status: response.status(), after, body })
    }

    /// The status, with what the receiver said.
    fn text(&self) -> String {
        let said = String::from_utf8_lossy(&self.body);
        match one_line(said.trim(), 200) {
            said if said.is_empty() => self.status.to_string(),
            said => format!("{}: {said}", self.status),
        }
    }

    /// What an answer means that is no success, if its status says it alone.
    fn fault(&self) -> Fault {
        let error = self.text();
        if self.status.is_redirection() {
            return Fault::again(format!("{error}: redirects are not followed; correct the address"));
        }
        match self.status {
            StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge(error),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Fault::Event { index: None, error },
            _ => Fault::Again { error, after: self.after },
        }
    }
}
