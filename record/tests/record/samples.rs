//! One draft of each event.

use sealcard_api::{
    Fingerprint, Timestamp,
    admin::EnvironmentKind,
    algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm, KeyAlgorithm},
    approvals::{ApprovalKind, ApprovalState, Verdict},
    ids::{
        ApprovalId, ComponentId, EnvironmentId, GrantId, GroupId, KeyId, PrincipalId, ProjectId, RequestId,
        ServiceTokenId,
    },
    keys::{KeyProfile, RevocationReason},
    life::ComponentLife,
    merge::CertificateChange,
    record::RequestState,
    roles::{ProjectRole, SystemRole},
    tokens::KeyEvidence,
};
use sealcard_record::{
    Actor, Draft, Event, HashPrefix, HexBytes, Named, Sha256,
    event::{
        ApprovalAsked, ApprovalDecided, ApprovalEnded, ApprovalRef, ApprovalsForgotten, Asked, AskedFlow, AskedStage,
        Binding, CertificateMerged, CertificateState, ClaimedProcess, Claims, ClockConfirmed, ClockJumped,
        ComponentsResealed, DatabaseMoved, DemandedStage, DenialCause, EnvironmentAct, EnvironmentAdded,
        EnvironmentFailure, GrantRefreshed, GrantRevoked, GroupAct, GroupChanged, GroupMemberAct, Judged, KeyAct,
        KeyBegun, KeyCertified, KeyComponentAct, KeyComponentsAct, KeyDestroyFailed, KeyExtended, KeyFailed,
        KeyRenamed, KeyRevoked, KeyStored, KeyWork, LogBegun, LogKeyBegun, Login, LoginFailed, LoginFailure,
        LoginMethod, MasterKeyChanged, Member, NoticeChannelAct, Operation, PasswordChangeFailed,
        PasswordChangeRequired, PasswordChanged, PasswordReset, PrincipalAct, ProjectAct, ProjectAdded, ProjectChanged,
        ProjectMemberAct, Refusal, RequestRefused, ReviewClosed, RulesChange, RulesOf, ServiceAccountAdded,
        ServiceAccountChanged, SignerOperation, SigningKey, SinkRetry, SinkSkip, StoredComponent, TemplateChange,
        TokenAdded, TokenRevoked, UseCancelled, UseDenied, UseDeniedBurst, UseExpired, UseIntent, UseWaiting,
        UserAdded, UserChanged, Via,
    },
};
use uuid::Uuid;

const PASSWORD: HashPrefix = HashPrefix([0x4a; 16]);
const TOKEN: HashPrefix = HashPrefix([0x4b; 16]);

const fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0193_5b6c_7000_7000_8000_0000_0000_0000 + n)
}

pub(crate) fn request() -> RequestId {
    RequestId(id(1))
}

pub(crate) fn alice() -> Actor {
    Actor::new(PrincipalId(id(2)), "alice", GrantId(id(3)))
}

pub(crate) fn signing_key() -> SigningKey {
    SigningKey { project: Named::new(ProjectId(id(4)), "release"), key: Named::new(KeyId(id(5)), "tags") }
}

fn component() -> ComponentId {
    ComponentId(id(6))
}

fn bob() -> Named<PrincipalId> {
    Named::new(PrincipalId(id(8)), "bob")
}

fn ci() -> Named<PrincipalId> {
    Named::new(PrincipalId(id(9)), "ci")
}

fn grant() -> Named<GrantId> {
    Named::new(GrantId(id(3)), "alice@laptop")
}

fn group() -> Named<GroupId> {
    Named::new(GroupId(id(10)), "developers")
}

fn project() -> Named<ProjectId> {
    signing_key().project
}

fn environment() -> Named<EnvironmentId> {
    Named::new(EnvironmentId(id(11)), "hsm")
}

fn token() -> Named<ServiceTokenId> {
    Named::new(ServiceTokenId(id(12)), "build host")
}

fn earlier() -> Timestamp {
    Timestamp::from_unix(1_795_914_000)
}

