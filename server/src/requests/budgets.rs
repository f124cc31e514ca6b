//! What each principal may have in a minute: uses of keys, and denials that are recorded one by one.
//!
//! A burst of denied uses must not fill the record. Denials beyond the budget cost no write: they are counted, and one
//! entry says so when the minute is over. Uses that policy allows go on meanwhile. All is kept in memory, by each server
//! for itself. A principal's minute begins with its first use.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sealcard_api::{
    Timestamp,
    ids::{PrincipalId, RequestId},
};
use sealcard_record::{
    Actor, Draft, Event,
    event::{DenialCause, UseDeniedBurst},
};

use super::{RequestError, Requests, decide::Decided, judgement::Denial};
use crate::{authn::Caller, config::Limits, limits, storage::Verdict};

const MINUTE: Duration = Duration::from_mins(1);

/// The budgets of all principals. Cheap to clone.
#[derive(Clone)]
pub(super) struct Budgets {
    uses: u32,
    denials: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    minutes: HashMap<PrincipalId, Minute>,
    /// Bursts whose minute is over, and which are not recorded yet.
    ended: HashMap<PrincipalId, Burst>,
}

/// What a principal had since its minute began.
struct Minute {
    began: Instant,
    uses: u32,
    /// Denials that are recorded one by one.
    denials: u32,
    burst: Option<Burst>,
}

/// Denials that are not recorded one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Burst {
    /// Of the last one, as the following.
    request: RequestId,
    actor: Actor,
    peer: IpAddr,
    cause: DenialCause,
    reason: String,
    from: Timestamp,
    until: Timestamp,
    count: u64,
}

