//! The life of the daemon: the pipe, the socket, and when to end.

use std::{fs::File, io, os::fd::AsFd as _, path::Path, rc::Rc, time::Duration};

use tokio::{
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use super::{Connection, Daemon, Listener, Peer, Session, asking::AgentSockets, socket_candidates};
use crate::config::Paths;

/// How long the note of the last operation, and giving up what waits, may take when the daemon ends.
const FINISH_LIMIT: Duration = Duration::from_secs(2);

/// Why the daemon could not begin. Retrying can't help.
#[derive(Debug, thiserror::Error)]
#[error("can't serve gpg-agent: {0}")]
pub struct ServeError(#[from] io::Error);

/// Serves gpg-agent on stdin and stdout and everyone else on the socket, until the agent is gone and the last client
/// with it, or until KILLSCD. `homedir` is the GnuPG home that gpg-agent named.
///
/// # Errors
/// If the event loop or the pipe can't be set up.
pub fn serve(homedir: Option<&Path>) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = LocalSet::new().block_on(&runtime, run(homedir));
    // A blocked resolver thread must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run(homedir: Option<&Path>) -> Result<(), ServeError> {
    let daemon = Rc::new(Daemon::new(Paths::discover(homedir)));
    daemon.askers.set_agent(AgentSockets::of(homedir));
    let connection = pipe_connection()?;
    let agent = std::env::var("_assuan_pipe_connect_pid").ok().and_then(|pid| pid.parse().ok());
    let listener = match Listener::bind(&socket_candidates(homedir, daemon.paths.as_ref())) {
        Ok(listener) => {
            daemon.set_socket(listener.path().to_owned());
            Some(listener)
        }
        // One client at a time still works.
        Err(error) => {
            daemon.log().error(format!("can't listen on a socket: {error}"));
            None
        }
    };
    let main = spawn(&daemon, Session::new(Rc::clone(&daemon), connection, Peer::Pipe(agent)));
    tokio::select! {
        () = serve_until_idle(&daemon, listener.as_ref(), main) => {}
        () = daemon.stopped() => {}
        () = terminated() => {}
    }
    drop(listener);
    // Uses that wait for people are given up.
    daemon.request_stop();
    let _ = tokio::time::timeout(FINISH_LIMIT, async { tokio::join!(daemon.settle(), daemon.finish()) }).await;
    Ok(())
}

/// Takes clients as long as the agent is there; then waits for the last of them.
async fn serve_until_idle(daemon: &Rc<Daemon>, listener: Option<&Listener>, main: tokio::task::JoinHandle<()>) {
    tokio::pin!(main);
    loop {
        let accepted = async {
            match listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = &mut main => break,
            client = accepted => match client {
                Ok((stream, pid)) => {
                    let (reader, writer) = stream.into_split();
                    let connection = Connection::new(reader, writer);
                    spawn(daemon, Session::new(Rc::clone(daemon), connection, Peer::Socket(pid)));
                }
                // Out of file descriptors, most likely: others must end first.
                Err(error) => {
                    daemon.log().error(format!("can't take a client: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    while daemon.sessions() > 0 {
        daemon.session_ended.notified().await;
    }
}

/// Runs a session on its own: what goes wrong in it, a panic even, ends it and nothing else.
fn spawn(daemon: &Rc<Daemon>, session: Session) -> tokio::task::JoinHandle<()> {
    let daemon = Rc::clone(daemon);
    tokio::task::spawn_local(async move {
        let session = tokio::task::spawn_local(session.run());
        match session.await {
            // A client that went away without reading its answer is nothing to write of.
            Ok(_) => {}
            Err(error) if error.is_panic() => daemon.log().error("a session ended by a fault of this program"),
            Err(_) => {}
        }
    })
}

/// Stdin and stdout, without a thread in between where they are pipes, as gpg-agent makes them.
fn pipe_connection() -> io::Result<Connection> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    match (pipe::Receiver::from_file(input), pipe::Sender::from_file(output)) {
        (Ok(reader), Ok(writer)) => Ok(Connection::new(reader, writer)),
        (Ok(reader), Err(_)) => Ok(Connection::new(reader, tokio::io::stdout())),
        (Err(_), Ok(writer)) => Ok(Connection::new(tokio::io::stdin(), writer)),
        // A terminal, a file or a socket pair, by hand or in a test.
        (Err(_), Err(_)) => Ok(Connection::new(tokio::io::stdin(), tokio::io::stdout())),
    }
}

/// Waits for a signal that asks for an orderly end. SIGHUP is taken and ignored, as scdaemon does.
async fn terminated() {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => {}
        }
    }
}