fn later() -> Timestamp {
    Timestamp::from_unix(1_827_450_000)
}

pub(crate) fn intent() -> UseIntent {
    UseIntent {
        signing_key: signing_key(),
        component: component(),
        asked: Asked {
            hash: Some(HashAlgorithm::Sha256),
            digest: Some(HexBytes(vec![0xd1; 32])),
            input_sha256: Some(Sha256([0xa5; 32])),
            idempotency_key: Some(id(7)),
            ..Asked::new(Operation::Sign, SignerOperation::Sign)
        },
        host: Some(id(13)),
    }
}

/// An intent of which the workstation said something.
pub(crate) fn claimed_intent() -> UseIntent {
    let gpg = ClaimedProcess {
        path: Some("/usr/bin/gpg".to_owned()),
        sha256: Some("a8".repeat(32)),
        command: Some("gpg --status-fd=2 -bsau tags".to_owned()),
    };
    let git =
        ClaimedProcess { command: Some("git tag -s -m 'Release 1.0' v1.0".to_owned()), ..ClaimedProcess::default() };
    let claims = Claims {
        host: Some("laptop".to_owned()),
        processes: vec![gpg, git],
        justification: Some("Release 1.0".to_owned()),
    };
    let mut intent = intent();
    intent.asked.claims = Some(claims);
    intent
}

/// All of them, uses first.
pub(crate) fn drafts() -> Vec<Draft> {
    let by_request = |event| Draft::new(request(), event).by(alice()).from_peer([192, 0, 2, 7].into());
    let login = |event| Draft::new(request(), event).from_peer("2001:db8::7".parse().unwrap());
    let mut drafts: Vec<Draft> = uses().into_iter().map(by_request).collect();
    drafts.extend(logins().into_iter().map(login));
    drafts.extend(grants_and_passwords().into_iter().map(by_request));
    drafts.extend(administration().into_iter().map(by_request));
    drafts.extend(keys().into_iter().map(by_request));
    drafts.extend(by_the_server().into_iter().map(|event| Draft { request_id: request(), ..Draft::of_server(event) }));
    drafts.push(by_request(Event::UseCancelled(UseCancelled { signing_key: signing_key(), approval: None })));
    drafts.push(by_request(Event::UseIntent(claimed_intent())));
    drafts.push(by_request(Event::UseDeniedBurst(UseDeniedBurst {
        count: 940,
        from: earlier(),
        until: later(),
        cause: DenialCause::Policy,
        reason: "the role key-user in the project is missing".to_owned(),
    })));
    let jumped = ClockJumped { seconds: -400, node: id(14), host: Some(id(13)), at_start: true };
    drafts.push(Draft { request_id: request(), ..Draft::of_server(Event::ClockJumped(jumped)) });
    drafts.push(by_request(Event::ClockConfirmed(ClockConfirmed { since: earlier(), seconds: -400 })));
    drafts.extend(rules().into_iter().map(by_request));
    drafts.extend(notices().into_iter().map(by_request));
    drafts.extend(approvals().into_iter().map(by_request));
    let begun = LogKeyBegun {
        origin: "sign.example.org/record".to_owned(),
        environment: environment(),
        component: component(),
    };
    drafts.push(Draft { request_id: request(), ..Draft::of_server(Event::LogKeyBegun(begun)) });
    let begun = LogBegun {
        origin: "sign.example.org/record".to_owned(),
        environment: environment(),
        component: component(),
        keys: vec!["sign.example.org/record+0a1b2c3d+AQID".to_owned()],
    };
    drafts.push(Draft { request_id: request(), ..Draft::of_server(Event::LogBegun(begun)) });
    let sink = || "siem".to_owned();
    drafts.push(by_request(Event::SinkRetried(SinkRetry { sink: sink(), parked: 2 })));
    let skip = SinkSkip { sink: sink(), position: 41, until: Some(52), parked: 2 };
    drafts.push(by_request(Event::SinkSkipped(skip)));
    drafts.extend(refusals());
    drafts.push(by_request(Event::UseIntent(approved_intent())));
    let cancelled = UseCancelled { signing_key: signing_key(), approval: Some(ApprovalId(id(90))) };
    drafts.push(by_request(Event::UseCancelled(cancelled)));
    let forgotten = ApprovalsForgotten { approvals: vec![ApprovalId(id(92)), ApprovalId(id(93))] };
    drafts.push(Draft { request_id: request(), ..Draft::of_server(Event::ApprovalsForgotten(forgotten)) });
    drafts
}

