//! Who is next: a core without a clock, which waits for nothing.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use super::Occupancy;

/// How much is in progress at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Never more permits than this.
    pub at_once: usize,
    /// So many, whatever they cost.
    pub at_any_cost: usize,
    /// More than those only while the estimated costs of all together are at most this.
    pub window: Duration,
}

impl Bound {
    /// So many, whatever they cost.
    #[must_use]
    pub(crate) const fn count(at_once: usize) -> Self {
        Self { at_once, at_any_cost: at_once, window: Duration::ZERO }
    }
}

/// What is in progress and what waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// In progress in all.
    pub all: Bound,
    /// In progress for one account.
    pub of_one: Bound,
    /// How many more of one account wait.
    pub waiting_of_one: usize,
}

/// What a permit costs at least: what was granted and not used was work too.
const LEAST_COST: Duration = Duration::from_micros(10);

/// Grants permits to the account that has used the least time.
///
/// Each account has a virtual time, which grows by what its permits cost. The account with the least is next. One that
/// had nothing to do starts at the present, so it has saved nothing up.
#[derive(Debug)]
pub(super) struct Scheduler<K, W> {
    limits: Limits,
    accounts: HashMap<K, Account<W>>,
    load: Load,
    /// The virtual time of the latest grant.
    present: Duration,
    next_ticket: u64,
}

#[derive(Debug)]
struct Account<W> {
    time: Duration,
    load: Load,
    /// In the order of their tickets.
    waiting: VecDeque<Waiter<W>>,
}

#[derive(Debug)]
struct Waiter<W> {
    ticket: u64,
    estimate: Duration,
    waiter: W,
}

/// Permits and their estimated cost.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    permits: usize,
    cost: Duration,
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Granted<K, W> {
    pub(super) key: K,
    pub(super) estimate: Duration,
    pub(super) waiter: W,
}

impl<K: Clone + Eq + Hash, W> Scheduler<K, W> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, accounts: HashMap::new(), load: Load::default(), present: Duration::ZERO, next_ticket: 0 }
    }

    /// Puts a waiter at the end of its account's line; nothing if the line is full. [`Self::grant`] must follow.
    pub(super) fn wait(&mut self, key: &K, estimate: Duration, waiter: W) -> Option<u64> {
        let present = self.present;
        if !self.accounts.contains_key(key) {
            self.accounts.retain(|_, account| account.is_active() || account.time > present);
        }
        let new = || Account { time: present, load: Load::default(), waiting: VecDeque::new() };
        let account = self.accounts.entry(key.clone()).or_insert_with(new);
        if account.waiting.len() >= self.limits.waiting_of_one {
            return None;
        }
        if !account.is_active() {
            account.time = account.time.max(present);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        account.waiting.push_back(Waiter { ticket, estimate: estimate.max(LEAST_COST), waiter });
        Some(ticket)
    }

    /// Takes a waiter out of its line; one that has its permit is not there any more. [`Self::grant`] must follow.
    pub(super) fn leave(&mut self, key: &K, ticket: u64) {
        if let Some(account) = self.accounts.get_mut(key)
            && let Ok(place) = account.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket)
        {
            account.waiting.remove(place);
            self.forget(key);
        }
    }

    /// Gives the next permit, if one can be given now.
    pub(super) fn grant(&mut self) -> Option<Granted<K, W>> {
        let of_one = self.limits.of_one;
        let ready = self.accounts.iter_mut().filter_map(|(key, account)| {
            let first = account.waiting.front()?;
            let (ticket, estimate) = (first.ticket, first.estimate);
            account.load.leaves_room(of_one, estimate).then_some((account.time, ticket, estimate, key, account))
        });
        let (time, _, estimate, key, account) = ready.min_by_key(|(time, ticket, ..)| (*time, *ticket))?;
        // A cheaper one of another account that would fit does not pass: it could do so for ever.
        if !self.load.leaves_room(self.limits.all, estimate) {
            return None;
        }
        let Waiter { waiter, .. } = account.waiting.pop_front()?;
        self.present = self.present.max(time);
        account.time += estimate;
        account.load.add(estimate);
        self.load.add(estimate);
        Some(Granted { key: key.clone(), estimate, waiter })
    }

    /// Takes a permit back and charges what it has cost in place of the estimate. [`Self::grant`] must follow.
    pub(super) fn finish(&mut self, key: &K, estimate: Duration, cost: Duration) {
        self.load.remove(estimate);
        if let Some(account) = self.accounts.get_mut(key) {
            account.load.remove(estimate);
            account.time = account.time.saturating_sub(estimate) + cost.max(LEAST_COST);
        }
        self.forget(key);
    }

    /// Forgets an account that has nothing to do and has not used more than its share, and all of them when none has.
    fn forget(&mut self, key: &K) {
        let present = self.present;
        let idle = |account: &Account<W>| !account.is_active() && account.time <= present;
        if self.accounts.get(key).is_some_and(idle) {
            self.accounts.remove(key);
        }
        if self.load.permits == 0 && !self.accounts.values().any(Account::is_active) {
            self.accounts.clear();
            self.present = Duration::ZERO;
        }
    }

    /// How many permits are given, and how many waiters there are.
    pub(super) fn occupancy(&self) -> Occupancy {
        let waiting = self.accounts.values().map(|account| account.waiting.len()).sum();
        Occupancy { in_progress: self.load.permits, waiting }
    }

    /// How many permits are given, and how many accounts are remembered.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.load.permits, self.accounts.len())
    }
}

