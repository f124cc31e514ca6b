//! One connection to one signer process: frames out, answers back to whoever asked.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sealcard_signer::protocol::{self, MAX_FRAME, Request, RequestBody, Response, ResponseBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex as AsyncMutex, oneshot},
    time::timeout,
};
use zeroize::Zeroizing;

use super::{Turn, UseError};

/// What came of one question.
type Answer = Result<ResponseBody, UseError>;

/// What is still to be answered, by its id. Absent once the connection has ended.
type Waiting = Mutex<Option<HashMap<u64, Question>>>;

struct Question {
    /// Who waits for the answer, if anybody still does.
    asker: oneshot::Sender<Answer>,
    /// Given back when the signer has answered, since until then the question is in its queue.
    _turn: Option<Turn>,
}

pub(super) struct Connection {
    writer: AsyncMutex<OwnedWriteHalf>,
    waiting: Arc<Waiting>,
    next_id: AtomicU64,
    /// A frame was written in part: what follows would be read as its rest.
    torn: AtomicBool,
    process_id: u32,
}

impl Connection {
    /// Takes the stream over. The second value is the reader: run it until it ends, which is when the connection does.
    pub(super) fn new(stream: UnixStream, process_id: u32) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (read, write) = stream.into_split();
        let waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let connection = Arc::new(Self {
            writer: AsyncMutex::new(write),
            waiting: Arc::clone(&waiting),
            next_id: AtomicU64::new(1),
            torn: AtomicBool::new(false),
            process_id,
        });
        let reader = async move {
            if let Err(error) = read_answers(read, &waiting).await {
                tracing::error!(%error, "signer: the connection broke");
            }
            // Dropping the senders tells everyone who waits.
            lock(&waiting).take();
        };
        (connection, reader)
    }

    pub(super) fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Asks, and waits for the answer or the deadline.
    pub(super) async fn ask(&self, body: RequestBody, deadline: Duration) -> Answer {
        self.ask_in_turn(body, deadline, None).await
    }

    /// The same with a turn, which is kept until the signer has answered, however late.
    pub(super) async fn ask_in_turn(&self, body: RequestBody, deadline: Duration, turn: Option<Turn>) -> Answer {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = protocol::encode(&Request { id, body }).map_err(|_| UseError::TooLong)?;
        let (asker, receiver) = oneshot::channel();
        let keeps_a_turn = turn.is_some();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(id, Question { asker, _turn: turn }),
            None => return Err(UseError::NotAsked),
        };
        let mut forget = Forget { waiting: &self.waiting, id, stays: false };
        let asked = async {
            self.send(&frame).await?;
            forget.stays = keeps_a_turn;
            receiver.await.map_err(|_| UseError::Unavailable)?
        };
        let answer = timeout(deadline, asked).await.unwrap_or(Err(UseError::Unavailable));
        drop(forget);
        answer
    }

    async fn send(&self, frame: &[u8]) -> Result<(), UseError> {
        // One write under the lock: frames never mix.
        let mut writer = self.writer.lock().await;
        if self.torn.load(Ordering::Relaxed) {
            return Err(UseError::NotAsked);
        }
        // Set for the time of the write, and left set when the deadline cuts the write off.
        self.torn.store(true, Ordering::Relaxed);
        writer.write_all(frame).await.map_err(|_| UseError::Unavailable)?;
        self.torn.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Tells the signer that nothing more comes; it ends after what it has begun.
    pub(super) async fn shutdown(&self) {
        let _ = self.writer.lock().await.shutdown().await;
    }
}

/// Removes the question when nobody waits any more, whether answered or given up, unless the signer has it and it keeps a
/// turn.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: u64,
    stays: bool,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if !self.stays
            && let Some(waiting) = lock(self.waiting).as_mut()
        {
            waiting.remove(&self.id);
        }
    }
}

/// Why the connection can't be used any longer.
#[derive(Debug, thiserror::Error)]
enum BrokenError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Frame(#[from] protocol::FrameError),
}

