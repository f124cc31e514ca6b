//! What is recorded.

mod administration;
mod approvals;
mod authentication;
mod claims;
mod clock;
mod environments;
mod keys;
mod notices;
mod refusals;
mod rules;
mod shorten;
mod sinks;
mod uses;

use sealcard_api::{
    ids::{KeyId, PrincipalId, ProjectId},
    record::{RecordKind, RequestState},
};
use serde::{Deserialize, Serialize};

pub use administration::{
    GroupAct, GroupChanged, GroupMemberAct, Member, PrincipalAct, ProjectAct, ProjectAdded, ProjectChanged,
    ProjectMemberAct, ServiceAccountAdded, ServiceAccountChanged, TokenAdded, TokenRevoked, UserAdded, UserChanged,
    Via,
};
pub use approvals::{
    ApprovalAsked, ApprovalDecided, ApprovalEnded, ApprovalRef, ApprovalsForgotten, AskedFlow, AskedStage, Binding,
    DemandedStage, ReviewClosed, UseExpired, UseWaiting,
};
pub use authentication::{
    GrantRefreshed, GrantRevoked, Login, LoginFailed, LoginFailure, LoginMethod, PasswordChangeFailed,
    PasswordChangeRequired, PasswordChanged, PasswordReset,
};
pub use claims::{ClaimedProcess, Claims};
pub use clock::{ClockConfirmed, ClockJumped};
pub use environments::{
    ComponentsResealed, DatabaseMoved, EnvironmentAct, EnvironmentAdded, EnvironmentFailure, LogBegun, LogKeyBegun,
    MasterKeyChanged,
};
pub use keys::{
    CertificateMerged, CertificateState, KeyAct, KeyBegun, KeyCertified, KeyComponentAct, KeyComponentsAct,
    KeyDestroyFailed, KeyExtended, KeyFailed, KeyRenamed, KeyRevoked, KeyStored, KeyWork, SigningKey, StoredComponent,
};
pub use notices::NoticeChannelAct;
pub use refusals::{Refusal, RequestRefused};
pub use rules::{RulesChange, RulesOf, TemplateChange};
pub use sinks::{SinkRetry, SinkSkip};
pub use uses::{
    Asked, DenialCause, Judged, Operation, SignerOperation, UnknownOperationError, UseCancelled, UseDenied,
    UseDeniedBurst, UseIntent, UseOutcome,
};

use crate::{Named, Sha256};

/// What the columns beside an entry, which serve searching, are filled from.
trait Subject {
    /// The principal that the event is about, apart from its actor.
    fn principal(&self) -> Option<&Named<PrincipalId>> {
        None
    }

    fn project(&self) -> Option<&Named<ProjectId>> {
        None
    }

    fn key(&self) -> Option<&Named<KeyId>> {
        None
    }

    fn state(&self) -> Option<RequestState> {
        None
    }

    fn signature_sha256(&self) -> Option<Sha256> {
        None
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($payload:ty) = $name:literal, $kind:ident;)+) => {
        /// What happened. In JSON its name is the field `event`, beside its other fields.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "event")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $name)] $variant($payload),)+
            /// An event that this version of the crate does not know. It is read and never written.
            #[serde(other, skip_serializing)]
            Unknown,
        }

        impl Event {
            /// The names of all events that this version knows.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name as JSON writes it.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                    Self::Unknown => "unknown",
                }
            }

            /// The kind of entry. Nothing if the event is unknown.
            #[must_use]
            pub const fn kind(&self) -> Option<RecordKind> {
                match self {
                    $(Self::$variant(_) => Some(RecordKind::$kind),)+
                    Self::Unknown => None,
                }
            }

            fn subject(&self) -> Option<&dyn Subject> {
                match self {
                    $(Self::$variant(payload) => Some(payload),)+
                    Self::Unknown => None,
                }
            }
        }
    };
}

