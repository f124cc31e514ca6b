//! Requests that were refused before anything was done: without a valid grant, without the right, too soon after wrong
//! attempts, or over a weak hash.
//!
//! The first of a kind is recorded at once. Further ones of the same principal or network within a minute are counted,
//! and become one entry when the minute is over: as bursts of denied uses do, see [`super::budgets`]. Whoever shows no
//! valid grant can make no more than [`FIRST_OF_STRANGERS`] entries a minute that way; further networks are counted
//! together. So neither memory nor the record grows with a flood, and the writer is not kept busy.

use std::{
    collections::HashMap,
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
    Actor, Draft, Event, Named,
    event::{Refusal, RequestRefused},
};

use super::Requests;
use crate::authn::network_of;

const MINUTE: Duration = Duration::from_mins(1);

/// Entries that requests without a valid grant can cause at once within a minute, from all networks together.
const FIRST_OF_STRANGERS: u32 = 30;

/// Principals and networks that are told apart within a minute; further ones are counted together.
const SUBJECTS: usize = 4096;

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The request.
    pub(crate) request: RequestId,
    /// Where it came from.
    pub(crate) peer: IpAddr,
    /// When it arrived.
    pub(crate) received: Timestamp,
    /// Who asked, if that was proved.
    pub(crate) actor: Option<Actor>,
    /// Whose grant was shown that has ended.
    pub(crate) principal: Option<Named<PrincipalId>>,
    /// Why it was refused.
    pub(crate) refusal: Refusal,
    /// Method and route.
    pub(crate) route: String,
    /// The same for a person.
    pub(crate) reason: String,
}

/// Who is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Principal(PrincipalId),
    Network(IpAddr),
    /// All that there is no room for.
    Others,
}

/// Refused requests of this minute. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    minutes: HashMap<(Subject, Refusal), Minute>,
    /// Counts whose minute is over, and which are not recorded yet.
    ended: HashMap<(Subject, Refusal), Counted>,
    /// Entries of strangers that were written at once, since that moment.
    strangers: Option<(Instant, u32)>,
}

struct Minute {
    began: Instant,
    counted: Option<Counted>,
}

/// Requests that have no entries of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    last: Refused,
    from: Timestamp,
    count: u64,
}

impl Refusals {
    /// Counts a refused request. The entry that is to be written at once, if it is the first of its kind.
    pub(crate) fn note(&self, refused: Refused, now: Instant) -> Option<Draft> {
        let mut state = self.0.lock();
        let subject = match &refused.actor {
            Some(actor) => Subject::Principal(actor.id),
            None => Subject::Network(network_of(refused.peer)),
        };
        let known = (subject, refused.refusal);
        let is_new = state.minutes.get(&known).is_none_or(|minute| minute.is_over(now));
        let has_room = state.minutes.len() < SUBJECTS || state.minutes.contains_key(&known);
        let at_once = is_new && has_room && (refused.actor.is_some() || state.pay_for_stranger(now));
        let key = if is_new && !at_once { (Subject::Others, refused.refusal) } else { known };
        let State { minutes, ended, .. } = &mut *state;
        let minute = minutes.entry(key).or_insert_with(|| Minute { began: now, counted: None });
        if minute.is_over(now) {
            let earlier = std::mem::replace(minute, Minute { began: now, counted: None });
            earlier.counted.into_iter().for_each(|counted| keep(ended, key, counted));
        }
        let one = Counted { from: refused.received, last: refused, count: 1 };
        if at_once {
            return Some(one.draft(false));
        }
        minute.counted = Some(match minute.counted.take() {
            None => one,
            Some(earlier) => earlier.and(one),
        });
        None
    }

    /// The counts whose minute is over, or all.
    fn take(&self, now: Option<Instant>) -> Vec<((Subject, Refusal), Counted)> {
        let mut state = self.0.lock();
        let State { minutes, ended, .. } = &mut *state;
        minutes.retain(|key, minute| {
            let is_over = now.is_none_or(|now| minute.is_over(now));
            if is_over {
                minute.counted.take().into_iter().for_each(|counted| keep(ended, *key, counted));
            }
            now.is_none() || !is_over
        });
        ended.drain().collect()
    }

    fn put_back(&self, all: Vec<((Subject, Refusal), Counted)>) {
        let mut state = self.0.lock();
        all.into_iter().for_each(|(key, counted)| keep(&mut state.ended, key, counted));
    }
}

impl State {
    /// Whether one more stranger gets an entry at once.
    fn pay_for_stranger(&mut self, now: Instant) -> bool {
        let (began, spent) = match self.strangers {
            Some((began, spent)) if now.saturating_duration_since(began) < MINUTE => (began, spent),
            _ => (now, 0),
        };
        let pays = spent < FIRST_OF_STRANGERS;
        self.strangers = Some((began, spent + u32::from(pays)));
        pays
    }
}

/// Keeps a count until it is recorded, as one with an earlier one that is not recorded yet.
fn keep(ended: &mut HashMap<(Subject, Refusal), Counted>, key: (Subject, Refusal), counted: Counted) {
    let counted = match ended.remove(&key) {
        None => counted,
        Some(earlier) => earlier.and(counted),
    };
    ended.insert(key, counted);
}

