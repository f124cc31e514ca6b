//! A key's state, worked out from its row.

use sealcard_api::{
    KeyName, Timestamp,
    algorithm::ComponentRole,
    keys::{Component, KeyState},
    life::{self, KeyLife},
};

use crate::{ComponentRow, KeyRow};

impl KeyRow {
    /// The state at this moment.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        let components = self.public_components();
        let main_is_revoked =
            components.iter().any(|component| component.role == ComponentRole::Sign && component.revoked);
        if self.destroyed.is_some() {
            KeyState::Destroyed
        } else if self.revoked.is_some() || main_is_revoked {
            KeyState::Revoked
        } else if self.disabled {
            KeyState::Disabled
        } else if life::end_of(&components).is_some_and(|end| end <= now) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }

    /// When the key's use ends.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        life::end_of(&self.public_components())
    }

    /// Why the key can't be used in this role, for a person.
    #[must_use]
    pub fn obstacle_to(&self, role: ComponentRole, now: Timestamp) -> Option<String> {
        self.with_life(now, |life| life.obstacle_to(role, now))
    }

    /// What ends soon, or has ended while the key goes on, for a person.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        self.with_life(now, |life| life.warnings(now))
    }

    /// Why the key can't be used, for a person.
    #[must_use]
    pub fn obstacle(&self, now: Timestamp) -> Option<String> {
        self.with_life(now, |life| life.obstacle(now))
    }

    fn with_life<T>(&self, now: Timestamp, tell: impl FnOnce(KeyLife<'_>) -> T) -> T {
        let components = self.public_components();
        let Self { project, name, revoked, .. } = self;
        tell(KeyLife { project, name, state: self.state(now), revoked: revoked.as_ref(), components: &components })
    }

    /// The components as they travel.
    #[must_use]
    pub fn public_components(&self) -> Vec<Component> {
        self.components.iter().map(ComponentRow::to_public).collect()
    }
}

impl ComponentRow {
    /// As it travels.
    #[must_use]
    pub fn to_public(&self) -> Component {
        Component {
            role: self.role,
            algorithm: self.algorithm,
            public_key: self.public_key.to_public_key(self.algorithm),
            fingerprint: self.fingerprint,
            created: self.created,
            expires: self.expires,
            revoked: self.revoked,
        }
    }
}

impl KeyRow {
    /// `PROJECT/NAME`, for messages.
    #[must_use]
    pub fn full_name(&self) -> KeyName<'_> {
        KeyName { project: &self.project, name: &self.name }
    }
}
