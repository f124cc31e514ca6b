//! The signer's own socket, for `sealcard-signer unseal`: a passphrase goes straight to the signer, never through the
//! server.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::engine::Engine;
use crate::{
    folder::{self, LockedFolder},
    log::{self, Chain, Level},
    protocol,
    seal::{self, Passphrase, SealError, SealFile},
    sealed::Store,
};

/// A request has at most so many bytes.
const MAX_REQUEST: usize = 16 * 1024;
/// Whoever connects has so long to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for a signer that is just starting.
const STARTING: Duration = Duration::from_secs(3);
/// How often to look whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The wait after the first wrong passphrase; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait after a wrong passphrase.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a person asks of the running signer.
#[derive(Debug, Serialize, Deserialize)]
pub enum ControlRequest {
    /// How the master key is sealed and whether it is now.
    Status,
    /// Open the seal, with a passphrase if it wants one.
    Unseal(Option<Passphrase>),
    /// The fingerprint of the key that envelopes are closed with.
    EnvelopeKey,
}

/// What the signer answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlReply {
    /// To [`ControlRequest::Status`].
    Status {
        /// Whether the master key is sealed.
        sealed: bool,
        /// Whether a passphrase opens it.
        passphrase: bool,
    },
    /// The store is open now.
    Unsealed,
    /// The store was open already.
    AlreadyOpen,
    /// Why it stays sealed, or nothing else can be said.
    Refused(String),
    /// To [`ControlRequest::EnvelopeKey`].
    EnvelopeKey(String),
}

/// Starts the thread that answers on the control socket.
pub(super) fn listen(folder: &LockedFolder, seal: SealFile, engine: Arc<Engine>) -> io::Result<()> {
    let path = folder.control_socket();
    // Left behind by a signer that was killed: the folder's lock says that none runs.
    remove(folder);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let mut control = Control { folder: folder.path().to_owned(), seal, engine, failures: 0 };
    std::thread::Builder::new().name("control".into()).spawn(move || {
        // One connection after the other: guesses can't be made at once.
        for connection in listener.incoming() {
            if let Err(error) = connection.and_then(|connection| control.serve(connection)) {
                log::event(Level::Warn, "control-connection-failed", &[("error", &error)]);
            }
        }
    })?;
    Ok(())
}

/// Removes the socket's name.
pub(super) fn remove(folder: &LockedFolder) {
    let _ = std::fs::remove_file(folder.control_socket());
}

/// Asks the running signer of a folder.
///
/// # Errors
/// If no signer runs there or it can't be talked to.
pub fn ask(folder: &Path, request: &ControlRequest) -> io::Result<ControlReply> {
    let folder = File::open(folder)?;
    let mut socket = connect(&folder)?;
    let frame = protocol::encode(request).map_err(io::Error::other)?;
    socket.write_all(&frame)?;
    let body = read_frame(&mut socket)?;
    protocol::decode(&body).map_err(io::Error::other)
}

/// Connects, also to a signer that is just starting: the server serves before its signers are ready.
fn connect(folder: &File) -> io::Result<UnixStream> {
    let deadline = Instant::now() + STARTING;
    loop {
        match UnixStream::connect(folder::control_socket(folder)) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(LOOK_AGAIN);
            }
            outcome => return outcome,
        }
    }
}

struct Control {
    folder: PathBuf,
    seal: SealFile,
    engine: Arc<Engine>,
    failures: u32,
}

impl Control {
    fn serve(&mut self, mut socket: UnixStream) -> io::Result<()> {
        let peer = getsockopt(&socket, PeerCredentials)?.uid();
        if peer != 0 && peer != nix::unistd::geteuid().as_raw() {
            log::event(Level::Warn, "control-peer-refused", &[("uid", &peer)]);
            return Ok(());
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let request = protocol::decode(&read_frame(&mut socket)?).map_err(io::Error::other)?;
        let reply = self.reply(request);
        let frame = protocol::encode(&reply).map_err(io::Error::other)?;
        socket.write_all(&frame)
    }

    fn reply(&mut self, request: ControlRequest) -> ControlReply {
        let passphrase = match request {
            ControlRequest::Status => {
                let passphrase = self.seal.source().kind() == "passphrase";
                return ControlReply::Status { sealed: self.engine.is_sealed(), passphrase };
            }
            ControlRequest::EnvelopeKey => {
                return match self.engine.envelope_key() {
                    Ok(key) => ControlReply::EnvelopeKey(key.fingerprint().to_string()),
                    Err(error) => ControlReply::Refused(error.to_string()),
                };
            }
            ControlRequest::Unseal(passphrase) => passphrase,
        };
        if !self.engine.is_sealed() {
            return ControlReply::AlreadyOpen;
        }
        match seal::unseal(&self.seal, &self.folder, passphrase.as_ref()) {
            Ok(master) => {
                self.failures = 0;
                self.engine.unsealed(Store::new(master));
                log::event(Level::Info, "unsealed", &[("seal", &self.seal.source().kind())]);
                ControlReply::Unsealed
            }
            Err(error) => {
                log::event(Level::Warn, "unseal-failed", &[("why", &Chain(&error))]);
                if matches!(error, SealError::WrongSecret(_)) {
                    let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
                    self.failures = self.failures.saturating_add(1);
                    std::thread::sleep(wait.min(LONGEST_WAIT));
                }
                ControlReply::Refused(Chain(&error).to_string())
            }
        }
    }
}

fn read_frame(socket: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut header = [0; 4];
    socket.read_exact(&mut header)?;
    let len = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if len > MAX_REQUEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
    }
    let mut body = Zeroizing::new(vec![0; len]);
    socket.read_exact(&mut body)?;
    Ok(body)
}
