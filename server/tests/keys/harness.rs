//! A database with a signer process behind it, one user and one project.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use sealcard_api::{
    Timestamp,
    algorithm::{HashAlgorithm, KeyAlgorithm},
    context::UseContext,
    ids::{EnvironmentId, GrantId, KeyId, PrincipalId, ProjectId, RequestId},
    keys::KeyProfile,
    record::RecordReport,
    roles::ProjectRole,
};
use sealcard_policy::{Action, PrincipalKind, SystemRoles};
use sealcard_record::{Actor, Named};
use sealcard_server::{
    audit::{self, Verification},
    authn::{Authorization, Caller},
    config::{ApprovalsConfig, Limits},
    keys::{self, By, KeyPlan, Maker},
    requests::{Output, RequestError, Requests, UseAnswer, UseRequest, UseResponse},
    signers::{Origin, Signers},
    sinks::Requirement,
    storage::{
        Database, FactsQuery, Member, NewGrantRow, PrincipalRow, ProjectRow, RecordFilter, RecordRow, StorageError,
        Store, Target,
    },
};
use sealcard_signer_protocol::Operation;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

/// Uses of keys that wait for nobody.
pub(crate) trait UseKey {
    async fn use_key(&self, caller: &Caller, request: UseRequest) -> Result<UseResponse, RequestError>;
}

impl UseKey for Requests {
    async fn use_key(&self, caller: &Caller, request: UseRequest) -> Result<UseResponse, RequestError> {
        match self.submit(caller, request).await? {
            UseAnswer::Done(response) => Ok(response),
            UseAnswer::Waits(waiting) => panic!("{waiting:?}"),
        }
    }
}

/// Tables whose rows the harness puts in without entries.
const PUT_IN: [&str; 9] = [
    "principal",
    "principal_group",
    "group_member",
    "project",
    "project_principal",
    "project_group",
    "access_grant",
    "grant_token",
    "rule_version",
];

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A grant's token is known by the grant's number.
pub(crate) fn token_of(grant: GrantId) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(grant.0.as_bytes());
    hash
}

pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) requests: Requests,
    pub(crate) environment: EnvironmentId,
    pub(crate) project: ProjectId,
    pub(crate) user: PrincipalId,
    pub(crate) grant: GrantId,
    /// The user, let in when the place was made.
    caller: Option<Caller>,
}