impl Minute {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= MINUTE
    }
}

impl Counted {
    /// Both as one.
    fn and(self, later: Self) -> Self {
        let (from, count) = (self.from.min(later.from), self.count.saturating_add(later.count));
        Self { from, count, last: later.last }
    }

    fn draft(&self, several: bool) -> Draft {
        let Refused { request, peer, received, actor, principal, refusal, route, reason } = self.last.clone();
        let event = RequestRefused {
            refusal,
            route,
            principal,
            reason,
            count: self.count,
            from: self.from,
            until: received,
            several_networks: several,
        };
        let draft = Draft::new(request, Event::RequestRefused(event)).from_peer(peer);
        match actor {
            Some(actor) => draft.by(actor),
            None => draft,
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusals(…)")
    }
}

impl Requests {
    /// Records a request that was refused: at once if it is the first of its kind, else with others.
    pub(crate) async fn record_refusal(&self, refused: Refused) {
        let Some(draft) = self.refusals.note(refused, Instant::now()) else { return };
        if let Err(error) = self.store.append_record(draft).await {
            tracing::warn!(%error, "a refused request can't be recorded");
        }
    }

    /// Records the refused requests that were counted and whose minute was over at this moment. Without one: all, before
    /// the server ends.
    pub async fn record_refusals(&self, now: Option<Instant>) {
        let counted = self.refusals.take(now);
        if counted.is_empty() {
            return;
        }
        let several = |key: &(Subject, Refusal)| key.0 == Subject::Others;
        let drafts: Vec<Draft> = counted.iter().map(|(key, counted)| counted.draft(several(key))).collect();
        let written = self.store.write(move |tx| {
            drafts.into_iter().for_each(|draft| tx.append_record(draft));
            Ok::<_, crate::storage::StorageError>(())
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "refused requests can't be recorded yet");
            self.refusals.put_back(counted);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use sealcard_api::ids::GrantId;

    use super::*;

    fn of(peer: [u8; 4], refusal: Refusal, second: i64) -> Refused {
        Refused {
            request: RequestId::new(),
            peer: peer.into(),
            received: Timestamp::from_unix(second),
            actor: None,
            principal: None,
            refusal,
            route: "GET /v1/users".to_owned(),
            reason: "no such grant".to_owned(),
        }
    }

    fn event(draft: &Draft) -> &RequestRefused {
        let Event::RequestRefused(event) = &draft.event else { panic!("{draft:?}") };
        event
    }

    #[test]
    fn first_refusal_is_recorded_at_once_and_others_together() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let peer = [192, 0, 2, 7];
        let note = |refusal, second| refusals.note(of(peer, refusal, second), start);
        assert_eq!(event(&note(Refusal::UnknownGrant, 0).unwrap()).count, 1);
        assert!(note(Refusal::EndedGrant, 0).is_some(), "another kind");
        for second in 1..10 {
            assert_eq!(note(Refusal::UnknownGrant, second), None);
        }
        assert_eq!(refusals.take(Some(start)), []);
        let taken = refusals.take(Some(start + MINUTE));
        let [(_, counted)] = taken.as_slice() else { panic!("{taken:?}") };
        let draft = counted.draft(false);
        let told = event(&draft);
        assert_eq!((told.count, told.from.unix(), told.until.unix()), (9, 1, 9));
        assert!(refusals.note(of(peer, Refusal::UnknownGrant, 70), start + MINUTE).is_some(), "a new minute");
    }

    #[test]
    fn flood_from_many_networks_is_a_bounded_number_of_entries() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let mut at_once = 0;
        for n in 0..200_000_u32 {
            let [_, a, b, c] = n.to_be_bytes();
            at_once += u32::from(refusals.note(of([10, a, b, c], Refusal::UnknownGrant, 0), start).is_some());
        }
        assert_eq!(at_once, FIRST_OF_STRANGERS);
        assert!(refusals.0.lock().minutes.len() <= SUBJECTS + 1);
        let counted = refusals.take(Some(start + MINUTE));
        assert_eq!(counted.len(), 1);
        assert_eq!(counted.iter().map(|(_, counted)| counted.count).sum::<u64>(), 200_000 - u64::from(at_once));
        assert!(counted.iter().all(|(key, _)| key.0 == Subject::Others));
    }

    #[test]
    fn principal_is_counted_apart_from_strangers() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        for n in 0..100 {
            refusals.note(of([10, 0, 0, n], Refusal::UnknownGrant, 0), start);
        }
        let actor = Actor::new(PrincipalId::new(), "alice", GrantId::new());
        let by = || Refused { actor: Some(actor.clone()), ..of([10, 0, 0, 1], Refusal::Forbidden, 1) };
        assert_eq!(refusals.note(by(), start).unwrap().actor, Some(actor.clone()));
        assert_eq!(refusals.note(by(), start), None);
        let counted = refusals.take(None);
        refusals.put_back(counted);
        assert_eq!(refusals.note(by(), start), None);
        let counted = refusals.take(None);
        let own = counted.iter().find(|(key, _)| key.0 == Subject::Principal(actor.id)).unwrap();
        assert_eq!(own.1.count, 2, "what could not be recorded is kept");
    }
}
