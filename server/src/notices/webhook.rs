//! One attempt to post a notice.

use std::time::Duration;

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use sealcard_api::{Timestamp, text::one_line};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{render, sign::Signer, target::PrivateAddress, worker::Attempt};
use crate::{
    config::WebhookKind,
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
        request.body(body).send().await.map_err(|error| Attempt::Unreachable(reason(error.without_url())))
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

/// The value of the header `Retry-After`: seconds, or a time.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = OffsetDateTime::parse(value, &Rfc2822).ok()?.unix_timestamp();
    Some(Duration::from_secs(time.saturating_sub(now.unix()).max(0).cast_unsigned()))
}

/// Why nothing came back: the innermost cause, because the others say only that sending failed.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "the receiver did not answer in time".to_owned();
    }
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        if source.is::<PrivateAddress>() {
            return source.to_string();
        }
        innermost = source;
    }
    one_line(&innermost.to_string(), 200)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        let now = Timestamp::from_unix(1_445_412_470);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    proptest! {
        #[test]
        fn any_header_is_a_time_or_nothing(value: String, now in 0_i64..1 << 40) {
            let _ = retry_after(&value, Timestamp::from_unix(now));
        }
    }
}
