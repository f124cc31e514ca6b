//! A key's life: until when it can be used, whether that ends soon, and why it can't be used. The texts are the same in
//! the server's answers, in its log and on workstations.

use serde::{Deserialize, Serialize};

use crate::{
    Fingerprint, Timestamp,
    algorithm::ComponentRole,
    cards::Card,
    keys::{Component, Key, KeyState, Revoked},
};

/// From so many days before its end on, everything warns of it.
pub const ENDS_SOON_DAYS: i64 = 60;

const DAY: i64 = 86_400;

/// Whether what ends at `end` has not ended, but will soon.
#[must_use]
pub fn ends_soon(end: Timestamp, now: Timestamp) -> bool {
    let left = end.unix().saturating_sub(now.unix());
    left > 0 && left <= ENDS_SOON_DAYS * DAY
}

/// Whether a certificate of TLS ends soon. One that lives for 90 days is renewed 30 days before its end, which is no
/// reason to warn: a quarter of its life is left when that is late.
#[must_use]
pub fn certificate_ends_soon(begin: Timestamp, end: Timestamp, now: Timestamp) -> bool {
    let left = end.unix().saturating_sub(now.unix());
    ends_soon(end, now) && left <= end.unix().saturating_sub(begin.unix()) / 4
}

/// `on 2028-11-27 (in 5 days)`, for an end that is to come.
#[must_use]
pub fn on_day(end: Timestamp, now: Timestamp) -> String {
    let distance = match end.unix().saturating_sub(now.unix()) / DAY {
        0 => "in less than a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    };
    format!("on {} ({distance})", end.day())
}

/// Until when a key does what it is there for: its signing key's end, or without one the last end of the others.
#[must_use]
pub fn end_of(components: &[Component]) -> Option<Timestamp> {
    match main(components) {
        Some(main) => main.expires,
        None => parts(components).map(|part| part.expires).max_by_key(|end| end.map_or(i64::MAX, Timestamp::unix))?,
    }
}

/// All but the primary key, which ends with the others.
fn parts(components: &[Component]) -> impl Iterator<Item = &Component> {
    components.iter().filter(|component| component.role != ComponentRole::Certify)
}

fn main(components: &[Component]) -> Option<&Component> {
    components.iter().find(|component| component.role == ComponentRole::Sign)
}

/// What a key's life is told from.
#[derive(Debug, Clone, Copy)]
pub struct KeyLife<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The key's name.
    pub name: &'a str,
    /// The state.
    pub state: KeyState,
    /// What its revocation says.
    pub revoked: Option<&'a Revoked>,
    /// The component keys.
    pub components: &'a [Component],
}

impl Card {
    /// Its key's life.
    #[must_use]
    pub fn life(&self) -> KeyLife<'_> {
        let Self { project, name, state, revoked, components, .. } = self;
        KeyLife { project, name, state: *state, revoked: revoked.as_ref(), components }
    }
}

impl Key {
    /// Its life.
    #[must_use]
    pub fn life(&self) -> KeyLife<'_> {
        let Self { project, name, state, revoked, components, .. } = self;
        KeyLife { project, name, state: *state, revoked: revoked.as_ref(), components }
    }
}