fn refusals() -> Vec<Draft> {
    let refused = |refusal, reason: &str| RequestRefused {
        refusal,
        route: "POST /v1/users".to_owned(),
        principal: None,
        reason: reason.to_owned(),
        count: 1,
        from: later(),
        until: later(),
        several_networks: false,
    };
    let forbidden = refused(Refusal::Forbidden, "the system role administrator is missing");
    let ended = refused(Refusal::EndedGrant, "The grant has been revoked.");
    let unknown = refused(Refusal::UnknownGrant, "This server does not know that grant.");
    let stranger = |event| Draft::new(request(), event).from_peer([192, 0, 2, 9].into());
    vec![
        Draft::new(request(), Event::RequestRefused(forbidden)).by(alice()).from_peer([192, 0, 2, 7].into()),
        stranger(Event::RequestRefused(RequestRefused { principal: Some(bob()), ..ended })),
        stranger(Event::RequestRefused(RequestRefused {
            count: 1200,
            from: earlier(),
            several_networks: true,
            ..unknown
        })),
    ]
}

fn notices() -> Vec<Event> {
    let email = |address: &str| Some(address.to_owned());
    vec![
        Event::UserAdded(UserAdded {
            principal: bob(),
            roles: Vec::new(),
            one_time_password: true,
            password_expires: Some(later()),
            password_sha256: PASSWORD,
            email: email("bob@example.org"),
            via: None,
        }),
        Event::UserChanged(UserChanged {
            principal: bob(),
            new_name: None,
            roles: None,
            disabled: None,
            password: false,
            password_sha256: None,
            email: email(""),
        }),
        Event::NoticeChannelEnabled(NoticeChannelAct { channel: "pager".to_owned() }),
    ]
}

fn approvals() -> Vec<Event> {
    let approval = |approval_kind| ApprovalRef {
        approval: ApprovalId(id(90)),
        approval_kind,
        project: Some(project()),
        key: Some(signing_key().key),
        asked_by: bob(),
    };
    let UseIntent { signing_key: key, component, asked, host } = intent();
    let wants = vec!["the approval of 2 members of approvers".to_owned()];
    vec![
        Event::UseWaiting(UseWaiting {
            signing_key: key,
            component,
            asked,
            host,
            approval: ApprovalId(id(90)),
            wants: wants.clone(),
            deadline: later(),
            expires: later(),
            binding: Box::new(binding()),
        }),
        Event::UseExpired(UseExpired { signing_key: signing_key(), approval: ApprovalId(id(90)) }),
        Event::ApprovalAsked(ApprovalAsked {
            approval: approval(ApprovalKind::PreApproval),
            terms: vec!["20 uses".to_owned()],
            wants,
            reason: "the nightly build".to_owned(),
            expires: later(),
            binding: Binding {
                group: Some(GroupId(id(91))),
                requester: None,
                max_uses: Some(20),
                not_before: Some(later()),
                networks: vec!["192.0.2.0/24".to_owned()],
                tool: Some("/usr/bin/git".to_owned()),
                change_sha256: Some(Sha256([0xc4; 32])),
                ..binding()
            },
        }),
        Event::ApprovalDecided(ApprovalDecided {
            approval: approval(ApprovalKind::Use),
            version: 2,
            verdict: Verdict::Approve,
            stages: vec!["project/tags/approvers".to_owned()],
            comment: None,
            approval_state: ApprovalState::Approved,
            usable_until: Some(later()),
        }),
        Event::ApprovalDecided(ApprovalDecided {
            approval: ApprovalRef { project: None, key: None, ..approval(ApprovalKind::Change) },
            version: 1,
            verdict: Verdict::Reject,
            stages: vec!["server/changes/security".to_owned()],
            comment: Some("not today".to_owned()),
            approval_state: ApprovalState::Rejected,
            usable_until: None,
        }),
        Event::ApprovalEnded(ApprovalEnded {
            approval: approval(ApprovalKind::Use),
            approval_state: ApprovalState::Expired,
            why: "not used in time".to_owned(),
            used: 0,
            demanded: vec![demanded()],
            approved_events: vec!["user-added".to_owned()],
        }),
        Event::ReviewClosed(ReviewClosed {
            approval: approval(ApprovalKind::BreakGlass),
            finding: "two hotfixes".to_owned(),
            closed: later(),
        }),
    ]
}

