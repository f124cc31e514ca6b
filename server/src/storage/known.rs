//! The answers to what each use of a key asks: whose grant it is, and what the key is.
//!
//! An SQLite file is written by this process and by no other, so an answer stays true until the writer commits something else
//! than uses; whoever waits for such a commit is told after the answers are no longer believed.
//!
//! Several servers write to one PostgreSQL. There an answer was true when the database had counted so many changes
//! ([`AsOf`]), and is only believed: the transaction in which a use begins finds the number of that moment, and if it is
//! another one asks anew.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{HeldGrant, KeyUse, StorageError, UseOf};

/// Answers of each kind at most; when there are more, all are asked for again.
const MOST: usize = 1024;

/// How many transactions had changed something else than uses when something was read: as long as the database counts no
/// more of them, it is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf(u64);

impl AsOf {
    /// With the number that the database counts; for a file in its one era, else to be put into one.
    pub(super) fn number(changes: i64) -> Self {
        Self(changes.cast_unsigned() & NUMBER)
    }

    /// Read in this era.
    pub(super) fn in_era(self, Era(era): Era) -> Self {
        Self(era | (self.0 & NUMBER))
    }
}

/// The time in which numbers of changes can be compared: as long as the writer's connection to the database holds. Above the
/// bits of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Era(u64);

/// The bits of a number: more changes than a database ever counts.
const NUMBER: u64 = (1 << 40) - 1;

/// Says that what was read may not be so any more: a number that grows with each such commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(Arc<AtomicU64>);