impl<W> Account<W> {
    fn is_active(&self) -> bool {
        self.load.permits > 0 || !self.waiting.is_empty()
    }
}

impl Load {
    fn leaves_room(self, bound: Bound, estimate: Duration) -> bool {
        self.permits < bound.at_any_cost
            || (self.permits < bound.at_once && self.cost.saturating_add(estimate) <= bound.window)
    }

    fn add(&mut self, estimate: Duration) {
        self.permits += 1;
        self.cost += estimate;
    }

    fn remove(&mut self, estimate: Duration) {
        self.permits = self.permits.saturating_sub(1);
        self.cost = self.cost.saturating_sub(estimate);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use proptest::prelude::*;

    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);
    const LIMITS: Limits = Limits {
        all: Bound { at_once: 12, at_any_cost: 4, window: Duration::from_micros(300) },
        of_one: Bound { at_once: 9, at_any_cost: 3, window: Duration::from_micros(200) },
        waiting_of_one: 8,
    };

    /// A service with some servers, first in, first out, in virtual time.
    struct Service {
        scheduler: Scheduler<u8, Duration>,
        /// When each server is free.
        servers: Vec<Duration>,
        /// When each permit comes back, with its account, estimate and cost.
        running: BinaryHeap<Reverse<(Duration, u8, Duration, Duration)>>,
        now: Duration,
        used: HashMap<u8, Duration>,
    }

    impl Service {
        fn new(limits: Limits, servers: usize) -> Self {
            Self {
                scheduler: Scheduler::new(limits),
                servers: vec![Duration::ZERO; servers],
                running: BinaryHeap::new(),
                now: Duration::ZERO,
                used: HashMap::new(),
            }
        }

        fn start_granted(&mut self) {
            while let Some(Granted { key, estimate, waiter: cost }) = self.scheduler.grant() {
                let now = self.now;
                let free = self.servers.iter_mut().min().unwrap();
                *free = (*free).max(now) + cost;
                self.running.push(Reverse((*free, key, estimate, cost)));
            }
        }

        /// Lets the next one end. Whose it was.
        fn step(&mut self) -> Option<u8> {
            let Reverse((end, key, estimate, cost)) = self.running.pop()?;
            self.now = end;
            *self.used.entry(key).or_default() += cost;
            self.scheduler.finish(&key, estimate, cost);
            Some(key)
        }
    }

    #[test]
    fn accounts_with_costs_of_1_and_100_get_equal_time() {
        // An estimate may be right, or wrong by any factor.
        for (cheap, expensive) in [(10, 1000), (400, 400), (1000, 10)] {
            let limits = Limits { waiting_of_one: 64, ..LIMITS };
            let mut service = Service::new(limits, 2);
            let kinds = [(1_u8, 10, cheap), (2, 1000, expensive)];
            let enter = |service: &mut Service, kind: (u8, u64, u64)| {
                let (key, cost, estimate) = kind;
                let (cost, estimate) = (Duration::from_micros(cost), Duration::from_micros(estimate));
                service.scheduler.wait(&key, estimate, cost).unwrap();
            };
            for kind in kinds {
                (0..64).for_each(|_| enter(&mut service, kind));
                service.start_granted();
            }
            while service.now < Duration::from_secs(2) {
                let ended = service.step().unwrap();
                service.start_granted();
                enter(&mut service, *kinds.iter().find(|(key, ..)| *key == ended).unwrap());
                service.start_granted();
            }
            let (one, two) = (service.used[&1].as_secs_f64(), service.used[&2].as_secs_f64());
            assert!((0.9..1.1).contains(&(one / two)), "{one} s and {two} s with estimates {cheap} and {expensive}");
        }
    }

    fn wait_often(scheduler: &mut Scheduler<char, ()>, key: char, estimate: Duration, times: usize) {
        for _ in 0..times {
            scheduler.wait(&key, estimate, ()).unwrap();
        }
    }

    #[test]
    fn idle_account_saves_nothing_up_and_is_forgotten() {
        let limits = Limits { all: Bound::count(1), of_one: Bound::count(1), waiting_of_one: 100 };
        let mut scheduler = Scheduler::new(limits);
        let cost = 100 * MICROSECOND;
        let mut order = Vec::new();
        for n in 0..60 {
            scheduler.wait(&'a', cost, ()).unwrap();
            if n == 40 {
                // It was away while the other one was served 40 times.
                wait_often(&mut scheduler, 'b', cost, 10);
            }
            let granted = scheduler.grant().unwrap();
            order.push(granted.key);
            scheduler.finish(&granted.key, granted.estimate, cost);
        }
        let late: String = order[40..].iter().collect();
        assert!(late.matches("bb").count() <= 1, "they take turns: {late}");
        while let Some(granted) = scheduler.grant() {
            scheduler.finish(&granted.key, granted.estimate, cost);
        }
        assert_eq!(scheduler.sizes(), (0, 0));
    }

