//! One keeper at a time for an environment: started or connected to, watched, replaced. The workers that it brings are
//! connections.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use sealcard_signer_protocol::{KeeperRequestBody, RequestBody};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::UnixStream,
    process::{Child, ChildStderr},
    sync::{Mutex, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    connection::Connection,
    folders::Place,
    link::{Link, News},
    metrics::SignerMetrics,
    program::Program,
};
use crate::limits;

/// What a signer gets of the server's environment: systemd's credentials and, in builds for tests, their failpoints.
const INHERITED_VARIABLES: &[&str] =
    if cfg!(feature = "failpoints") { &["CREDENTIALS_DIRECTORY", "FAILPOINTS"] } else { &["CREDENTIALS_DIRECTORY"] };

/// How to reach one signer.
#[derive(Debug, Clone)]
pub struct SignerSettings {
    /// The program `sealcard-signer`.
    pub program: Program,
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
    /// Why the keeper does not start, in its own words.
    pub(super) trouble: watch::Sender<Option<String>>,
    pub(super) metrics: SignerMetrics,
}

/// Keeps one signer running.
pub(super) struct Supervisor {
    /// The server is about to stop, and so is the signer: its end is no failure.
    ending: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Supervisor {
    pub(super) fn start(settings: SignerSettings, current: Current) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ending = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(supervise(settings, current, stopped, Arc::clone(&ending)));
        Self { ending, stop, task: Mutex::new(Some(task)) }
    }

    /// From now on processes that end are expected to.
    pub(super) fn expect_end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) async fn stop(&self) {
        self.expect_end();
        self.stop.send_replace(true);
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
    }
}

async fn supervise(
    settings: SignerSettings,
    current: Current,
    mut stop: watch::Receiver<bool>,
    ending: Arc<AtomicBool>,
) {
    let mut pause = limits::RESTART_PAUSE;
    while !*stop.borrow() {
        let started = Instant::now();
        let environment = settings.environment.as_str();
        current.metrics.keepers.inc();
        match &settings.place {
            Place::Here(folder) => match spawn(&settings.program, folder) {
                Ok((child, stream)) => {
                    run(environment, Keeper::Child(child), stream, &current, &mut stop, &ending).await;
                }
                Err(error) => {
                    let program = settings.program.path().display();
                    let why = format!("{program} can't be started: {error}");
                    current.fails(environment, None, why, &ending);
                }
            },
            Place::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => run(environment, Keeper::Elsewhere, stream, &current, &mut stop, &ending).await,
                Err(error) => {
                    let why = format!("its socket {} can't be connected to: {error}", path.display());
                    current.fails(environment, None, why, &ending);
                }
            },
        }
        if started.elapsed() >= limits::STEADY {
            pause = limits::RESTART_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = stopped(&mut stop) => {}
        }
        pause = (pause * 2).min(limits::MAX_RESTART_PAUSE);
    }
}

