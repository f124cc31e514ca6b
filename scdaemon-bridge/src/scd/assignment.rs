//! Which client each session belongs to, as far as that follows from each session's having another one.

use std::collections::{HashMap, HashSet};

/// Of the clients that `session` may belong to, those that leave each other session a client of its own. All, if that
/// can't be.
pub(super) fn possible(session: u64, of_sessions: &HashMap<u64, HashSet<u64>>) -> HashSet<u64> {
    let Some(clients) = of_sessions.get(&session) else { return HashSet::new() };
    let others: Vec<&HashSet<u64>> =
        of_sessions.iter().filter(|(id, theirs)| **id != session && !theirs.is_empty()).map(|(_, set)| set).collect();
    let fits = |client: &&u64| Assignment::without(**client).takes_all(&others);
    let left: HashSet<u64> = clients.iter().filter(fits).copied().collect();
    if left.is_empty() { clients.clone() } else { left }
}

/// Sessions, each with a client of its own: a maximum matching, by augmenting paths.
struct Assignment {
    without: u64,
    /// The session of each client that has one.
    session_of: HashMap<u64, usize>,
}

impl Assignment {
    fn without(client: u64) -> Self {
        Self { without: client, session_of: HashMap::new() }
    }

    fn takes_all(mut self, sessions: &[&HashSet<u64>]) -> bool {
        (0..sessions.len()).all(|session| self.takes(session, sessions, &mut HashSet::new()))
    }

    /// Gives the session a client, and others another one if need be.
    fn takes(&mut self, session: usize, sessions: &[&HashSet<u64>], tried: &mut HashSet<u64>) -> bool {
        let Some(clients) = sessions.get(session) else { return false };
        for client in *clients {
            if *client == self.without || !tried.insert(*client) {
                continue;
            }
            let free = match self.session_of.get(client).copied() {
                None => true,
                Some(other) => self.takes(other, sessions, tried),
            };
            if free {
                self.session_of.insert(*client, session);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(clients: &[u64]) -> HashSet<u64> {
        clients.iter().copied().collect()
    }

    #[test]
    fn client_that_others_need_is_excluded() {
        let of = |sessions: &[&[u64]]| -> HashMap<u64, HashSet<u64>> {
            sessions.iter().zip(0..).map(|(clients, id)| (id, set(clients))).collect()
        };
        // One is sure of its client.
        assert_eq!(possible(1, &of(&[&[10], &[10, 20]])), set(&[20]));
        // Two share two clients, whichever has which.
        let shared = of(&[&[10, 20], &[10, 20], &[10, 20, 30]]);
        assert_eq!(possible(2, &shared), set(&[30]));
        assert_eq!(possible(0, &shared), set(&[10, 20]));
        // One leads to the next.
        let chain = of(&[&[10], &[10, 20], &[20, 30], &[10, 20, 30, 40]]);
        assert_eq!(possible(3, &chain), set(&[40]));
        // What can't be excludes nothing; a session of which nothing is known neither.
        assert_eq!(possible(0, &of(&[&[10, 20], &[10], &[10]])), set(&[10, 20]));
        assert_eq!(possible(0, &of(&[&[10, 20], &[]])), set(&[10, 20]));
        assert_eq!(possible(7, &shared), set(&[]));
    }

    proptest! {
        /// Each session knows its client and perhaps some others.
        #[test]
        fn true_client_is_never_excluded(others in prop::collection::vec(prop::collection::vec(0_u64..10, 0..6), 1..10)) {
            let of_sessions: HashMap<u64, HashSet<u64>> = others
                .iter()
                .zip(0_u64..)
                .map(|(others, own)| (own, others.iter().copied().chain([own]).collect()))
                .collect();
            for session in of_sessions.keys() {
                let possible = possible(*session, &of_sessions);
                prop_assert!(possible.contains(session) && possible.is_subset(&of_sessions[session]));
            }
        }
    }
}
