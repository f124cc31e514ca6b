//! One keeper at a time for an environment: started or connected to, watched, replaced. The workers that it brings are connections.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use sealcard_signer::{
    keeper::INHERITED_VARIABLES,
    protocol::{KeeperRequestBody, RequestBody},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::UnixStream,
    process::{Child, ChildStderr, Command},
    sync::{Mutex, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    HEARTBEAT, STATUS_DEADLINE,
    connection::Connection,
    folders::Place,
    link::{Link, News},
};

/// The pause before a signer is started again; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two starts.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A signer that ran so long did not fail at its start: the pause begins anew.
const STEADY: Duration = Duration::from_secs(60);

/// How long a signer may finish what it has begun when the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How to reach one signer.
#[derive(Debug, Clone)]
pub struct SignerSettings {
    /// The program `sealcard-signer`.
    pub program: PathBuf,
    /// Where the signer is.
    pub place: Place,
    /// The environment's name, for the log.
    pub environment: String,
}

/// What runs at present.
pub(super) struct Current {
    /// The keeper.
    pub(super) link: watch::Sender<Option<Arc<Link>>>,
    /// Its worker.
    pub(super) connection: watch::Sender<Option<Arc<Connection>>>,
}

/// Keeps one signer running.
pub(super) struct Supervisor {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Supervisor {
    pub(super) fn start(settings: SignerSettings, current: Current) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(supervise(settings, current, stopped));
        Self { stop, task: Mutex::new(Some(task)) }
    }

    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
    }
}

