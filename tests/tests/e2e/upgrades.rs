//! Servers that share a database are upgraded one after the other, while clients sign.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use sealcard_api::{Bytes, algorithm::HashAlgorithm, ids::KeyId, operations::SignRequest};
use sealcard_bridge::{config::Paths, remote::Remote};
use sealcard_test_cluster::Cluster;
use sealcard_tests::{Algorithm, Server, prepare_database, run, wait_until};
use uuid::Uuid;

use crate::nodes::{Nodes, start, verify_record};

const CLIENTS: usize = 16;
const DEADLINE: Duration = Duration::from_secs(60);

/// Signatures with one connection: then a client connects anew, to the next server.
const SIGNATURES_OF_A_CONNECTION: usize = 5;

/// Makes a program for tests the next release.
const NEXT: (&str, &str) = ("SEALCARD_TEST_SCHEMA", "next");

/// Clients that sign until they are stopped.
struct Clients {
    threads: Vec<JoinHandle<Result<usize>>>,
    signatures: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Clients {
    fn start(nodes: &Nodes) -> Result<Self> {
        let station = &nodes.playground.workstation;
        let paths = Paths::new(station.home().join("config/sealcard"), station.home().join("state/sealcard"))?;
        let key: KeyId = serde_json::from_value(nodes.playground.key(Algorithm::Ed25519)?.id.clone().into())?;
        let (signatures, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let threads = (0..CLIENTS)
            .map(|_| {
                let (paths, signatures, stop) = (paths.clone(), Arc::clone(&signatures), Arc::clone(&stop));
                thread::spawn(move || client(&paths, key, &signatures, &stop))
            })
            .collect();
        Ok(Self { threads, signatures, stop })
    }

    /// Waits until so many more signatures were made, or a client has failed.
    fn sign(&self, more: usize) -> Result<()> {
        let wanted = self.signatures.load(Ordering::Relaxed) + more;
        wait_until("more signatures", DEADLINE, || {
            let enough = self.signatures.load(Ordering::Relaxed) >= wanted;
            Ok((enough || self.threads.iter().any(JoinHandle::is_finished)).then_some(()))
        })
    }

    /// Ends all. How many signatures were made, and how many of them were asked for twice.
    fn stop(self) -> Result<(usize, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut again = 0;
        for client in self.threads {
            again += client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok((self.signatures.load(Ordering::Relaxed), again))
    }
}

/// How many signatures it had to ask for twice. One that fails twice is an error.
fn client(paths: &Paths, key: KeyId, signatures: &AtomicUsize, stop: &AtomicBool) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut again = 0;
        while !stop.load(Ordering::Relaxed) {
            let remote = Remote::open(paths)?;
            for _ in 0..SIGNATURES_OF_A_CONNECTION {
                let digest = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
                let request = SignRequest { hash: HashAlgorithm::Sha256, digest: Bytes(digest), context: None };
                if remote.sign(key, Uuid::new_v4(), &request).await.is_err() {
                    again += 1;
                    remote.sign(key, Uuid::new_v4(), &request).await.context("a signature, asked for again")?;
                }
                signatures.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(again)
    })
}

fn newest_step(cluster: &Cluster) -> Result<String> {
    Ok(cluster.sql("SELECT max(number) FROM schema_step")?.trim().to_owned())
}

fn status(server: &Server) -> Result<String> {
    let finished = run(&mut server.command(&["database", "status"]), DEADLINE)?.success()?;
    Ok(String::from_utf8(finished.stdout)?)
}

#[test]
fn servers_are_upgraded_one_after_the_other_and_no_signature_fails() -> Result<()> {
    let mut nodes = start(&[])?;
    let next = nodes.playground.binaries.with_failpoints()?;
    let released = nodes.playground.binaries.clone();
    let clients = Clients::start(&nodes)?;
    clients.sign(200)?;
    ensure!(status(&nodes.second)?.matches("running").count() == 2, "{}", status(&nodes.second)?);

    nodes.playground.server.stop()?;
    clients.sign(100)?;
    let cluster = nodes.playground.cluster.as_ref().context("no cluster")?;
    let early = nodes.playground.server.start_again_with(&next, &[NEXT]).map(drop);
    let early = early.err().context("a server has started that may not change the schema")?.to_string();
    ensure!(early.contains("needs schema step 3") && early.contains("sealcard-server database prepare"), "{early}");
    // The owner of the tables goes first.
    let prepared = prepare_database(&next, cluster, &[NEXT])?;
    ensure!(prepared.text().contains("Step 4 waits until these servers are upgraded or stopped: "), "{prepared:?}");
    nodes.playground.server.start_again_with(&next, &[NEXT])?;
    clients.sign(400)?;
    // Both write to the database: the step that the earlier release can't work with waits for its end.
    ensure!(newest_step(cluster)? == "3");
    let made_by = "SELECT count(DISTINCT made_by) FROM key_request WHERE made_by IS NOT NULL";
    ensure!(cluster.sql(made_by)?.trim() == "2", "not both servers have signed");
    let shown = status(&nodes.playground.server)?;
    ensure!(shown.contains("step 4: waits until these servers are upgraded or stopped: "), "{shown}");

    nodes.second.stop()?;
    clients.sign(100)?;
    nodes.second.start_again_with(&next, &[NEXT])?;
    clients.sign(400)?;
    let shown = status(&nodes.playground.server)?;
    ensure!(shown.contains("step 4: is applied by sealcard-server database prepare"), "{shown}");
    prepare_database(&next, cluster, &[NEXT])?;
    ensure!(newest_step(cluster)? == "4");
    clients.sign(100)?;
    let (signatures, again) = clients.stop()?;
    eprintln!("{signatures} signatures, {again} of them asked for twice");

    let signed = cluster.sql("SELECT count(*) FROM record WHERE kind = 'outcome' AND state = 'signed'")?;
    ensure!(signed.trim().parse::<usize>()? >= signatures, "{signed} in the record, {signatures} given");
    for url in [nodes.playground.server.url(), nodes.second.url()] {
        verify_record(&nodes, url)?;
    }

    // There is no way back without a backup, and the earlier release says so.
    nodes.second.stop()?;
    let refused = nodes.second.start_again_with(&released, &[]).map_err(|error| format!("{error:#}"));
    let text = refused.err().context("the earlier release starts")?;
    ensure!(text.contains("the database has schema 4 and needs a release that knows schema 3"), "{text}");
    Ok(())
}

#[test]
fn variable_for_tests_is_not_in_the_released_program() -> Result<()> {
    let released = sealcard_tests::Binaries::for_tests()?;
    let has =
        |path| -> Result<bool> { Ok(fs::read(path)?.windows(NEXT.0.len()).any(|window| window == NEXT.0.as_bytes())) };
    ensure!(has(released.with_failpoints()?.server())?, "this test looks for the wrong name");
    ensure!(!has(released.server())?);
    Ok(())
}
