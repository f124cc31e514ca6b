//! Uses that wait for people.

use std::{rc::Rc, time::Duration};

use sealcard_api::algorithm::KeyAlgorithm;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        Daemon,
        testing::{Client, MemoryHolder, run},
    },
    daemon_of,
};
use crate::{
    config::Paths,
    last::{self, OperationKind, Outcome},
    waiting::{WaitingNote, tests::waiting_use},
};

const SIGN: &str = "PKSIGN --hash=sha256 OPENPGP.1";

/// A daemon whose signatures wait.
fn waiting_daemon(folder: &tempfile::TempDir) -> (Rc<MemoryHolder>, Rc<Daemon>, Paths) {
    let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
    holder.waits.replace(Some(waiting_use()));
    let (daemon, paths) = daemon_of(&holder, folder);
    (holder, daemon, paths)
}

/// A client that has asked for a signature.
async fn signing(daemon: &Rc<Daemon>) -> Client {
    let mut client = Client::connect(daemon).await;
    client.text(&format!("SETDATA 3031300D060960864801650304020105000420{}", "07".repeat(32))).await;
    client.send(SIGN).await;
    client
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn waiting_use_is_noted_and_goes_on_once_it_is_approved() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (holder, daemon, paths) = waiting_daemon(&folder);
        let mut client = signing(&daemon).await;
        until("a note", || WaitingNote::list(&paths).unwrap().len() == 1).await;
        let note = WaitingNote::list(&paths).unwrap().remove(0);
        let waiting = holder.waits.borrow().clone().unwrap();
        assert_eq!((note.request_id, note.approval), (waiting.request_id, waiting.approval));
        assert_eq!((note.key.as_deref(), note.operation), (Some("key-ed25519"), OperationKind::Sign));
        assert_eq!((note.wants, note.approvers), (waiting.wants, waiting.approvers));
        holder.approved.notify_one();
        let answer = client.answer().await;
        assert!(answer[0].starts_with(b"D ") && answer.last().unwrap() == b"OK");
        daemon.settle().await;
        assert_eq!(WaitingNote::list(&paths).unwrap(), []);
        assert_eq!(holder.waited.get(), (1, 0));
    });
}

#[test]
fn other_clients_are_served_while_one_waits() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (holder, daemon, paths) = waiting_daemon(&folder);
        let mut first = signing(&daemon).await;
        until("a note", || WaitingNote::list(&paths).unwrap().len() == 1).await;
        holder.waits.replace(None);
        let mut second = signing(&daemon).await;
        assert_eq!(second.answer().await.last().unwrap(), b"OK");
        assert_eq!(second.text("SERIALNO").await.len(), 2);
        // Several wait, each for itself.
        let mut other = waiting_use();
        other.request_id = sealcard_api::ids::RequestId::new();
        holder.waits.replace(Some(other));
        let mut third = signing(&daemon).await;
        until("two notes", || WaitingNote::list(&paths).unwrap().len() == 2).await;
        holder.approved.notify_one();
        assert_eq!(first.answer().await.last().unwrap(), b"OK");
        assert_eq!(WaitingNote::list(&paths).unwrap().len(), 1);
        holder.approved.notify_one();
        assert_eq!(third.answer().await.last().unwrap(), b"OK");
    });
}

#[test]
fn waiting_use_is_given_up_when_its_connection_ends() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (holder, daemon, paths) = waiting_daemon(&folder);
        let client = signing(&daemon).await;
        let mut other = signing(&daemon).await;
        until("a note", || WaitingNote::list(&paths).unwrap().len() == 1).await;
        drop(client);
        until("one given up", || holder.waited.get() == (1, 1)).await;
        until("the end of the session", || daemon.sessions() == 1).await;
        daemon.finish().await;
        let last = last::load(&paths.last_file()).unwrap().unwrap();
        assert_eq!((last.outcome, last.code.as_deref()), (Outcome::Failed, Some("given-up")));
        holder.approved.notify_one();
        assert_eq!(other.answer().await.last().unwrap(), b"OK");
    });
}

#[test]
fn commands_that_come_while_a_use_waits_are_answered_after_it() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (holder, daemon, paths) = waiting_daemon(&folder);
        let mut client = signing(&daemon).await;
        until("a note", || WaitingNote::list(&paths).unwrap().len() == 1).await;
        client.send("GETINFO version").await;
        holder.approved.notify_one();
        assert_eq!(client.answer().await.last().unwrap(), b"OK");
        assert_eq!(client.answer().await.len(), 2);
    });
}

#[test]
fn daemon_that_ends_gives_up_what_waits() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (holder, daemon, paths) = waiting_daemon(&folder);
        let mut client = signing(&daemon).await;
        until("a note", || WaitingNote::list(&paths).unwrap().len() == 1).await;
        daemon.request_stop();
        daemon.settle().await;
        assert_eq!(holder.waited.get(), (1, 1));
        assert_eq!(WaitingNote::list(&paths).unwrap(), []);
        // IPC call has been cancelled.
        assert!(client.answer().await[0].starts_with(b"ERR 100663573"));
    });
}
