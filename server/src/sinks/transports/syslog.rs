//! Syslog: messages of RFC 5424 over TLS with octet counting, RFC 5425.
//!
//! Nothing is acknowledged. Messages count as delivered once they were written and the connection still stands a moment
//! later; what a receiver that dies had not read yet is lost.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Fault, Sent};
use crate::{
    limits,
    outbound::{Resolver, check_address},
    sinks::{Form, Severity, SinkEvent},
};

/// A receiver of syslog.
pub(in crate::sinks) struct SyslogReceiver {
    pub(in crate::sinks) host: String,
    pub(in crate::sinks) port: u16,
    pub(in crate::sinks) name: ServerName<'static>,
    pub(in crate::sinks) tls: Arc<ClientConfig>,
    pub(in crate::sinks) resolver: Resolver,
    pub(in crate::sinks) allow_private: bool,
    pub(in crate::sinks) header: Header,
    pub(in crate::sinks) connection: Mutex<Option<TlsStream<TcpStream>>>,
}

/// What is the same in each message.
#[derive(Debug, Clone)]
pub(in crate::sinks) struct Header {
    /// This machine.
    pub(in crate::sinks) hostname: String,
    /// The private enterprise number of the structured data.
    pub(in crate::sinks) enterprise: u32,
}

impl SyslogReceiver {
    pub(super) async fn send(&self, form: Form, events: &[SinkEvent]) -> Sent {
        let mut frames = Vec::new();
        for event in events {
            let message = self.header.message(form, event);
            frames.extend_from_slice(message.len().to_string().as_bytes());
            frames.push(b' ');
            frames.extend_from_slice(message.as_bytes());
        }
        let mut connection = self.connection.lock().await;
        // Taken out: what is interrupted in the middle of a frame is of no use any more.
        let mut earlier = connection.take();
        if let Some(stream) = &mut earlier
            && !is_open(stream).await
        {
            earlier = None;
        }
        let mut stream = match earlier {
            Some(stream) => stream,
            None => match self.connect().await {
                Ok(stream) => stream,
                Err(error) => return Sent::nothing(Fault::again(error)),
            },
        };
        let written = async {
            stream.write_all(&frames).await?;
            stream.flush().await
        };
        if let Err(error) = written.await {
            return Sent::nothing(Fault::again(error.to_string()));
        }
        let mut end = [0; 256];
        let closed = timeout(limits::SYSLOG_SETTLE, read(&mut stream, &mut end)).await;
        match closed {
            Err(_) => {}
            Ok(Ok(0)) => return Sent::nothing(Fault::again("the receiver closed the connection".to_owned())),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Sent::nothing(Fault::again(error.to_string())),
        }
        *connection = Some(stream);
        Sent::all(events)
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, String> {
        let addresses = match self.host.parse() {
            Ok(address) => {
                check_address(address, self.allow_private).map_err(|error| error.to_string())?;
                vec![SocketAddr::new(address, 0)]
            }
            Err(_) => self.resolver.clone().addresses(self.host.clone()).await.map_err(|error| error.to_string())?,
        };
        let mut last = format!("{} has no address", self.host);
        for mut address in addresses {
            address.set_port(self.port);
            let connected = timeout(limits::SINK_CONNECT, TcpStream::connect(address)).await;
            match connected {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    let connector = TlsConnector::from(Arc::clone(&self.tls));
                    let shaken = timeout(limits::SINK_CONNECT, connector.connect(self.name.clone(), stream)).await;
                    return shaken
                        .map_err(|_| "the receiver did not answer in time".to_owned())?
                        .map_err(|error| error.to_string());
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "the receiver did not answer in time".to_owned(),
            }
        }
        Err(last)
    }
}

async fn read(stream: &mut TlsStream<TcpStream>, into: &mut [u8]) -> std::io::Result<usize> {
    tokio::io::AsyncReadExt::read(stream, into).await
}

/// Whether the receiver has not closed the connection, as far as is known here.
async fn is_open(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut space = [0; 256];
    poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut space);
        Poll::Ready(match std::pin::Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => !buffer.filled().is_empty(),
            Poll::Ready(Err(_)) => false,
        })
    })
    .await
}

/// The longest message: RFC 5425 asks receivers to take so much.
const LONGEST: usize = 8192;

/// Longest names, RFC 5424 section 6.
const HOSTNAME: usize = 255;
const MESSAGE_ID: usize = 32;

/// Facility 13 (log audit), severities 5 (notice), 4 (warning) and 3 (error).
const fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Notice => 13 * 8 + 5,
        Severity::Warning => 13 * 8 + 4,
        Severity::Error => 13 * 8 + 3,
    }
}

impl Header {
    /// The message of an event: the whole one, or a brief one if that is too long.
    pub(in crate::sinks) fn message(&self, form: Form, event: &SinkEvent) -> String {
        let whole = self.render(event, &form.text(event));
        if whole.len() <= LONGEST {
            return whole;
        }
        let brief = event.brief();
        let cut = self.render(&brief, &form.text(&brief));
        if cut.len() <= LONGEST { cut } else { self.render(&brief, &format!("see entry {}", event.sequence)) }
    }

