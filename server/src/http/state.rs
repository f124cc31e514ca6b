//! What every handler can reach.

use std::{ops::Deref, sync::Arc};

use uuid::Uuid;

use super::metrics::Metrics;
use crate::{
    approvals::ChangeGate,
    audit::Audit,
    authn::{Authentication, NameKey},
    config::Config,
    directory::Directory,
    keys::Keys,
    log::{Log, Witnesses},
    notices::{Channels, Notices},
    requests::Requests,
    rules::Rules,
    signers::Signers,
    sinks::Sinks,
    storage::Store,
    telemetry::{self, Disk, Telemetry},
    tls::CA_FILE,
};

/// The server's parts. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// See [`AppState`].
pub struct Parts {
    /// Durable state.
    pub store: Store,
    /// The way to the signer processes.
    pub signers: Arc<Signers>,
    /// Signing requests.
    pub requests: Requests,
    /// Users, service accounts, groups and projects.
    pub directory: Directory,
    /// Rules for the uses of keys.
    pub rules: Rules,
    /// Verifying the record.
    pub audit: Audit,
    /// The record's log.
    pub log: Log,
    /// The configuration.
    pub config: Arc<Config>,
    /// Passwords, tokens and grants.
    pub authentication: Authentication,
    /// Signing keys.
    pub keys: Keys,
    /// What people are told.
    pub notices: Notices,
    /// Where the record goes.
    pub sinks: Sinks,
    /// How the server is, for those who watch it.
    pub telemetry: Telemetry,
    /// What is counted of requests.
    pub http: Metrics,
    /// Made at `init`.
    pub server_id: Uuid,
}

impl AppState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        store: Store,
        signers: Arc<Signers>,
        config: Arc<Config>,
        names: NameKey,
        channels: Channels,
        sinks: Sinks,
        witnesses: Option<Witnesses>,
    ) -> Self {
        let server_id = store.server_id();
        let changes = config.changes.clone();
        store.set_gate(Arc::new(ChangeGate { approvals: config.approvals, changes }));
        let authentication = Authentication::new(store.clone(), config.limits, names);
        let requests =
            Requests::new(store.clone(), Arc::clone(&signers), &config.limits, config.approvals, sinks.required());
        let running = requests.running.clone();
        // The data folder: the folder for temporary files may be memory.
        let folder = signers.folder().parent().unwrap_or(signers.folder()).to_owned();
        let watched = telemetry::Watched {
            disk: Disk::new(signers.folder(), config.limits.disk_reserve_bytes),
            certificate: folder.join(&config.tls.certificate),
            authority: folder.join(CA_FILE),
        };
        let audit = Audit::new(store.clone(), Arc::clone(&signers), folder, Arc::new(move |id| running.contains(id)));
        let log = Log::new(store.clone(), Arc::clone(&signers), config.record.clone(), witnesses);
        let directory = Directory::new(store.clone(), config.policy.allow_self_grants);
        let keys = Keys::new(store.clone(), Arc::clone(&signers), directory.clone());
        let rules = Rules::new(store.clone());
        let notices = Notices::new(store.clone(), channels);
        let http = Metrics::default();
        let mut registry = telemetry::registry();
        http.register(&mut registry);
        requests.register_metrics(&mut registry);
        signers.register_metrics(&mut registry);
        authentication.register_metrics(&mut registry);
        notices.register_metrics(&mut registry);
        sinks.register_metrics(&mut registry);
        let parts = (store.clone(), Arc::clone(&signers), audit.clone(), (notices.clone(), sinks.clone(), log.clone()));
        let telemetry = Telemetry::new(registry, parts, watched);
        Self(Arc::new(Parts {
            directory,
            rules,
            store,
            signers,
            requests,
            audit,
            log,
            config,
            authentication,
            keys,
            notices,
            sinks,
            telemetry,
            http,
            server_id,
        }))
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
