//! What a long log costs beside a short one: appending, proofs, and the auditor's program over all of it.

mod fill;

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sealcard_server::storage::Store;
use sealcard_tests::{Algorithm, Binaries, Facts, Playground, PlaygroundBuilder, USER, wait_until};
use serde_json::Value;
use tokio::runtime::Runtime;
use xtask::output;

use self::fill::{Use, any_below, open};
use crate::{
    bench::NO_CEILING,
    cases::Contest,
    client::{Client, ask, exchange},
    processes::many_descriptors,
    report::{Report, median},
    throughput::{Load, Processes},
};

/// What a name begins with that is measured only when it is asked for: it takes a quarter of an hour and 25 GB.
pub(crate) const PREFIX: &str = "log";

/// Entries of the two records.
const SHORT: u64 = 10_000;
const LONG: u64 = 10_000_000;

/// Proofs that are timed.
const PROOFS: u64 = 1_000;

/// What a proof may take, in milliseconds.
const PROOF_GOAL: f64 = 5.0;

/// What the auditor's program may take, in MiB.
const AUDIT_GOAL: f64 = 256.0;

/// How often the memory of the auditor's program is read.
const SAMPLE: Duration = Duration::from_millis(20);

/// How long a server may take for the checkpoint of all that was filled in.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: Algorithm = Algorithm::NistP256;

/// Makes both records, then measures in turns.
pub(crate) fn measure(binaries: &Binaries, contest: &Contest<'_>, quick: bool, report: &mut Report) -> Result<()> {
    many_descriptors()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let entries = if quick { LONG / 50 } else { LONG };
    let mut sides = [Side::make(binaries, SHORT)?, Side::make(binaries, entries)?];
    let (turns, time) = if quick { (1, Duration::from_secs(1)) } else { (7, Duration::from_secs(2)) };

    let mut rates: [Vec<f64>; 2] = Default::default();
    {
        let mut opened = Vec::new();
        for side in &sides {
            opened.push(runtime.block_on(side.fill(contest))?);
        }
        output::step("appending in turns");
        for _ in 0..turns {
            for ((store, one), rates) in opened.iter().zip(&mut rates) {
                (contest.check)()?;
                rates.push(runtime.block_on(one.rate(store, time))?);
            }
        }
        let [short, long] = rates;
        report.add(&format!("log of {entries}: entries appended"), "1/s", median(long)?, "short log", median(short)?);
        let proofs = opened.last().map(|(store, _)| runtime.block_on(proofs(store))).context("no record")??;
        report.add(&format!("log of {entries}: proof, median"), "ms", median(proofs.clone())?, "goal", PROOF_GOAL);
        report.add(&format!("log of {entries}: proof, 99 of 100"), "ms", nearly_all(proofs)?, "goal", PROOF_GOAL);
        for (side, (store, _)) in sides.iter_mut().zip(&opened) {
            side.signatures = runtime.block_on(signatures(store))?;
            runtime.block_on(store.close());
        }
    }

    output::step("starting both servers again");
    for side in &mut sides {
        side.playground.server.start_again(&[NO_CEILING])?;
        side.wait_for_checkpoint(&runtime)?;
    }
    let receipts = sides.last().map(|side| side.receipts(&runtime)).context("no record")??;
    report.add(&format!("log of {entries}: receipt, median"), "ms", median(receipts.clone())?, "goal", PROOF_GOAL);
    output::step("signing with many clients, in turns");
    let mut rates: [Vec<f64>; 2] = Default::default();
    for _ in 0..turns {
        for (side, rates) in sides.iter().zip(&mut rates) {
            (contest.check)()?;
            rates.push(side.sign(time)?);
        }
    }
    let [short, long] = rates;
    report.add(&format!("log of {entries}: 128 clients {KEY}"), "1/s", median(long)?, "short log", median(short)?);
    (contest.check)()?;
    output::step("verifying the long log with sealcard-audit");
    let audited = sides.last().map(|side| side.audit(contest)).context("no record")??;
    output::note(&format!("{:.0} entries/s", audited.rate));
    report.add(&format!("log of {entries}: sealcard-audit"), "MiB", audited.memory, "goal", AUDIT_GOAL);
    Ok(())
}

/// A server with a record of this length.
struct Side {
    playground: Playground,
    entries: u64,
    /// Signatures that the record has, as receipts are asked for.
    signatures: Vec<String>,
}

/// What came of verifying a log.
struct Audited {
    /// Entries in a second.
    rate: f64,
    /// The most that the program had, in MiB.
    memory: f64,
}

impl Side {
    fn make(binaries: &Binaries, entries: u64) -> Result<Self> {
        output::step(&format!("starting a server whose record is to have {entries} entries"));
        let (name, value) = NO_CEILING;
        let builder = PlaygroundBuilder::new(binaries.clone()).algorithms(&[KEY]).environment(name, value);
        let mut playground = builder.note(output::note).start()?;
        playground.workstation.try_sign(&playground.key(KEY)?.fingerprint)?.success()?;
        playground.server.stop()?;
        Ok(Self { playground, entries, signatures: Vec::new() })
    }