fn binding() -> Binding {
    let stages = vec![AskedStage { by: "approvers".to_owned(), count: 2 }];
    Binding {
        created: later(),
        use_seconds: 3600,
        operation: Some(Operation::Sign),
        requester: Some(alice().id),
        group: None,
        host: Some("build-7".to_owned()),
        max_uses: Some(1),
        not_before: None,
        networks: Vec::new(),
        tool: None,
        change_sha256: None,
        flows: vec![AskedFlow { name: "project/tags".to_owned(), stages, veto: vec!["legal".to_owned()] }],
        body_sha256: Sha256([0xb0; 32]),
    }
}

fn approved_intent() -> UseIntent {
    let mut intent = intent();
    intent.asked.judged = Some(Judged {
        environment: None,
        project: Some(3),
        key: None,
        templates: 0,
        decided_by: vec!["project/release".to_owned()],
        groups: Vec::new(),
        login: earlier(),
        by_service_token: false,
        approval: Some(ApprovalId(id(90))),
        approvals: vec!["project/tags/approvers".to_owned()],
        demanded: vec![demanded()],
        exhausted: Vec::new(),
    });
    intent
}

fn demanded() -> DemandedStage {
    DemandedStage { flow: "project/tags".to_owned(), by: "approvers".to_owned(), count: 2 }
}

fn uses() -> Vec<Event> {
    let mut signed = intent().outcome(RequestState::Signed);
    signed.signature_sha256 = Some(Sha256([0x51; 32]));
    signed.journal = Some(7);
    let mut failed = intent().outcome(RequestState::Failed);
    failed.error = Some("the key store is sealed".to_owned());
    let ssh = Asked {
        input_sha256: Some(Sha256([0xa6; 32])),
        ssh_namespace: Some("git".to_owned()),
        ..Asked::new(Operation::Sign, SignerOperation::AuthenticateSsh)
    };
    let ssh_login = Asked {
        ssh_user: Some("root".to_owned()),
        ..Asked::new(Operation::Authenticate, SignerOperation::AuthenticateSsh)
    };
    let stopped = UseIntent { asked: Asked::new(Operation::Decrypt, SignerOperation::Decrypt), host: None, ..intent() };
    let reasons = vec!["the key is disabled".to_owned()];
    let denied = UseDenied::of_key(signing_key(), ssh_login, DenialCause::Policy, reasons);
    vec![
        Event::UseIntent(intent()),
        Event::UseOutcome(signed),
        Event::UseIntent(UseIntent { asked: ssh, host: None, ..intent() }),
        Event::UseOutcome(failed),
        Event::UseOutcome(stopped.outcome(RequestState::Unknown)),
        Event::UseDenied(denied),
        Event::UseDenied(UseDenied::of_unknown_key(
            KeyId(id(5)),
            Asked::new(Operation::Authenticate, SignerOperation::Authenticate),
        )),
    ]
}

