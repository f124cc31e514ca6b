//! Many clients that sign over HTTPS as fast as the server lets them. The client does as little as can be (one
//! connection and one request at a time for each, its text made once), because it runs on the same processors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use uuid::Uuid;

use crate::{
    client::{Client, exchange, sign},
    processes::processor_time,
};

/// What is counted only once the first connections are warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// What came of it.
pub(crate) struct Measured {
    /// How many.
    pub(crate) signatures: u64,
    /// Signatures in a second.
    pub(crate) rate: f64,
    /// Microseconds of processor time that the clients took for each signature.
    pub(super) client: f64,
    /// Those of the server.
    pub(super) server: f64,
    /// Those of its signers, keepers and workers together.
    pub(super) signers: f64,
}

/// Whose processor time is counted beside this process's.
pub(crate) struct Processes {
    pub(crate) server: u32,
    /// Keepers, then workers.
    pub(crate) signers: Vec<u32>,
}

/// Who signs, with what and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) target: &'a Client,
    pub(crate) key: &'a str,
    /// Connections.
    pub(crate) clients: usize,
    pub(crate) time: Duration,
}

impl Load<'_> {
    /// Signs.
    pub(crate) fn run(self, processes: &Processes) -> Result<Measured> {
        let Self { target, key, clients, time } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let done = Arc::new(AtomicU64::new(0));
            let mut streams = Vec::with_capacity(clients);
            for _ in 0..clients {
                streams.push(target.connect().await?);
            }
            let end = Instant::now() + WARM_UP + time;
            let mut tasks = tokio::task::JoinSet::new();
            for (number, mut stream) in streams.into_iter().enumerate() {
                let done = Arc::clone(&done);
                let (path, body) = sign(key, number);
                let head = target.request(&path, Some(Uuid::nil()), &body);
                tasks.spawn(async move {
                    let mut buffer = Vec::with_capacity(4096);
                    while Instant::now() < end {
                        let text = head.replacen(&Uuid::nil().to_string(), &Uuid::now_v7().to_string(), 1);
                        exchange(&mut stream, text.as_bytes(), &mut buffer).await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                });
            }
            tokio::time::sleep(WARM_UP).await;
            let (before, spent, started) = (done.load(Ordering::Relaxed), processes.spent()?, Instant::now());
            tokio::time::sleep(time).await;
            let (after, [client, server, signers], took) =
                (done.load(Ordering::Relaxed), processes.spent()?, started.elapsed().as_secs_f64());
            while let Some(task) = tasks.join_next().await {
                task??;
            }
            #[allow(clippy::cast_precision_loss)] // counts of some seconds
            let signatures = (after - before) as f64;
            ensure!(signatures > 0.0, "nothing was signed in {took:.1} seconds");
            let each = |after: f64, before: f64| (after - before) * 1e6 / signatures;
            let [client_before, server_before, signers_before] = spent;
            Ok(Measured {
                signatures: after - before,
                rate: signatures / took,
                client: each(client, client_before),
                server: each(server, server_before),
                signers: each(signers, signers_before),
            })
        })
    }
}

impl Processes {
    /// Seconds of processor time so far: of this process, the server and the signers.
    fn spent(&self) -> Result<[f64; 3]> {
        let signers = self.signers.iter().map(|pid| processor_time(*pid)).sum::<Result<f64>>()?;
        Ok([processor_time(std::process::id())?, processor_time(self.server)?, signers])
    }
}
