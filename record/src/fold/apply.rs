//! What each event does to the tables.

use sealcard_api::{
    ids::{EnvironmentId, GrantId, KeyId, PrincipalId, ProjectId},
    roles::{PrincipalKind, SystemRole},
};

use super::{
    ComponentKeyRow, EnvironmentRow, Fold, GrantRow, GrantTokenRow, GroupMemberRow, GroupRow, LogKeyRow, PinAttemptRow,
    PinState, PrincipalRow, ProjectGroupRow, ProjectPrincipalRow, ProjectRow, Row, RuleScope, RuleVersionRow,
    ServiceTokenRow, SigningKeyRow, TemplateVersionRow, rows::RowKey,
};
use crate::{
    Body, Event, HashPrefix, Named,
    event::{
        CertificateState, GrantRefreshed, KeyStored, LogBegun, Login, Member, ProjectMemberAct, RulesChange, RulesOf,
        ServiceAccountChanged, StoredComponent, TemplateChange, UserAdded, UserChanged,
    },
};

impl Fold {
    /// Changes the rows. Each event that there will be must be named here, also one that changes none.
    pub(super) fn apply(&mut self, body: &Body) {
        let actor = body.actor.as_ref();
        match &body.event {
            Event::UserAdded(added) => self.put(user(added)),
            Event::UserChanged(changed) => self.change_user(changed),
            Event::UserRemoved(act) | Event::ServiceAccountRemoved(act) => self.remove_principal(act.principal.id),
            Event::PasswordReset(reset) => {
                if let Some(user) = self.principal(reset.principal.id) {
                    (user.password_sha256, user.one_time_until) = (Some(reset.password_sha256), Some(reset.expires));
                }
                self.revoke_grants(reset.principal.id, None);
            }
            Event::PasswordChanged(changed) => {
                let Some(actor) = actor else { return };
                if let Some(user) = self.principal(actor.id) {
                    (user.password_sha256, user.one_time_until) = (Some(changed.password_sha256), None);
                }
                self.revoke_grants(actor.id, actor.grant);
            }
            Event::ServiceAccountAdded(added) => {
                let owner_id = added.owner.as_ref().map(|owner| owner.id);
                let row = principal(&added.principal, PrincipalKind::ServiceAccount);
                self.put(Row::Principal(PrincipalRow { owner_id, ..row }));
            }
            Event::ServiceAccountChanged(changed) => self.change_service_account(changed),
            Event::ServiceTokenAdded(added) => self.put(Row::ServiceToken(ServiceTokenRow {
                id: added.token.id,
                principal_id: added.principal.id,
                label: added.token.name.clone(),
                token_sha256: added.token_sha256,
                expires: added.expires,
                revoked: false,
            })),
            Event::ServiceTokenRevoked(act) => {
                if let Some(Row::ServiceToken(token)) = self.rows.get_mut(&RowKey::ServiceToken(act.token.id)) {
                    token.revoked = true;
                }
                for child in self.children(act.token.id.0) {
                    self.revoke(&child);
                }
            }

            Event::Login(login) => {
                if let Some(actor) = actor {
                    self.log_in(actor.id, login);
                }
            }
            Event::GrantRefreshed(refreshed) => self.refresh(refreshed),
            Event::Logout(act) | Event::GrantRevoked(act) => self.revoke(&RowKey::Grant(act.grant.id)),

            Event::GroupAdded(act) => {
                self.put(Row::PrincipalGroup(GroupRow { id: act.group.id, name: act.group.name.clone() }));
            }
            Event::GroupChanged(changed) => {
                if let Some(Row::PrincipalGroup(group)) = self.rows.get_mut(&RowKey::Group(changed.group.id)) {
                    group.name.clone_from(&changed.new_name);
                }
            }
            Event::GroupRemoved(act) => {
                self.remove(&RowKey::Group(act.group.id));
                for child in self.children(act.group.id.0) {
                    self.remove(&child);
                }
            }
            Event::GroupMemberAdded(act) => {
                self.put(Row::GroupMember(GroupMemberRow { group_id: act.group.id, principal_id: act.principal.id }))
            }
            Event::GroupMemberRemoved(act) => {
                self.remove(&RowKey::Member(act.group.id, act.principal.id));
            }

            Event::ProjectAdded(added) => self.put(Row::Project(ProjectRow {
                id: added.project.id,
                name: added.project.name.clone(),
                strict_separation: false,
                removed: false,
            })),
            Event::ProjectChanged(changed) => {
                if let Some(project) = self.project(changed.project.id) {
                    project.name = changed.new_name.clone().unwrap_or_else(|| project.name.clone());
                    project.strict_separation = changed.strict_separation.unwrap_or(project.strict_separation);
                }
            }
            Event::ProjectRemoved(act) => {
                if let Some(project) = self.project(act.project.id) {
                    project.removed = true;
                }
                for child in self.children(act.project.id.0) {
                    self.remove(&child);
                }
            }
            Event::ProjectMemberAdded(act) => self.put(role(act)),
            Event::ProjectMemberRemoved(act) => {
                self.remove(&role(act).key());
            }

            Event::EnvironmentAdded(added) => self.put(Row::Environment(EnvironmentRow {
                id: added.environment.id,
                name: added.environment.name.clone(),
                kind: added.environment_kind,
            })),
            Event::PinAttempt(act) => self.settle_pin(&act.environment, PinState::Trying),
            Event::PinGood(act) => self.settle_pin(&act.environment, PinState::Good),
            // The next attempt is still the first one that counts.
            Event::PinNotJudged(failure) => self.settle_pin(&failure.environment, PinState::Good),
            Event::PinRefused(failure) => self.settle_pin(&failure.environment, PinState::Refused),
            Event::PinMended(act) => {
                self.remove(&RowKey::PinAttempt(act.environment.id));
            }
            Event::MasterKeyChanged(changed) => self.see_environment(&changed.environment),
            Event::LogKeyBegun(begun) => self.see_environment(&begun.environment),
            Event::LogBegun(begun) => {
                self.see_environment(&begun.environment);
                self.put(log_key(begun));
            }

            Event::KeyCreated(stored) | Event::KeyImported(stored) | Event::KeyAdopted(stored) => self.add_key(stored),
            Event::KeyDisabled(act) => self.disable(act.signing_key.key.id, true),
            Event::KeyEnabled(act) => self.disable(act.signing_key.key.id, false),
            Event::KeyRenamed(renamed) => {
                if let Some(key) = self.signing_key(renamed.signing_key.key.id) {
                    key.name.clone_from(&renamed.new_name);
                }
            }
            Event::KeyExtended(extended) => self.certify(extended.signing_key.key.id, &extended.certificate),
            Event::CertificateMerged(merged) => self.certify(merged.signing_key.key.id, &merged.certificate),
            Event::KeyRevoked(revoked) => {
                let id = revoked.signing_key.key.id;
                self.certify(id, &revoked.certificate);
                if let Some(key) = self.signing_key(id) {
                    (key.revoked, key.disabled) = (true, true);
                    key.revocation_reason = Some(revoked.reason);
                    key.revocation_message = Some(revoked.message.clone());
                }
            }
            Event::KeyDestroyBegun(act) => {
                if let Some(key) = self.signing_key(act.signing_key.key.id) {
                    key.destroyed = true;
                }
            }

            Event::RulesApplied(change) | Event::RulesReverted(change) | Event::RulesRemoved(change) => {
                self.put(rules(change, actor.map(|actor| actor.id)));
            }
            Event::TemplateApplied(change) | Event::TemplateReverted(change) | Event::TemplateRestored(change) => {
                self.put_template(change, actor.map(|actor| actor.id), false);
            }
            Event::TemplateWithdrawn(change) => self.put_template(change, actor.map(|actor| actor.id), true),

            Event::UseWaiting(waiting) => self.use_waits(body, waiting),
            Event::UseCancelled(cancelled) => self.use_cancelled(cancelled),
            Event::UseIntent(intent) => self.use_begins(body, intent),
            Event::UseOutcome(outcome) => self.use_ends(body, outcome),
            Event::ApprovalAsked(asked) => self.approval_asked(body, asked),
            Event::ApprovalDecided(decided) => self.approval_decided(body, decided),
            Event::ApprovalEnded(ended) => self.approval_ended(body, ended),
            Event::ReviewClosed(review) => self.review_closed(body, review),
            Event::ApprovalsForgotten(forgotten) => self.forget_approvals(forgotten),

            // Uses that did not begin. An approval outlives the request that waited for it.
            Event::UseDenied(_) | Event::UseDeniedBurst(_) | Event::UseExpired(_) => {}
            // What was refused changes nothing.
            Event::LoginFailed(_)
            | Event::PasswordChangeRequired(_)
            | Event::PasswordChangeFailed(_)
            | Event::RequestRefused(_) => {}
            // What a signer was asked for, and what came of it.
            Event::Unseal(_)
            | Event::UnsealWithSecret(_)
            | Event::UnsealFailed(_)
            | Event::ComponentsResealed(_)
            | Event::KeyBegun(_)
            | Event::KeyCertify(_)
            | Event::KeyFailed(_)
            | Event::RevocationRead(_)
            | Event::KeyDestroyed(_)
            | Event::KeyDestroyFailed(_)
            | Event::KeyDiscardBegun(_)
            | Event::KeyDiscarded(_) => {}
            // No rows of these tables.
            Event::DatabaseMoved(_)
            | Event::ClockJumped(_)
            | Event::ClockConfirmed(_)
            | Event::NoticeChannelEnabled(_)
            | Event::SinkRetried(_)
            | Event::SinkSkipped(_)
            | Event::Unknown => {}
        }
    }

