//! Waiting for people: a use that the server answers with 202 goes on once they have approved it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::Method;
use sealcard_api::{
    Timestamp,
    approvals::WaitingUse,
    ids::RequestId,
    problem::{Problem, ProblemCode},
    record::RequestState,
    requests::SigningRequest,
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::{Remote, RemoteError, client::Answer, requests::Call};
use crate::waiting::short_id;

/// Is told when a use of a key waits for people. Called on the thread of the use, so it must be quick.
pub trait WaitObserver: Send + Sync {
    /// It waits until then. Again if it waits for something else afterwards.
    fn waits(&self, waiting: &WaitingUse, until: Timestamp);

    /// It does not wait any more.
    fn ended(&self, waiting: &WaitingUse, end: &WaitEnd);
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitEnd {
    /// The use went on.
    Approved,
    /// Somebody refused; who and why, as a sentence.
    Rejected(String),
    /// Nobody decided in time.
    Undecided,
    /// It was given up: whoever asked does not wait any more.
    GivenUp,
    /// Another error, as a text.
    Failed(String),
}

/// How a [`Remote`] waits for people.
#[derive(Clone, Default)]
pub(super) struct Wait {
    observer: Option<Arc<dyn WaitObserver>>,
    limit: Option<Duration>,
}

impl Remote {
    /// The same server, whose waiting uses are told to this observer.
    #[must_use]
    pub fn observed_by(&self, observer: Arc<dyn WaitObserver>) -> Self {
        Self { wait: Wait { observer: Some(observer), ..self.wait.clone() }, ..self.clone() }
    }

    /// The same server; no use waits longer for people than that, and with zero none waits at all. The request stays,
    /// so that it can be approved for the next attempt.
    #[must_use]
    pub fn waiting_at_most(&self, limit: Duration) -> Self {
        Self { wait: Wait { limit: Some(limit), ..self.wait.clone() }, ..self.clone() }
    }

    /// Waits until people have decided, and sends the use again then.
    ///
    /// If the future is dropped, the request is given up at the server.
    pub(super) async fn await_people(&self, call: &Call, waiting: WaitingUse) -> Result<Answer, RemoteError> {
        let mut pending = Pending::begin(self, waiting);
        let mut result = pending.go_on(call).await;
        if let Ok(Answer { outcome: Err(problem), .. }) = &mut result {
            say_approval_is_kept(problem);
        }
        pending.end(match &result {
            Ok(_) => WaitEnd::Approved,
            Err(RemoteError::Undecided { .. }) => WaitEnd::Undecided,
            Err(RemoteError::Problem(problem)) if problem.code == ProblemCode::Rejected => {
                WaitEnd::Rejected(problem.message())
            }
            Err(error) => WaitEnd::Failed(error.to_string()),
        });
        result
    }
}

/// Adds that the approval is kept, if the key was not used though the use was approved.
fn say_approval_is_kept(problem: &mut Problem) {
    if problem.code == ProblemCode::Sealed {
        let why = problem.detail.take().map_or_else(String::new, |why| format!("{why} "));
        problem.detail = Some(format!("{why}The approval is kept for the next attempt."));
    }
}

/// A use that waits. Dropped before its end, it is given up.
struct Pending<'a> {
    remote: &'a Remote,
    waiting: WaitingUse,
    begin: Instant,
    end: Instant,
    over: bool,
}

impl<'a> Pending<'a> {
    fn begin(remote: &'a Remote, waiting: WaitingUse) -> Self {
        let begin = Instant::now();
        let mut pending = Self { remote, waiting, begin, end: begin, over: false };
        pending.announce();
        pending
    }

    /// Begins to wait for what the server says now. Its deadline is one of its own clock.
    fn announce(&mut self) {
        let ahead = self.remote.shared.clock_ahead.load(Ordering::Relaxed);
        let deadline = self.waiting.deadline.unix().saturating_sub(ahead);
        let left = deadline.saturating_sub(Timestamp::now().unix());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        let end = Instant::now() + left.min(MAX_WAIT);
        self.end = self.remote.wait.limit.map_or(end, |limit| end.min(self.begin + limit.min(MAX_WAIT)));
        let left = self.end.saturating_duration_since(Instant::now()).as_secs_f64().round();
        // Seconds of a wait fit.
        #[allow(clippy::cast_possible_truncation)]
        let until = Timestamp::from_unix(Timestamp::now().unix().saturating_add(left as i64));
        self.note(|waiting| format!("waits until {until} for approval {}", short_id(waiting.approval)));
        if let Some(observer) = &self.remote.wait.observer {
            observer.waits(&self.waiting, until);
        }
    }

    async fn go_on(&mut self, call: &Call) -> Result<Answer, RemoteError> {
        loop {
            self.decided().await?;
            let answer = self.send_again(call).await?;
            match self.remote.waiting_use(&answer).await? {
                None => return Ok(answer),
                Some(next) => {
                    // Rules may have changed meanwhile. A server that only repeats itself is not asked in a hurry.
                    if next.request_id == self.waiting.request_id {
                        sleep(MIN_POLL).await;
                    }
                    self.waiting = next;
                    self.announce();
                }
            }
        }
    }

    /// Waits until the use is to be sent again.
    async fn decided(&self) -> Result<(), RemoteError> {
        let mut pause = MIN_POLL;
        loop {
            let begin = Instant::now();
            if begin >= self.end {
                return Err(self.undecided());
            }
            let asked = timeout_at(self.end, self.remote.signing_request(self.waiting.request_id, self.end - begin));
            let request = match asked.await {
                Err(_) => return Err(self.undecided()),
                Ok(Err(error)) if error.may_pass() => {
                    self.note(|_| format!("can't ask for the decision: {error}"));
                    self.pause(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                    continue;
                }
                Ok(request) => request?,
            };
            pause = MIN_POLL;
            match request.state {
                RequestState::Received | RequestState::Waiting => self.pause_until(begin + MIN_POLL).await,
                RequestState::Rejected => return Err(self.rejected(request.rejection)),
                RequestState::Expired => return Err(self.undecided()),
                RequestState::Cancelled => return Err(RemoteError::GivenUp { request: self.waiting.request_id }),
                // The answer to the use itself says what came of it.
                RequestState::Approved
                | RequestState::Denied
                | RequestState::Signing
                | RequestState::Signed
                | RequestState::Failed
                | RequestState::Unknown => return Ok(()),
            }
        }
    }

    /// Sends the use again, as long as the server can't be reached and the time is not over.
    async fn send_again(&self, call: &Call) -> Result<Answer, RemoteError> {
        let mut pause = MIN_POLL;
        loop {
            match self.remote.send_use(call).await {
                Err(error) if error.may_pass() && Instant::now() + pause < self.end => {
                    self.note(|_| format!("can't send the approved use: {error}"));
                    sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
                other => return other,
            }
        }
    }

    async fn pause(&self, pause: Duration) {
        self.pause_until(Instant::now() + pause).await;
    }

    async fn pause_until(&self, until: Instant) {
        sleep_until(until.min(self.end)).await;
    }

    fn undecided(&self) -> RemoteError {
        RemoteError::Undecided { waiting: Box::new(self.waiting.clone()), waited: self.begin.elapsed() }
    }

    fn rejected(&self, why: Option<String>) -> RemoteError {
        let mut problem = Problem::new(ProblemCode::Rejected);
        problem.detail = why;
        problem.request_id = Some(self.waiting.request_id);
        RemoteError::Problem(Box::new(problem))
    }

    fn note(&self, text: impl FnOnce(&WaitingUse) -> String) {
        let trace = crate::trace::Trace::of(&self.remote.shared.paths);
        trace.note(|| format!("use {}: {}", self.waiting.request_id, text(&self.waiting)));
    }

    fn end(&mut self, end: WaitEnd) {
        self.over = true;
        self.note(|_| format!("waits no longer: {end:?}"));
        if let Some(observer) = &self.remote.wait.observer {
            observer.ended(&self.waiting, &end);
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.end(WaitEnd::GivenUp);
        // Outside of a runtime nothing can be sent. Then the request ends at its deadline.
        if let Ok(runtime) = Handle::try_current() {
            self.remote.give_up(&runtime, self.waiting.request_id);
        }
    }
}

impl Remote {
    /// A request as it is, or as it is once people have decided, within `wait`.
    async fn signing_request(&self, id: RequestId, wait: Duration) -> Result<SigningRequest, RemoteError> {
        let seconds = wait.as_secs().clamp(1, LONG_POLL);
        let call = Call {
            method: Method::GET,
            path: format!("/v1/requests/{id}?wait={seconds}"),
            idempotency: None,
            body: None,
        };
        let session = self.session().await?;
        let answer = self.call(&session, &call).await?;
        session.http.parse(&answer.outcome.map_err(RemoteError::Problem)?)
    }

    /// What the use waits for, if the server says so.
    pub(super) async fn waiting_use(&self, answer: &Answer) -> Result<Option<WaitingUse>, RemoteError> {
        match &answer.outcome {
            Ok(body) if answer.accepted => self.session().await?.http.parse(body).map(Some),
            _ => Ok(None),
        }
    }

    /// Gives a request up in the background, for [`Remote::settle`] to wait for.
    fn give_up(&self, runtime: &Handle, id: RequestId) {
        let remote = self.clone();
        let task = runtime.spawn(async move {
            let call =
                Call { method: Method::DELETE, path: format!("/v1/requests/{id}"), idempotency: None, body: None };
            // A request that can't be given up ends at its deadline.
            let _ = timeout(GIVE_UP_LIMIT, async { remote.call(&remote.session().await?, &call).await }).await;
        });
        let mut tasks = self.shared.given_up.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }
}

/// No use waits longer, whatever the server says.
const MAX_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the server may hold one question after the decision, in seconds. Proxies end what is silent for a minute.
const LONG_POLL: u64 = 25;

/// A server is not asked more often.
const MIN_POLL: Duration = Duration::from_millis(500);

/// The longest pause before a server that can't be reached is asked again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How long giving up may take.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(3);
