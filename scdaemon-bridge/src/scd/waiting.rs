//! A use that waits for people: who is told, and when it is given up.

use std::{io::Write as _, rc::Rc, sync::Arc, time::Duration};

use sealcard_api::{Timestamp, approvals::WaitingUse, text::cleaned};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    task::{spawn_blocking, spawn_local},
    time::timeout,
};

use super::{Code, Connection, Daemon, Failure, asking::Asker};
use crate::{
    config::{Config, ConfigError, Paths},
    last::OperationKind,
    os::{ProcessHandle, ProcessIdentity},
    remote::{WaitEnd, WaitObserver},
    waiting::{WaitingNote, sentence},
};

/// A terminal may be slow.
const FINISH_LIMIT: Duration = Duration::from_millis(500);

/// One use, and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) session: u64,
    pub(super) asker: Asker,
    /// False if ssh has no such use.
    pub(super) may_be_ssh: bool,
    pub(super) operation: OperationKind,
    pub(super) key: Option<String>,
}

/// Tells of one use, and knows whether it waits now.
pub(super) struct UseObserver {
    told: Told,
    waits: watch::Sender<bool>,
    /// Whether the person was told of all that happened.
    noted: Arc<watch::Sender<bool>>,
    events: UnboundedSender<Event>,
}

enum Event {
    Waits(Box<WaitingUse>, Timestamp),
    Ended(Box<WaitingUse>, WaitEnd),
}

impl WaitObserver for UseObserver {
    fn waits(&self, waiting: &WaitingUse, until: Timestamp) {
        self.noted.send_replace(false);
        // Nobody listens any more when the daemon ends.
        let _ = self.events.send(Event::Waits(Box::new(waiting.clone()), until));
        if !self.waits.send_replace(true) {
            self.told.add();
        }
    }

    fn ended(&self, waiting: &WaitingUse, end: &WaitEnd) {
        let _ = self.events.send(Event::Ended(Box::new(waiting.clone()), end.clone()));
        self.waits.send_replace(false);
    }
}

/// The uses that wait, until it is noted that they don't any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(watch::Sender<usize>);

impl Told {
    fn add(&self) {
        self.0.send_modify(|uses| *uses += 1);
    }

    fn remove(&self) {
        self.0.send_modify(|uses| *uses = uses.saturating_sub(1));
    }

    /// Waits until there are none.
    pub(super) async fn finish(&self) {
        // The sender is here.
        let _ = self.0.subscribe().wait_for(|uses| *uses == 0).await;
    }
}

impl UseObserver {
    /// An observer of this use. Must run inside a `LocalSet`.
    pub(super) fn begin(daemon: &Rc<Daemon>, of: Use) -> Arc<Self> {
        let (events, receiver) = unbounded_channel();
        let (daemon, told) = (Rc::clone(daemon), daemon.told.clone());
        let noted = Arc::new(watch::Sender::new(true));
        let done = Arc::clone(&noted);
        spawn_local(async move { tell(&daemon, &of, receiver, &done).await });
        Arc::new(Self { told, waits: watch::Sender::new(false), noted, events })
    }

    /// Waits a moment until the person was told how it ended: the program that asked may end with the answer, and with it
    /// the way to its terminal.
    pub(super) async fn finish(&self) {
        let _ = timeout(FINISH_LIMIT, self.noted.subscribe().wait_for(|noted| *noted)).await;
    }

    /// Waits until the use waits for people and whoever asked is gone. Says how to fail then.
    pub(super) async fn abandoned(&self, daemon: &Daemon, of: &Use, connection: &mut Connection) -> Failure {
        if self.waits.subscribe().wait_for(|waits| *waits).await.is_err() {
            std::future::pending::<()>().await;
        }
        let why = tokio::select! {
            () = connection.closed() => "gpg-agent went away",
            () = of.asker.gone(of.session, &daemon.askers, of.may_be_ssh) => "the program that asked ended",
            () = daemon.stopped() => "sealcard-scdaemon was ended",
        };
        // Nobody hears the code.
        Failure::local(Code::CANCELED, "given-up", format!("{why} while the use waited for an approval"))
            .advise("The request was given up. Run the command again, and wait for the approval.")
    }
}

