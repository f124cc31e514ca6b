//! The socket to a keeper: what it is asked, and the workers that it brings.

use std::{
    collections::HashMap,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sealcard_signer::{
    channel::{ChannelError, Incoming},
    protocol::{self, KeeperAnswer, KeeperMessage, KeeperRefusal, KeeperRequest, KeeperRequestBody, StoreState},
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    time::timeout,
};

/// Why a keeper gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeeperError {
    /// The keeper answered with an error.
    #[error(transparent)]
    Refused(#[from] KeeperRefusal),
    /// It does not run or did not answer. Retrying helps once it runs again.
    #[error("the signer process does not answer")]
    Unavailable,
    /// The request can't be put into a frame. Retrying can't help.
    #[error("the request to the signer is too long")]
    TooLong,
}

/// What a keeper says by itself.
pub(super) enum News {
    /// A worker is ready: its process, and the socket to it.
    Worker(u32, UnixStream),
    /// Whether its keys can be used.
    State(StoreState),
}

type Answer = Result<KeeperAnswer, KeeperRefusal>;

/// Who waits for which answer. Absent once the keeper has gone.
type Waiting = Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>;

/// The socket to one keeper.
pub(super) struct Link {
    writer: AsyncMutex<OwnedWriteHalf>,
    waiting: Arc<Waiting>,
    next_id: AtomicU64,
}

impl Link {
    /// Takes the stream over. The second value is the reader: run it until it ends, which is when the keeper has gone.
    pub(super) fn new(
        stream: UnixStream,
        news: mpsc::UnboundedSender<News>,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (read, write) = stream.into_split();
        let waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let link = Arc::new(Self {
            writer: AsyncMutex::new(write),
            waiting: Arc::clone(&waiting),
            next_id: AtomicU64::new(1),
        });
        let reader = async move {
            if let Err(error) = read_messages(&read, &waiting, &news).await {
                tracing::error!(%error, "signer: the keeper's socket broke");
            }
            // Dropping the senders tells everyone who waits.
            lock(&waiting).take();
        };
        (link, reader)
    }

    pub(super) async fn ask(&self, body: KeeperRequestBody, deadline: Duration) -> Result<KeeperAnswer, KeeperError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = protocol::encode(&KeeperRequest { id, body }).map_err(|_| KeeperError::TooLong)?;
        let (sender, receiver) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(KeeperError::Unavailable),
        };
        let asked = async {
            // Requests are far smaller than the socket's buffer, so none is ever written in part.
            self.writer.lock().await.write_all(&frame).await.map_err(|_| KeeperError::Unavailable)?;
            Ok(receiver.await.map_err(|_| KeeperError::Unavailable)??)
        };
        let answer = timeout(deadline, asked).await.unwrap_or(Err(KeeperError::Unavailable));
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.remove(&id);
        }
        answer
    }

    /// Tells the keeper that nothing more comes: it ends when its worker has.
    pub(super) async fn shutdown(&self) {
        let _ = self.writer.lock().await.shutdown().await;
    }
}

/// Hands answers and news out until the keeper closes its end, which is no error.
async fn read_messages(
    read: &OwnedReadHalf,
    waiting: &Waiting,
    news: &mpsc::UnboundedSender<News>,
) -> Result<(), ChannelError> {
    let socket: &UnixStream = read.as_ref();
    let mut incoming = Incoming::default();
    loop {
        while let Some(message) = incoming.message()? {
            match message {
                KeeperMessage::Worker { process } => {
                    let descriptor = incoming.descriptor().ok_or(ChannelError::NoDescriptor)?;
                    let _ = news.send(News::Worker(process, stream(descriptor)?));
                }
                KeeperMessage::State(state) => {
                    let _ = news.send(News::State(state));
                }
                KeeperMessage::Answer { id, result } => {
                    let sender = lock(waiting).as_mut().and_then(|waiting| waiting.remove(&id));
                    if let Some(sender) = sender {
                        let _ = sender.send(result);
                    }
                }
            }
        }
        if socket.async_io(Interest::READABLE, || incoming.read(socket.as_fd())).await? == 0 {
            return Ok(());
        }
    }
}

fn stream(descriptor: OwnedFd) -> std::io::Result<UnixStream> {
    let stream = StdUnixStream::from(descriptor);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// A panic while the map was held leaves the map whole: nothing in it depends on two steps.
fn lock(waiting: &Waiting) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