impl Current {
    /// Notes why the keeper does not run. The same reason is logged as an error only once.
    fn fails(&self, environment: &str, process: Option<u32>, why: String, ending: &AtomicBool) {
        if ending.load(Ordering::Relaxed) {
            tracing::info!(environment, process, why, "signer: has ended");
        } else if self.trouble.borrow().as_ref() == Some(&why) {
            tracing::debug!(environment, process, why, "signer: fails as before");
        } else {
            tracing::error!(environment, process, why, "signer: fails, is started again with growing pauses");
        }
        self.trouble.send_replace(Some(why));
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value's guard must not live on; that the sender has gone means the same.
    let _ = stop.wait_for(|stop| *stop).await.is_ok();
}

/// Starts the process with one end of a socket pair as its standard input, which needs no descriptor juggling.
fn spawn(program: &Program, folder: &Path) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = program
        .command()?
        .args(["serve", "--socket-fd", "0", "--folder"])
        .arg(folder)
        .env_clear()
        .envs(INHERITED_VARIABLES.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))))
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
    ending: &Arc<AtomicBool>,
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
    let failure = loop {
        tokio::select! {
            biased;
            Some(news) = told.recv() => {
                if let News::Stranger(stranger) = news {
                    break Some(stranger.to_string());
                }
                take(environment, news, current, &mut workers, ending);
            }
            _ = &mut reader => {
                if process.is_some() {
                    // Killed at once it could not say why any more.
                    let _ = timeout(limits::STATUS_DEADLINE, keeper.ended()).await;
                }
                break Some("it closed its socket; its own log says why".to_owned());
            }
            status = keeper.ended() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                break Some(format!("it ended ({status})"));
            }
            () = &mut heartbeat => break Some("it did not answer and was ended".to_owned()),
            () = stopped(stop) => {
                end(&link, current).await;
                let ended = async {
                    tokio::select! {
                        _ = keeper.ended() => {}
                        _ = &mut reader, if process.is_none() => {}
                    }
                };
                let ended = timeout(limits::STOP_DEADLINE, ended).await;
                tracing::info!(environment, process, clean = ended.is_ok(), "signer: stopped");
                break None;
            }
        }
    };
    current.link.send_replace(None);
    // The worker ends with the keeper; what it has answered before is still read, then everyone who waits is told.
    // One that is not ours to kill ends when nothing more can come.
    end(&link, current).await;
    keeper.kill().await;
    reader.abort();
    let all_read = async { while workers.join_next().await.is_some() {} };
    if timeout(limits::STOP_DEADLINE, all_read).await.is_err() {
        workers.shutdown().await;
    }
    current.connection.send_replace(None);
    let mut said = None;
    if let Some(log) = log {
        said = timeout(limits::STATUS_DEADLINE, log).await.ok().and_then(Result::ok).flatten();
    }
    if let Some(failure) = failure {
        current.fails(environment, process, said.unwrap_or(failure), ending);
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
fn take(environment: &str, news: News, current: &Current, workers: &mut JoinSet<()>, ending: &Arc<AtomicBool>) {
    match news {
        // It is not taken as a signer.
        News::Stranger(_) => {}
        News::State(state) => tracing::info!(environment, ?state, "signer: its state has changed"),
        News::Worker(process, stream) => {
            let (connection, reader) = Connection::new(stream, process);
            current.connection.send_replace(Some(Arc::clone(&connection)));
            current.trouble.send_replace(None);
            current.metrics.workers.inc();
            tracing::info!(environment, process, "signer: a worker is ready");
            let (environment, current) = (environment.to_owned(), current.connection.clone());
            let ending = Arc::clone(ending);
            workers.spawn(async move {
                reader.await;
                if ending.load(Ordering::Relaxed) {
                    tracing::info!(environment, process, "signer: the worker has ended");
                } else {
                    tracing::warn!(environment, process, "signer: the worker has ended");
                }
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

/// Returns when the keeper has not answered two questions in a row. A worker that has not is replaced by the keeper,
/// which loses no secret over it.
async fn heartbeat(link: &Link, connection: &watch::Sender<Option<Arc<Connection>>>) {
    let mut missed = 0;
    let mut silent: Option<u32> = None;
    while missed < 2 {
        sleep(limits::HEARTBEAT).await;
        missed = match link.ask(KeeperRequestBody::Status, limits::STATUS_DEADLINE).await {
            Ok(_) => 0,
            Err(_) => missed + 1,
        };
        let worker = connection.borrow().clone();
        let Some(worker) = worker else { continue };
        let process = worker.process_id();
        if worker.ask(RequestBody::Status, limits::STATUS_DEADLINE).await.is_ok() {
            silent = None;
        } else if silent.replace(process) == Some(process) {
            tracing::error!(process, "signer: the worker does not answer, is replaced");
            let _ = link.ask(KeeperRequestBody::ReplaceWorker { process }, limits::STATUS_DEADLINE).await;
        }
    }
}

/// The reason of the last failure in the keeper's log.
async fn forward_log(environment: String, stderr: ChildStderr) -> Option<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut reason = None;
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(target: "signer", environment, "{line}");
        reason = failure(&line).or(reason);
    }
    reason
}

/// What a line of the signer's log says of why the keeper ends.
fn failure(line: &str) -> Option<String> {
    let why = line.strip_prefix("level=error event=failed why=")?;
    let text = why.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
    Some(text.map_or_else(|| why.to_owned(), |text| text.replace("\\\"", "\"").replace("\\\\", "\\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_read_from_the_signers_log() {
        let line = r#"level=error event=failed why="the journal \"x\" is broken at line 5""#;
        assert_eq!(failure(line).as_deref(), Some(r#"the journal "x" is broken at line 5"#));
        assert_eq!(failure("level=error event=failed why=short").as_deref(), Some("short"));
        assert_eq!(failure("level=info event=started"), None);
    }
}