/// Keeps the note for `sealcard status --waiting`, and tells the person at the terminal.
async fn tell(daemon: &Daemon, of: &Use, mut events: UnboundedReceiver<Event>, noted: &watch::Sender<bool>) {
    let mut asking = None;
    let mut told = false;
    while let Some(event) = events.recv().await {
        let ended = matches!(event, Event::Ended(..));
        if asking.is_none() {
            // While it waits, the session is there. Afterwards it may serve another client.
            asking = Some(of.asker.processes(of.session, &daemon.askers, of.may_be_ssh).await);
        }
        if let (Some(paths), Some(asking)) = (daemon.paths.clone(), asking.clone()) {
            let (operation, key) = (of.operation, of.key.clone());
            // A terminal may be slow.
            let done = spawn_blocking(move || note(&paths, (operation, key), &asking, event, told)).await;
            if let Ok((shown, kept)) = done {
                told = shown;
                if let Err(error) = kept {
                    daemon.log().warn(format!("can't note a use that waits: {error}"));
                }
            }
        }
        if ended {
            noted.send_replace(true);
            daemon.told.remove();
        }
    }
}

/// Says whether the person was told, and whether the note was written or removed.
fn note(
    paths: &Paths,
    (operation, key): (OperationKind, Option<String>),
    asking: &[ProcessIdentity],
    event: Event,
    told: bool,
) -> (bool, Result<(), ConfigError>) {
    match event {
        Event::Waits(waiting, until) => {
            let name = key.as_deref().map_or_else(String::new, |key| format!("{} ", cleaned(key)));
            let saved = WaitingNote::new(&waiting, until, operation, key).save(paths);
            (notify(paths, asking, &format!("{name}{}", sentence(&waiting, until))), saved)
        }
        Event::Ended(waiting, end) => {
            if let Some(text) = outcome(&end).filter(|_| told) {
                notify(paths, asking, &text);
            }
            (false, WaitingNote::remove(paths, waiting.request_id))
        }
    }
}

fn outcome(end: &WaitEnd) -> Option<String> {
    Some(match end {
        WaitEnd::Approved => "approved.".to_owned(),
        WaitEnd::Rejected(why) => cleaned(why).into_owned(),
        WaitEnd::Undecided => "not decided in time. `sealcard last` says how to go on.".to_owned(),
        WaitEnd::Failed(why) => format!("waits no longer: {}", cleaned(why)),
        WaitEnd::GivenUp => return None,
    })
}

/// Writes lines to the terminal of whoever asked, if it is known, and wanted. Says whether it did.
fn notify(paths: &Paths, asking: &[ProcessIdentity], text: &str) -> bool {
    let wanted = Config::load(&paths.in_use()).ok().flatten().is_none_or(|config| config.notify_waiting);
    // If several may have asked, a terminal may be that of another one.
    let [asking] = asking else { return false };
    let Some(mut terminal) = ProcessHandle::of(*asking).filter(|_| wanted).and_then(|process| process.terminal())
    else {
        return false;
    };
    let lines: String = text.lines().map(|line| format!("sealcard: {line}\n")).collect();
    // In one piece or not at all, and without waiting for a terminal that is stopped.
    terminal.write(lines.as_bytes()).is_ok_and(|written| written == lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_is_plain_text() {
        let text = outcome(&WaitEnd::Rejected("no\u{1b}[2J\u{202e}".to_owned()));
        assert_eq!(text.as_deref(), Some("no?[2J\\u{202e}"));
        assert_eq!(outcome(&WaitEnd::GivenUp), None);
    }
}
