//! How four clients that sign fare while another party abuses the server.

mod honest;
mod party;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use sealcard_tests::{Algorithm, Binaries, DatabaseKind, PROJECT, Playground, PlaygroundBuilder, StoreKind, USER};
use serde::Serialize;
use tokio::time::sleep;
use xtask::{cargo, output};

use self::{
    honest::{Clients, Seen},
    party::Party,
};
use crate::{
    bench::NO_CEILING,
    cases::Contest,
    client::Client,
    processes::{many_descriptors, resident},
};

/// Where the abuse comes from: another address than that of the clients.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Clients that sign.
const CLIENTS: usize = 4;

/// How long the abuse goes on before it is measured: its connections need a moment.
const SETTLE: Duration = Duration::from_secs(4);

/// How long the server is left alone afterwards.
const REST: Duration = Duration::from_secs(2);

/// How it is measured.
#[derive(Clone, Copy)]
pub(crate) struct Abuse<'a> {
    pub(crate) contest: &'a Contest<'a>,
    pub(crate) quick: bool,
}

/// What came of one kind of abuse.
#[derive(Debug, Serialize)]
struct Row {
    /// What the other party did.
    name: String,
    /// Signatures a second before it.
    rate_before: f64,
    /// The rate during it, as a part of that.
    ratio: f64,
    /// Milliseconds.
    p99_before: f64,
    p99: f64,
    /// Requests of the clients that gave no signature.
    failed: usize,
    /// The longest time that a new connection took to be served, in milliseconds.
    new_connection: f64,
    /// The most memory of the server, in MiB.
    memory: f64,
}

/// The abused server, two of its keys, and who takes part.
struct Stage {
    pid: u32,
    /// The id of an Ed25519 key.
    ed25519: String,
    /// The id of an RSA key.
    rsa: String,
    cast: Cast,
}

/// Abuse a server that is installed on this machine
///
/// Three users who may use both keys, alice, key-user and stranger, have the password of the file; stranger may use
/// neither.
#[derive(Debug, Args)]
pub(crate) struct AbuseInstalled {
    /// The server's address
    url: String,
    /// The certificate of its authority
    #[arg(long, value_name = "FILE")]
    ca_file: PathBuf,
    /// The file with the users' password
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// The process of the server
    #[arg(long)]
    pid: u32,
    /// The id of an Ed25519 key
    #[arg(long, value_name = "ID")]
    ed25519: String,
    /// The id of an RSA-4096 key
    #[arg(long, value_name = "ID")]
    rsa: String,
    /// Measures for a shorter time
    #[arg(long)]
    quick: bool,
}

impl AbuseInstalled {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        many_descriptors()?;
        let password = fs::read_to_string(&self.password_file)?;
        let cast = Cast::of_users((&self.url, &self.ca_file), "alice", password.trim())?;
        let stage = Stage { pid: self.pid, ed25519: self.ed25519.clone(), rsa: self.rsa.clone(), cast };
        let contest = Contest { check: &|| Ok(()), wanted: &|_| true };
        Abuse { contest: &contest, quick: self.quick }.run_installed(&stage)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Who takes part.
struct Cast {
    honest: Client,
    key_user: Client,
    stranger: Client,
    anonymous: Client,
    anonymous_elsewhere: Client,
}

impl Abuse<'_> {
    /// What the names of all measurements begin with.
    pub(crate) const PREFIX: &'static str = "abuse";

    /// Measures and prints a table.
    pub(crate) fn run(self, binaries: &Binaries) -> Result<()> {
        let name = |party: &Party| format!("{}: {party}", Self::PREFIX);
        let parties: Vec<_> = Party::ALL.iter().filter(|party| (self.contest.wanted)(&name(party))).collect();
        if parties.is_empty() {
            return Ok(());
        }
        many_descriptors()?;
        output::step("starting a server that is abused");
        let builder = PlaygroundBuilder::new(binaries.clone()).database(DatabaseKind::Sqlite).store(StoreKind::Sealed);
        let (ceiling, none) = NO_CEILING;
        let playground = builder.without_login().environment(ceiling, none).note(output::note).start()?;
        let cast = Cast::log_in(&playground)?;
        let key = |algorithm| playground.key(algorithm).map(|key| key.id.clone());
        let stage = Stage {
            pid: playground.server.pid(),
            ed25519: key(Algorithm::Ed25519)?,
            rsa: key(Algorithm::Rsa4096)?,
            cast,
        };
        self.perform(&stage, &parties)
    }