impl Changes {
    /// Where this process writes alone. Must come after the commit, and before anybody is told of it.
    pub(super) fn happened(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Where others write too: what the database has told of them.
    pub(super) fn heard(&self, AsOf(moment): AsOf) {
        self.0.fetch_max(moment, Ordering::AcqRel);
    }

    /// The database may be another one from now on, which has counted otherwise: one that took over, or was restored.
    pub(super) fn begin_era(&self) {
        let next = |moment: u64| Some((moment | NUMBER) + 1);
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    pub(super) fn era(&self) -> Era {
        Era(self.count() & !NUMBER)
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Answers that still hold, or are believed to.
#[derive(Debug)]
pub(super) struct Known {
    /// Whether this process alone writes, so that what is known is so.
    alone: bool,
    pub(super) changes: Changes,
    /// By the SHA-256 of the token.
    pub(super) grants: Answers<[u8; 32], HeldGrant>,
    pub(super) keys: Answers<UseOf, KeyUse>,
}

impl Known {
    pub(super) fn new(changes: Changes, alone: bool) -> Self {
        Self { alone, grants: Answers::new(&changes), keys: Answers::new(&changes), changes }
    }

    /// What is so: known here, or asked for.
    pub(super) async fn answer<K, V, F>(
        &self,
        answers: &Answers<K, V>,
        question: K,
        ask: F,
        as_of: fn(&mut V) -> &mut AsOf,
    ) -> Result<Option<V>, StorageError>
    where
        K: Eq + Hash,
        V: Clone,
        F: Future<Output = Result<Option<V>, StorageError>>,
    {
        if self.alone {
            return answers.known_or(question, ask).await;
        }
        let era = self.changes.era();
        let mut answer = ask.await?;
        if let Some(answer) = &mut answer {
            let as_of = as_of(answer);
            *as_of = as_of.in_era(era);
            let as_of = *as_of;
            self.changes.heard(as_of);
            answers.keep(question, answer, as_of.0);
        }
        Ok(answer)
    }

    /// What was so when somebody asked last, as far as this server has heard. Nothing where what is known is so.
    pub(super) fn believed<K: Eq + Hash, V: Clone>(&self, answers: &Answers<K, V>, question: &K) -> Option<V> {
        if self.alone { None } else { answers.get(question, self.changes.count()) }
    }
}

/// Answers to one kind of question.
#[derive(Debug)]
pub(super) struct Answers<K, V> {
    changes: Changes,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    /// The changes that had happened before any of these was asked for.
    as_of: u64,
    all: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn new(changes: &Changes) -> Self {
        Self { changes: changes.clone(), state: Mutex::new(State { as_of: 0, all: HashMap::new() }) }
    }

    /// What is known, else what the database says. That it knows nothing is not kept: anybody may ask for anything.
    pub(super) async fn known_or<F>(&self, question: K, ask: F) -> Result<Option<V>, StorageError>
    where
        F: Future<Output = Result<Option<V>, StorageError>>,
    {
        let as_of = self.changes.count();
        if let Some(known) = self.get(&question, as_of) {
            return Ok(Some(known));
        }
        let answer = ask.await?;
        if let Some(answer) = &answer {
            self.keep(question, answer, as_of);
        }
        Ok(answer)
    }

    fn get(&self, question: &K, now: u64) -> Option<V> {
        let state = self.lock();
        if state.as_of == now { state.all.get(question).cloned() } else { None }
    }

    fn keep(&self, question: K, answer: &V, as_of: u64) {
        let mut state = self.lock();
        if as_of < state.as_of {
            return;
        }
        if as_of > state.as_of || state.all.len() >= MOST {
            state.all.clear();
            state.as_of = as_of;
        }
        state.all.insert(question, answer.clone());
    }

    /// Whole after a panic: what was cleared is asked for again.
    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    async fn ask(answers: &Answers<u8, u64>, question: u8, database: Option<u64>) -> Option<u64> {
        answers.known_or(question, async { Ok(database) }).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_kept_until_something_happens() {
        let changes = Changes::default();
        let answers = Answers::new(&changes);
        assert_eq!(ask(&answers, 1, Some(10)).await, Some(10));
        assert_eq!(ask(&answers, 2, Some(20)).await, Some(20));
        assert_eq!(ask(&answers, 1, Some(11)).await, Some(10));
        changes.happened();
        assert_eq!(ask(&answers, 1, Some(11)).await, Some(11));
        assert_eq!(ask(&answers, 2, None).await, None);
    }

    #[tokio::test]
    async fn that_nothing_is_known_is_not_kept() {
        let answers = Answers::new(&Changes::default());
        assert_eq!(ask(&answers, 1, None).await, None);
        assert_eq!(ask(&answers, 1, Some(10)).await, Some(10));
    }

    #[tokio::test]
    async fn what_was_asked_before_a_change_is_not_taken_for_what_is_after_it() {
        let changes = Changes::default();
        let answers = Answers::new(&changes);
        let old = answers.known_or(1, async {
            changes.happened();
            assert_eq!(ask(&answers, 1, Some(11)).await, Some(11));
            Ok(Some(10))
        });
        assert_eq!(old.await.unwrap(), Some(10));
        assert_eq!(ask(&answers, 1, Some(12)).await, Some(11), "the newer one was known already");
        let old = answers.known_or(2, async {
            changes.happened();
            Ok(Some(20))
        });
        assert_eq!(old.await.unwrap(), Some(20));
        assert_eq!(ask(&answers, 2, Some(21)).await, Some(21));
    }

    #[tokio::test]
    async fn there_are_never_more_than_the_most() {
        let answers = Answers::new(&Changes::default());
        for question in 0..=MOST {
            answers.known_or(question, async { Ok(Some(())) }).await.unwrap();
        }
        assert_eq!(answers.lock().all.len(), 1);
    }

    /// A writer that changes a value, says so, and only then lets anybody know.
    #[test]
    fn whoever_has_heard_of_a_change_sees_it() {
        let (changes, value) = (Changes::default(), AtomicU64::new(0));
        let (heard, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let answers = Answers::new(&changes);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    while !stop.load(Ordering::Acquire) {
                        let least = heard.load(Ordering::Acquire);
                        let database = async { Ok(Some(value.load(Ordering::Acquire))) };
                        let seen = runtime.block_on(answers.known_or(1_u8, database)).unwrap().unwrap();
                        if seen < least {
                            stop.store(true, Ordering::Release);
                            panic!("{seen} was seen after {least} had been told of");
                        }
                    }
                });
            }
            for n in 1..20_000 {
                value.store(n, Ordering::Release);
                changes.happened();
                heard.store(n, Ordering::Release);
            }
            stop.store(true, Ordering::Release);
        });
    }
}
