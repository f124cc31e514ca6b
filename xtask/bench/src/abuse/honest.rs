//! Clients that sign, and one that opens a new connection now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

use crate::client::{Client, ask, sign};

/// How long a request or a connection is waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// The pause after a failure, and between new connections.
const PAUSE: Duration = Duration::from_millis(100);

/// What the clients have seen in some time.
#[derive(Debug, Default)]
pub(super) struct Seen {
    time: Duration,
    /// How long each signature took.
    signatures: Vec<Duration>,
    pub(super) failed: usize,
    /// How long each new connection took to be served.
    connections: Vec<Duration>,
}

/// Ends when it is dropped.
pub(super) struct Clients {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl Clients {
    pub(super) fn start(signer: &Client, connecting: &Client, key: &str, number: usize) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        for number in 0..number {
            let one = One { client: signer.clone(), seen: Arc::clone(&seen) };
            let (path, body) = sign(key, number);
            tasks.spawn(async move { one.sign(&path, &body).await });
        }
        let one = One { client: connecting.clone(), seen: Arc::clone(&seen) };
        tasks.spawn(one.connect());
        Self { seen, _tasks: tasks }
    }

    /// What they see from now on, for some time.
    pub(super) async fn watch(&self, time: Duration) -> Result<Seen> {
        let started = Instant::now();
        drop(take(&self.seen));
        sleep(time).await;
        let seen = Seen { time: started.elapsed(), ..take(&self.seen) };
        (!seen.time.is_zero()).then_some(seen).context("no time has passed")
    }
}

fn take(seen: &Mutex<Seen>) -> Seen {
    std::mem::take(&mut *seen.lock())
}

/// One client.
struct One {
    client: Client,
    seen: Arc<Mutex<Seen>>,
}

impl One {
    async fn sign(self, path: &str, body: &str) {
        let mut stream = None;
        loop {
            let started = Instant::now();
            let signed = timeout(DEADLINE, self.signature(&mut stream, path, body)).await;
            let took = started.elapsed();
            if matches!(signed, Ok(Ok(200))) {
                self.note(|seen| seen.signatures.push(took));
                continue;
            }
            if !matches!(signed, Ok(Ok(_))) {
                stream = None;
            }
            self.note(|seen| seen.failed += 1);
            sleep(PAUSE).await;
        }
    }

    async fn signature(&self, stream: &mut Option<TlsStream<TcpStream>>, path: &str, body: &str) -> Result<u16> {
        if stream.is_none() {
            *stream = Some(self.client.connect().await?);
        }
        let stream = stream.as_mut().context("no connection")?;
        let request = self.client.request(path, Some(Uuid::now_v7()), body);
        Ok(ask(stream, request.as_bytes(), &mut Vec::new()).await?.0)
    }

    async fn connect(self) {
        let request = self.client.bare("GET", "/healthz");
        loop {
            let started = Instant::now();
            let mut served = false;
            while !served && started.elapsed() < DEADLINE {
                let once = async {
                    let mut stream = self.client.connect().await?;
                    ask(&mut stream, request.as_bytes(), &mut Vec::new()).await
                };
                served = matches!(timeout(DEADLINE, once).await, Ok(Ok((204, _))));
                if !served {
                    sleep(PAUSE).await;
                }
            }
            let took = started.elapsed();
            self.note(|seen| seen.connections.push(took));
            sleep(PAUSE).await;
        }
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock());
    }
}

impl Seen {
    pub(super) fn add(&mut self, more: Self) {
        self.time += more.time;
        self.signatures.extend(more.signatures);
        self.failed += more.failed;
        self.connections.extend(more.connections);
    }

    /// Signatures a second.
    #[allow(clippy::cast_precision_loss)] // counts of some seconds
    pub(super) fn rate(&self) -> f64 {
        self.signatures.len() as f64 / self.time.as_secs_f64()
    }

    /// Milliseconds that 99 of 100 signatures took at most.
    pub(super) fn p99(&self) -> f64 {
        let mut sorted = self.signatures.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
        sorted.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }

    /// Milliseconds.
    pub(super) fn longest_connection(&self) -> f64 {
        self.connections.iter().max().map_or(f64::INFINITY, |time| time.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p99_leaves_one_in_a_hundred_out() {
        let signatures = (1..=200).rev().map(Duration::from_millis).collect();
        let seen = Seen { time: Duration::from_secs(2), signatures, ..Seen::default() };
        assert!((seen.p99() - 198.0).abs() < 0.001 && (seen.rate() - 100.0).abs() < 0.001);
        assert!(Seen::default().p99().is_nan());
    }
}