    /// The same against a server that runs already.
    fn run_installed(self, stage: &Stage) -> Result<()> {
        self.perform(stage, &Party::ALL.iter().collect::<Vec<_>>())
    }

    fn perform(self, stage: &Stage, parties: &[&Party]) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut rows = Vec::new();
        for party in parties {
            (self.contest.check)()?;
            let row = runtime.block_on(self.measure(stage, party))?;
            output::note(&row.text());
            rows.push(row);
        }
        output::result(&format!("\n{}", Row::header()));
        rows.iter().for_each(|row| output::result(&row.text()));
        let file = cargo::target()?.join("bench").join("abuse.json");
        fs::create_dir_all(file.parent().context("a file without a folder")?)?;
        fs::write(&file, serde_json::to_vec_pretty(&rows)?)?;
        output::note(&format!("written to {}", file.display()));
        Ok(())
    }

    async fn measure(self, stage: &Stage, party: &Party) -> Result<Row> {
        let time = Duration::from_secs(if self.quick { 3 } else { 10 });
        let cast = &stage.cast;
        let clients = Clients::start(&cast.honest, &cast.anonymous, &stage.ed25519, CLIENTS);
        let before = clients.watch(time).await?;
        let abuse = party.start(cast, &stage.rsa);
        sleep(SETTLE).await;
        let mut memory = resident(stage.pid)?;
        let mut during = Seen::default();
        for _ in 0..time.as_secs() {
            during.add(clients.watch(Duration::from_secs(1)).await?);
            memory = memory.max(resident(stage.pid)?);
        }
        drop(abuse);
        drop(clients);
        sleep(REST).await;
        Ok(Row {
            name: party.to_string(),
            rate_before: before.rate(),
            ratio: during.rate() / before.rate(),
            p99_before: before.p99(),
            p99: during.p99(),
            failed: during.failed,
            new_connection: during.longest_connection(),
            memory,
        })
    }
}

impl Row {
    fn header() -> String {
        format!(
            "{:<46} {:>8} {:>6} {:>9} {:>9} {:>7} {:>12} {:>7}",
            "abuse", "before/s", "ratio", "p99 was", "p99 ms", "failed", "connected ms", "MiB"
        )
    }

    fn text(&self) -> String {
        format!(
            "{:<46} {:>8.0} {:>6.2} {:>9.1} {:>9.1} {:>7} {:>12.0} {:>7.0}",
            self.name,
            self.rate_before,
            self.ratio,
            self.p99_before,
            self.p99,
            self.failed,
            self.new_connection,
            self.memory
        )
    }
}

impl Cast {
    fn log_in(playground: &Playground) -> Result<Self> {
        let (server, admin) = (&playground.server, &playground.admin);
        let password = &playground.facts.user_password;
        for user in ["key-user", "stranger"] {
            admin.add_user(user, password)?;
        }
        admin.admin(&["project", "add-member", PROJECT, "--user", "key-user", "--role", "key-user"])?;
        Self::of_users((server.url(), &server.ca()), USER, password)
    }

    /// Logs users in who are there.
    fn of_users((url, ca): (&str, &Path), honest: &str, password: &str) -> Result<Self> {
        let login = |user: &str| Client::login(url, ca, user, password);
        let anonymous = Client::anonymous(url, ca)?;
        Ok(Self {
            honest: login(honest)?,
            key_user: login("key-user")?.from(ELSEWHERE),
            stranger: login("stranger")?.from(ELSEWHERE),
            anonymous_elsewhere: anonymous.clone().from(ELSEWHERE),
            anonymous,
        })
    }
}
