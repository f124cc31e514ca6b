//! Questions over a socket, and their answers in any order: to keepers and to workers.

use std::{
    collections::HashMap,
    io::ErrorKind,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sealcard_signer_protocol::{
    channel::{ChannelError, Incoming},
    encode,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex as AsyncMutex, oneshot},
    time::timeout,
};

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It was not sent: the other side has gone, or the socket can't be used any more.
    NotAsked,
    /// It was sent, perhaps in part, and no answer came.
    Unavailable,
    /// It can't be put into a frame.
    TooLong,
}

/// What is still to be answered, by its id. Absent once the other side has gone.
type Waiting<A> = Mutex<Option<HashMap<u64, Question<A>>>>;

struct Question<A> {
    /// Who waits for the answer, if anybody still does.
    asker: oneshot::Sender<A>,
    on_answer: Option<OnAnswer<A>>,
}

/// Called with the answer, however late it comes; dropped when none can come. It may hold a permit, since until then
/// the question is in the signer's queue.
pub(super) type OnAnswer<A> = Box<dyn FnOnce(&A) + Send>;

/// The side that asks.
pub(super) struct Questions<A> {
    writer: AsyncMutex<OwnedWriteHalf>,
    waiting: Arc<Waiting<A>>,
    next_id: AtomicU64,
    /// A frame was written in part: what follows would be read as its rest.
    torn: AtomicBool,
}

/// The side that reads. When it is dropped, everyone who waits is told.
pub(super) struct Answers<A> {
    socket: OwnedReadHalf,
    waiting: Arc<Waiting<A>>,
}

/// Takes a socket over.
pub(super) fn over<A>(stream: UnixStream) -> (Questions<A>, Answers<A>) {
    let (socket, write) = stream.into_split();
    let waiting = Arc::new(Mutex::new(Some(HashMap::new())));
    let questions = Questions {
        writer: AsyncMutex::new(write),
        waiting: Arc::clone(&waiting),
        next_id: AtomicU64::new(1),
        torn: AtomicBool::new(false),
    };
    (questions, Answers { socket, waiting })
}

impl<A> Questions<A> {
    /// Asks, and waits for the answer or the deadline. `message` makes the question of its id.
    pub(super) async fn ask<Q: Serialize>(
        &self,
        message: impl FnOnce(u64) -> Q,
        deadline: Duration,
        on_answer: Option<OnAnswer<A>>,
    ) -> Result<A, NoAnswer> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = encode(&message(id)).map_err(|_| NoAnswer::TooLong)?;
        let (asker, receiver) = oneshot::channel();
        let awaited = on_answer.is_some();
        match self.waiting.lock().as_mut() {
            Some(waiting) => waiting.insert(id, Question { asker, on_answer }),
            None => return Err(NoAnswer::NotAsked),
        };
        let mut forget = Forget { waiting: &self.waiting, id, stays: false };
        let asked = async {
            self.send(&frame).await?;
            forget.stays = awaited;
            receiver.await.map_err(|_| NoAnswer::Unavailable)
        };
        let answer = timeout(deadline, asked).await.unwrap_or(Err(NoAnswer::Unavailable));
        drop(forget);
        answer
    }

    async fn send(&self, frame: &[u8]) -> Result<(), NoAnswer> {
        // One write under the lock: frames never mix.
        let mut writer = self.writer.lock().await;
        if self.torn.load(Ordering::Relaxed) {
            return Err(NoAnswer::NotAsked);
        }
        // Set for the time of the write, and left set when the deadline cuts the write off.
        self.torn.store(true, Ordering::Relaxed);
        writer.write_all(frame).await.map_err(|_| NoAnswer::Unavailable)?;
        self.torn.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Tells the other side that nothing more comes.
    pub(super) async fn shutdown(&self) {
        let _ = self.writer.lock().await.shutdown().await;
    }
}

/// Removes the question when nobody waits any more, whether answered or given up, unless the signer has it and its
/// answer is waited for all the same.
struct Forget<'a, A> {
    waiting: &'a Waiting<A>,
    id: u64,
    stays: bool,
}

impl<A> Drop for Forget<'_, A> {
    fn drop(&mut self) {
        if !self.stays
            && let Some(waiting) = self.waiting.lock().as_mut()
        {
            waiting.remove(&self.id);
        }
    }
}

impl<A> Answers<A> {
    /// Reads messages until the other side closes its end, which is no error. `take` gives the answer in a message and
    /// the id of its question, if it is one.
    pub(super) async fn read<M: DeserializeOwned>(
        self,
        mut take: impl FnMut(M, &mut Incoming) -> Result<Option<(u64, A)>, ChannelError>,
    ) -> Result<(), ChannelError> {
        let socket: &UnixStream = self.socket.as_ref();
        let mut incoming = Incoming::default();
        loop {
            while let Some(message) = incoming.message()? {
                if let Some((id, answer)) = take(message, &mut incoming)? {
                    self.answer(id, answer);
                }
            }
            match socket.async_io(Interest::READABLE, || incoming.read(socket.as_fd())).await {
                Ok(0) if incoming.has_more() => return Err(ChannelError::CutShort),
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset && !incoming.has_more() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn answer(&self, id: u64, answer: A) {
        let question = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&id));
        let asker = question.map(|Question { asker, on_answer }| {
            if let Some(on_answer) = on_answer {
                on_answer(&answer);
            }
            asker
        });
        if asker.is_none_or(|asker| asker.send(answer).is_err()) {
            tracing::warn!(id, "signer: an answer came after its deadline");
        }
    }
}

impl<A> Drop for Answers<A> {
    fn drop(&mut self) {
        // Dropping the senders tells everyone who waits.
        self.waiting.lock().take();
    }
}