    fn principal(&mut self, id: PrincipalId) -> Option<&mut PrincipalRow> {
        match self.rows.get_mut(&RowKey::Principal(id)) {
            Some(Row::Principal(row)) => Some(row),
            _ => None,
        }
    }

    fn project(&mut self, id: ProjectId) -> Option<&mut ProjectRow> {
        match self.rows.get_mut(&RowKey::Project(id)) {
            Some(Row::Project(row)) => Some(row),
            _ => None,
        }
    }

    fn signing_key(&mut self, id: KeyId) -> Option<&mut SigningKeyRow> {
        match self.rows.get_mut(&RowKey::SigningKey(id)) {
            Some(Row::SigningKey(row)) => Some(row),
            _ => None,
        }
    }

    fn change_user(&mut self, changed: &UserChanged) {
        let id = changed.principal.id;
        if let Some(user) = self.principal(id) {
            user.name = changed.new_name.clone().unwrap_or_else(|| user.name.clone());
            if let Some(roles) = &changed.roles {
                give_roles(user, roles);
            }
            user.disabled = changed.disabled.unwrap_or(user.disabled);
            if changed.password_sha256.is_some() {
                (user.password_sha256, user.one_time_until) = (changed.password_sha256, None);
            }
            if let Some(email) = &changed.email {
                user.email = Some(email.clone()).filter(|email| !email.is_empty());
            }
        }
        if changed.password || changed.disabled == Some(true) {
            self.revoke_grants(id, None);
        }
    }

