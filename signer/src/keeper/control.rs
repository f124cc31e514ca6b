//! The signer's own socket, for `sealcard-signer unseal`: a passphrase goes straight to the signer, never through the
//! server.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sealcard_signer_protocol::{MasterKeyId, SecretKind, channel::Incoming, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{custody::Opened, unsealer::Unsealer};
use crate::{
    folder::{self, LockedFolder},
    log::{self, Level},
    seal::Passphrase,
};

/// Whoever connects has so long to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for a signer that is just starting.
const STARTING: Duration = Duration::from_secs(3);
/// How often to look whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a person asks of the running signer.
#[derive(Debug, Serialize, Deserialize)]
pub enum ControlRequest {
    /// How the master key is sealed and whether it is now.
    Status,
    /// Open the seal, with a passphrase if it wants one.
    Unseal(Option<Passphrase>),
    /// The fingerprint of the key that envelopes are closed with.
    EnvelopeKey,
    /// The master keys of a sealed store.
    MasterKeys,
    /// Read `seal.json` again, which has changed, and open it, with a passphrase if it wants one.
    Reload(Option<Passphrase>),
}

/// What the signer answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlReply {
    /// To [`ControlRequest::Status`].
    Status {
        /// Whether the master key is sealed.
        sealed: bool,
        /// What a person has to give.
        wanted: SecretKind,
    },
    /// The store is open now.
    Unsealed,
    /// The store was open already.
    AlreadyOpen,
    /// Why it stays sealed, or nothing else can be said.
    Refused(String),
    /// To [`ControlRequest::EnvelopeKey`].
    EnvelopeKey(String),
    /// To [`ControlRequest::MasterKeys`].
    MasterKeys {
        /// All, the oldest first.
        all: Vec<MasterKeyId>,
        /// Those that nothing is stored under, says the server.
        unused: Vec<MasterKeyId>,
    },
    /// To [`ControlRequest::Reload`]: the signer works with the changed seal.
    Reloaded,
}

/// Starts the thread that answers on the control socket.
pub(super) fn listen(folder: &LockedFolder, unsealer: Unsealer) -> io::Result<()> {
    let path = folder.control_socket();
    // Left behind by a signer that was killed: the folder's lock says that none runs.
    remove(folder);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let control = Control { unsealer };
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
    let frame = encode(request).map_err(io::Error::other)?;
    socket.write_all(&frame)?;
    read(&socket)
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
    unsealer: Unsealer,
}

impl Control {
    fn serve(&self, mut socket: UnixStream) -> io::Result<()> {
        let peer = getsockopt(&socket, PeerCredentials)?.uid();
        if peer != 0 && peer != nix::unistd::geteuid().as_raw() {
            log::event(Level::Warn, "control-peer-refused", &[("uid", &peer)]);
            return Ok(());
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let request = read(&socket)?;
        let reply = self.reply(request);
        let frame = encode(&reply).map_err(io::Error::other)?;
        socket.write_all(&frame)
    }

    fn reply(&self, request: ControlRequest) -> ControlReply {
        let custody = self.unsealer.custody();
        match request {
            ControlRequest::Status => ControlReply::Status { sealed: !custody.is_open(), wanted: custody.wanted() },
            ControlRequest::EnvelopeKey => match custody.envelope_key() {
                Ok(key) => ControlReply::EnvelopeKey(key.fingerprint().to_string()),
                Err(why) => ControlReply::Refused(why.into()),
            },
            ControlRequest::MasterKeys => match custody.master_key_ids() {
                Ok((all, unused)) => ControlReply::MasterKeys { all, unused },
                Err(why) => ControlReply::Refused(why.into()),
            },
            ControlRequest::Reload(passphrase) => match self.unsealer.reload(passphrase.as_ref()) {
                Ok(()) => ControlReply::Reloaded,
                Err(why) => ControlReply::Refused(why),
            },
            ControlRequest::Unseal(passphrase) => match self.unsealer.unseal(passphrase.as_ref()) {
                Ok(Opened::Now) => ControlReply::Unsealed,
                Ok(Opened::Before) => ControlReply::AlreadyOpen,
                Err(why) => ControlReply::Refused(why),
            },
        }
    }
}

fn read<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<T> {
    Incoming::default().wait(socket).map_err(io::Error::other)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