fn logins() -> Vec<Event> {
    let failed = |by, reason| LoginFailed { by, reason, principal: None, token: None, unknown_user: None };
    let wrong = failed(LoginMethod::Password, LoginFailure::WrongPassword);
    let unknown = failed(LoginMethod::Password, LoginFailure::UnknownUser);
    let revoked = failed(LoginMethod::ServiceToken, LoginFailure::UnusableToken);
    vec![
        Event::LoginFailed(LoginFailed { principal: Some(bob()), ..wrong }),
        Event::LoginFailed(LoginFailed { unknown_user: Some("0123456789abcdef".to_owned()), ..unknown }),
        Event::LoginFailed(LoginFailed { principal: Some(ci()), token: Some(token()), ..revoked }),
        Event::PasswordChangeRequired(PasswordChangeRequired { principal: bob() }),
    ]
}

fn login(by: LoginMethod) -> Login {
    Login {
        by,
        grant: grant(),
        machine: false,
        service_token: None,
        created: earlier(),
        expires: later(),
        refreshable_until: later(),
        token_sha256: TOKEN,
        forgotten: Vec::new(),
    }
}

fn grants_and_passwords() -> Vec<Event> {
    vec![
        Event::Login(login(LoginMethod::Password)),
        Event::Login(Login {
            machine: true,
            service_token: Some(token().id),
            forgotten: vec![GrantId(id(15))],
            ..login(LoginMethod::ServiceToken)
        }),
        Event::PasswordChanged(PasswordChanged { one_time: true, password_sha256: PASSWORD }),
        Event::PasswordChangeFailed(PasswordChangeFailed {}),
        Event::GrantRefreshed(GrantRefreshed {
            grant: grant(),
            expires: later(),
            earlier_token: TOKEN,
            retires: later(),
            token_sha256: HashPrefix([0x4e; 16]),
            forgotten: vec![HashPrefix([0x4f; 16])],
        }),
        Event::Logout(GrantRevoked { grant: grant(), principal: Named::new(alice().id, "alice") }),
        Event::GrantRevoked(GrantRevoked { grant: grant(), principal: bob() }),
    ]
}

fn administration() -> Vec<Event> {
    vec![
        Event::UserAdded(UserAdded {
            principal: bob(),
            roles: Vec::new(),
            one_time_password: true,
            password_expires: Some(later()),
            password_sha256: PASSWORD,
            email: None,
            via: None,
        }),
        Event::UserChanged(UserChanged {
            principal: bob(),
            new_name: Some("robert".to_owned()),
            roles: Some(vec![SystemRole::Administrator, SystemRole::SecurityOfficer]),
            disabled: None,
            password: true,
            password_sha256: Some(PASSWORD),
            email: None,
        }),
        Event::UserRemoved(PrincipalAct { principal: bob() }),
        Event::PasswordReset(PasswordReset { principal: bob(), expires: later(), password_sha256: PASSWORD }),
        Event::ServiceAccountAdded(ServiceAccountAdded { principal: ci(), owner: Some(bob()) }),
        Event::ServiceAccountChanged(ServiceAccountChanged {
            principal: ci(),
            new_name: None,
            disabled: Some(true),
            owner: Some(Named::new(alice().id, "alice")),
        }),
        Event::ServiceAccountRemoved(PrincipalAct { principal: ci() }),
        Event::ServiceTokenAdded(TokenAdded { principal: ci(), token: token(), expires: later(), token_sha256: TOKEN }),
        Event::ServiceTokenRevoked(TokenRevoked { principal: ci(), token: token() }),
        Event::GroupAdded(GroupAct { group: group() }),
        Event::GroupChanged(GroupChanged { group: group(), new_name: "makers".to_owned() }),
        Event::GroupRemoved(GroupAct { group: group() }),
        Event::GroupMemberAdded(GroupMemberAct { group: group(), principal: bob() }),
        Event::GroupMemberRemoved(GroupMemberAct { group: group(), principal: bob() }),
        Event::ProjectAdded(ProjectAdded { project: project(), via: None }),
        Event::ProjectChanged(ProjectChanged {
            project: project(),
            new_name: Some("releases".to_owned()),
            description: true,
            strict_separation: Some(true),
        }),
        Event::ProjectRemoved(ProjectAct { project: project() }),
        Event::ProjectMemberAdded(ProjectMemberAct {
            project: project(),
            member: Member::Principal(bob()),
            role: ProjectRole::KeyUser,
        }),
        Event::ProjectMemberRemoved(ProjectMemberAct {
            project: project(),
            member: Member::Group(group()),
            role: ProjectRole::Owner,
        }),
        Event::Unseal(EnvironmentAct { environment: environment() }),
        Event::UnsealWithSecret(EnvironmentAct { environment: environment() }),
        Event::UnsealFailed(EnvironmentFailure { environment: environment(), error: Some("wrong PIN".to_owned()) }),
    ]
}

