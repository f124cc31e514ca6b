//! The socket that the keeper shares with the server.

use std::{
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::mpsc,
    time::Duration,
};

use sealcard_signer_protocol::{
    Hello, KeeperAnswer, KeeperMessage, KeeperRefusal, KeeperRequest, StoreState,
    channel::{self, ChannelError, Incoming},
};

use super::supervisor::Event;

/// A server that does not read for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sending side; a thread of its own reads.
pub(super) struct Link {
    socket: UnixStream,
}

impl Link {
    /// Greets the server and starts the thread that reads what it asks.
    pub(super) fn start(socket: UnixStream, events: mpsc::Sender<Event>) -> io::Result<Self> {
        socket.set_write_timeout(Some(PATIENCE))?;
        let hello = KeeperMessage::Hello(Hello::of_this_release());
        channel::send(&socket, &hello, &[]).map_err(io::Error::other)?;
        let reading = socket.try_clone()?;
        std::thread::Builder::new().name("link".into()).spawn(move || read(&reading, &events))?;
        Ok(Self { socket })
    }

    /// Hands the server its end of the socket to a worker.
    pub(super) fn hand_over(&self, process: u32, socket: &UnixStream) -> Result<(), ChannelError> {
        channel::send(&self.socket, &KeeperMessage::Worker { process }, &[socket.as_fd()])
    }

    pub(super) fn state(&self, state: StoreState) -> Result<(), ChannelError> {
        channel::send(&self.socket, &KeeperMessage::State(state), &[])
    }

    pub(super) fn answer(&self, id: u64, result: Result<KeeperAnswer, KeeperRefusal>) -> Result<(), ChannelError> {
        channel::send(&self.socket, &KeeperMessage::Answer { id, result }, &[])
    }
}

fn read(socket: &UnixStream, events: &mpsc::Sender<Event>) {
    let mut incoming = Incoming::default();
    loop {
        let event = match incoming.wait::<KeeperRequest>(socket) {
            Ok(Some(request)) => Event::Request(request),
            Ok(None) => Event::ServerGone(None),
            Err(error) => Event::ServerGone(Some(error)),
        };
        let last = matches!(event, Event::ServerGone(_));
        if events.send(event).is_err() || last {
            return;
        }
    }
}
