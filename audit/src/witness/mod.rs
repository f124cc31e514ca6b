//! `sealcard-audit witness`: cosigns checkpoints of logs that only grew (<https://c2sp.org/tlog-witness>).

mod key;
mod serve;
mod store;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueHint};
use sealcard_transparency::{TrustPolicy, VerifierKey};

use crate::output::{line, note};

const HELP: &str = "\
A witness remembers the newest checkpoint of each log, and cosigns only those that continue it. Logs ask for cosignatures at \
ADDRESS/add-checkpoint; everybody can read the newest cosigned checkpoint at ADDRESS/HASH/checkpoint, where HASH is the \
SHA-256 of the log's name in hexadecimal. It speaks plain HTTP: put a reverse proxy with TLS in front of it.";

const KEY_HELP: &str = "\
Makes a private key (mode 0600) and prints the public one, for the policies of others. NAME is the witness's address without \
https://. Make one of each type.

Examples:
  sealcard-audit witness key witness.example.org witness.key
  sealcard-audit witness key witness.example.org witness.ml-dsa.key \\
    --ml-dsa-44";

const SERVE_HELP: &str = "\
Keep the folder of --state: a witness that forgets can be made to cosign a rewritten past. Never run two with one key and \
different folders.

Example:
  sealcard-audit witness serve --listen 127.0.0.1:8081 \\
    --key witness.key --key witness.ml-dsa.key \\
    --policy logs.tlog-policy --state /var/lib/sealcard-witness";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key
    #[command(after_help = KEY_HELP)]
    Key {
        /// The name of the witness
        #[arg(value_name = "NAME")]
        name: String,
        /// The file for the private key, which must not exist
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Make an ML-DSA-44 key instead of an Ed25519 key
        #[arg(long)]
        ml_dsa_44: bool,
    },
    /// Serve cosignatures
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArguments),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// The address and port to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// A private key of the witness; may be repeated
    #[arg(long, value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    key: Vec<PathBuf>,
    /// The logs that are cosigned: those of this policy (C2SP's tlog-policy)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,
    /// The folder with the newest checkpoint of each log
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    state: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Key { name, file, ml_dsa_44 } => line(key::make(name, file, *ml_dsa_44)?.to_string()),
        Command::Serve(arguments) => serve(arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: &ServeArguments) -> anyhow::Result<()> {
    let keys = arguments.key.iter().map(|file| key::load(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let name = || arguments.policy.display().to_string();
    let policy = TrustPolicy::parse(&std::fs::read(&arguments.policy).with_context(name)?).with_context(name)?;
    let logs: Vec<VerifierKey> = policy.logs().iter().map(|log| log.key().clone()).collect();
    ensure!(!logs.is_empty(), "{}: it names no log", name());
    let store = store::Store::open(&arguments.state, logs, keys)?;
    let listener = serve::bind(arguments.listen).await?;
    note(format!("Listening at http://{}.", listener.local_addr()?));
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        error = serve::serve(Arc::new(store), &listener) => Err(error.into()),
        ended = tokio::signal::ctrl_c() => Ok(ended?),
        _ = terminated.recv() => Ok(()),
    }
}
