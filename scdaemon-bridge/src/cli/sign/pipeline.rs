//! Many files: hashed on all processors while the server signs those that are hashed already, in batches.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    path::PathBuf,
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::Context as _;
use indicatif::ProgressBar;
use parking_lot::Mutex;
use sealcard_api::{
    Bytes, Timestamp,
    algorithm::HashAlgorithm,
    approvals::WaitingUse,
    context::UseContext,
    operations::{MAX_BATCH, SignBatchItem, SignBatchRequest, SignBatchResult, SignRequest, SignatureResponse},
    problem::ProblemCode,
};
use sealcard_openpgp::{Draft, Form, SignatureError, SigningKey};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::sleep,
};
use uuid::Uuid;

use super::{
    Failed, Signed,
    files::{Job, write_whole},
    waiting::{Waits, announce},
};
use crate::{
    cli::{output::clean_path, progress},
    remote::{Remote, RemoteError},
    waiting::{Attempt, Attempts},
};

/// Batches on their way at once: one in work at the server, one on the way to it.
const BATCHES: usize = 2;

/// How often a digest is offered again to a server that is busy.
const TRIES: u32 = 6;

/// What is known of each job when the work ends.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) signed: Vec<Signed>,
    /// Those that wait for people still.
    pub(super) waiting: Vec<Waits>,
    pub(super) failed: Vec<Failed>,
    /// Whether a signal ended the work.
    pub(super) interrupted: bool,
}

/// Signs all files. A failure of one leaves the others; one of the server or the login ends the work.
pub(super) async fn sign(
    remote: &Remote,
    key: &SigningKey,
    (hash, form): (HashAlgorithm, Form),
    jobs: Vec<Job>,
    context: Option<UseContext>,
    (attempts, quiet): (Attempts, bool),
) -> anyhow::Result<Outcome> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let bar = progress::bar(jobs.len(), "signed", quiet);
    let mut work = Work::new(remote, key, (hash, form), jobs, (attempts, &bar));
    (work.context, work.quiet) = (context, quiet);
    let interrupted = tokio::select! {
        done = work.run() => { done?; false }
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
    };
    bar.finish_and_clear();
    // What waits is given up by that.
    work.undecided.shutdown().await;
    let Outcome { mut signed, waiting, failed, .. } = work.outcome;
    signed.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(Outcome { signed, waiting, failed, interrupted })
}

struct Work<'a> {
    remote: &'a Remote,
    key: &'a SigningKey,
    hash: HashAlgorithm,
    form: Form,
    /// What is said of each use.
    context: Option<UseContext>,
    bar: &'a ProgressBar,
    /// What earlier commands asked for.
    attempts: Attempts,
    /// How many files of each content have been looked up: each has an attempt of its own, and none is tried twice.
    looked_up: Arc<Mutex<HashMap<Vec<u8>, usize>>>,
    /// Not begun.
    waiting: VecDeque<Job>,
    hashing: JoinSet<(Job, Result<Hashed, SignatureError>)>,
    /// Hashed, not sent.
    ready: Vec<Ready>,
    sending: JoinSet<Result<Vec<(Ready, SignBatchResult)>, RemoteError>>,
    /// At the server, waiting for people.
    undecided: JoinSet<(Ready, Result<SignatureResponse, RemoteError>)>,
    /// Those that the server takes once fewer wait there.
    held: Vec<Ready>,
    quiet: bool,
    outcome: Outcome,
}

/// A file's signature, without what the server makes.
struct Hashed {
    draft: Draft,
    /// What the attempt is called.
    name: String,
    /// Whether an earlier command asked for it, and its key for that.
    earlier: Option<Uuid>,
}

/// A file that waits for the server.
struct Ready {
    job: Job,
    draft: Draft,
    /// The same for each try, so that no try uses the key twice.
    idempotency_key: Uuid,
    tries: u32,
    /// What the attempt is called.
    name: String,
    /// Whether an earlier command asked for it.
    is_earlier: bool,
}