fn rules() -> Vec<Event> {
    let sha256 = Sha256([0x5a; 32]);
    let first = |of| RulesChange { of, version: 1, before: None, reverted_to: None, sha256, note: None };
    let change = |of| RulesChange { version: 5, before: Some(4), note: Some("ticket 12".to_owned()), ..first(of) };
    let of_project = || RulesOf::Project { project: project() };
    let template = || TemplateChange {
        template: "release-tags".to_owned(),
        version: 3,
        before: Some(2),
        reverted_to: None,
        sha256,
        note: None,
    };
    vec![
        Event::RulesApplied(first(RulesOf::Environment { environment: environment() })),
        Event::RulesApplied(change(RulesOf::Key(signing_key()))),
        Event::RulesReverted(RulesChange { reverted_to: Some(2), ..change(of_project()) }),
        Event::RulesRemoved(change(of_project())),
        Event::TemplateApplied(TemplateChange { version: 1, before: None, ..template() }),
        Event::TemplateReverted(TemplateChange { reverted_to: Some(1), ..template() }),
        Event::TemplateWithdrawn(TemplateChange { note: Some("unsafe".to_owned()), ..template() }),
        Event::TemplateRestored(template()),
    ]
}

pub(crate) fn certificate() -> CertificateState {
    CertificateState { sha256: Sha256([0xce; 32]), user_id: None, lives: Vec::new(), components: Vec::new() }
}

fn life() -> ComponentLife {
    ComponentLife { fingerprint: Fingerprint([0xf2; 20]), expires: Some(later()), revoked: true }
}

fn stored_component() -> StoredComponent {
    StoredComponent {
        component: component(),
        role: ComponentRole::Sign,
        algorithm: ComponentAlgorithm::EddsaEd25519,
        fingerprint: Fingerprint([0xf2; 20]),
        public_key_sha256: Sha256([0xcf; 32]),
        created: earlier(),
        expires: None,
    }
}