events! {
    /// A key is about to be used. Durable before the signer is asked.
    UseIntent(UseIntent) = "use-intent", Intent;
    /// What came of an intent. Durable before the answer leaves.
    UseOutcome(UseOutcome) = "use-outcome", Outcome;
    /// A use that was asked for was not begun.
    UseDenied(UseDenied) = "use-denied", Denied;
    /// So many more uses than a minute's budget were denied; they have no entries of their own.
    UseDeniedBurst(UseDeniedBurst) = "use-denied-burst", Denied;
    /// A request that waited was given up by its requester.
    UseCancelled(UseCancelled) = "use-cancelled", Outcome;
    /// A use that was asked for waits for people.
    UseWaiting(UseWaiting) = "use-waiting", Approval;
    /// A request waited in vain until its deadline.
    UseExpired(UseExpired) = "use-expired", Outcome;

    /// A pre-approval, break-glass or the approval of a change was asked for.
    ApprovalAsked(ApprovalAsked) = "approval-asked", Approval;
    /// Somebody approved or rejected.
    ApprovalDecided(ApprovalDecided) = "approval-decided", Approval;
    /// An approval expired, or was withdrawn or revoked.
    ApprovalEnded(ApprovalEnded) = "approval-ended", Approval;
    /// What break-glass was used for was looked into.
    ReviewClosed(ReviewClosed) = "review-closed", Approval;
    /// Old approvals of which nothing can come any more were deleted from the database.
    ApprovalsForgotten(ApprovalsForgotten) = "approvals-forgotten", Approval;

    /// A principal has shown its secret and got a grant.
    Login(Login) = "login", Authentication;
    /// Someone tried to log in and got nothing.
    LoginFailed(LoginFailed) = "login-failed", Authentication;
    /// A login with a one-time password was answered with the demand to change it.
    PasswordChangeRequired(PasswordChangeRequired) = "password-change-required", Authentication;
    /// A user's own change of the password. It revokes the user's other grants.
    PasswordChanged(PasswordChanged) = "password-changed", Authentication;
    /// A user wanted to change the password and did not know the old one.
    PasswordChangeFailed(PasswordChangeFailed) = "password-change-failed", Authentication;
    /// A grant got a new token and a later end.
    GrantRefreshed(GrantRefreshed) = "grant-refreshed", Authentication;
    /// A grant ended by the wish of its holder.
    Logout(GrantRevoked) = "logout", Authentication;
    /// A grant was revoked by its id.
    GrantRevoked(GrantRevoked) = "grant-revoked", Administration;

    /// There is a new user.
    UserAdded(UserAdded) = "user-added", Administration;
    /// A user was changed. A new password, and being disabled, revoke the user's grants.
    UserChanged(UserChanged) = "user-changed", Administration;
    /// A user was removed, with memberships and grants.
    UserRemoved(PrincipalAct) = "user-removed", Administration;
    /// A user got a one-time password in place of the password.
    PasswordReset(PasswordReset) = "password-reset", Administration;
    /// There is a new service account.
    ServiceAccountAdded(ServiceAccountAdded) = "service-account-added", Administration;
    /// A service account was changed.
    ServiceAccountChanged(ServiceAccountChanged) = "service-account-changed", Administration;
    /// A service account was removed, with memberships, tokens and grants.
    ServiceAccountRemoved(PrincipalAct) = "service-account-removed", Administration;
    /// A service account got a token.
    ServiceTokenAdded(TokenAdded) = "service-token-added", Administration;
    /// A token was revoked, with the grants that were issued for it.
    ServiceTokenRevoked(TokenRevoked) = "service-token-revoked", Administration;
    /// There is a new group.
    GroupAdded(GroupAct) = "group-added", Administration;
    /// A group was renamed.
    GroupChanged(GroupChanged) = "group-changed", Administration;
    /// A group was removed; its members lost the roles that it gave.
    GroupRemoved(GroupAct) = "group-removed", Administration;
    /// A principal became a member of a group.
    GroupMemberAdded(GroupMemberAct) = "group-member-added", Administration;
    /// A principal is a member of a group no longer.
    GroupMemberRemoved(GroupMemberAct) = "group-member-removed", Administration;
    /// There is a new project.
    ProjectAdded(ProjectAdded) = "project-added", Administration;
    /// A project was renamed or described anew.
    ProjectChanged(ProjectChanged) = "project-changed", Administration;
    /// A project was removed; its members lost their roles.
    ProjectRemoved(ProjectAct) = "project-removed", Administration;
    /// A principal or group got a role in a project.
    ProjectMemberAdded(ProjectMemberAct) = "project-member-added", Administration;
    /// A principal or group lost a role in a project.
    ProjectMemberRemoved(ProjectMemberAct) = "project-member-removed", Administration;

    /// There is a new environment.
    EnvironmentAdded(EnvironmentAdded) = "environment-added", Administration;
    /// A person had an environment opened with the configured secret.
    Unseal(EnvironmentAct) = "unseal", Administration;
    /// A person had an environment opened with a secret that was sent.
    UnsealWithSecret(EnvironmentAct) = "unseal-with-secret", Administration;
    /// The environment stayed sealed.
    UnsealFailed(EnvironmentFailure) = "unseal-failed", Administration;
    /// The configured PIN is about to be tried. Durable before the token sees it.
    PinAttempt(EnvironmentAct) = "pin-attempt", Administration;
    /// The token accepted the configured PIN.
    PinGood(EnvironmentAct) = "pin-good", Administration;
    /// The token refused the configured PIN. It is not tried again until a person acts.
    PinRefused(EnvironmentFailure) = "pin-refused", Administration;
    /// The token did not judge the configured PIN.
    PinNotJudged(EnvironmentFailure) = "pin-not-judged", Administration;
    /// The environment was opened otherwise after a refused PIN, so that the configured one may be tried again.
    PinMended(EnvironmentAct) = "pin-mended", Administration;
    /// A sealed store has another master key.
    MasterKeyChanged(MasterKeyChanged) = "master-key-changed", Administration;
    /// Nothing is stored under an earlier master key any more.
    ComponentsResealed(ComponentsResealed) = "components-resealed", Administration;

    /// The server's data was moved to another database.
    DatabaseMoved(DatabaseMoved) = "database-moved", Administration;
    /// A key for the record's log is about to be made.
    LogKeyBegun(LogKeyBegun) = "log-key-begun", Administration;
    /// The record's log has a new name and key.
    LogBegun(LogBegun) = "log-begun", Administration;

    /// A server's clock jumped. Until a person confirms the time, it is in doubt.
    ClockJumped(ClockJumped) = "clock-jumped", Administration;
    /// A person confirmed the time.
    ClockConfirmed(ClockConfirmed) = "clock-confirmed", Administration;

    /// Work on a key begins. Durable before the signer is asked.
    KeyBegun(KeyBegun) = "key-begun", Administration;
    /// The signer is about to sign for key management. Durable before it is asked.
    KeyCertify(KeyCertified) = "key-certify", Administration;
    /// Work on a key came to nothing.
    KeyFailed(KeyFailed) = "key-failed", Administration;
    /// A key was made.
    KeyCreated(KeyStored) = "key-created", Administration;
    /// A key came with its secrets from elsewhere.
    KeyImported(KeyStored) = "key-imported", Administration;
    /// A key was made of what was on a token already.
    KeyAdopted(KeyStored) = "key-adopted", Administration;
    /// A key may not be used until it is enabled.
    KeyDisabled(KeyAct) = "key-disabled", Administration;
    /// A disabled key may be used again.
    KeyEnabled(KeyAct) = "key-enabled", Administration;
    /// A key has another name.
    KeyRenamed(KeyRenamed) = "key-renamed", Administration;
    /// A key has a later end.
    KeyExtended(KeyExtended) = "key-extended", Administration;
    /// A newer certificate of a key came in.
    CertificateMerged(CertificateMerged) = "certificate-merged", Administration;
    /// A key was revoked, for good.
    KeyRevoked(KeyRevoked) = "key-revoked", Administration;
    /// Someone read a key's revocation certificate.
    RevocationRead(KeyAct) = "revocation-read", Administration;
    /// The private halves of a key are about to be destroyed. Durable before the signer is asked.
    KeyDestroyBegun(KeyComponentsAct) = "key-destroy-begun", Administration;
    /// A component's private half was destroyed.
    KeyDestroyed(KeyComponentAct) = "key-destroyed", Administration;
    /// A component's private half could not be destroyed.
    KeyDestroyFailed(KeyDestroyFailed) = "key-destroy-failed", Administration;
    /// A component that a failed work left on a token is about to be removed from there. Durable before the signer is
    /// asked.
    KeyDiscardBegun(KeyComponentsAct) = "key-discard-begun", Administration;
    /// That component is gone from the token.
    KeyDiscarded(KeyComponentAct) = "key-discarded", Administration;

    /// Rules for the uses of keys were applied.
    RulesApplied(RulesChange) = "rules-applied", Administration;
    /// Rules have the text of an older version again.
    RulesReverted(RulesChange) = "rules-reverted", Administration;
    /// Rules were removed: the built-in ones are left.
    RulesRemoved(RulesChange) = "rules-removed", Administration;
    /// A template was added or changed.
    TemplateApplied(TemplateChange) = "template-applied", Administration;
    /// A template has the text of an older version again.
    TemplateReverted(TemplateChange) = "template-reverted", Administration;
    /// A template was withdrawn: rules that link to it deny every use.
    TemplateWithdrawn(TemplateChange) = "template-withdrawn", Administration;
    /// A withdrawn template may be used again.
    TemplateRestored(TemplateChange) = "template-restored", Administration;

    /// A channel for notices that was disabled is used again.
    NoticeChannelEnabled(NoticeChannelAct) = "notice-channel-enabled", Administration;

    /// A sink of the record is tried again.
    SinkRetried(SinkRetry) = "sink-retried", Administration;
    /// Entries are never sent by a sink.
    SinkSkipped(SinkSkip) = "sink-skipped", Administration;
    /// Requests were refused before anything was done.
    RequestRefused(RequestRefused) = "request-refused", Denied;
}

impl Event {
    /// The principal that the event is about, if it is not what its actor did with things.
    #[must_use]
    pub fn principal(&self) -> Option<&Named<PrincipalId>> {
        self.subject().and_then(Subject::principal)
    }

    /// The project concerned.
    #[must_use]
    pub fn project(&self) -> Option<&Named<ProjectId>> {
        self.subject().and_then(Subject::project)
    }

    /// The signing key concerned.
    #[must_use]
    pub fn key(&self) -> Option<&Named<KeyId>> {
        self.subject().and_then(Subject::key)
    }

    /// The state of the request after an intent or outcome.
    #[must_use]
    pub fn state(&self) -> Option<RequestState> {
        self.subject().and_then(Subject::state)
    }

    /// SHA-256 of the signature that an outcome is about.
    #[must_use]
    pub fn signature_sha256(&self) -> Option<Sha256> {
        self.subject().and_then(Subject::signature_sha256)
    }
}
