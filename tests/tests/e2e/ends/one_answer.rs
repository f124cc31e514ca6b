//! A server that shows the certificate of a playground's server and has one answer to everything.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sealcard_api::problem::{Problem, ProblemCode};
use sealcard_tests::Playground;

/// What every request is answered with.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// A problem, as Sealcard's server tells it.
    Problem(ProblemCode),
    /// Success, with a body that no Sealcard server ever sends.
    Nonsense,
    /// None: the connection is closed after the handshake.
    Close,
}

/// The server. Its threads end with the test's process.
pub(super) struct OneAnswer {
    answer: Arc<Mutex<Answer>>,
}

impl OneAnswer {
    /// Takes the place of a playground's server, which has ended.
    pub(super) fn in_place_of(playground: &Playground) -> Result<Self> {
        let address = playground.server.url().strip_prefix("https://").context("the server's address")?;
        Ok(Self::start(&playground.server.data().join("tls"), "server", address)?.1)
    }

    /// One at an address of its own, which it gives, with the certificate of this name in the folder.
    pub(super) fn with_certificate(folder: &Path, name: &str) -> Result<(String, Self)> {
        Self::start(folder, name, "127.0.0.1:0")
    }

    fn start(folder: &Path, name: &str, address: &str) -> Result<(String, Self)> {
        let chain =
            CertificateDer::pem_file_iter(folder.join(format!("{name}.pem")))?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")))?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let listener = TcpListener::bind(address)?;
        let url = format!("https://{}", listener.local_addr()?);
        let server = Self { answer: Arc::new(Mutex::new(Answer::Close)) };
        let (config, answer) = (Arc::new(config), Arc::clone(&server.answer));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
                // A client that does not like what it sees goes away; that is what the test looks at.
                thread::spawn(move || serve(stream, config, &answer));
            }
        });
        Ok((url, server))
    }

    /// From now on, this is the answer.
    pub(super) fn set(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, answer: &Mutex<Answer>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config)?, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        stream.by_ref().take(length).read_to_end(&mut Vec::new())?;
        let answer = answer.lock().clone();
        let (status, kind, body) = match answer {
            Answer::Close => return Ok(()),
            Answer::Nonsense => (200, "text/html", "<html>Welcome to the guest network</html>".to_owned()),
            Answer::Problem(code) => {
                (code.status(), "application/problem+json", serde_json::to_string(&Problem::new(code))?)
            }
        };
        let head =
            format!("HTTP/1.1 {status} Answer\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        stream.get_mut().flush()?;
    }
}
