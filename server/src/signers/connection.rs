//! One connection to one worker.

use std::{sync::Arc, time::Duration};

use sealcard_signer_protocol::{Request, RequestBody, Response, ResponseBody, SignerError};
use tokio::net::UnixStream;

use super::{
    UseError, UsePermit, Used,
    questions::{self, NoAnswer, OnAnswer, Questions},
};

/// What came of one question.
type Answer = Result<Used, UseError>;

pub(super) struct Connection {
    questions: Questions<Response>,
    process_id: u32,
}

impl Connection {
    /// Takes the stream over. The second value is the reader: run it until it ends, which is when the connection does.
    pub(super) fn new(stream: UnixStream, process_id: u32) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (questions, answers) = questions::over(stream);
        let reader = async move {
            let read = answers.read(|response: Response, incoming| {
                // A worker has none to give.
                while incoming.descriptor().is_some() {}
                Ok(Some((response.id, response)))
            });
            if let Err(error) = read.await {
                tracing::error!(%error, "signer: the connection broke");
            }
        };
        (Arc::new(Self { questions, process_id }), reader)
    }

    pub(super) fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Asks, and waits for the answer or the deadline.
    pub(super) async fn ask(&self, body: RequestBody, deadline: Duration) -> Result<ResponseBody, UseError> {
        self.ask_with(body, deadline, None).await.map(|used| used.body)
    }

    /// The same with a permit, which is kept until the signer has answered, however late, and then pays what it spent.
    pub(super) async fn use_key(&self, body: RequestBody, deadline: Duration, mut permit: UsePermit) -> Answer {
        permit.asked();
        let pay = move |response: &Response| {
            permit.answered(Duration::from_micros(response.spent_us), response.result.is_ok());
        };
        self.ask_with(body, deadline, Some(Box::new(pay))).await
    }

    async fn ask_with(&self, body: RequestBody, deadline: Duration, on_answer: Option<OnAnswer<Response>>) -> Answer {
        match self.questions.ask(|id| Request { id, body }, deadline, on_answer).await {
            Ok(Response { result: Err(SignerError::DecryptionFailed), delay_ms, .. }) => {
                Err(UseError::DecryptionFailed { delay: Duration::from_millis(delay_ms.into()) })
            }
            Ok(Response { result, journal, .. }) => {
                result.map(|body| Used { body, journal }).map_err(UseError::Refused)
            }
            Err(NoAnswer::NotAsked) => Err(UseError::NotAsked),
            Err(NoAnswer::Unavailable) => Err(UseError::Unavailable),
            Err(NoAnswer::TooLong) => Err(UseError::TooLong),
        }
    }

    /// Tells the signer that nothing more comes; it ends after what it has begun.
    pub(super) async fn shutdown(&self) {
        self.questions.shutdown().await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::{algorithm::ComponentAlgorithm, ids::PrincipalId};
    use sealcard_signer_protocol::{JournalHead, StoreState, decode, encode};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        runtime::Builder,
        task::JoinSet,
    };

    use super::{super::uses::Uses, *};
    use crate::limiter::Bound;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn status(sequence: u64) -> ResponseBody {
        ResponseBody::Status { state: StoreState::Open, journal: JournalHead { sequence, hash: [0; 32] } }
    }

    async fn read_request(signer: &mut UnixStream) -> Request {
        let len = signer.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(len).unwrap()];
        signer.read_exact(&mut body).await.unwrap();
        decode(&body).unwrap()
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
            let frame = encode(&Response::new(request.id, Ok(status(from)))).unwrap();
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
            let late = Response::new(request.id, Err(SignerError::Sealed));
            signer.write_all(&encode(&late).unwrap()).await.unwrap();
            request = read_request(&mut signer).await;
        }
        let answer = Response::new(request.id, Ok(status(7)));
        signer.write_all(&encode(&answer).unwrap()).await.unwrap();
        assert_eq!(asked.await.unwrap(), Ok(status(7)));
    }

    #[tokio::test]
    async fn use_keeps_its_permit_until_it_is_answered_or_the_signer_goes() {
        let uses = Uses::new(Bound::count(8));
        let permit = async || uses.permit(PrincipalId::new(), (ComponentAlgorithm::Rsa4096, "sign")).await.unwrap();
        let (ours, mut signer) = UnixStream::pair().unwrap();
        let (connection, reader) = Connection::new(ours, 1);
        let reader = tokio::spawn(reader);
        for _ in 0..2 {
            let given_up = connection.use_key(RequestBody::Status, Duration::from_millis(20), permit().await).await;
            assert_eq!(given_up, Err(UseError::Unavailable));
        }
        assert_eq!(uses.in_progress(), 2);
        let late = Response::new(read_request(&mut signer).await.id, Err(SignerError::Sealed));
        signer.write_all(&encode(&late).unwrap()).await.unwrap();
        while uses.in_progress() > 1 {
            tokio::task::yield_now().await;
        }
        drop(signer);
        reader.await.unwrap();
        assert_eq!(uses.in_progress(), 0);
        let not_asked = connection.use_key(RequestBody::Status, DEADLINE, permit().await).await;
        assert_eq!((not_asked, uses.in_progress()), (Err(UseError::NotAsked), 0));
    }

    #[tokio::test]
    async fn failed_decryption_gives_its_permit_back_before_its_delay() {
        let uses = Uses::new(Bound::count(1));
        let kind = (ComponentAlgorithm::Rsa4096, "decrypt");
        let permit = uses.permit(PrincipalId::new(), kind).await.unwrap();
        let (ours, mut signer) = UnixStream::pair().unwrap();
        let (connection, reader) = Connection::new(ours, 1);
        tokio::spawn(reader);
        let asked = tokio::spawn(async move { connection.use_key(RequestBody::Status, DEADLINE, permit).await });
        let id = read_request(&mut signer).await.id;
        let failed =
            Response { spent_us: 4000, delay_ms: 5000, ..Response::new(id, Err(SignerError::DecryptionFailed)) };
        signer.write_all(&encode(&failed).unwrap()).await.unwrap();
        let delay = Duration::from_secs(5);
        assert_eq!(asked.await.unwrap(), Err(UseError::DecryptionFailed { delay }));
        assert_eq!(uses.in_progress(), 0);
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