    fn change_service_account(&mut self, changed: &ServiceAccountChanged) {
        let id = changed.principal.id;
        if let Some(Row::Principal(mut row)) = self.rows.get(&RowKey::Principal(id)).cloned() {
            row.name = changed.new_name.clone().unwrap_or(row.name);
            row.disabled = changed.disabled.unwrap_or(row.disabled);
            row.owner_id = changed.owner.as_ref().map(|owner| owner.id).or(row.owner_id);
            self.put(Row::Principal(row));
        }
        if changed.disabled == Some(true) {
            self.revoke_grants(id, None);
        }
    }

    /// Its memberships and roles go, its tokens and grants end, and what it owned has no owner any more.
    fn remove_principal(&mut self, id: PrincipalId) {
        if let Some(Row::Principal(mut row)) = self.rows.get(&RowKey::Principal(id)).cloned() {
            (row.removed, row.password_sha256, row.one_time_until) = (true, None, None);
            (row.administrator, row.security_officer, row.auditor) = (false, false, false);
            (row.owner_id, row.email) = (None, None);
            self.put(Row::Principal(row));
        }
        for child in self.children(id.0) {
            match self.rows.get_mut(&child) {
                Some(Row::ServiceToken(token)) => token.revoked = true,
                Some(Row::AccessGrant(grant)) => grant.revoked = true,
                Some(Row::Principal(owned)) => {
                    let owned = PrincipalRow { owner_id: None, ..owned.clone() };
                    self.put(Row::Principal(owned));
                }
                _ => {
                    self.remove(&child);
                }
            }
        }
    }