fn keys() -> Vec<Event> {
    let fingerprint = Fingerprint([0xf1; 20]);
    let act = || KeyAct { signing_key: signing_key() };
    let stored = || KeyStored {
        signing_key: signing_key(),
        environment: environment(),
        algorithm: KeyAlgorithm::Ed25519,
        user_id: "Release <release@example.org>".to_owned(),
        fingerprint,
        expires: Some(later()),
        evidence: Vec::new(),
        serial: 0x12_3456_789A,
        certificate: CertificateState { components: vec![stored_component()], ..certificate() },
    };
    let evidence = KeyEvidence {
        token_serial: "1".to_owned(),
        token_label: "hsm".to_owned(),
        firmware: "2.6".to_owned(),
        id: "00".to_owned(),
        label: "tags".to_owned(),
        local: Some(true),
        sensitive: Some(true),
        always_sensitive: Some(true),
        extractable: Some(false),
        never_extractable: Some(true),
        mechanism: Some("CKM_EC_EDWARDS_KEY_PAIR_GEN".to_owned()),
    };
    let components =
        || KeyComponentsAct { signing_key: signing_key(), components: vec![component()], fingerprint: None };
    let one = || KeyComponentAct { signing_key: signing_key(), component: component(), role: ComponentRole::Sign };
    let revoked = |work| KeyRevoked {
        signing_key: signing_key(),
        work,
        reason: RevocationReason::Superseded,
        message: "A new key takes its place.".to_owned(),
        changes: Vec::new(),
        certificate: certificate(),
    };
    let user_id = || CertificateChange::UserIdAdded { user_id: "Tags <tags@example.org>".to_owned() };
    vec![
        Event::KeyBegun(KeyBegun {
            components: vec![component()],
            algorithm: Some(KeyAlgorithm::Ed25519),
            profile: Some(KeyProfile::Standard),
            ..KeyBegun::new(signing_key(), KeyWork::Create)
        }),
        Event::KeyCertify(KeyCertified {
            signing_key: signing_key(),
            component: component(),
            input_sha256: Sha256([0xa7; 32]),
        }),
        Event::KeyCreated(stored()),
        Event::KeyFailed(KeyFailed { signing_key: signing_key(), error: "the token is full".to_owned() }),
        Event::KeyImported(KeyStored { expires: None, ..stored() }),
        Event::KeyAdopted(KeyStored { evidence: vec![evidence], ..stored() }),
        Event::KeyDisabled(act()),
        Event::KeyEnabled(act()),
        Event::KeyRenamed(KeyRenamed { signing_key: signing_key(), new_name: "releases".to_owned() }),
        Event::KeyExtended(KeyExtended {
            signing_key: signing_key(),
            before: None,
            expires: later(),
            certificate: CertificateState { lives: vec![life()], ..certificate() },
        }),
        Event::CertificateMerged(CertificateMerged {
            signing_key: signing_key(),
            changes: vec![user_id()],
            certificate: CertificateState {
                user_id: Some("Tags <tags@example.org>".to_owned()),
                lives: vec![life()],
                components: vec![stored_component()],
                ..certificate()
            },
        }),
        Event::KeyRevoked(revoked(KeyWork::Revoke)),
        Event::KeyRevoked(KeyRevoked { changes: vec![user_id()], ..revoked(KeyWork::Merge) }),
        Event::RevocationRead(act()),
        Event::KeyDestroyBegun(KeyComponentsAct { fingerprint: Some(fingerprint), ..components() }),
        Event::KeyDestroyed(one()),
        Event::KeyDestroyFailed(KeyDestroyFailed {
            signing_key: signing_key(),
            component: component(),
            role: ComponentRole::Sign,
            error: "the token does not answer".to_owned(),
        }),
        Event::KeyDiscardBegun(components()),
        Event::KeyDiscarded(one()),
    ]
}

fn by_the_server() -> Vec<Event> {
    let act = || EnvironmentAct { environment: environment() };
    let failure = || EnvironmentFailure { environment: environment(), error: Some("no answer".to_owned()) };
    let via = Some(Via::Init);
    vec![
        Event::UserAdded(UserAdded {
            principal: bob(),
            roles: vec![SystemRole::Administrator],
            one_time_password: false,
            password_expires: None,
            password_sha256: PASSWORD,
            email: None,
            via,
        }),
        Event::ProjectAdded(ProjectAdded { project: project(), via }),
        Event::EnvironmentAdded(EnvironmentAdded {
            environment: environment(),
            environment_kind: EnvironmentKind::Pkcs11,
        }),
        Event::PinAttempt(act()),
        Event::PinGood(act()),
        Event::PinRefused(failure()),
        Event::PinNotJudged(EnvironmentFailure { error: None, ..failure() }),
        Event::PinMended(act()),
        Event::MasterKeyChanged(MasterKeyChanged {
            environment: environment(),
            master_key: "0123456789abcdef".to_owned(),
            before: "fedcba9876543210".to_owned(),
        }),
        Event::ComponentsResealed(ComponentsResealed {
            environment: environment(),
            master_key: "0123456789abcdef".to_owned(),
            components: 12,
        }),
        Event::DatabaseMoved(DatabaseMoved { host: Uuid::from_u128(7) }),
    ]
}