impl KeyLife<'_> {
    /// The state at another time than that of the answer that told it: a key expires while nothing else happens.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> KeyState {
        match self.state {
            KeyState::Active | KeyState::Expired if end_of(self.components).is_some_and(|end| end <= now) => {
                KeyState::Expired
            }
            state => state,
        }
    }

    /// Why the key can't be used for what it is there for, and what to do. Nothing if it can.
    #[must_use]
    pub fn obstacle(&self, now: Timestamp) -> Option<String> {
        let Self { project, name, .. } = self;
        Some(match self.state_at(now) {
            KeyState::Active => return None,
            KeyState::Disabled => format!("{project}/{name} is disabled; ask an owner of {project} to enable it"),
            KeyState::Expired => match end_of(self.components) {
                Some(end) => {
                    format!("{project}/{name} expired on {}; ask an owner of {project} to extend it", end.day())
                }
                None => format!("{project}/{name} expired; ask an owner of {project} to extend it"),
            },
            KeyState::Revoked => format!("{project}/{name} is {}", self.revocation()),
            KeyState::Destroyed => format!("{project}/{name} is destroyed: its private key no longer exists"),
        })
    }

    /// As [`Self::obstacle`], for one use of the key: decryption goes on after the end, and other components may end
    /// earlier.
    #[must_use]
    pub fn obstacle_to(&self, role: ComponentRole, now: Timestamp) -> Option<String> {
        if matches!(self.state, KeyState::Disabled | KeyState::Revoked | KeyState::Destroyed) {
            return self.obstacle(now);
        }
        let component = self.components.iter().find(|component| component.role == role)?;
        if role == ComponentRole::Decrypt {
            return None;
        }
        let Self { project, name, .. } = self;
        let purpose = purpose(role);
        if component.revoked {
            return Some(format!("the part of {project}/{name} for {purpose} is revoked"));
        }
        let end = component.expires.filter(|end| *end <= now)?;
        if end_of(self.components) == Some(end) {
            return self.obstacle(now);
        }
        let day = end.day();
        Some(format!(
            "the part of {project}/{name} for {purpose} expired on {day}; ask an owner of {project} to extend it"
        ))
    }

    /// What ends soon, or has ended while the key goes on. One sentence each.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        if self.state_at(now) != KeyState::Active {
            return Vec::new();
        }
        let Self { project, name, .. } = self;
        let key_end = end_of(self.components).filter(|end| ends_soon(*end, now));
        let mut warnings = Vec::new();
        if let Some(end) = key_end {
            let when = on_day(end, now);
            warnings.push(format!("{project}/{name} expires {when}; ask an owner of {project} to extend it"));
        }
        for component in parts(self.components) {
            let purpose = purpose(component.role);
            if component.revoked {
                warnings.push(format!("the part of {project}/{name} for {purpose} is revoked"));
                continue;
            }
            let Some(end) = component.expires.filter(|end| key_end.is_none_or(|key_end| *end < key_end)) else {
                continue;
            };
            let (over, soon) = (end <= now, ends_soon(end, now));
            let when = if over { format!("expired on {}", end.day()) } else { format!("expires {}", on_day(end, now)) };
            if over || soon {
                warnings.push(format!(
                    "the part of {project}/{name} for {purpose} {when}; ask an owner of {project} to extend it"
                ));
            }
        }
        warnings
    }

    /// Why the key can't be used, or what ends soon. One sentence each.
    #[must_use]
    pub fn news(&self, now: Timestamp) -> Vec<String> {
        match self.obstacle(now) {
            Some(obstacle) => vec![obstacle],
            None => self.warnings(now),
        }
    }

    /// `revoked (superseded): release-2 takes its place`.
    fn revocation(&self) -> String {
        match self.revoked {
            None => "revoked".to_owned(),
            Some(Revoked { reason, message, .. }) if message.is_empty() => format!("revoked ({})", reason.name()),
            Some(Revoked { reason, message, .. }) => format!("revoked ({}): {message}", reason.name()),
        }
    }
}

const fn purpose(role: ComponentRole) -> &'static str {
    match role {
        ComponentRole::Certify => "certification",
        ComponentRole::Sign => "signatures",
        ComponentRole::Decrypt => "encryption",
        ComponentRole::Authenticate => "logins",
    }
}