impl<'a> Work<'a> {
    fn new(
        remote: &'a Remote,
        key: &'a SigningKey,
        (hash, form): (HashAlgorithm, Form),
        jobs: Vec<Job>,
        (attempts, bar): (Attempts, &'a ProgressBar),
    ) -> Self {
        Self {
            remote,
            key,
            hash,
            form,
            context: None,
            bar,
            attempts,
            looked_up: Arc::default(),
            waiting: jobs.into(),
            hashing: JoinSet::new(),
            ready: Vec::new(),
            sending: JoinSet::new(),
            undecided: JoinSet::new(),
            held: Vec::new(),
            quiet: false,
            outcome: Outcome::default(),
        }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let hashers = available_parallelism().map_or(2, usize::from);
        loop {
            // No further ahead than the server can follow: files that wait hashed would only be hashed too early.
            while self.hashing.len() < hashers && self.ready.len() < BATCHES * MAX_BATCH {
                let Some(job) = self.waiting.pop_front() else { break };
                self.begin_hashing(job);
            }
            self.send();
            if self.hashing.is_empty() && self.sending.is_empty() && self.undecided.is_empty() {
                if self.held.is_empty() {
                    return Ok(());
                }
                self.ready.append(&mut self.held);
                continue;
            }
            tokio::select! {
                Some(hashed) = self.hashing.join_next() => {
                    let (job, hashed) = hashed.context("hashing ended")?;
                    match hashed {
                        Ok(Hashed { draft, name, earlier }) => {
                            let (idempotency_key, is_earlier) =
                                (earlier.unwrap_or_else(Uuid::now_v7), earlier.is_some());
                            self.ready.push(Ready { job, draft, idempotency_key, tries: 0, name, is_earlier });
                        }
                        Err(error) => self.fail(job, error.to_string()),
                    }
                }
                Some(answer) = self.sending.join_next() => {
                    let mut waiting = Vec::new();
                    for (ready, result) in answer.context("sending ended")?? {
                        waiting.extend(self.take(ready, result));
                    }
                    if !self.quiet {
                        announce(&waiting, self.bar);
                    }
                }
                Some(decided) = self.undecided.join_next() => {
                    let (ready, result) = decided.context("waiting ended")?;
                    self.decide(ready, result);
                }
            }
        }
    }

    fn begin_hashing(&mut self, job: Job) {
        let (key, hash, attempts) = (self.key.clone(), self.hash, self.attempts.clone());
        let looked_up = Arc::clone(&self.looked_up);
        self.bar.set_message(clean_path(&job.file));
        self.hashing.spawn_blocking(move || {
            let (mut name, mut earlier) = (String::new(), None);
            let known = |digest: &[u8]| {
                let mut looked_up = looked_up.lock();
                let place = looked_up.entry(digest.to_vec()).or_default();
                name = Attempts::name(key.id(), digest, *place);
                *place += 1;
                earlier = attempts.find(&name);
                earlier.map(|attempt| attempt.seed)
            };
            let draft = File::open(&job.file)
                .map_err(SignatureError::from)
                .and_then(|mut file| Draft::of_content_again(&key, hash, &mut file, known));
            let earlier = earlier.map(|attempt| attempt.idempotency_key);
            (job, draft.map(|draft| Hashed { draft, name, earlier }))
        });
    }

    /// Sends what is ready: at once if nothing is on its way, else when a batch is full. So one file is signed without
    /// delay, and many go in large batches.
    fn send(&mut self) {
        while !self.ready.is_empty()
            && (self.sending.is_empty() || (self.sending.len() < BATCHES && self.ready.len() >= MAX_BATCH))
        {
            let rest = self.ready.split_off(self.ready.len().min(MAX_BATCH));
            let batch = std::mem::replace(&mut self.ready, rest);
            let (remote, key, context) = (self.remote.clone(), self.key.id(), self.context.clone());
            self.sending.spawn(async move {
                let tries = batch.iter().map(|ready| ready.tries).max().unwrap_or(0);
                if tries > 0 {
                    sleep(Duration::from_millis(50) * 2_u32.pow(tries.min(TRIES))).await;
                }
                let items = batch.iter().map(|ready| SignBatchItem {
                    idempotency_key: ready.idempotency_key,
                    hash: ready.draft.hash(),
                    digest: Bytes(ready.draft.digest().to_vec()),
                });
                let request = SignBatchRequest { items: items.collect(), context };
                let results = remote.sign_batch(key, &request).await?;
                Ok(batch.into_iter().zip(results).collect())
            });
        }
    }

    /// Gives what the file waits for, if it does.
    fn take(&mut self, mut ready: Ready, result: SignBatchResult) -> Option<WaitingUse> {
        match result {
            SignBatchResult::Signed(answer) => self.keep(ready, &answer),
            SignBatchResult::Waiting(waiting) => {
                self.wait(ready, waiting.clone());
                return Some(waiting);
            }
            SignBatchResult::Problem(problem)
                if ready.tries < TRIES && matches!(problem.code, ProblemCode::Overloaded | ProblemCode::InProgress) =>
            {
                ready.tries += 1;
                self.ready.push(ready);
            }
            // Of another login, for instance.
            SignBatchResult::Problem(problem)
                if ready.is_earlier && problem.code == ProblemCode::IdempotencyMismatch =>
            {
                self.attempts.remove(&ready.name);
                self.waiting.push_back(ready.job);
            }
            // As many wait as may.
            SignBatchResult::Problem(problem)
                if problem.code == ProblemCode::TooManyWaiting && !self.undecided.is_empty() =>
            {
                self.held.push(ready);
            }
            SignBatchResult::Problem(problem) => {
                let reason = RemoteError::Problem(problem).to_string();
                for held in self.held.drain(..) {
                    self.outcome.failed.push(Failed { file: held.job.file, reason: reason.clone() });
                }
                self.attempts.remove(&ready.name);
                self.fail(ready.job, reason);
            }
        }
        None
    }

    fn wait(&mut self, ready: Ready, waiting: WaitingUse) {
        let (remote, key, context) = (self.remote.clone(), self.key.id(), self.context.clone());
        self.undecided.spawn(async move {
            let digest = Bytes(ready.draft.digest().to_vec());
            let request = SignRequest { hash: ready.draft.hash(), digest, context };
            let result = remote.sign_waiting(key, ready.idempotency_key, &request, waiting).await;
            (ready, result)
        });
    }

    fn decide(&mut self, ready: Ready, result: Result<SignatureResponse, RemoteError>) {
        match result {
            Ok(answer) => self.keep(ready, &answer),
            Err(RemoteError::Undecided { waiting, .. }) if waiting.expires > Timestamp::now() => {
                let (seed, expires) = (ready.draft.seed(), waiting.expires);
                let attempt = Attempt { idempotency_key: ready.idempotency_key, seed, expires };
                // Without the note the next command asks people again.
                let _ = self.attempts.save(&ready.name, &attempt);
                self.outcome.waiting.push(Waits::new(ready.job.file, *waiting));
            }
            Err(error) => {
                self.attempts.remove(&ready.name);
                self.fail(ready.job, error.to_string());
            }
        }
        // There is room for one more.
        self.ready.extend(self.held.pop());
    }

    fn keep(&mut self, ready: Ready, answer: &SignatureResponse) {
        let Ready { job, draft, name, is_earlier, .. } = ready;
        if is_earlier {
            self.attempts.remove(&name);
        }
        let written = draft
            .finish(self.key, &answer.signature.0, self.form)
            .map_err(anyhow::Error::from)
            .and_then(|signature| write_whole(&job.signature, &signature));
        match written {
            Ok(()) => {
                self.bar.inc(1);
                let Job { file, signature } = job;
                self.outcome.signed.push(Signed { file, signature, request_id: answer.request_id });
            }
            Err(error) => self.fail(job, format!("{error:#}")),
        }
    }

    fn fail(&mut self, job: Job, reason: String) {
        let file: PathBuf = job.file;
        self.outcome.failed.push(Failed { file, reason });
    }
}