impl Place {
    /// A user with the role key-user in a project without keys.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer_folder = folder.path().join("signer");
        std::fs::create_dir(&signer_folder).unwrap();
        let made = Command::new(signer_program())
            .args(["init", "--seal", "key-file", "--folder"])
            .arg(signer_folder.join("default"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let store = Store::create(&Database::Sqlite(folder.path().join("sealcard.db"))).await.unwrap();
        let environment = store.environments().await.unwrap()[0].id;
        let requests = start(store, folder.path()).await;
        let user = PrincipalId::new();
        let grant = GrantId(user.0);
        let project = ProjectId::new();
        let mut place = Self { folder, requests, environment, project, user, grant, caller: None };
        place.add_user(place.user, "user").await;
        place.caller = Some(place.let_in(grant).await);
        let project = ProjectRow {
            id: place.project,
            name: "project".to_owned(),
            description: String::new(),
            strict_separation: false,
            created: Timestamp::now().unix(),
        };
        let member = Member::Principal(place.user);
        place
            .store()
            .write(move |tx| {
                tx.add_project(&project)?;
                tx.add_project_member(project.id, member, ProjectRole::KeyUser).map(drop)
            })
            .await
            .map_err(|error: StorageError| error)
            .unwrap();
        place
    }

    pub(crate) async fn add_user(&self, id: PrincipalId, name: &str) {
        let row = PrincipalRow {
            id,
            kind: PrincipalKind::User,
            name: name.to_owned(),
            system_roles: SystemRoles::NONE,
            disabled: false,
            created: Timestamp::now().unix(),
            one_time_until: None,
            owner: None,
            email: None,
        };
        let added: Result<(), StorageError> = self.store().write(move |tx| tx.add_principal(&row, Some("none"))).await;
        added.unwrap();
        self.add_grant(GrantId(id.0), id).await;
    }

    /// A user's first grant has the user's number.
    pub(crate) async fn add_grant(&self, id: GrantId, principal: PrincipalId) {
        let end = Timestamp::now().unix() + 86_400;
        let row = NewGrantRow {
            id,
            principal,
            service_token: None,
            label: String::new(),
            created: Timestamp::now().unix(),
            expires: end,
            refreshable_until: end,
            address: None,
        };
        let added: Result<Vec<_>, StorageError> = self.store().write(move |tx| tx.add_grant(&row, &token_of(id))).await;
        added.unwrap();
    }

    pub(crate) fn store(&self) -> &Store {
        &self.requests.store
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("sealcard.db")
    }

    /// Stops everything, lets `change` work on the database as nobody should, and starts anew.
    pub(crate) async fn tampered(self, change: &'static str) -> Self {
        self.stop().await;
        self.raw().execute_batch(change).unwrap();
        self.started().await
    }

    pub(crate) async fn stop(&self) {
        self.requests.signers.stop().await;
        self.store().close().await;
    }

    /// The same folder with a new store, as after a restart of the server.
    pub(crate) async fn started(self) -> Self {
        let Self { folder, requests, environment, project, user, grant, caller } = self;
        let database = folder.path().join("sealcard.db");
        drop(requests);
        let requests = start(Store::open(&Database::Sqlite(database)).await.unwrap(), folder.path()).await;
        Self { folder, requests, environment, project, user, grant, caller }
    }

    pub(crate) fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.database()).unwrap()
    }

    pub(crate) fn plan(&self, name: &str, algorithm: KeyAlgorithm) -> KeyPlan {
        KeyPlan {
            project: Named::new(self.project, "project"),
            environment: Named::new(self.environment, "default"),
            name: name.to_owned(),
            algorithm,
            user_id: format!("{name} <{name}@example.org>"),
            days: 30,
            profile: KeyProfile::Standard,
        }
    }

    pub(crate) fn maker(&self) -> Maker {
        self.maker_with(&[])
    }

    /// Who needs to be allowed all of this.
    pub(crate) fn maker_with(&self, actions: &'static [Action]) -> Maker {
        let authorization = Authorization { token: token_of(self.grant), actions };
        let actor = Actor::new(self.user, "user", self.grant);
        Maker { by: By::Caller { actor, authorization, peer: [127, 0, 0, 1].into() }, request_id: RequestId::new() }
    }

    pub(crate) async fn key(&self, algorithm: KeyAlgorithm) -> KeyId {
        let plan = self.plan(algorithm.name(), algorithm);
        keys::create(self.store(), &self.requests.signers, self.maker(), plan).await.unwrap()
    }

    /// The caller that holds this grant now.
    pub(crate) async fn let_in(&self, grant: GrantId) -> Caller {
        let token = token_of(grant);
        let facts = self.store().facts(FactsQuery { token, target: Target::Server }).await.unwrap().unwrap();
        Caller::new(&facts, token, (RequestId::new(), ([127, 0, 0, 1], 1).into(), Timestamp::now())).unwrap()
    }

    /// The user in a new HTTP request.
    pub(crate) fn caller(&self) -> Caller {
        self.caller.as_ref().unwrap().in_request(RequestId::new())
    }

    /// A new use.
    pub(crate) async fn perform(&self, key: KeyId, operation: Operation) -> Result<UseResponse, RequestError> {
        self.requests.use_key(&self.caller(), request(key, operation)).await
    }

    pub(crate) async fn sign(&self, key: KeyId, digest: &[u8; 32]) -> Vec<u8> {
        signature(self.perform(key, sign(digest)).await.unwrap())
    }

    pub(crate) async fn record(&self) -> Vec<RecordRow> {
        self.store().record(RecordFilter { limit: u32::MAX, ..RecordFilter::default() }).await.unwrap()
    }

    pub(crate) async fn verify(&self) -> RecordReport {
        let (store, signers, folder) = (self.store(), &*self.requests.signers, self.folder.path());
        let parts = Verification { store, signers, folder, is_running: &|_| false };
        let mut report = audit::to_report(audit::verify(parts, |_| ()).await.unwrap());
        // This place puts users, projects, roles and grants in without entries.
        report.findings.retain(|finding| !PUT_IN.iter().any(|table| finding.starts_with(&format!("table {table}:"))));
        report
    }
}

async fn start(store: Store, data: &Path) -> Requests {
    let environments = store.environments().await.unwrap();
    let signers = Signers::start(Origin::Here(signer_program()), &data.join("signer"), &[], &store, environments);
    let requests = Requests::new(
        store,
        Arc::clone(&signers),
        &Limits::default(),
        ApprovalsConfig::default(),
        Requirement::default(),
    );
    requests.recover().await.unwrap();
    requests
}

/// The signer, which a build of the workspace puts beside the folder of this test's executable.
fn signer_program() -> PathBuf {
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("sealcard-signer");
    assert!(program.is_file(), "{} is missing: cargo build --package sealcard-signer", program.display());
    program
}

/// A use of which the workstation says nothing.
pub(crate) fn request(key: KeyId, operation: Operation) -> UseRequest {
    UseRequest { key, idempotency_key: Uuid::new_v4(), operation, context: UseContext::default() }
}

pub(crate) fn sign(digest: &[u8; 32]) -> Operation {
    Operation::Sign { hash: HashAlgorithm::Sha256, digest: digest.to_vec() }
}

pub(crate) fn signature(done: UseResponse) -> Vec<u8> {
    match done.output {
        Output::Signature(signature) => signature,
        Output::Plaintext(_) => panic!("a plaintext"),
    }
}

pub(crate) fn plaintext(done: UseResponse) -> Vec<u8> {
    match done.output {
        Output::Plaintext(plaintext) => plaintext.0.clone(),
        Output::Signature(_) => panic!("a signature"),
    }
}

/// The entries of a request, as kind and state.
pub(crate) fn story(record: &[RecordRow], request: RequestId) -> Vec<(String, Option<String>)> {
    let of_request = record.iter().filter(|row| row.request_id == request);
    of_request.map(|row| (row.kind.clone(), row.state.clone())).collect()
}

pub(crate) fn details(row: &RecordRow) -> Value {
    serde_json::from_str(&row.body).unwrap()
}

pub(crate) fn told(kind: &str, state: &str) -> (String, Option<String>) {
    (kind.to_owned(), Some(state.to_owned()))
}