/// How long a key of a certificate lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentLife {
    /// Which key.
    pub fingerprint: Fingerprint,
    /// Its end or its certificate's, whichever is earlier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// Whether it was revoked alone.
    pub revoked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Bytes, Fingerprint,
        algorithm::{ComponentAlgorithm, Curve, PublicKey},
        keys::RevocationReason,
    };

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn component(role: ComponentRole, days: Option<i64>) -> Component {
        Component {
            role,
            algorithm: ComponentAlgorithm::EddsaEd25519,
            public_key: PublicKey::Ec { curve: Curve::Ed25519, point: Bytes(vec![1; 32]) },
            fingerprint: Fingerprint([1; 20]),
            created: Timestamp::from_unix(1_700_000_000),
            expires: days.map(|days| Timestamp::from_unix(NOW.unix() + days * DAY)),
            revoked: false,
        }
    }

    fn pair(sign: Option<i64>, decrypt: Option<i64>) -> Vec<Component> {
        vec![component(ComponentRole::Sign, sign), component(ComponentRole::Decrypt, decrypt)]
    }

    fn life(state: KeyState, components: &[Component]) -> KeyLife<'_> {
        KeyLife { project: "release", name: "tags", state, revoked: None, components }
    }

    #[test]
    fn the_end_is_near_from_sixty_days_before_it() {
        let end = |seconds| Timestamp::from_unix(NOW.unix() + seconds);
        assert!(ends_soon(end(60 * DAY), NOW) && ends_soon(end(1), NOW));
        assert!(!ends_soon(end(60 * DAY + 1), NOW) && !ends_soon(end(0), NOW) && !ends_soon(end(-1), NOW));
    }

    #[test]
    fn a_certificate_that_lives_shortly_is_warned_of_later() {
        let soon = |lives: i64, left: i64| {
            let end = Timestamp::from_unix(NOW.unix() + left * DAY);
            certificate_ends_soon(Timestamp::from_unix(end.unix() - lives * DAY), end, NOW)
        };
        assert!(soon(730, 60) && !soon(730, 61));
        assert!(soon(90, 22) && !soon(90, 30));
        assert!(!soon(90, 0));
    }

    #[test]
    fn four_states_are_four_texts() {
        let ended = pair(Some(-1), None);
        let texts: Vec<_> = [KeyState::Active, KeyState::Disabled, KeyState::Revoked, KeyState::Destroyed]
            .into_iter()
            .map(|state| life(state, &ended).obstacle(NOW))
            .map(Option::unwrap_or_default)
            .collect();
        assert_eq!(
            texts,
            [
                "release/tags expired on 2027-01-14; ask an owner of release to extend it",
                "release/tags is disabled; ask an owner of release to enable it",
                "release/tags is revoked",
                "release/tags is destroyed: its private key no longer exists",
            ]
        );
        let revoked = Revoked {
            time: NOW,
            reason: RevocationReason::Superseded,
            message: "release-2 takes its place".to_owned(),
        };
        let life = KeyLife { revoked: Some(&revoked), ..life(KeyState::Revoked, &ended) };
        let text = life.obstacle(NOW);
        assert_eq!(text.as_deref(), Some("release/tags is revoked (superseded): release-2 takes its place"));
    }

    #[test]
    fn an_expired_part_leaves_the_others_as_they_are() {
        let parts = pair(Some(100), Some(-1));
        let life = life(KeyState::Active, &parts);
        assert_eq!(life.obstacle(NOW), None);
        assert_eq!(life.obstacle_to(ComponentRole::Decrypt, NOW), None);
        assert_eq!(life.obstacle_to(ComponentRole::Sign, NOW), None);
        assert_eq!(life.warnings(NOW).len(), 1);
        assert!(
            life.warnings(NOW).concat().contains("for encryption expired on 2027-01-14"),
            "{:?}",
            life.warnings(NOW)
        );
    }

    #[test]
    fn a_key_whose_parts_all_end_soon_is_warned_of_once() {
        let ends = pair(Some(5), Some(5));
        let warnings = life(KeyState::Active, &ends).warnings(NOW);
        assert_eq!(warnings, ["release/tags expires on 2027-01-20 (in 5 days); ask an owner of release to extend it"]);
        assert_eq!(life(KeyState::Active, &pair(Some(61), None)).warnings(NOW), Vec::<String>::new());
        assert_eq!(life(KeyState::Disabled, &ends).warnings(NOW), Vec::<String>::new());
    }

    #[test]
    fn a_key_that_only_decrypts_ends_with_its_last_part() {
        let parts = [component(ComponentRole::Decrypt, Some(3)), component(ComponentRole::Authenticate, Some(9))];
        assert_eq!(end_of(&parts), parts.iter().filter_map(|part| part.expires).max());
        let parts = [component(ComponentRole::Decrypt, None), component(ComponentRole::Authenticate, Some(9))];
        assert_eq!(end_of(&parts), None);
    }
}
