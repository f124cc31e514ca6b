//! A store, sinks, and the tasks that deliver.

use std::{path::Path, time::Duration};

use sealcard_api::{ids::GroupId, sinks::Sink};
use sealcard_record::{Draft, Event, Named, event::GroupAct};
use sealcard_server::{
    config::{Config, parse},
    sinks::{Sinks, Targets},
    storage::{Database, PostgresOptions, Store},
    tls,
};
use sealcard_test_cluster::Cluster;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The name of the record's log.
pub(crate) const ORIGIN: &str = "log.example/record";

/// The example of the reference libraries of Standard Webhooks.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A token for Splunk.
pub(crate) const TOKEN: &str = "4b6d8a00-splunk-token";

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
        for (name, text) in [("secret", SECRET), ("token", TOKEN), ("headers", "Authorization: Bearer b\n\nX-A: 1")] {
            std::fs::write(data.join(name), format!("{text}\n")).unwrap();
        }
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

    /// Makes what is to be tried later due now.
    pub(crate) fn hurry(&self) {
        let sql = "UPDATE sink SET next_attempt = 0";
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

/// The configuration with one sink named `siem`.
pub(crate) fn config(section: &str) -> Config {
    let text = format!("[record]\norigin = \"{ORIGIN}\"\n[sinks.siem]\n{section}\n");
    parse(Path::new("server.toml"), &text, Vec::new()).unwrap()
}

/// A receiver of this machine, with the data folder's authority.
pub(crate) fn over_tls(kind: &str, url: &str) -> String {
    let more = match kind {
        "splunk" => "token-file = \"token\"",
        "webhook" => "secret-file = \"secret\"",
        "otlp" => "headers-file = \"headers\"",
        _ => "",
    };
    format!("kind = \"{kind}\"\nurl = \"{url}\"\nca-file = \"tls/ca.pem\"\nallow-private-networks = true\n{more}")
}

/// Appends so many entries.
pub(crate) async fn append(store: &Store, names: impl IntoIterator<Item = String>) {
    for name in names {
        let group = Named::new(GroupId::new(), name);
        store.append_record(Draft::of_server(Event::GroupAdded(GroupAct { group }))).await.unwrap();
    }
}

pub(crate) async fn append_numbers(store: &Store, numbers: std::ops::RangeInclusive<u64>) {
    append(store, numbers.map(|number| number.to_string())).await;
}

/// The tasks of a server that deliver; they end when this is dropped.
pub(crate) struct Delivering {
    pub(crate) sinks: Sinks,
    task: JoinHandle<()>,
}

impl Delivering {
    pub(crate) async fn start(place: &Place, store: &Store, config: &Config) -> Self {
        let sinks = Sinks::new(store.clone(), Targets::load(place.data(), config).unwrap());
        sinks.prepare().await.unwrap();
        let task = tokio::spawn(sinks.clone().keep_delivering());
        Self { sinks, task }
    }

    pub(crate) async fn sink(&self) -> Sink {
        self.sinks.list().await.unwrap().remove(0)
    }

    /// Waits until `condition` holds for the sink.
    pub(crate) async fn wait(&self, what: &str, mut condition: impl FnMut(&Sink) -> bool) -> Sink {
        let end = Instant::now() + DEADLINE;
        loop {
            let sink = self.sink().await;
            if condition(&sink) {
                return sink;
            }
            assert!(Instant::now() < end, "waited in vain for {what}: {sink:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn wait_for_position(&self, position: u64) -> Sink {
        self.wait("the position", |sink| sink.position == position).await
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        self.task.abort();
    }
}
