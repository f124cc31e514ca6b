//! The connections that are open, and which of them makes room for another one.
//!
//! A connection is anonymous until a request on it has shown a valid grant. One address may have only so many anonymous
//! connections. When there is no room, the anonymous connection that has been idle for longest is closed; one with a
//! login only if there is no anonymous one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::anonymous_rate::AnonymousRate;
use crate::{authn::network_of, config::Limits, limits};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for a request, or for its handshake.
    Idle,
    /// A part of a request's head has arrived.
    Head,
    /// A request is being received or answered.
    Request,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Connection {
    network: IpAddr,
    opened: Instant,
    phase: AtomicU8,
    /// Milliseconds from `opened` to when it became idle.
    idle_since: AtomicU64,
    known: AtomicBool,
    closed: Notify,
}

impl Connection {
    fn new(network: IpAddr) -> Self {
        Self {
            network,
            opened: Instant::now(),
            phase: AtomicU8::new(Phase::Idle as u8),
            idle_since: AtomicU64::new(0),
            known: AtomicBool::new(false),
            closed: Notify::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Request,
        }
    }

    /// Bytes have arrived. The first ones begin a head.
    pub(super) fn received(&self) {
        let (idle, head) = (Phase::Idle as u8, Phase::Head as u8);
        let _ = self.phase.compare_exchange(idle, head, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The head is complete.
    pub(super) fn begin_request(&self) {
        self.phase.store(Phase::Request as u8, Ordering::Relaxed);
    }

    /// The answer is known; only its bytes have to leave.
    pub(super) fn end_request(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.idle_since.store(since, Ordering::Relaxed);
        self.phase.store(Phase::Idle as u8, Ordering::Relaxed);
    }

    /// Whether no request on it has shown a valid grant.
    pub(super) fn is_anonymous(&self) -> bool {
        !self.known.load(Ordering::Relaxed)
    }

    /// Returns when it has to make room.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// For how long it has been idle; a head that is on its way is no request yet.
    fn idle(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
        (self.phase() != Phase::Request).then(|| self.opened.elapsed().saturating_sub(since))
    }
}

/// All open connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    anonymous_limit: usize,
    rate: Mutex<AnonymousRate>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Arc<Connection>>,
    /// How many anonymous ones each address has.
    anonymous: HashMap<IpAddr, usize>,
}

/// A connection's place among those that are open, given back when it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    id: u64,
    connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            limit: limits.connections,
            anonymous_limit: limits.anonymous_connections,
            rate: Mutex::new(AnonymousRate::new(limits.anonymous_requests)),
            open: Mutex::default(),
        })
    }

    /// A place for a connection from `peer`, if there is room or room can be made.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let network = network_of(peer);
        let mut open = self.open.lock();
        if open.anonymous.get(&network).copied().unwrap_or_default() >= self.anonymous_limit {
            let theirs = |connection: &Connection| connection.is_anonymous() && connection.network == network;
            open.make_room(theirs)?;
        }
        if open.all.len() >= self.limit {
            // Strangers never cost a connection with a login its place.
            let strangers = !open.anonymous.is_empty();
            open.make_room(|connection| !strangers || connection.is_anonymous())?;
        }
        let (id, connection) = (open.next, Arc::new(Connection::new(network)));
        open.next += 1;
        open.all.insert(id, Arc::clone(&connection));
        *open.anonymous.entry(network).or_default() += 1;
        drop(open);
        Some(Place(Arc::new(Held { id, connection, connections: Arc::clone(self) })))
    }
}

impl Open {
    /// Closes the connection that has been idle for longest among those that `may_go`.
    fn make_room(&mut self, may_go: impl Fn(&Connection) -> bool) -> Option<()> {
        let idle = self.all.iter().filter(|(_, connection)| may_go(connection));
        let idle = idle.filter_map(|(id, connection)| {
            Some((connection.idle().filter(|idle| *idle >= limits::EVICTION_GRACE)?, *id))
        });
        let (_, id) = idle.max()?;
        self.remove(id).map(|connection| connection.closed.notify_one())
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Connection>> {
        let connection = self.all.remove(&id)?;
        if connection.is_anonymous() {
            self.count_one_less(connection.network);
        }
        Some(connection)
    }

    fn count_one_less(&mut self, network: IpAddr) {
        if let Some(count) = self.anonymous.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.anonymous.remove(&network);
            }
        }
    }
}

