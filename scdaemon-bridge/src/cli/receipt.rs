//! `sealcard receipt`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueHint};
use sealcard_api::{log::LogStatus, problem::ProblemCode};
use sealcard_record::Body;
use tokio::time::sleep;

use super::{
    App,
    bundle::{self, Bundle, Proved, Receipt},
    output::{GOOD, clean, clean_path, facts, line, note, show},
};
use crate::{
    config::Config,
    local_time,
    remote::{RemoteError, path},
    signatures, witness,
};

/// How long a checkpoint with the cosignatures of witnesses is waited for, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

const HELP: &str = "\
The server proves that the signature is in its record, and with it who made it, when and by which rules. This computer \
checks the proof, and that the record still has what this computer saw of it before. The proof is there a second after \
the signature, or once enough witnesses have cosigned the record, if the server asks some.

A bundle has all that others need to check the same without asking the server.

Examples:
  sealcard receipt release.tar.gz.asc
  sealcard receipt release.tar.gz.asc --bundle release.sealcard-bundle.json

Exit codes: 0 proved, 1 not in the record, or the proof is wrong, 2 wrong usage.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// A signature, or a file that has one in it; - is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present = "accept_log")]
    file: Option<PathBuf>,
    /// Write the receipts here, for others to check
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "file")]
    bundle: Option<PathBuf>,
    /// Take the server's record as it is now for the one to remember, after an administrator said that it has begun anew
    #[arg(long)]
    accept_log: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let file = app.paths.known_log_file();
    if arguments.accept_log {
        return accept(app, &file).await;
    }
    let Some(source) = &arguments.file else { bail!("name a signature") };
    let bytes = signatures::read(source).with_context(|| clean_path(source))?;
    let (receipts, proved) = prove(app, std::slice::from_ref(&bytes)).await.with_context(|| clean_path(source))?;
    if let Some(to) = &arguments.bundle {
        write(receipts, to)?;
    }
    show(arguments.json, &proved, |proved| proved.iter().enumerate().for_each(|(place, one)| print(place, one)))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the receipts of signatures that were made just now, for others to check.
///
/// # Errors
/// If the server does not prove each of them, or the file can't be written.
pub(super) async fn write_bundle(app: &App, signed: &[Vec<u8>], to: &Path) -> anyhow::Result<()> {
    let (receipts, _) = prove(app, signed).await?;
    write(receipts, to)
}

fn write(receipts: Vec<Receipt>, to: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&Bundle::of(receipts))? + "\n";
    fs::write(to, text).with_context(|| clean_path(to))?;
    note(format!("Wrote {}.", clean_path(to)));
    Ok(())
}

/// Receipts of all signatures in some files, checked.
async fn prove(app: &App, files: &[Vec<u8>]) -> anyhow::Result<(Vec<Receipt>, Vec<Proved>)> {
    let mut receipts = Vec::with_capacity(files.len());
    for file in files {
        let signatures = signatures::of(file);
        ensure!(!signatures.is_empty(), "there is no OpenPGP signature in it");
        for forms in &signatures {
            receipts.push(fetch(app, forms).await?);
        }
    }
    // After the receipts, so that the checkpoint that is remembered covers them.
    let seen = witness::witness(&app.remote, &server(app)?, &app.paths.known_log_file()).await?;
    let seen = seen.context("this server publishes no log of its record; an administrator sets record.origin")?;
    let known = &seen.known;
    let mut proved = Vec::with_capacity(receipts.len());
    for receipt in &receipts {
        ensure!(receipt.origin == known.origin && receipt.keys == known.keys, "the receipt is of another log");
        proved.push(receipt.check(&seen.policy)?);
    }
    Ok((receipts, proved))
}

/// The receipt of a signature in whichever form the record has it.
async fn fetch(app: &App, forms: &[Vec<u8>]) -> anyhow::Result<Receipt> {
    let mut refused = None;
    for hash in bundle::hashes(forms) {
        let route = path(&["receipts", &hash.to_string()]);
        let asked = Instant::now();
        loop {
            match app.remote.get(&route).await {
                Ok(receipt) => return Ok(receipt),
                // No checkpoint covers it yet.
                Err(RemoteError::Problem(problem))
                    if problem.code == ProblemCode::Overloaded && asked.elapsed() < PATIENCE =>
                {
                    sleep(PAUSE).await;
                }
                Err(RemoteError::Problem(problem)) if problem.code == ProblemCode::NotFound => {
                    refused = Some(problem);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    match refused {
        Some(problem) => Err(RemoteError::Problem(problem).into()),
        None => bail!("the signature has no form that the record could have"),
    }
}

fn print(place: usize, proved: &Proved) {
    if place > 0 {
        line("");
    }
    line(format!("{GOOD}The record proves this signature.{GOOD:#}"));
    let mut rows = Vec::new();
    if let Some(Body { time, actor, event, .. }) = proved.body() {
        rows.extend(actor.map(|actor| ("by", actor.name)));
        let key = event.project().zip(event.key()).map(|(project, key)| format!("{}/{}", project.name, key.name));
        rows.extend(key.map(|key| ("key", key)));
        rows.push(("time", local_time::shown(time)));
    }
    rows.push(("entry", proved.number.to_string()));
    rows.push(("log", format!("{}, {} entries, root {}", proved.log, proved.size, proved.root)));
    facts(&rows);
}

/// The server's address.
fn server(app: &App) -> anyhow::Result<String> {
    Ok(Config::load(&app.paths.in_use())?.context("not logged in; run: sealcard login URL")?.server)
}

async fn accept(app: &App, file: &Path) -> anyhow::Result<ExitCode> {
    let status: LogStatus = app.remote.get(&path(&["log"])).await?;
    let seen = witness::read(&server(app)?, status)?;
    witness::remember(file, &seen)?;
    line(format!(
        "This computer remembers the log {} with {} entries from now on.",
        clean(&seen.known.origin),
        seen.tree.size
    ));
    Ok(ExitCode::SUCCESS)
}
