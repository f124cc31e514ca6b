//! `sealcard-server serve`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sealcard_api::ids::EnvironmentId;
use sealcard_record::{Draft, Event, Named, event::EnvironmentAdded};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Data, confinement, create::UNFINISHED, database, listen, log, renewal::Pair};
use crate::{
    authn::NameKey,
    clock,
    config::Config,
    ends, files,
    http::{AppState, Server},
    log::Witnesses,
    nodes,
    notices::Channels,
    service_manager,
    signers::{self, Found, Origin, Place, Signers},
    sinks::{Sinks, Targets},
    storage::{EnvironmentRow, StorageError, Store},
    telemetry,
    tls::ServerTls,
};

/// Run the server
///
/// Runs until SIGTERM or SIGINT. SIGHUP makes it load its certificate again and take up new environments. Logs go to
/// standard error.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, for a try on this machine alone:
  sealcard-server serve --data ~/sealcard --listen 127.0.0.1:8443")]
pub(super) struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where to listen, in place of what server.toml says; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen::parse)]
    listen: Option<SocketAddr>,
    /// Write the address (https://…) to this file once the server accepts connections
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

/// Threads that wait for passwords to be hashed; few, and soon gone, so that an idle server is small.
const BLOCKING_THREADS: usize = 8;
/// Descriptors beside those of connections: files, database, signers, the runtime.
const OTHER_DESCRIPTORS: u64 = 256;

const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(5);

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = std::path::absolute(&self.data.data).context("--data")?;
        if data.join(UNFINISHED).exists() {
            bail!("{} is incomplete: run sealcard-server setup, or init, again", data.display());
        }
        let mut config = Config::load(&data).with_context(|| {
            format!("{} can't be used (create a server with: sealcard-server setup)", data.display())
        })?;
        config.listen = self.listen.unwrap_or(config.listen);
        log::start(config.log);
        raise_descriptors(config.limits.connections);
        if config.trial {
            tracing::warn!(
                "trial: the signers run as this server's user, so it could read the private keys; install with: \
                 sealcard-server setup"
            );
        } else {
            // Before there are other threads, which would stay outside.
            confinement::enter(&data, &config, self.address_file.as_deref())?;
        }
        #[cfg(feature = "failpoints")]
        let _failpoints = fail::FailScenario::setup();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(available_parallelism().map_or(2, |cores| cores.get().max(2)))
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(BLOCKING_KEEP_ALIVE)
            .enable_all()
            .build()
            .context("can't start the runtime")?;
        runtime.block_on(serve(&data, config, self.address_file.as_deref()))
    }
}

/// Lets the process have as many descriptors as connections, and some more, if the hard limit allows it: systemd's soft
/// limit is lower than the usual number of connections.
fn raise_descriptors(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let possible = wanted.min(hard).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, possible, hard).map(|()| possible)
    });
    match raised {
        Ok(possible) if possible >= wanted => {}
        Ok(possible) => tracing::warn!(
            descriptors = possible,
            wanted,
            "this process may not open enough files for limits.connections: raise LimitNOFILE= of the unit"
        ),
        Err(error) => tracing::warn!(%error, "the limit for open files can't be raised"),
    }
}

