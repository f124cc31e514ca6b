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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use sealcard_signer::protocol::SecretKind;
    use tokio::{io::AsyncReadExt, runtime::Builder};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn an_answer_reaches_whoever_asked_and_news_come_beside_it() {
        let (ours, mut keeper) = UnixStream::pair().unwrap();
        let (news, mut told) = mpsc::unbounded_channel();
        let (link, reader) = Link::new(ours, news);
        let reader = tokio::spawn(reader);
        let asked = tokio::spawn({
            let link = Arc::clone(&link);
            async move { link.ask(KeeperRequestBody::Status, DEADLINE).await }
        });
        let len = keeper.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(len).unwrap()];
        keeper.read_exact(&mut body).await.unwrap();
        let KeeperRequest { id, .. } = protocol::decode(&body).unwrap();
        let status = KeeperAnswer::Status { state: StoreState::Sealed, secret: SecretKind::Pin, worker: None };
        for message in [
            KeeperMessage::State(StoreState::Locked),
            KeeperMessage::Answer { id: id + 1, result: Ok(KeeperAnswer::Unsealed) },
            KeeperMessage::Answer { id, result: Ok(status.clone()) },
        ] {
            keeper.write_all(&protocol::encode(&message).unwrap()).await.unwrap();
        }
        assert_eq!(asked.await.unwrap(), Ok(status));
        assert!(matches!(told.recv().await, Some(News::State(StoreState::Locked))));
        // A worker without its socket is none.
        let worker = protocol::encode(&KeeperMessage::Worker { process: 1 }).unwrap();
        keeper.write_all(&worker).await.unwrap();
        reader.await.unwrap();
        assert!(told.recv().await.is_none());
        assert_eq!(link.ask(KeeperRequestBody::Status, DEADLINE).await, Err(KeeperError::Unavailable));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_keeper_sends_ends_in_an_error_and_never_in_a_panic(bytes: Vec<u8>) {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let (ours, mut keeper) = UnixStream::pair().unwrap();
                let (news, _told) = mpsc::unbounded_channel();
                let (link, reader) = Link::new(ours, news);
                let reader = tokio::spawn(reader);
                keeper.write_all(&bytes).await.unwrap();
                drop(keeper);
                reader.await.unwrap();
                let asked = link.ask(KeeperRequestBody::Status, DEADLINE).await;
                assert_eq!(asked, Err(KeeperError::Unavailable));
            });
        }
    }
}
