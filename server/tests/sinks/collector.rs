//! A collector behind TLS that speaks what Splunk, OpenTelemetry and receivers of webhooks speak, and answers as it is
//! told.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sealcard_server::tls;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What it answers to one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It takes the events.
    Take,
    /// It takes the events, late.
    TakeAfter(Duration),
    /// It takes the events, and closes the connection without an answer.
    TakeAndClose,
    /// A status, a header and a body. It takes nothing.
    Status(u16, Option<(&'static str, String)>, Value),
    /// Nothing, until the client gives up.
    Never,
    /// It closes the connection in the middle of the request.
    Reset,
}

pub(crate) fn status(status: u16) -> Answer {
    Answer::Status(status, None, json!({}))
}

pub(crate) fn retry_after(status: u16, value: &str) -> Answer {
    Answer::Status(status, Some(("retry-after", value.to_owned())), json!({}))
}

/// What it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("no {name} in {self:?}"), |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The ids of its events, in their order.
    pub(crate) fn ids(&self) -> Vec<String> {
        events(&self.path, &self.body).into_iter().map(|(id, _)| id).collect()
    }
}

/// The events of a request: id and name.
fn events(path: &str, body: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |entry: &Value| entry["group"]["name"].as_str().unwrap_or_default().to_owned();
    match path {
        "/services/collector/event" => {
            let events = serde_json::Deserializer::from_str(body).into_iter::<Value>().map(Result::unwrap);
            events.map(|event| (text(&event["fields"]["sealcard_id"]), name(&event["event"]["entry"]))).collect()
        }
        "/v1/logs" => {
            let body: Value = serde_json::from_str(body).unwrap();
            let records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone();
            let event = |record: Value| {
                let found = |list: &Value, key: &str| {
                    let pairs = list.as_array().cloned().unwrap_or_default();
                    pairs
                        .into_iter()
                        .find(|pair| pair["key"] == key)
                        .map(|pair| pair["value"].clone())
                        .unwrap_or_default()
                };
                let entry = found(&record["body"]["kvlistValue"]["values"], "entry");
                let group = found(&entry["kvlistValue"]["values"], "group");
                let name = found(&group["kvlistValue"]["values"], "name");
                let name = name["stringValue"].as_str().unwrap_or_default().to_owned();
                (text(&found(&record["attributes"], "sealcard.id")["stringValue"]), name)
            };
            records.into_iter().map(event).collect()
        }
        _ => {
            let body: Value = serde_json::from_str(body).unwrap();
            vec![(text(&body["data"]["id"]), name(&body["data"]["entry"]))]
        }
    }
}

/// A collector that runs until it is dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    /// Ids of events that it took, in their order.
    taken: Mutex<Vec<String>>,
    /// The next answers; it takes all when there are no more.
    answers: Mutex<VecDeque<Answer>>,
    /// Names in events that it refuses with 400.
    refused: Mutex<BTreeSet<String>>,
    /// How often it is asked for an acknowledgement before it gives it. None: it sends no ackId.
    acknowledgement: Mutex<Option<u32>>,
}

impl Collector {
    /// With the certificate of the data folder, at a free port of 127.0.0.1.
    pub(crate) async fn start(data: &Path, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start_at(data, SocketAddr::from(([127, 0, 0, 1], 0)), answers).await
    }

    pub(crate) async fn start_at(data: &Path, at: SocketAddr, answers: impl IntoIterator<Item = Answer>) -> Self {
        let (certificate, key) = tls::default_pair(data);
        let chain = CertificateDer::pem_file_iter(certificate).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { answers: Mutex::new(answers.into_iter().collect()), ..Shared::default() });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                    connections.spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            let _ = serve(BufReader::new(stream), &shared).await;
                        }
                    });
                }
            }
        });
        Self { address, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }

    /// The numbers of the entries that it took, in their order, repetitions included.
    pub(crate) fn taken(&self) -> Vec<u64> {
        let taken = self.shared.taken.lock();
        taken.iter().map(|id| id.rsplit_once('#').unwrap().1.parse().unwrap()).collect()
    }

    /// The same, each once: at its first time.
    pub(crate) fn taken_once(&self) -> Vec<u64> {
        let mut seen = BTreeSet::new();
        self.taken().into_iter().filter(|number| seen.insert(*number)).collect()
    }

    /// Refuses events with this name from now on.
    pub(crate) fn refuse(&self, name: &str) {
        self.shared.refused.lock().insert(name.to_owned());
    }

    /// Refuses none any more.
    pub(crate) fn refuse_none(&self) {
        self.shared.refused.lock().clear();
    }

    /// Takes everything from now on.
    pub(crate) fn take_all(&self) {
        self.shared.answers.lock().clear();
    }

    /// Acknowledges after so many questions.
    pub(crate) fn acknowledge_after(&self, questions: u32) {
        *self.shared.acknowledgement.lock() = Some(questions);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn take(&self, request: &Request) -> (u16, Value) {
        let events = events(&request.path, &request.body);
        let refused = self.refused.lock();
        if let Some(index) = events.iter().position(|(_, name)| refused.contains(name)) {
            let said = match request.path.as_str() {
                "/services/collector/event" => {
                    json!({"text": "Invalid data format", "code": 6, "invalid-event-number": index})
                }
                _ => json!({"message": "one event is not right"}),
            };
            return (400, said);
        }
        self.taken.lock().extend(events.into_iter().map(|(id, _)| id));
        match (request.path.as_str(), *self.acknowledgement.lock()) {
            ("/services/collector/event", Some(_)) => (200, json!({"text": "Success", "code": 0, "ackId": 7})),
            ("/services/collector/event", None) => (200, json!({"text": "Success", "code": 0})),
            _ => (200, json!({})),
        }
    }

    fn acknowledge(&self) -> Value {
        let mut left = self.acknowledgement.lock();
        let left = left.as_mut().expect("no acknowledgements");
        let done = *left == 0;
        *left = left.saturating_sub(1);
        json!({"acks": {"7": done}})
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: BufReader<S>, shared: &Shared) -> std::io::Result<()> {
    loop {
        let (mut headers, mut length, mut line) = (Vec::new(), 0, String::new());
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("POST"), "{line}");
        let path = words.next().unwrap().to_owned();
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            let name = name.to_ascii_lowercase();
            if name == "content-length" {
                length = value.parse().unwrap();
            }
            headers.push((name, value.to_owned()));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let request = Request { path, headers, body: String::from_utf8(body).unwrap() };
        if request.path.starts_with("/services/collector/ack?channel=") {
            let body = shared.acknowledge().to_string();
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())
                .await?;
            stream.flush().await?;
            continue;
        }
        shared.requests.lock().push(request.clone());
        let answer = shared.answers.lock().pop_front().unwrap_or(Answer::Take);
        let (status, header, body) = match answer {
            Answer::Reset => return Ok(()),
            Answer::TakeAndClose => {
                shared.take(&request);
                return Ok(());
            }
            Answer::Never => std::future::pending().await,
            Answer::Take => {
                let (status, body) = shared.take(&request);
                (status, None, body)
            }
            Answer::TakeAfter(time) => {
                tokio::time::sleep(time).await;
                let (status, body) = shared.take(&request);
                (status, None, body)
            }
            Answer::Status(status, header, body) => (status, header, body),
        };
        let header = header.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
        let body = body.to_string();
        let answer = format!("HTTP/1.1 {status} Answer\r\n{header}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}