impl Place {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.0.connection
    }

    /// How long an answer on it waits that is ready now: no time once a request on it has shown a valid grant.
    pub(super) fn delay(&self) -> Duration {
        let Held { connection, connections, .. } = &*self.0;
        if !connection.is_anonymous() {
            return Duration::ZERO;
        }
        connections.rate.lock().delay(connection.network, Instant::now())
    }

    /// A request on it has shown a valid grant.
    pub(super) fn authenticated(&self) {
        let Held { id, connection, connections } = &*self.0;
        if connection.is_anonymous() {
            let mut open = connections.open.lock();
            // One that makes room just now was counted already.
            if open.all.contains_key(id) && !connection.known.swap(true, Ordering::Relaxed) {
                open.count_one_less(connection.network);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connections.open.lock().remove(self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).into()
    }

    fn connections(connections: usize, anonymous_connections: usize) -> Arc<Connections> {
        Connections::new(&Limits { connections, anonymous_connections, ..Limits::default() })
    }

    /// Lets a connection have been idle for so many seconds.
    fn age(place: &Place, seconds: u64) -> Place {
        let mut open = place.0.connections.open.lock();
        let old = open.all.remove(&place.0.id).unwrap();
        let mut connection = Connection::new(old.network);
        connection.opened -= Duration::from_secs(seconds);
        connection.known = AtomicBool::new(!old.is_anonymous());
        let connection = Arc::new(connection);
        open.all.insert(place.0.id, Arc::clone(&connection));
        drop(open);
        Place(Arc::new(Held { id: place.0.id, connection, connections: Arc::clone(&place.0.connections) }))
    }

    fn is_closed(place: &Place) -> bool {
        !place.0.connections.open.lock().all.contains_key(&place.0.id)
    }

    #[test]
    fn answers_are_delayed_until_a_grant_is_shown() {
        let connections = Connections::new(&Limits { anonymous_requests: 1, ..Limits::default() });
        let place = connections.admit(peer(1)).unwrap();
        assert!((0..10).map(|_| place.delay()).max().unwrap() > Duration::ZERO);
        let neighbour = connections.admit(peer(1)).unwrap();
        assert!(neighbour.delay() > Duration::ZERO);
        neighbour.authenticated();
        assert_eq!(neighbour.delay(), Duration::ZERO);
        assert_eq!(connections.admit(peer(2)).unwrap().delay(), Duration::ZERO);
    }

    #[test]
    fn anonymous_connections_are_limited_per_address() {
        let connections = connections(100, 2);
        let places: Vec<_> = (0..2).map(|_| connections.admit(peer(1)).unwrap()).collect();
        assert!(connections.admit(peer(1)).is_none(), "none has been idle for long");
        assert!(connections.admit(peer(2)).is_some());
        places[0].authenticated();
        places[0].authenticated();
        let third = connections.admit(peer(1)).unwrap();
        assert!(connections.admit(peer(1)).is_none());
        drop(third);
        assert!(connections.admit(peer(1)).is_some());
        drop(places);
        assert!(connections.open.lock().anonymous.is_empty() && connections.open.lock().all.is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let connections = connections(100, 1);
        let _first = connections.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(connections.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(connections.admit("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[test]
    fn longest_idle_anonymous_connection_makes_room() {
        let connections = connections(4, 10);
        let places: Vec<_> = (0..4).map(|n| connections.admit(peer(n)).unwrap()).collect();
        places[0].authenticated();
        let places: Vec<_> =
            places.into_iter().zip([90, 20, 30, 40]).map(|(place, idle)| (age(&place, idle), place)).collect();
        places[3].0.connection().begin_request();
        let closed = |expected: [bool; 4]| {
            let found: Vec<_> = places.iter().map(|(place, _)| is_closed(place)).collect();
            assert_eq!(found, expected);
        };
        let fifth = connections.admit(peer(5)).unwrap();
        closed([false, false, true, false]);
        let sixth = connections.admit(peer(6)).unwrap();
        closed([false, true, true, false]);
        // The other anonymous ones have only just come, and the one with a login stays as long as there are any.
        assert!(connections.admit(peer(7)).is_none());
        for place in [&fifth, &sixth, &places[3].0] {
            place.authenticated();
        }
        let seventh = connections.admit(peer(7)).unwrap();
        closed([true, true, true, false]);
        seventh.authenticated();
        assert!(connections.admit(peer(8)).is_none(), "a request is not interrupted");
        places[3].0.connection().end_request();
        assert!(connections.admit(peer(8)).is_none(), "it became idle just now");
    }

    #[tokio::test]
    async fn connection_that_makes_room_is_told() {
        let connections = connections(1, 1);
        let place = connections.admit(peer(1)).unwrap();
        let old = age(&place, 5);
        let _next = connections.admit(peer(1)).unwrap();
        old.connection().closed().await;
    }
}
