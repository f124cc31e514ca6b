//! Many files: hashed on all processors while the server signs those that are hashed already, in batches.

use std::{collections::VecDeque, fs::File, path::PathBuf, thread::available_parallelism, time::Duration};

use anyhow::Context as _;
use indicatif::ProgressBar;
use sealcard_api::{
    Bytes,
    algorithm::HashAlgorithm,
    context::UseContext,
    operations::{MAX_BATCH, SignBatchItem, SignBatchRequest, SignBatchResult, SignatureResponse},
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
};
use crate::{
    cli::{App, output::clean_path, progress},
    remote::{Remote, RemoteError},
};

/// Batches on their way at once: one in work at the server, one on the way to it.
const BATCHES: usize = 2;

/// How often a digest is offered again to a server that is busy.
const TRIES: u32 = 6;

/// What is known of each job when the work ends: signed, failed, and whether a signal ended it.
type Outcome = (Vec<Signed>, Vec<Failed>, bool);

/// Signs all files. A failure of one leaves the others; one of the server or the login ends the work.
pub(super) async fn sign(
    app: &App,
    key: &SigningKey,
    hash: HashAlgorithm,
    form: Form,
    jobs: Vec<Job>,
    context: Option<UseContext>,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let bar = progress::bar(jobs.len(), "signed", quiet);
    let mut work = Work::new(&app.remote, key, hash, form, jobs, &bar);
    work.context = context;
    let interrupted = tokio::select! {
        done = work.run() => { done?; false }
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
    };
    bar.finish_and_clear();
    work.signed.sort_by(|a, b| a.file.cmp(&b.file));
    Ok((work.signed, work.failed, interrupted))
}

struct Work<'a> {
    remote: &'a Remote,
    key: &'a SigningKey,
    hash: HashAlgorithm,
    form: Form,
    /// What is said of each use.
    context: Option<UseContext>,
    bar: &'a ProgressBar,
    /// Not begun.
    waiting: VecDeque<Job>,
    hashing: JoinSet<(Job, Result<Draft, SignatureError>)>,
    /// Hashed, not sent.
    ready: Vec<Ready>,
    sending: JoinSet<Result<Vec<(Ready, SignBatchResult)>, RemoteError>>,
    signed: Vec<Signed>,
    failed: Vec<Failed>,
}

/// A file that waits for the server.
struct Ready {
    job: Job,
    draft: Draft,
    /// The same for each try, so that no try uses the key twice.
    idempotency_key: Uuid,
    tries: u32,
}

impl<'a> Work<'a> {
    fn new(
        remote: &'a Remote,
        key: &'a SigningKey,
        hash: HashAlgorithm,
        form: Form,
        jobs: Vec<Job>,
        bar: &'a ProgressBar,
    ) -> Self {
        Self {
            remote,
            key,
            hash,
            form,
            context: None,
            bar,
            waiting: jobs.into(),
            hashing: JoinSet::new(),
            ready: Vec::new(),
            sending: JoinSet::new(),
            signed: Vec::new(),
            failed: Vec::new(),
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
            if self.hashing.is_empty() && self.sending.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(hashed) = self.hashing.join_next() => {
                    let (job, draft) = hashed.context("hashing ended")?;
                    match draft {
                        Ok(draft) => self.ready.push(Ready { job, draft, idempotency_key: Uuid::now_v7(), tries: 0 }),
                        Err(error) => self.fail(job, error.to_string()),
                    }
                }
                Some(answer) = self.sending.join_next() => {
                    for (ready, result) in answer.context("sending ended")?? {
                        self.take(ready, result);
                    }
                }
            }
        }
    }

    fn begin_hashing(&mut self, job: Job) {
        let (key, hash) = (self.key.clone(), self.hash);
        self.bar.set_message(clean_path(&job.file));
        self.hashing.spawn_blocking(move || {
            let draft = File::open(&job.file)
                .map_err(SignatureError::from)
                .and_then(|mut file| Draft::of_content(&key, hash, &mut file));
            (job, draft)
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

    fn take(&mut self, mut ready: Ready, result: SignBatchResult) {
        match result {
            SignBatchResult::Waiting(_) => todo!(),
            SignBatchResult::Signed(answer) => self.keep(ready, &answer),
            SignBatchResult::Problem(problem)
                if ready.tries < TRIES && matches!(problem.code, ProblemCode::Overloaded | ProblemCode::InProgress) =>
            {
                ready.tries += 1;
                self.ready.push(ready);
            }
            SignBatchResult::Problem(problem) => self.fail(ready.job, RemoteError::Problem(problem).to_string()),
        }
    }

    fn keep(&mut self, ready: Ready, answer: &SignatureResponse) {
        let Ready { job, draft, .. } = ready;
        let written = draft
            .finish(self.key, &answer.signature.0, self.form)
            .map_err(anyhow::Error::from)
            .and_then(|signature| write_whole(&job.signature, &signature));
        match written {
            Ok(()) => {
                self.bar.inc(1);
                let Job { file, signature } = job;
                self.signed.push(Signed { file, signature, request_id: answer.request_id });
            }
            Err(error) => self.fail(job, format!("{error:#}")),
        }
    }

    fn fail(&mut self, job: Job, reason: String) {
        let file: PathBuf = job.file;
        self.failed.push(Failed { file, reason });
    }
}