    /// Fills the record.
    async fn fill(&self, contest: &Contest<'_>) -> Result<(Store, Use)> {
        let store = open(&self.playground).await?;
        let one = Use::newest(&store).await?;
        let started = Instant::now();
        one.fill(&store, self.entries, contest.check).await?;
        output::note(&format!("{} entries in {:.0} s", self.entries, started.elapsed().as_secs_f64()));
        Ok((store, one))
    }

    fn client(&self, user: &str, password: &str) -> Result<Client> {
        let server = &self.playground.server;
        Client::login(server.url(), &server.ca(), user, password)
    }

    fn administrator(&self) -> Result<Client> {
        self.client(Facts::ADMIN, &self.playground.facts.admin_password)
    }

    /// The newest checkpoint must cover all entries: proofs are made for its size.
    fn wait_for_checkpoint(&self, runtime: &Runtime) -> Result<()> {
        let client = self.administrator()?;
        wait_until("a checkpoint of all entries", PATIENCE, || {
            let (status, body) = runtime.block_on(async {
                let mut stream = client.connect().await?;
                ask(&mut stream, client.bare("GET", "/v1/log").as_bytes(), &mut Vec::new()).await
            })?;
            // None was made yet.
            if status == 404 {
                return Ok(None);
            }
            let body: Value = serde_json::from_slice(&body)?;
            let size = body.get("size").and_then(Value::as_u64).context("a log without a size")?;
            Ok((size >= self.entries).then_some(()))
        })
    }

    /// How long receipts take over HTTPS, in milliseconds.
    fn receipts(&self, runtime: &Runtime) -> Result<Vec<f64>> {
        let client = self.administrator()?;
        runtime.block_on(async {
            let (mut stream, mut buffer, mut times) = (client.connect().await?, Vec::new(), Vec::new());
            for signature in &self.signatures {
                let request = client.bare("GET", &format!("/v1/receipts/{signature}"));
                let started = Instant::now();
                exchange(&mut stream, request.as_bytes(), &mut buffer).await?;
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            Ok(times)
        })
    }

    /// Signatures a second that 128 clients get.
    fn sign(&self, time: Duration) -> Result<f64> {
        let server = &self.playground.server;
        let target = self.client(USER, &self.playground.facts.user_password)?;
        let processes = Processes { server: server.pid(), signers: server.signers()? };
        let load = Load { target: &target, key: &self.playground.key(KEY)?.id, clients: 128, time };
        Ok(load.run(&processes)?.rate)
    }

    /// Verifies the whole log with the auditor's program, over HTTPS.
    fn audit(&self, contest: &Contest<'_>) -> Result<Audited> {
        let playground = &self.playground;
        let scratch = playground.scratch.path();
        let grant = scratch.join("audit.token");
        fs::write(&grant, self.administrator()?.token())?;
        let said = scratch.join("audit.out");
        let mut command = Command::new(playground.binaries.audit());
        command.arg("verify").arg(format!("{}/v1/log", playground.server.url()));
        command.arg("--grant").arg(&grant).arg("--ca-file").arg(playground.server.ca()).env_clear();
        command.stdout(fs::File::create(&said)?).stderr(Stdio::inherit());
        let started = Instant::now();
        let mut program = command.spawn().context("starting sealcard-audit")?;
        let mut memory = 0.0_f64;
        let status = loop {
            if let Some(status) = program.try_wait()? {
                break status;
            }
            // Its memory can no longer be read once it has ended.
            memory = memory.max(crate::processes::peak(program.id()).unwrap_or_default());
            if let Err(stopped) = (contest.check)() {
                program.kill()?;
                program.wait()?;
                return Err(stopped);
            }
            thread::sleep(SAMPLE);
        };
        let took = started.elapsed().as_secs_f64();
        let said = fs::read_to_string(&said)?;
        ensure!(status.success() && said.contains("All is well"), "sealcard-audit: {status}\n{said}");
        output::note(said.trim());
        #[allow(clippy::cast_precision_loss)] // fewer than 2^52
        let rate = self.entries as f64 / took;
        Ok(Audited { rate, memory })
    }
}

/// How long proofs of inclusion of any entries take, in milliseconds.
async fn proofs(store: &Store) -> Result<Vec<f64>> {
    let size = store.record_length().await?;
    let mut times = Vec::new();
    for _ in 0..PROOFS {
        let index = any_below(size);
        let started = Instant::now();
        store.prove_inclusion(index, size).await?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Signatures from anywhere in the record.
async fn signatures(store: &Store) -> Result<Vec<String>> {
    let size = store.record_length().await?;
    let mut found = Vec::new();
    while found.len() < 200 {
        let entry = store.entry(any_below(size) + 1).await?;
        found.extend(entry.and_then(|entry| entry.signature_sha256).and_then(hexadecimal));
    }
    Ok(found)
}

fn hexadecimal(hash: Vec<u8>) -> Option<String> {
    Some(sealcard_record::Sha256(hash.try_into().ok()?).to_string())
}

/// What 99 of 100 of these times are not above.
fn nearly_all(mut times: Vec<f64>) -> Result<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().context("nothing was measured")
}