    #[test]
    fn account_that_used_more_than_its_share_is_remembered_while_others_work() {
        let limits = Limits { all: Bound::count(1), of_one: Bound::count(1), waiting_of_one: 100 };
        let mut scheduler = Scheduler::new(limits);
        scheduler.wait(&'a', MICROSECOND, ()).unwrap();
        scheduler.wait(&'b', MICROSECOND, ()).unwrap();
        let first = scheduler.grant().unwrap();
        scheduler.finish(&first.key, first.estimate, Duration::from_secs(1));
        assert_eq!(scheduler.sizes(), (0, 2));
        scheduler.wait(&first.key, MICROSECOND, ()).unwrap();
        assert_ne!(scheduler.grant().unwrap().key, first.key);
    }

    #[test]
    fn account_that_costs_nothing_does_not_keep_others_waiting() {
        let limits = Limits { all: Bound::count(1), of_one: Bound::count(1), waiting_of_one: 1000 };
        let mut scheduler = Scheduler::new(limits);
        wait_often(&mut scheduler, 'a', MICROSECOND, 1000);
        wait_often(&mut scheduler, 'b', MICROSECOND, 10);
        let mut served = 0;
        for _ in 0..100 {
            let granted = scheduler.grant().unwrap();
            let cost = if granted.key == 'a' { Duration::ZERO } else { 3 * LEAST_COST };
            served += u32::from(granted.key == 'b');
            scheduler.finish(&granted.key, granted.estimate, cost);
        }
        assert_eq!(served, 10);
    }

    /// What happens to a scheduler.
    #[derive(Debug, Clone, Copy)]
    enum Happening {
        Arrives { key: u8, estimate: u64, cost: u64 },
        GivesUp(prop::sample::Index),
        Ends,
    }

    fn happenings() -> impl Strategy<Value = Vec<Happening>> {
        let arrives = (0_u8..4, 1_u64..500, 0_u64..500).prop_map(|(key, estimate, cost)| Happening::Arrives {
            key,
            estimate,
            cost,
        });
        let one = prop_oneof![
            3 => arrives,
            1 => any::<prop::sample::Index>().prop_map(Happening::GivesUp),
            2 => Just(Happening::Ends),
        ];
        prop::collection::vec(one, 0..400)
    }

    proptest! {
        #[test]
        fn bounds_hold_and_every_waiter_is_served_or_refused(happenings in happenings()) {
            let mut service = Service::new(LIMITS, 2);
            let (mut waiting, mut served, mut refused, mut left, mut arrived) = (Vec::new(), 0, 0, 0, 0);
            for happening in happenings {
                match happening {
                    Happening::Arrives { key, estimate, cost } => {
                        arrived += 1;
                        let (estimate, cost) = (Duration::from_micros(estimate), Duration::from_micros(cost));
                        match service.scheduler.wait(&key, estimate, cost) {
                            Some(ticket) => waiting.push((key, ticket)),
                            None => refused += 1,
                        }
                    }
                    Happening::GivesUp(which) if !waiting.is_empty() => {
                        let (key, ticket) = waiting.swap_remove(which.index(waiting.len()));
                        let length = |service: &Service| -> usize {
                            service.scheduler.accounts.values().map(|account| account.waiting.len()).sum()
                        };
                        let before = length(&service);
                        service.scheduler.leave(&key, ticket);
                        left += before - length(&service);
                    }
                    Happening::GivesUp(_) => {}
                    Happening::Ends => served += usize::from(service.step().is_some()),
                }
                service.start_granted();
                let mut of_one: HashMap<u8, Load> = HashMap::new();
                let mut all = Load::default();
                for Reverse((_, key, estimate, _)) in &service.running {
                    of_one.entry(*key).or_default().add(*estimate);
                    all.add(*estimate);
                }
                for (load, bound) in of_one.values().map(|load| (load, LIMITS.of_one)).chain([(&all, LIMITS.all)]) {
                    prop_assert!(load.permits <= bound.at_once, "{load:?}");
                    prop_assert!(load.permits <= bound.at_any_cost || load.cost <= bound.window, "{load:?}");
                }
                for account in service.scheduler.accounts.values() {
                    prop_assert!(account.waiting.len() <= LIMITS.waiting_of_one);
                }
            }
            while service.step().is_some() {
                served += 1;
                service.start_granted();
            }
            prop_assert_eq!(served + refused + left, arrived);
            prop_assert_eq!(service.scheduler.sizes(), (0, 0));
        }
    }
}