async fn serve(data: &Path, config: Config, address_file: Option<&Path>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let pair = Pair {
        data: data.to_owned(),
        certificate: data.join(&config.tls.certificate),
        key: data.join(&config.tls.key),
    };
    // Before it is loaded: an expired one is of no use.
    pair.renew().await;
    let tls = Arc::new(ServerTls::load(pair.certificate.clone(), pair.key.clone())?);
    let channels = Channels::load(data, &config.notices)?;
    let targets = Targets::load(data, &config)?;
    let witnesses = Witnesses::load(data, &config.record)?;
    let database = database::of(data, &config.database)?;
    let store = match Store::open(&database).await {
        Err(error @ StorageError::InUse(_)) => return Err(error.into()),
        opened => opened.context("can't open the database")?,
    };
    clock::check_at_start(&store).await.context("can't compare the clock with the record")?;
    let mut announcing = tokio::spawn(nodes::stay_announced(store.clone()));
    let clock_watch = tokio::spawn(clock::watch(store.clone()));
    let origin = match config.trial {
        true => {
            Origin::Here(signers::program(config.signer_program.as_deref()).context("can't find the signer's program")?)
        }
        false => Origin::Apart,
    };
    let (folder, trial) = (data.join("signer"), config.trial);
    let (found, environments) =
        take_up_environments(&store, &folder, trial).await.context("can't start using the environments")?;
    let signers = Signers::start(origin, &folder, &found, &store, environments);
    let listen = config.listen;
    let (retention, metrics) = (config.limits.request_retention(), config.metrics.listen);
    let sinks = Sinks::new(store.clone(), targets);
    sinks.prepare().await.context("can't read the sinks of the record")?;
    let names = NameKey::of(data)?;
    let config = Arc::new(config);
    let state = AppState::new(store.clone(), Arc::clone(&signers), config, names, channels, sinks.clone(), witnesses);
    let requests = state.requests.clone();
    requests.recover().await.context("can't record what an earlier stop left behind")?;
    let recovering = tokio::spawn(requests.keep_recovering(retention));
    let approvals = state.requests.approvals.clone();
    let waking = tokio::spawn(approvals.wake.clone().run());
    let sweeping = tokio::spawn(approvals.sweep());
    let noting = tokio::spawn({
        let (state, store) = (state.clone(), store.clone());
        async move { state.authentication.last_uses.keep_writing(&store).await }
    });
    let notifying = tokio::spawn(state.notices.clone().keep_sending());
    let delivering = tokio::spawn(sinks.keep_delivering());
    let mut publishing = tokio::spawn(state.log.clone().keep_publishing());
    let asking = tokio::spawn(state.log.clone().keep_asking_witnesses());
    let last = state.clone();
    let server =
        Server::bind(listen, Arc::clone(&tls), state).await.with_context(|| format!("can't listen on {listen}"))?;
    let address = server.address()?;
    let exposing = metrics.map(|listen| tokio::spawn(telemetry::keep_serving(last.telemetry.clone(), listen)));
    let watching = tokio::spawn(ends::watch(store.clone(), pair.certificate.clone()));
    let renewing = tokio::spawn(pair.keep_renewed(Arc::clone(&tls)));
    let reload = Reload { tls, store: store.clone(), folder, trial, signers: Arc::clone(&signers) };
    let reloading = tokio::spawn(reload.on(signal(SignalKind::hangup())?));
    if let Some(file) = address_file {
        files::replace(file, format!("{}\n", url(address)).as_bytes())?;
    }
    tracing::info!(listen = %address, address = %url(address), version = env!("CARGO_PKG_VERSION"), "serving");
    service_manager::ready(&url(address));
    let alive = tokio::spawn(service_manager::keep_alive(store.clone()));

    let mut must_end: Option<anyhow::Error> = None;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            Ok(error) = &mut announcing => {
                tracing::error!(%error, "this server can't use the database any more: stopping");
                must_end = Some(error.into());
            }
            Ok(error) = &mut publishing => {
                tracing::error!(%error, "the record is not the one that was signed: stopping");
                must_end = Some(error.into());
            }
        }
        service_manager::stopping();
        signers.expect_end();
    };
    let complete = server.run(stop).await;
    if !complete {
        tracing::warn!("some requests did not end in time");
    }
    announcing.abort();
    reloading.abort();
    renewing.abort();
    watching.abort();
    recovering.abort();
    noting.abort();
    waking.abort();
    sweeping.abort();
    notifying.abort();
    delivering.abort();
    publishing.abort();
    asking.abort();
    clock_watch.abort();
    alive.abort();
    if let Some(exposing) = exposing {
        exposing.abort();
    }
    if let Err(error) = store.record_clock_step().await {
        tracing::warn!(%error, "a jump of the clock could not be recorded");
    }
    last.requests.record_bursts(None).await;
    if let Err(error) = last.authentication.last_uses.write(&store).await {
        tracing::warn!(%error, "the last uses of logins could not be written");
    }
    if let Err(error) = store.release_sinks().await {
        tracing::warn!(%error, "other servers will know only later that they may deliver for the sinks");
    }
    if let Err(error) = store.release_witnesses().await {
        tracing::warn!(%error, "other servers will know only later that they may ask the witnesses");
    }
    signers.stop().await;
    store.close().await;
    tracing::info!("stopped");
    must_end.map_or(Ok(()), Err)
}

/// Stores environments that were added beside the server. Gives those that have a folder here, and all environments
/// that a signer is started for: not those whose folder is of another kind than the database says, nor, unless the
/// server is for trying out, those whose private keys it could read.
pub(super) async fn take_up_environments(
    store: &Store,
    folder: &Path,
    trial: bool,
) -> anyhow::Result<(Vec<Found>, Vec<EnvironmentRow>)> {
    let known = store.environments().await?;
    let all = signers::discover(folder)?;
    let mut unfit = Vec::new();
    for Found { name, kind, place } in all.iter().cloned() {
        if let (false, Place::Here(here)) = (trial, place) {
            tracing::error!(environment = name, folder = %here.display(), "this environment's keys can't be used: its \
                signer's folder is in the server's; let it run as its own user, or set trial = true in server.toml");
            unfit.push(name);
            continue;
        }
        match known.iter().find(|row| row.name == name) {
            Some(row) if row.kind == kind => continue,
            Some(row) => {
                tracing::error!(environment = name, folder = %folder.join(&name).display(), here = kind.name(),
                    database = row.kind.name(), "this environment is of another kind here: its keys can't be used");
                unfit.push(name);
                continue;
            }
            None => {}
        }
        let id = EnvironmentId::new();
        let entry = Draft::of_server(Event::EnvironmentAdded(EnvironmentAdded {
            environment: Named::new(id, &name),
            environment_kind: kind,
        }));
        let added = name.clone();
        let outcome: Result<(), StorageError> = store
            .write(move |tx| {
                tx.insert_environment(id, &added, kind)?;
                tx.append_record(entry);
                Ok(())
            })
            .await;
        match outcome {
            Ok(()) => tracing::info!(environment = name, kind = kind.name(), "a new environment"),
            // Another server was faster.
            Err(StorageError::Taken(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut environments = store.environments().await?;
    environments.retain(|row| !unfit.contains(&row.name));
    Ok((all, environments))
}

/// What SIGHUP renews.
struct Reload {
    tls: Arc<ServerTls>,
    store: Store,
    folder: PathBuf,
    trial: bool,
    signers: Arc<Signers>,
}

impl Reload {
    async fn on(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            match self.tls.reload() {
                Ok(()) => tracing::info!("SIGHUP: the certificate was loaded again"),
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    tracing::error!(error, "SIGHUP: the certificate can't be used; the earlier one stays in use");
                }
            }
            match take_up_environments(&self.store, &self.folder, self.trial).await {
                Ok((found, environments)) => self.signers.start_missing(&self.folder, &found, environments),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "SIGHUP: can't look for new environments");
                }
            }
        }
    }
}

/// An address that a client on this machine can use.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("https://{}", SocketAddr::new(ip, address.port()))
}