impl Budgets {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { uses: limits.uses_per_minute, denials: limits.denials_per_minute, state: Arc::default() }
    }

    /// Counts a use that begins.
    pub(super) fn begin_use(&self, principal: PrincipalId, now: Instant) -> Result<(), RequestError> {
        let mut state = self.state.lock();
        let minute = state.minute(principal, now).ok_or(RequestError::TooManyUses { retry_after: MINUTE.as_secs() })?;
        if minute.uses >= self.uses {
            return Err(RequestError::TooManyUses { retry_after: minute.seconds_left(now) });
        }
        minute.uses += 1;
        Ok(())
    }

    /// Before the transaction: refuses what is going to be denied, if the budget is spent.
    pub(super) fn admit(&self, caller: &Caller, denial: Option<&Denial>, now: Instant) -> Result<(), RequestError> {
        match denial {
            None => Ok(()),
            Some(Denial { cause, reasons }) => self.expect(Burst::of_one(caller, *cause, reasons), now),
        }
    }

    fn expect(&self, one: Burst, now: Instant) -> Result<(), RequestError> {
        let mut state = self.state.lock();
        match state.minute(one.actor.id, now) {
            Some(minute) if minute.denials >= self.denials => {
                minute.add(one);
                Err(RequestError::TooManyDenials { retry_after: minute.seconds_left(now) })
            }
            _ => Ok(()),
        }
    }

    /// In the transaction: pays for a denial. An error if the budget is spent, so that the transaction writes nothing.
    pub(super) fn charge(
        &self,
        caller: &Caller,
        verdict: Verdict<Decided>,
        now: Instant,
    ) -> Result<Verdict<Decided>, RequestError> {
        let (Decided::Refused(error), Some((_, Draft { event: Event::UseDenied(denied), .. }))) =
            (&verdict.value, &verdict.next)
        else {
            return Ok(verdict);
        };
        match self.pay(Burst::of_one(caller, denied.cause, &denied.reasons), now) {
            Ok(()) => Ok(verdict),
            // Not the requester's fault, and soon over.
            Err(_) if matches!(error, RequestError::Busy) => Err(RequestError::Busy),
            Err(retry_after) => Err(RequestError::TooManyDenials { retry_after }),
        }
    }

    /// The seconds until there is another budget, if this one is spent.
    fn pay(&self, one: Burst, now: Instant) -> Result<(), u64> {
        let mut state = self.state.lock();
        match state.minute(one.actor.id, now) {
            Some(minute) if minute.denials >= self.denials => {
                minute.add(one);
                Err(minute.seconds_left(now))
            }
            Some(minute) => {
                minute.denials += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The bursts whose minute is over, or all.
    fn take(&self, now: Option<Instant>) -> Vec<Burst> {
        let mut state = self.state.lock();
        let State { minutes, ended } = &mut *state;
        minutes.retain(|principal, minute| {
            let is_over = now.is_none_or(|now| minute.is_over(now));
            if is_over && let Some(burst) = minute.burst.take() {
                keep(ended, *principal, burst);
            }
            // Before the end, all are asked for: then the counts stay.
            now.is_none() || !is_over
        });
        ended.drain().map(|(_, burst)| burst).collect()
    }

    /// Keeps what could not be recorded.
    fn put_back(&self, bursts: Vec<Burst>) {
        let mut state = self.state.lock();
        for burst in bursts {
            keep(&mut state.ended, burst.actor.id, burst);
        }
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budgets(…)")
    }
}

impl State {
    /// The principal's present minute. None if too many have one.
    fn minute(&mut self, principal: PrincipalId, now: Instant) -> Option<&mut Minute> {
        let Self { minutes, ended } = self;
        if minutes.len() >= limits::BUDGETED_PRINCIPALS && !minutes.contains_key(&principal) {
            minutes.retain(|_, minute| !minute.is_over(now) || minute.burst.is_some());
            if minutes.len() >= limits::BUDGETED_PRINCIPALS {
                return None;
            }
        }
        Some(match minutes.entry(principal) {
            Entry::Vacant(entry) => entry.insert(Minute::new(now)),
            Entry::Occupied(entry) => {
                let minute = entry.into_mut();
                if minute.is_over(now)
                    && let Some(burst) = std::mem::replace(minute, Minute::new(now)).burst
                {
                    keep(ended, principal, burst);
                }
                minute
            }
        })
    }
}

/// Keeps a burst until it is recorded, as one with an earlier one that is not recorded yet.
fn keep(ended: &mut HashMap<PrincipalId, Burst>, principal: PrincipalId, burst: Burst) {
    match ended.entry(principal) {
        Entry::Vacant(entry) => drop(entry.insert(burst)),
        Entry::Occupied(mut entry) => drop(entry.insert(entry.get().clone().and(burst))),
    }
}

impl Minute {
    const fn new(began: Instant) -> Self {
        Self { began, uses: 0, denials: 0, burst: None }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= MINUTE
    }

    fn seconds_left(&self, now: Instant) -> u64 {
        let left = MINUTE.saturating_sub(now.saturating_duration_since(self.began));
        left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
    }

    /// Counts a denial that is not recorded by itself.
    fn add(&mut self, one: Burst) {
        self.burst = Some(match self.burst.take() {
            None => one,
            Some(earlier) => earlier.and(one),
        });
    }
}

impl Burst {
    fn of_one(caller: &Caller, cause: DenialCause, reasons: &[String]) -> Self {
        Self {
            request: caller.request_id,
            actor: caller.actor(),
            peer: caller.peer.ip(),
            cause,
            reason: reasons.join("; "),
            from: caller.received,
            until: caller.received,
            count: 1,
        }
    }

    /// Both as one.
    fn and(self, later: Self) -> Self {
        let (from, until) = (self.from.min(later.from), self.until.max(later.until));
        Self { from, until, count: self.count.saturating_add(later.count), ..later }
    }

    fn draft(&self) -> Draft {
        let Self { cause, from, until, count, .. } = *self;
        let event = UseDeniedBurst { count, from, until, cause, reason: self.reason.clone() };
        Draft::new(self.request, Event::UseDeniedBurst(event)).by(self.actor.clone()).from_peer(self.peer)
    }
}

impl Requests {
    /// Records the bursts of denials and refused requests whose minute was over at this moment. Without one: all, before
    /// the server ends.
    pub async fn record_bursts(&self, now: Option<Instant>) {
        self.record_refusals(now).await;
        let bursts = self.budgets.take(now);
        if bursts.is_empty() {
            return;
        }
        let drafts: Vec<Draft> = bursts.iter().map(Burst::draft).collect();
        let written = self.store.write(move |tx| {
            drafts.into_iter().for_each(|draft| tx.append_record(draft));
            Ok::<_, crate::storage::StorageError>(())
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "signing: bursts of denied uses can't be recorded yet");
            self.budgets.put_back(bursts);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use sealcard_api::ids::GrantId;

    use super::*;

    fn budgets(uses_per_minute: u32, denials_per_minute: u32) -> Budgets {
        Budgets::new(&Limits { uses_per_minute, denials_per_minute, ..Limits::default() })
    }

    /// A denied use of this principal at this second.
    fn denied(principal: PrincipalId, second: i64) -> Burst {
        Burst {
            request: RequestId::new(),
            actor: Actor::new(principal, "somebody", GrantId::new()),
            peer: [192, 0, 2, 7].into(),
            cause: DenialCause::Policy,
            reason: format!("reason {second}"),
            from: Timestamp::from_unix(second),
            until: Timestamp::from_unix(second),
            count: 1,
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn denials_beyond_the_budget_become_one_entry_after_the_minute() {
        let (budgets, start, principal) = (budgets(1000, 3), Instant::now(), PrincipalId::new());
        let paid = (0..10).filter(|n| budgets.pay(denied(principal, *n), after(start, 5)).is_ok()).count();
        assert_eq!(paid, 3);
        assert_eq!(budgets.pay(denied(principal, 10), after(start, 25)), Err(40));
        assert!(matches!(
            budgets.expect(denied(principal, 11), after(start, 64)),
            Err(RequestError::TooManyDenials { retry_after: 1 })
        ));
        assert_eq!(budgets.take(Some(after(start, 64))), []);
        let bursts = budgets.take(Some(after(start, 65)));
        let [burst] = bursts.as_slice() else { panic!("{bursts:?}") };
        assert_eq!((burst.count, burst.from.unix(), burst.until.unix()), (9, 3, 11));
        assert_eq!((burst.reason.as_str(), burst.actor.id), ("reason 11", principal));
        assert_eq!(budgets.take(Some(after(start, 65))), []);
        assert!(budgets.pay(denied(principal, 12), after(start, 65)).is_ok(), "a new minute");
    }

    #[test]
    fn burst_whose_minute_was_followed_by_another_is_kept() {
        let (budgets, start, principal) = (budgets(1000, 1), Instant::now(), PrincipalId::new());
        for minute in 0..3 {
            for _ in 0..5 {
                let _ = budgets.pay(denied(principal, minute), after(start, 60 * minute.unsigned_abs()));
            }
        }
        let counts = |bursts: Vec<Burst>| bursts.iter().map(|burst| burst.count).collect::<Vec<_>>();
        let ended = budgets.take(Some(after(start, 130)));
        assert_eq!(counts(ended.clone()), [8], "two minutes that were not recorded in between");
        budgets.put_back(ended);
        assert_eq!(counts(budgets.take(None)), [12], "the third one too");
        // Its budget stays spent.
        assert!(budgets.pay(denied(principal, 2), after(start, 131)).is_err());
    }

    #[test]
    fn principals_do_not_spend_one_anothers_budgets() {
        let (budgets, now, [one, other]) = (budgets(2, 1), Instant::now(), [(); 2].map(|()| PrincipalId::new()));
        for _ in 0..5 {
            let _ = budgets.begin_use(one, now);
            let _ = budgets.pay(denied(one, 0), now);
        }
        assert!(budgets.begin_use(other, now).is_ok() && budgets.pay(denied(other, 0), now).is_ok());
    }

    #[test]
    fn uses_beyond_the_budget_are_refused_until_the_minute_is_over() {
        let (budgets, start, principal) = (budgets(5, 1), Instant::now(), PrincipalId::new());
        let begun = (0..20).filter(|_| budgets.begin_use(principal, start).is_ok()).count();
        assert_eq!(begun, 5);
        let refused = budgets.begin_use(principal, after(start, 59));
        assert!(matches!(refused, Err(RequestError::TooManyUses { retry_after: 1 })), "{refused:?}");
        assert!(budgets.begin_use(principal, after(start, 60)).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let (budgets, start) = (budgets(5, 1), Instant::now());
        let begun = |at| {
            (0..limits::BUDGETED_PRINCIPALS + 10).filter(|_| budgets.begin_use(PrincipalId::new(), at).is_ok()).count()
        };
        assert_eq!(begun(start), limits::BUDGETED_PRINCIPALS);
        assert_eq!(begun(after(start, 60)), limits::BUDGETED_PRINCIPALS, "those whose minute is over are forgotten");
        assert!(budgets.state.lock().minutes.len() <= limits::BUDGETED_PRINCIPALS);
    }
}
