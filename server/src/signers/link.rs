//! The socket to a keeper: what it is asked, and the workers that it brings.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    sync::Arc,
    time::Duration,
};

use sealcard_signer_protocol::{
    KeeperAnswer, KeeperMessage, KeeperRefusal, KeeperRequest, KeeperRequestBody, StoreState, StrangerError,
    channel::ChannelError,
};
use tokio::{net::UnixStream, sync::mpsc};

use super::questions::{self, NoAnswer, Questions};

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
    /// It is a signer of another release that speaks another protocol.
    Stranger(StrangerError),
}

/// The socket to one keeper.
pub(super) struct Link {
    questions: Questions<Result<KeeperAnswer, KeeperRefusal>>,
}

impl Link {
    /// Takes the stream over. The second value is the reader: run it until it ends, which is when the keeper has gone.
    pub(super) fn new(
        stream: UnixStream,
        news: mpsc::UnboundedSender<News>,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (questions, answers) = questions::over(stream);
        let reader = async move {
            let mut greeted = false;
            let read = answers.read(|message, incoming| {
                match message {
                    KeeperMessage::Hello(hello) => {
                        tracing::debug!(release = hello.release, newest = hello.newest, "signer: greets");
                        greeted = true;
                        if let Err(stranger) = hello.common() {
                            let _ = news.send(News::Stranger(stranger));
                            return Err(not_understood());
                        }
                    }
                    // Whatever it is, it is not understood.
                    _ if !greeted => return Err(not_understood()),
                    KeeperMessage::Answer { id, result } => return Ok(Some((id, result))),
                    KeeperMessage::Worker { process } => {
                        let descriptor = incoming.descriptor().ok_or(ChannelError::NoDescriptor)?;
                        let _ = news.send(News::Worker(process, worker(descriptor)?));
                    }
                    KeeperMessage::State(state) => {
                        let _ = news.send(News::State(state));
                    }
                }
                Ok(None)
            });
            if let Err(error) = read.await {
                tracing::error!(%error, "signer: the keeper's socket broke");
            }
        };
        (Arc::new(Self { questions }), reader)
    }

    pub(super) async fn ask(&self, body: KeeperRequestBody, deadline: Duration) -> Result<KeeperAnswer, KeeperError> {
        match self.questions.ask(|id| KeeperRequest { id, body }, deadline, None).await {
            Ok(answer) => Ok(answer?),
            Err(NoAnswer::NotAsked | NoAnswer::Unavailable) => Err(KeeperError::Unavailable),
            Err(NoAnswer::TooLong) => Err(KeeperError::TooLong),
        }
    }

    /// Tells the keeper that nothing more comes: it ends when its worker has.
    pub(super) async fn shutdown(&self) {
        self.questions.shutdown().await;
    }
}

fn not_understood() -> ChannelError {
    let text = "the signer speaks another version of the protocol";
    std::io::Error::new(std::io::ErrorKind::InvalidData, text).into()
}

fn worker(descriptor: OwnedFd) -> std::io::Result<UnixStream> {
    let stream = StdUnixStream::from(descriptor);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use sealcard_signer_protocol::{Hello, SecretKind, decode, encode};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        runtime::Builder,
    };

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
        let KeeperRequest { id, .. } = decode(&body).unwrap();
        let status = KeeperAnswer::Status { state: StoreState::Sealed, secret: SecretKind::Pin, worker: None };
        for message in [
            KeeperMessage::Hello(Hello::of_this_release()),
            KeeperMessage::State(StoreState::Locked),
            KeeperMessage::Answer { id: id + 1, result: Ok(KeeperAnswer::Unsealed) },
            KeeperMessage::Answer { id, result: Ok(status.clone()) },
        ] {
            keeper.write_all(&encode(&message).unwrap()).await.unwrap();
        }
        assert_eq!(asked.await.unwrap(), Ok(status));
        assert!(matches!(told.recv().await, Some(News::State(StoreState::Locked))));
        // A worker without its socket is none.
        let worker = encode(&KeeperMessage::Worker { process: 1 }).unwrap();
        keeper.write_all(&worker).await.unwrap();
        reader.await.unwrap();
        assert!(told.recv().await.is_none());
        assert_eq!(link.ask(KeeperRequestBody::Status, DEADLINE).await, Err(KeeperError::Unavailable));
    }

    #[tokio::test]
    async fn keeper_without_a_known_greeting_is_refused() {
        let stranger = Hello { oldest: 7, newest: 9, release: "7.0.0".to_owned() };
        for (first, told_why) in
            [(KeeperMessage::Hello(stranger), true), (KeeperMessage::State(StoreState::Open), false)]
        {
            let (ours, mut keeper) = UnixStream::pair().unwrap();
            let (news, mut told) = mpsc::unbounded_channel();
            let (_link, reader) = Link::new(ours, news);
            keeper.write_all(&encode(&first).unwrap()).await.unwrap();
            keeper.write_all(&encode(&KeeperMessage::State(StoreState::Open)).unwrap()).await.unwrap();
            reader.await;
            let said = told.recv().await;
            assert_eq!(matches!(said, Some(News::Stranger(_))), told_why);
            assert!(told.recv().await.is_none());
        }
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
