//! One attempt to post a notice.

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use sealcard_api::Timestamp;

use super::{render, sign::Signer, worker::Attempt};
use crate::{
    config::WebhookKind,
    outbound::{failure_reason, retry_after},
    storage::{Message, NoticeRow},
};

/// The receiver of a webhook.
pub(super) struct WebhookSender {
    pub(super) kind: WebhookKind,
    /// It may be a secret: it is never logged, nor in any message.
    pub(super) url: Url,
    pub(super) signer: Option<Signer>,
    pub(super) client: Client,
}

impl WebhookSender {
    /// Posts a message, which has one notice.
    pub(super) async fn attempt(&self, message: &Message, now: Timestamp) -> Attempt {
        let Some(notice) = message.notices.first() else { return Attempt::Refused("It has no notice.".to_owned()) };
        match self.post(notice, now).await {
            Ok(response) => judge(&response, now),
            Err(attempt) => attempt,
        }
    }

    async fn post(&self, notice: &NoticeRow, now: Timestamp) -> Result<Response, Attempt> {
        let body = render::webhook(self.kind, notice).map_err(|error| Attempt::Refused(error.to_string()))?;
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(signer) = &self.signer {
            // The same in each attempt and channel, so that a receiver can drop what it has.
            let (id, timestamp) = (notice.id.to_string(), now.unix());
            request = request
                .header("webhook-signature", signer.signature(&id, timestamp, &body))
                .header("webhook-id", id)
                .header("webhook-timestamp", timestamp);
        }
        request.body(body).send().await.map_err(|error| Attempt::Unreachable(failure_reason(error)))
    }
}

/// What the answer means.
fn judge(response: &Response, now: Timestamp) -> Attempt {
    let status = response.status();
    let text = status.to_string();
    if status.is_success() {
        return Attempt::Delivered;
    }
    if status.is_redirection() {
        return Attempt::Refused(format!("{text}: redirects are not followed"));
    }
    match status {
        StatusCode::GONE => Attempt::Gone(text),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            Attempt::Again { error: text, after: header.and_then(|value| retry_after(value, now)) }
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Attempt::Again { error: text, after: None },
        status if status.is_client_error() => Attempt::Refused(text),
        _ => Attempt::Again { error: text, after: None },
    }
}
