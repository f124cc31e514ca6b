//! A witness that answers as it is told to.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use data_encoding::{BASE64, HEXLOWER};
use parking_lot::Mutex;

/// How it answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behaviour {
    /// With a signature of its key that is wrong.
    WrongSignature,
    /// With this status.
    Status(u16),
    /// With 409 and this size.
    Size(&'static str),
    /// With 409 and another size each time.
    OtherSizes,
    /// With more than fits into memory.
    Oversize,
    /// With another address.
    Redirect,
    /// Not at all.
    Slow,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    asked: AtomicUsize,
    wrong: String,
}

/// Lives as long as the process of the test.
pub(super) struct FakeWitness {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl FakeWitness {
    /// One with this public key, whose private key it does not use.
    pub(super) fn start(key: &str) -> Result<Self> {
        let mut parts = key.splitn(3, '+');
        let (name, id) = parts.next().zip(parts.next()).context("a key")?;
        let mut signature = HEXLOWER.decode(id.as_bytes())?;
        signature.extend([7; 72]);
        let wrong = format!("\u{2014} {name} {}\n", BASE64.encode(&signature));
        let (behaviour, asked) = (Mutex::new(Behaviour::Status(404)), AtomicUsize::new(0));
        let shared = Arc::new(Shared { behaviour, asked, wrong });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let answering = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&answering);
                // Who hangs up has no answer to lose.
                thread::spawn(move || shared.answer(client).ok());
            }
        });
        Ok(Self { address, shared })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock() = behaviour;
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn answer(&self, mut client: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let behaviour = *self.behaviour.lock();
        let size = "content-type: text/x.tlog.size\r\n";
        let (status, headers, body) = match behaviour {
            Behaviour::WrongSignature => (200, "", self.wrong.clone()),
            Behaviour::Status(status) => (status, "", "as it was told to\n".to_owned()),
            Behaviour::Size(text) => (409, size, format!("{text}\n")),
            Behaviour::OtherSizes => (409, size, format!("{}\n", 1 + asked % 4)),
            Behaviour::Oversize => (200, "", self.wrong.repeat(1_000_000)),
            Behaviour::Redirect => (307, "location: http://127.0.0.1:1/\r\n", String::new()),
            Behaviour::Slow => {
                thread::sleep(Duration::from_secs(3600));
                return Ok(());
            }
        };
        let head =
            format!("HTTP/1.1 {status} Answer\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes())?;
        client.write_all(body.as_bytes())?;
        Ok(())
    }
}
