//! One address in front of several servers, as a load balancer that passes TLS through.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};

/// Passes each connection to the next server that accepts it. Ends with this value; connections that stand go on.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    /// In front of the servers at these addresses (`https://127.0.0.1:PORT`).
    ///
    /// # Errors
    /// If it can't listen.
    pub fn start(urls: &[&str]) -> Result<Self> {
        let backends: Vec<SocketAddr> = urls
            .iter()
            .map(|url| url.trim_start_matches("https://").parse().with_context(|| format!("the address {url}")))
            .collect::<Result<_>>()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let turn = AtomicUsize::new(0);
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(client) = client {
                    let start = turn.fetch_add(1, Ordering::Relaxed);
                    let order = backends.iter().cycle().skip(start % backends.len()).take(backends.len());
                    // A client that no server takes sees its connection close.
                    if let Some(server) = order.filter_map(|backend| TcpStream::connect(backend).ok()).next() {
                        let _ = pass(client, server);
                    }
                }
            }
        });
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

/// Copies both ways, each in a thread of its own, until one side closes.
fn pass(client: TcpStream, server: TcpStream) -> io::Result<()> {
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        to.set_nodelay(true)?;
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The listener looks at it when the next client comes.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