/// Hands answers out until the signer closes its end, which is no error.
async fn read_answers(read: OwnedReadHalf, waiting: &Waiting) -> Result<(), BrokenError> {
    let mut read = BufReader::with_capacity(16 * 1024, read);
    // An answer may hold a plaintext: the buffer is wiped with each use. (The reader's own is wiped by the allocator.)
    let mut body = Zeroizing::new(Vec::new());
    loop {
        let len = match read.read_u32().await {
            Ok(len) => usize::try_from(len).unwrap_or(usize::MAX),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if len > MAX_FRAME {
            return Err(protocol::FrameError::TooLong(len).into());
        }
        body.clear();
        body.resize(len, 0);
        read.read_exact(&mut body).await?;
        let answer: Response = protocol::decode(&body)?;
        let question = lock(waiting).as_mut().and_then(|waiting| waiting.remove(&answer.id));
        let result = answer.result.map_err(UseError::Refused);
        if question.is_none_or(|question| question.asker.send(result).is_err()) {
            tracing::warn!(id = answer.id, "signer: an answer came after its deadline");
        }
    }
}

/// A panic while the map was held leaves the map whole: nothing in it depends on two steps.
fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, Option<HashMap<u64, Question>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::ids::PrincipalId;
    use sealcard_signer::protocol::{JournalHead, SignerError, StoreState};
    use tokio::{runtime::Builder, task::JoinSet};

    use super::{super::turns::Turns, *};

    const DEADLINE: Duration = Duration::from_secs(20);

    fn status(sequence: u64) -> ResponseBody {
        ResponseBody::Status { state: StoreState::Open, journal: JournalHead { sequence, hash: [0; 32] } }
    }

    async fn read_request(signer: &mut UnixStream) -> Request {
        let len = signer.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(len).unwrap()];
        signer.read_exact(&mut body).await.unwrap();
        protocol::decode(&body).unwrap()
    }

    #[tokio::test]
    async fn answers_in_any_order_reach_whoever_asked() {
        let (ours, mut signer) = UnixStream::pair().unwrap();
        let (connection, reader) = Connection::new(ours, 1);
        tokio::spawn(reader);
        let mut tasks = JoinSet::new();
        for from in 0..50 {
            let connection = Arc::clone(&connection);
            let body = RequestBody::Journal { from, limit: 1 };
            tasks.spawn(async move { connection.ask(body, DEADLINE).await == Ok(status(from)) });
        }
        let mut requests = Vec::new();
        for _ in 0..50 {
            requests.push(read_request(&mut signer).await);
        }
        for request in requests.into_iter().rev() {
            let RequestBody::Journal { from, .. } = request.body else { unreachable!() };
            let frame = protocol::encode(&Response { id: request.id, result: Ok(status(from)) }).unwrap();
            signer.write_all(&frame).await.unwrap();
        }
        assert!(tasks.join_all().await.into_iter().all(|right| right));
    }

    #[tokio::test]
    async fn when_the_signer_goes_whoever_waits_is_told_and_nobody_else_asks() {
        let (ours, mut signer) = UnixStream::pair().unwrap();
        let (connection, reader) = Connection::new(ours, 1);
        let reader = tokio::spawn(reader);
        let waiting = tokio::spawn({
            let connection = Arc::clone(&connection);
            async move { connection.ask(RequestBody::Status, DEADLINE).await }
        });
        read_request(&mut signer).await;
        drop(signer);
        assert_eq!(waiting.await.unwrap(), Err(UseError::Unavailable));
        reader.await.unwrap();
        assert_eq!(connection.ask(RequestBody::Status, DEADLINE).await, Err(UseError::NotAsked));
    }

    #[tokio::test]
    async fn an_answer_after_its_deadline_disturbs_nobody() {
        let (ours, mut signer) = UnixStream::pair().unwrap();
        let (connection, reader) = Connection::new(ours, 1);
        tokio::spawn(reader);
        assert_eq!(connection.ask(RequestBody::Status, Duration::ZERO).await, Err(UseError::Unavailable));
        let asked = tokio::spawn({
            let connection = Arc::clone(&connection);
            async move { connection.ask(RequestBody::Status, DEADLINE).await }
        });
        // The first question may or may not have been sent before its deadline.
        let mut request = read_request(&mut signer).await;
        if request.id == 1 {
            let late = Response { id: request.id, result: Err(SignerError::Sealed) };
            signer.write_all(&protocol::encode(&late).unwrap()).await.unwrap();
            request = read_request(&mut signer).await;
        }
        let answer = Response { id: request.id, result: Ok(status(7)) };
        signer.write_all(&protocol::encode(&answer).unwrap()).await.unwrap();
        assert_eq!(asked.await.unwrap(), Ok(status(7)));
    }

    #[tokio::test]
    async fn a_question_keeps_its_turn_until_it_is_answered_or_the_signer_goes() {
        let turns = Turns::new(2);
        let turn = async || turns.next(PrincipalId::new(), DEADLINE).await;
        let (ours, mut signer) = UnixStream::pair().unwrap();
        let (connection, reader) = Connection::new(ours, 1);
        let reader = tokio::spawn(reader);
        for _ in 0..2 {
            let given_up = connection.ask_in_turn(RequestBody::Status, Duration::from_millis(20), turn().await).await;
            assert_eq!(given_up, Err(UseError::Unavailable));
        }
        assert_eq!(turns.left(), 0);
        let late = Response { id: read_request(&mut signer).await.id, result: Err(SignerError::Sealed) };
        signer.write_all(&protocol::encode(&late).unwrap()).await.unwrap();
        let back = turn().await.unwrap();
        drop(signer);
        reader.await.unwrap();
        assert_eq!(turns.left(), 1);
        assert_eq!(connection.ask_in_turn(RequestBody::Status, DEADLINE, Some(back)).await, Err(UseError::NotAsked));
        assert_eq!(turns.left(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_signer_sends_ends_in_an_error_and_never_in_a_panic(bytes: Vec<u8>) {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let (ours, mut signer) = UnixStream::pair().unwrap();
                let (connection, reader) = Connection::new(ours, 1);
                let reader = tokio::spawn(reader);
                signer.write_all(&bytes).await.unwrap();
                drop(signer);
                reader.await.unwrap();
                assert_eq!(connection.ask(RequestBody::Status, DEADLINE).await, Err(UseError::NotAsked));
            });
        }
    }
}
