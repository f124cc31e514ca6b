//! A store, channels, and the task that sends.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sealcard_api::notices::{DeliveryState, Notice, NoticeKind};
use sealcard_server::{
    config::{NoticesConfig, WebhookConfig, WebhookKind},
    notices::{Channels, Notices},
    storage::{Database, NewNotice, NoticeFilter, PostgresOptions, StorageError, Store},
    tls,
};
use sealcard_test_cluster::Cluster;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};

pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// The example of the reference libraries.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A folder with certificates and a database.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) cluster: Option<Cluster>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        std::fs::create_dir(data.join("tls")).unwrap();
        tls::make_authority(data).unwrap();
        let (certificate, key) = tls::default_pair(data);
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        tls::issue_server(data, &names, &certificate, &key).unwrap();
        std::fs::write(data.join("secret"), format!("{SECRET}\n")).unwrap();
        Self { folder, cluster: None }
    }

    pub(crate) fn postgres() -> Self {
        Self { cluster: Some(Cluster::start().unwrap()), ..Self::sqlite() }
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self, host: u128) -> Database {
        match &self.cluster {
            None => Database::Sqlite(self.data().join("sealcard.db")),
            Some(cluster) => Database::Postgres(PostgresOptions {
                url: cluster.url(),
                password: None,
                host: uuid::Uuid::from_u128(host),
                ca_file: None,
                allow_cleartext: false,
            }),
        }
    }

    pub(crate) async fn create(&self) -> Store {
        Store::create(&self.database(1)).await.unwrap()
    }

    /// Makes everything that is to be tried later due now.
    pub(crate) fn hurry(&self) {
        let sql = "UPDATE notice_delivery SET next_attempt = 0 WHERE state = 'pending'";
        match &self.cluster {
            Some(cluster) => drop(cluster.sql(sql).unwrap()),
            None => {
                let conn = rusqlite::Connection::open(self.data().join("sealcard.db")).unwrap();
                conn.busy_timeout(DEADLINE).unwrap();
                conn.execute_batch(sql).unwrap();
            }
        }
    }
}

/// A webhook that may be on this machine.
pub(crate) fn webhook(url: &str) -> WebhookConfig {
    WebhookConfig {
        url: Some(url.to_owned()),
        url_file: None,
        kind: WebhookKind::Standard,
        secret_file: Some("secret".into()),
        kinds: None,
        projects: None,
        allow_private_networks: true,
        ca_file: Some(tls::CA_FILE.into()),
    }
}

pub(crate) fn config<const N: usize>(webhooks: [(&str, WebhookConfig); N]) -> NoticesConfig {
    let webhook: BTreeMap<_, _> = webhooks.into_iter().map(|(name, one)| (name.to_owned(), one)).collect();
    NoticesConfig { webhook, ..NoticesConfig::default() }
}

/// The task of a server that sends; it ends when this is dropped.
pub(crate) struct Sending {
    pub(crate) store: Store,
    pub(crate) notices: Notices,
    task: JoinHandle<()>,
}

impl Sending {
    pub(crate) fn start(place: &Place, store: &Store, config: &NoticesConfig) -> Self {
        let channels = Channels::load(place.data(), config).unwrap();
        let notices = Notices::new(store.clone(), channels);
        let task = tokio::spawn(notices.clone().keep_sending());
        Self { store: store.clone(), notices, task }
    }

    pub(crate) async fn notify(&self, notice: NewNotice) {
        let written: Result<(), StorageError> = self.store.write(move |tx| tx.notify(&notice)).await;
        written.unwrap();
    }

    pub(crate) async fn notify_all(&self, titles: &[&str]) {
        for title in titles {
            self.notify(NewNotice::new(NoticeKind::ApprovalWanted, title).fact("key", "tools/release")).await;
        }
    }

    /// All notices, oldest first.
    pub(crate) async fn all(&self) -> Vec<Notice> {
        let mut all = self.store.notices(NoticeFilter { failed: false, before: None, limit: 1000 }).await.unwrap();
        all.reverse();
        all
    }

    /// Waits until `condition` holds for the notices.
    pub(crate) async fn wait(&self, what: &str, mut condition: impl FnMut(&[Notice]) -> bool) -> Vec<Notice> {
        let end = Instant::now() + DEADLINE;
        loop {
            let all = self.all().await;
            if condition(&all) {
                return all;
            }
            assert!(Instant::now() < end, "waited in vain for {what}: {all:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn wait_for(&self, state: DeliveryState) -> Vec<Notice> {
        self.wait(state.name(), |all| {
            all.iter().all(|one| one.addressed && one.deliveries.iter().all(|delivery| delivery.state == state))
        })
        .await
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}