    fn render(&self, event: &SinkEvent, text: &str) -> String {
        let mut data = String::new();
        let sequence = event.sequence.to_string();
        let (user, _) = event.who();
        let values = [
            ("id", Some(event.id.as_str())),
            ("sequence", Some(&sequence)),
            ("event", Some(&event.event)),
            ("actor", user),
            ("peer", event.text(&["peer"])),
            ("request", event.text(&["request_id"])),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                data.push_str(&format!(" {name}=\"{}\"", escaped(value)));
            }
        }
        // Without it a message of other letters than ASCII has no known encoding.
        let mark = if text.is_ascii() { "" } else { "\u{feff}" };
        format!(
            "<{}>1 {} {} sealcard-server - {} [sealcard@{}{data}] {mark}{text}",
            priority(event.severity),
            event.time,
            printable(&self.hostname, HOSTNAME),
            printable(&event.event, MESSAGE_ID),
            self.enterprise,
        )
    }
}

/// A field of the header: printable ASCII, `-` if there is none.
fn printable(text: &str, most: usize) -> String {
    let plain: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if plain.is_empty() { "-".to_owned() } else { plain }
}

/// A value of structured data: `\` before `"`, `\` and `]`. Control characters, which receivers may cut lines at, are
/// written as blanks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' | ']' => escaped.extend(['\\', letter]),
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
    use crate::{config::SinkForm, sinks::Redaction};

    fn header() -> Header {
        Header { hostname: "sign.example".to_owned(), enterprise: 32_473 }
    }

    fn event(name: &str, body: &Value) -> SinkEvent {
        let place = (41, Timestamp::from_unix(1_764_000_000), name);
        SinkEvent::new("a.example/r", place, &body.to_string(), (None, false), &Redaction::default()).unwrap()
    }

    /// A message, read as RFC 5424 says: header, parameters, text.
    fn parse(message: &str) -> (Vec<String>, Vec<(String, String)>, String) {
        let mut rest = message;
        let mut header = Vec::new();
        for _ in 0..6 {
            let (field, after) = rest.split_once(' ').unwrap();
            header.push(field.to_owned());
            rest = after;
        }
        let mut letters = rest.strip_prefix('[').unwrap().chars().peekable();
        let id: String = std::iter::from_fn(|| letters.next_if(|c| *c != ' ' && *c != ']')).collect();
        header.push(id);
        let mut parameters = Vec::new();
        loop {
            match letters.next().unwrap() {
                ']' => break,
                ' ' => {}
                other => panic!("{other:?} in {message}"),
            }
            let name: String = std::iter::from_fn(|| letters.next_if(|c| *c != '=')).collect();
            assert_eq!((letters.next(), letters.next()), (Some('='), Some('"')));
            let mut value = String::new();
            loop {
                match letters.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(letters.next().unwrap()),
                    letter => value.push(letter),
                }
            }
            parameters.push((name, value));
        }
        let text: String = letters.collect();
        let text = text.strip_prefix(' ').unwrap();
        (header, parameters, text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
    }

    #[test]
    fn message_is_that_of_the_specification() {
        let body = json!({"actor": {"name": "al\"i]c\\e"}, "peer": "192.0.2.7"});
        let message = header().message(Form(SinkForm::Json), &event("use-denied", &body));
        assert_eq!(
            message,
            "<108>1 2025-11-24T16:00:00Z sign.example sealcard-server - use-denied [sealcard@32473 id=\"a.example/r#41\" \
             sequence=\"41\" event=\"use-denied\" actor=\"al\\\"i\\]c\\\\e\" peer=\"192.0.2.7\"] \
             {\"id\":\"a.example/r#41\",\"entry\":{\"actor\":{\"name\":\"al\\\"i]c\\\\e\"},\"peer\":\"192.0.2.7\"}}"
        );
    }

    #[test]
    fn severity_is_in_the_priority() {
        for (name, state, priority) in
            [("login", "", "<109>"), ("use-denied", "", "<108>"), ("use-outcome", "failed", "<107>")]
        {
            let message = header().message(Form(SinkForm::Cef), &event(name, &json!({"state": state})));
            assert!(message.starts_with(priority), "{message}");
        }
    }

    #[test]
    fn long_entry_is_cut_and_still_names_its_number() {
        let text = "x".repeat(60_000);
        let body = json!({"event": "use-intent", "sequence": 41, "claims": {"host": text}, "digest": text,
            "project": {"name": text}});
        for form in [SinkForm::Json, SinkForm::Ocsf, SinkForm::Cef] {
            let message = header().message(Form(form), &event("use-intent", &body));
            assert!(message.len() <= LONGEST, "{}", message.len());
            assert!(message.contains("sequence=\"41\""), "{message}");
            if form == SinkForm::Json {
                let (_, _, text) = parse(&message);
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!((&value["cut"], &value["entry"]["sequence"]), (&json!(true), &json!(41)));
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(user: String, host: String, name in "[a-z-]{1,40}", other: String) {
            let body = json!({"actor": {"name": user}, "other": other});
            let header = Header { hostname: host, enterprise: 1 };
            for form in [SinkForm::Json, SinkForm::Ocsf, SinkForm::Cef] {
                let message = header.message(Form(form), &event(&name, &body));
                prop_assert!(!message.chars().any(|c| c.is_control() && c != '\u{7f}' && !('\u{80}'..='\u{9f}').contains(&c)),
                    "{}", message);
                let (fields, parameters, text) = parse(&message);
                prop_assert_eq!(&fields[1], "2025-11-24T16:00:00Z");
                prop_assert!(fields[2].len() <= 255 && fields[5].len() <= 32);
                prop_assert_eq!(&fields[6], "sealcard@1");
                let actor = parameters.iter().find(|(name, _)| name == "actor").unwrap();
                let plain: String = user.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                prop_assert_eq!(&actor.1, &plain);
                if form == SinkForm::Json {
                    let value: Value = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(&value["entry"]["other"], &Value::from(other.clone()));
                }
            }
        }
    }
}