async fn supervise(settings: SignerSettings, current: Current, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    while !*stop.borrow() {
        let started = Instant::now();
        let environment = settings.environment.as_str();
        match &settings.place {
            Place::Here(folder) => match spawn(&settings.program, folder) {
                Ok((child, stream)) => run(environment, Keeper::Child(child), stream, &current, &mut stop).await,
                Err(error) => {
                    tracing::error!(environment, program = %settings.program.display(), %error,
                        "signer: can't be started");
                }
            },
            Place::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => run(environment, Keeper::Elsewhere, stream, &current, &mut stop).await,
                Err(error) => {
                    tracing::error!(environment, socket = %path.display(), %error, "signer: can't be connected to");
                }
            },
        }
        if started.elapsed() >= STEADY {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = stopped(&mut stop) => {}
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value's guard must not live on; that the sender has gone means the same.
    let _ = stop.wait_for(|stop| *stop).await.is_ok();
}

/// Starts the process with one end of a socket pair as its standard input, which needs no descriptor juggling.
fn spawn(program: &Path, folder: &Path) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(program)
        .args(["serve", "--socket-fd", "0", "--folder"])
        .arg(folder)
        .env_clear()
        .envs(INHERITED_VARIABLES.into_iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// Whose process the keeper is.
enum Keeper {
    Child(Child),
    /// Another user's: it ends when its socket is closed, and its log goes elsewhere.
    Elsewhere,
}

impl Keeper {
    fn process(&self) -> Option<u32> {
        match self {
            Self::Child(child) => child.id(),
            Self::Elsewhere => None,
        }
    }

    fn log(&mut self) -> Option<ChildStderr> {
        match self {
            Self::Child(child) => child.stderr.take(),
            Self::Elsewhere => None,
        }
    }

    /// Returns when the process has ended, if that can be known apart from its socket.
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        match self {
            Self::Child(child) => child.wait().await,
            Self::Elsewhere => std::future::pending().await,
        }
    }

    async fn kill(&mut self) {
        if let Self::Child(child) = self {
            let _ = child.kill().await;
        }
    }
}

/// Serves one keeper until it ends or the server stops.
async fn run(
    environment: &str,
    mut keeper: Keeper,
    stream: UnixStream,
    current: &Current,
    stop: &mut watch::Receiver<bool>,
) {
    let process = keeper.process();
    let log = keeper.log().map(|stderr| tokio::spawn(forward_log(environment.to_owned(), stderr)));
    let (news, mut told) = mpsc::unbounded_channel();
    let (link, reader) = Link::new(stream, news);
    let mut reader = tokio::spawn(reader);
    let mut workers = JoinSet::new();
    tracing::info!(environment, process, "signer: started");
    current.link.send_replace(Some(Arc::clone(&link)));
    let heartbeat = heartbeat(&link, &current.connection);
    tokio::pin!(heartbeat);
    loop {
        tokio::select! {
            Some(news) = told.recv() => take(environment, news, current, &mut workers),
            _ = &mut reader => {
                tracing::error!(environment, process, "signer: closed its socket");
                break;
            }
            status = keeper.ended() => {
                tracing::error!(environment, process, ?status, "signer: ended");
                break;
            }
            () = &mut heartbeat => {
                tracing::error!(environment, process, "signer: does not answer, is replaced");
                break;
            }
            () = stopped(stop) => {
                end(&link, current).await;
                let ended = async {
                    tokio::select! {
                        _ = keeper.ended() => {}
                        _ = &mut reader, if process.is_none() => {}
                    }
                };
                let ended = timeout(STOP_DEADLINE, ended).await;
                tracing::info!(environment, process, clean = ended.is_ok(), "signer: stopped");
                break;
            }
        }
    }
    current.link.send_replace(None);
    // The worker ends with the keeper; what it has answered before is still read, then everyone who waits is told.
    // One that is not ours to kill ends when nothing more can come.
    end(&link, current).await;
    keeper.kill().await;
    reader.abort();
    let all_read = async { while workers.join_next().await.is_some() {} };
    if timeout(STOP_DEADLINE, all_read).await.is_err() {
        workers.shutdown().await;
    }
    current.connection.send_replace(None);
    if let Some(log) = log {
        let _ = timeout(STATUS_DEADLINE, log).await;
    }
}

/// The keeper first, so that it does not take the worker's end for a failure; the worker finishes what it has.
async fn end(link: &Link, current: &Current) {
    link.shutdown().await;
    let connection = current.connection.borrow().clone();
    if let Some(connection) = connection {
        connection.shutdown().await;
    }
}

/// Takes in what the keeper says by itself.
fn take(environment: &str, news: News, current: &Current, workers: &mut JoinSet<()>) {
    match news {
        News::State(state) => tracing::info!(environment, ?state, "signer: its state has changed"),
        News::Worker(process, stream) => {
            let (connection, reader) = Connection::new(stream, process);
            current.connection.send_replace(Some(Arc::clone(&connection)));
            tracing::info!(environment, process, "signer: a worker is ready");
            let (environment, current) = (environment.to_owned(), current.connection.clone());
            workers.spawn(async move {
                reader.await;
                tracing::warn!(environment, process, "signer: the worker has ended");
                current.send_if_modified(|current| {
                    // Its successor may be there already.
                    let ours = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &connection));
                    if ours {
                        *current = None;
                    }
                    ours
                });
            });
        }
    }
}

/// Returns when the keeper has not answered two questions in a row. A worker that has not is replaced by the keeper, which
/// loses no secret over it.
async fn heartbeat(link: &Link, connection: &watch::Sender<Option<Arc<Connection>>>) {
    let mut missed = 0;
    let mut silent: Option<u32> = None;
    while missed < 2 {
        sleep(HEARTBEAT).await;
        missed = match link.ask(KeeperRequestBody::Status, STATUS_DEADLINE).await {
            Ok(_) => 0,
            Err(_) => missed + 1,
        };
        let worker = connection.borrow().clone();
        let Some(worker) = worker else { continue };
        let process = worker.process_id();
        if worker.ask(RequestBody::Status, STATUS_DEADLINE).await.is_ok() {
            silent = None;
        } else if silent.replace(process) == Some(process) {
            tracing::error!(process, "signer: the worker does not answer, is replaced");
            let _ = link.ask(KeeperRequestBody::ReplaceWorker { process }, STATUS_DEADLINE).await;
        }
    }
}

async fn forward_log(environment: String, stderr: ChildStderr) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(target: "signer", environment, "{line}");
    }
}