    fn log_in(&mut self, principal_id: PrincipalId, login: &Login) {
        for id in &login.forgotten {
            self.remove(&RowKey::Grant(*id));
            for token in self.children(id.0) {
                self.remove(&token);
            }
        }
        self.put(Row::AccessGrant(GrantRow {
            id: login.grant.id,
            principal_id,
            service_token_id: login.service_token,
            label: login.grant.name.clone(),
            created: login.created,
            expires: login.expires,
            refreshable_until: login.refreshable_until,
            revoked: false,
        }));
        self.put(grant_token(login.grant.id, login.token_sha256));
    }

    fn refresh(&mut self, refreshed: &GrantRefreshed) {
        let id = refreshed.grant.id;
        if let Some(Row::AccessGrant(grant)) = self.rows.get_mut(&RowKey::Grant(id)) {
            grant.expires = refreshed.expires;
        }
        if let Some(Row::GrantToken(token)) = self.rows.get_mut(&RowKey::GrantToken(refreshed.earlier_token)) {
            token.retired = Some(refreshed.retires);
        }
        self.put(grant_token(id, refreshed.token_sha256));
        for token in &refreshed.forgotten {
            self.remove(&RowKey::GrantToken(*token));
        }
    }

    /// Ends the grant with this key, if it is one.
    fn revoke(&mut self, key: &RowKey) {
        if let Some(Row::AccessGrant(grant)) = self.rows.get_mut(key) {
            grant.revoked = true;
        }
    }

    /// Ends every grant of a principal but one.
    fn revoke_grants(&mut self, principal: PrincipalId, kept: Option<GrantId>) {
        for child in self.children(principal.0) {
            if kept.is_none_or(|kept| child != RowKey::Grant(kept)) {
                self.revoke(&child);
            }
        }
    }

    fn settle_pin(&mut self, environment: &Named<EnvironmentId>, state: PinState) {
        self.see_environment(environment);
        self.put(Row::PinAttempt(PinAttemptRow { environment_id: environment.id, state }));
    }

    fn add_key(&mut self, stored: &KeyStored) {
        self.see_environment(&stored.environment);
        let id = stored.signing_key.key.id;
        self.put(Row::SigningKey(SigningKeyRow {
            id,
            project_id: stored.signing_key.project.id,
            environment_id: stored.environment.id,
            name: stored.signing_key.key.name.clone(),
            algorithm: stored.algorithm,
            user_id: stored.user_id.clone(),
            fingerprint: stored.fingerprint,
            serial: stored.serial,
            certificate_sha256: stored.certificate.sha256,
            disabled: false,
            destroyed: false,
            revoked: false,
            revocation_reason: None,
            revocation_message: None,
        }));
        self.certify(id, &stored.certificate);
    }

    /// A key has another certificate.
    fn certify(&mut self, id: KeyId, certificate: &CertificateState) {
        let CertificateState { sha256, user_id, lives, components } = certificate;
        if let Some(key) = self.signing_key(id) {
            key.certificate_sha256 = *sha256;
            if let Some(user_id) = user_id {
                key.user_id.clone_from(user_id);
            }
        }
        for child in self.children(id.0) {
            let Some(Row::ComponentKey(component)) = self.rows.get_mut(&child) else { continue };
            if let Some(life) = lives.iter().find(|life| life.fingerprint == component.fingerprint) {
                (component.expires, component.revoked) = (life.expires, life.revoked);
            }
        }
        for new in components {
            let StoredComponent { component, role, algorithm, fingerprint, public_key_sha256, created, expires } = new;
            self.put(Row::ComponentKey(ComponentKeyRow {
                id: *component,
                key_id: id,
                role: *role,
                algorithm: *algorithm,
                public_key_sha256: *public_key_sha256,
                fingerprint: *fingerprint,
                created: *created,
                expires: *expires,
                revoked: false,
            }));
        }
    }

    fn disable(&mut self, id: KeyId, disabled: bool) {
        if let Some(key) = self.signing_key(id) {
            key.disabled = disabled;
        }
    }
}

/// A principal without anything.
fn principal(named: &Named<PrincipalId>, kind: PrincipalKind) -> PrincipalRow {
    PrincipalRow {
        id: named.id,
        kind,
        name: named.name.clone(),
        password_sha256: None,
        one_time_until: None,
        email: None,
        administrator: false,
        security_officer: false,
        auditor: false,
        disabled: false,
        owner_id: None,
        removed: false,
    }
}

fn user(added: &UserAdded) -> Row {
    let mut row = PrincipalRow {
        password_sha256: Some(added.password_sha256),
        one_time_until: added.password_expires,
        email: added.email.clone(),
        ..principal(&added.principal, PrincipalKind::User)
    };
    give_roles(&mut row, &added.roles);
    Row::Principal(row)
}

fn give_roles(user: &mut PrincipalRow, roles: &[SystemRole]) {
    user.administrator = roles.contains(&SystemRole::Administrator);
    user.security_officer = roles.contains(&SystemRole::SecurityOfficer);
    user.auditor = roles.contains(&SystemRole::Auditor);
}

const fn grant_token(grant_id: GrantId, token_sha256: HashPrefix) -> Row {
    Row::GrantToken(GrantTokenRow { token_sha256, grant_id, retired: None })
}

fn role(act: &ProjectMemberAct) -> Row {
    let (project_id, role) = (act.project.id, act.role);
    match &act.member {
        Member::Principal(principal) => {
            Row::ProjectPrincipal(ProjectPrincipalRow { project_id, principal_id: principal.id, role })
        }
        Member::Group(group) => Row::ProjectGroup(ProjectGroupRow { project_id, group_id: group.id, role }),
    }
}

fn log_key(begun: &LogBegun) -> Row {
    let LogBegun { origin, environment, component, keys } = begun;
    let (origin, keys) = (origin.clone(), keys.clone());
    Row::LogKey(LogKeyRow { component_id: *component, environment_id: environment.id, origin, keys })
}

fn rules(change: &RulesChange, author: Option<PrincipalId>) -> Row {
    let (scope, subject) = match &change.of {
        RulesOf::Key(key) => (RuleScope::Key, key.key.id.0),
        RulesOf::Project { project } => (RuleScope::Project, project.id.0),
        RulesOf::Environment { environment } => (RuleScope::Environment, environment.id.0),
    };
    Row::RuleVersion(RuleVersionRow {
        scope,
        subject,
        version: change.version,
        text_sha256: change.sha256,
        author_id: author.unwrap_or(PrincipalId(uuid::Uuid::nil())),
    })
}

impl Fold {
    /// A version of a template is there, and counts in place of the one before.
    fn put_template(&mut self, change: &TemplateChange, author: Option<PrincipalId>, withdrawn: bool) {
        let earlier = RowKey::Template(change.template.clone(), change.version.saturating_sub(1));
        if let Some(Row::TemplateVersion(row)) = self.rows.get_mut(&earlier) {
            row.in_force = false;
        }
        self.put(Row::TemplateVersion(TemplateVersionRow {
            name: change.template.clone(),
            version: change.version,
            text_sha256: change.sha256,
            withdrawn,
            in_force: true,
            author_id: author.unwrap_or(PrincipalId(uuid::Uuid::nil())),
        }));
    }
}
