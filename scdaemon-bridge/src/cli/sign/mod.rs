//! `sealcard sign`.

mod files;
mod key;
mod pipeline;
mod record;
mod waiting;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueHint};
use sealcard_api::{
    Bytes, Timestamp,
    algorithm::HashAlgorithm,
    context::UseContext,
    ids::RequestId,
    operations::{SignRequest, SignatureResponse},
};
use sealcard_openpgp::{Cleartext, Draft, Form, SigningKey};
use serde::Serialize;
use uuid::Uuid;

pub(super) use key::find as find_card;

use super::{
    App,
    output::{BAD, GOOD, WARN, clean, clean_path, count, failure, line, lossy, note, show, warn},
    receipt,
    selection::{self, Skipped, signature_of},
};
use crate::{remote::RemoteError, waiting::Attempts};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Files and folders (- for standard input, which is signed to standard output)
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// The key's name, PROJECT/NAME or fingerprint (default: the only key that you may use)
    #[arg(short, long, env = "SEALCARD_KEY")]
    key: Option<String>,
    /// Write FILE.sig without ASCII armor instead of FILE.asc
    #[arg(short, long)]
    binary: bool,
    /// Write the text with a signature below (for one text file)
    #[arg(long, visible_alias = "clearsign", conflicts_with = "binary")]
    clear: bool,
    /// Write the signature here (- for standard output; for one file)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Replace signatures that exist
    #[arg(short, long, conflicts_with = "missing")]
    force: bool,
    /// Skip files whose signature exists
    #[arg(long)]
    missing: bool,
    /// The digest that is signed (default: what suits the key)
    #[arg(long, value_name = "ALGORITHM", value_parser = hashes())]
    hash: Option<HashAlgorithm>,
    /// Write receipts of the signatures here: with them others can check offline what the server's record says
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    selection: selection::Options,
    #[command(flatten)]
    waiting: waiting::Options,
    /// Show no progress and no totals, only what failed
    #[arg(short, long)]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
gpg is not needed: the files are hashed here, the server signs the digests, and gpg, sq and rpm verify the signatures.

Of a folder, all files in it and below it are signed. Skipped are signatures (*.asc, *.sig), symbolic links, names \
that begin with a dot (--hidden takes them) and, always, what belongs to version control (such as .git). A folder \
without files is an error. Files that you name are signed whatever their name.

A signature is there as a whole or not at all, also after Ctrl-C. `sealcard sign --missing` continues.

Examples:
  sealcard sign release.tar.gz
      makes release.tar.gz.asc
  sealcard sign --key tools/release --missing dist/
      signs everything in dist/ that has no signature yet
  sealcard sign --bundle release.sealcard-bundle.json dist/
      also writes what proves to others that the record has the signatures
  sealcard sign --clear --output - notes.txt
      prints the text with a signature below

If a rule demands that people approve, the command says who, and waits. A signature that is approved after the command \
ended is made by the next run of the same command.

Exit codes: 0 all files are signed, 1 one is not, 75 one waits for an approval, 130 interrupted.";

/// The digests that signatures of files may have.
fn hashes() -> impl clap::builder::TypedValueParser<Value = HashAlgorithm> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(["sha256", "sha384", "sha512"]).try_map(|name| name.parse::<HashAlgorithm>())
}

/// What was done.
#[derive(Debug, Serialize)]
struct Report {
    key: String,
    fingerprint: sealcard_api::Fingerprint,
    signed: Vec<Signed>,
    waiting: Vec<waiting::Waits>,
    failed: Vec<Failed>,
    already_signed: usize,
    skipped: Skipped,
    interrupted: bool,
}

#[derive(Debug, Serialize)]
struct Signed {
    #[serde(serialize_with = "lossy")]
    file: PathBuf,
    #[serde(serialize_with = "lossy")]
    signature: PathBuf,
    request_id: RequestId,
}

#[derive(Debug, Serialize)]
struct Failed {
    #[serde(serialize_with = "lossy")]
    file: PathBuf,
    reason: String,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let form = if arguments.binary { Form::Binary } else { Form::Armored };
    let claims = app.begin_claims();
    let to_stdout = arguments.output.as_deref() == Some(Path::new("-"));
    let from_stdin = arguments.paths.iter().any(|path| path == Path::new("-"));
    let is_one = arguments.clear || from_stdin || to_stdout;
    // What is wrong with the files is said before the server is asked.
    let plan = if is_one { files::Plan::default() } else { files::plan(&arguments, form)? };
    let key =
        key::choose(app, arguments.key.as_deref()).await.inspect_err(|error| record::failure(app, None, error))?;
    app.remote
        .look_at_log()
        .await
        .map_err(anyhow::Error::from)
        .inspect_err(|error| record::failure(app, Some(&key), error))?;
    let hash = arguments.hash.unwrap_or_else(|| key.preferred_hash());
    let context = claims.await.ok();
    if is_one {
        let signed = one(app, &arguments, &key, hash, context).await;
        return match signed.inspect_err(|error| record::failure(app, Some(&key), error)) {
            Ok((request, signature)) => {
                record::success(app, &key, Some(request));
                write_bundle(app, &arguments, &[signature]).await?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => exit_code(&error).ok_or(error),
        };
    }
    let (already_signed, skipped) = (plan.already_signed, plan.skipped);
    let no_wait = arguments.waiting.limit().is_some_and(|limit| limit.is_zero());
    let (remote, _) = waiting::Observer::of(app, key.name(), arguments.waiting, false);
    let quiet = arguments.quiet || no_wait;
    let attempts = (Attempts::of(&app.paths), quiet);
    let outcome = pipeline::sign(&remote, &key, (hash, form), plan.jobs, context, attempts)
        .await
        .inspect_err(|error| record::failure(app, Some(&key), error))?;
    let pipeline::Outcome { signed, waiting, failed, interrupted } = outcome;
    match (failed.first(), signed.last()) {
        (Some(failed), _) => record::failure(app, Some(&key), &anyhow!("{}: {}", failed.file.display(), failed.reason)),
        (None, Some(signed)) => record::success(app, &key, Some(signed.request_id)),
        (None, None) => {}
    }
    let report = Report {
        key: key.name().to_owned(),
        fingerprint: key.fingerprint(),
        signed,
        waiting,
        failed,
        already_signed,
        skipped,
        interrupted,
    };
    show(arguments.json, &report, |report| print(report, arguments.quiet))?;
    if !report.signed.is_empty() && arguments.bundle.is_some() {
        let read = |signed: &Signed| fs::read(&signed.signature).with_context(|| clean_path(&signed.signature));
        let signatures = report.signed.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        write_bundle(app, &arguments, &signatures).await?;
    }
    Ok(match (report.interrupted, report.failed.is_empty(), report.waiting.is_empty()) {
        (true, _, _) => ExitCode::from(INTERRUPTED),
        (false, false, _) => ExitCode::FAILURE,
        (false, true, false) => ExitCode::from(waiting::EXIT_CODE),
        (false, true, true) => ExitCode::SUCCESS,
    })
}

/// Writes the bundle, if one is wanted. The signatures stay, whatever happens to it.
async fn write_bundle(app: &App, arguments: &Arguments, signatures: &[Vec<u8>]) -> anyhow::Result<()> {
    let Some(to) = &arguments.bundle else { return Ok(()) };
    receipt::write_bundle(app, signatures, to)
        .await
        .context("all is signed, but the receipts could not be had; `sealcard receipt FILE --bundle OUT` tries again")
}

/// The exit code after a signal.
const INTERRUPTED: u8 = 130;

/// A signal ended the wait for people.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; the request was given up")]
struct Interrupted;

/// Shows an error that has an exit code of its own, and gives that.
fn exit_code(error: &anyhow::Error) -> Option<ExitCode> {
    let code = match error.downcast_ref::<RemoteError>() {
        Some(RemoteError::Undecided { waiting, .. }) if waiting.expires > Timestamp::now() => waiting::EXIT_CODE,
        _ if error.is::<Interrupted>() => INTERRUPTED,
        _ => return None,
    };
    super::error::show(error);
    Some(ExitCode::from(code))
}

/// Of more failures than these, the rest is counted.
const MAX_FAILURES: usize = 20;

fn print(report: &Report, quiet: bool) {
    if let [only] = report.signed.as_slice() {
        line(clean_path(&only.signature));
    }
    for failed in report.failed.iter().take(MAX_FAILURES) {
        failure(format!("{} is not signed: {}", clean_path(&failed.file), clean(&failed.reason)));
    }
    if report.failed.len() > MAX_FAILURES {
        let more = count(report.failed.len() - MAX_FAILURES, "more file");
        note(format!("{more} could not be signed; --json lists them all."));
    }
    if !quiet {
        totals(report).iter().for_each(note);
    }
    waiting::still(&report.waiting).iter().for_each(note);
    if report.interrupted {
        warn("interrupted; `sealcard sign --missing` continues where this ended");
    }
}

fn totals(report: &Report) -> Vec<String> {
    let key = format!("{} ({})", clean(&report.key), report.fingerprint);
    let (signed, failed) = (report.signed.len(), report.failed.len());
    let mut totals = Vec::new();
    let (waiting, all) = (report.waiting.len(), signed + failed + report.waiting.len());
    if failed > 0 {
        totals.push(format!("{BAD}{signed} of {all} signed{BAD:#} with {key}."));
    } else if waiting > 0 {
        totals.push(format!("{WARN}{signed} of {all} signed{WARN:#} with {key}."));
    } else if signed > 0 || (report.already_signed == 0 && !report.interrupted) {
        totals.push(format!("{GOOD}Signed {}{GOOD:#} with {key}.", count(signed, "file")));
    }
    if report.already_signed > 0 {
        totals.push(format!("{} had a signature already.", count(report.already_signed, "file")));
    }
    totals.extend(report.skipped.description());
    totals
}

/// The largest text that is signed in clear, in bytes.
const MAX_TEXT: u64 = 64 * 1024 * 1024;

/// One content, with a signature that may go to standard output.
async fn one(
    app: &App,
    arguments: &Arguments,
    key: &SigningKey,
    hash: HashAlgorithm,
    context: Option<UseContext>,
) -> anyhow::Result<(RequestId, Vec<u8>)> {
    let [path] = arguments.paths.as_slice() else {
        bail!("with --clear, --output - or standard input, exactly one file is signed");
    };
    let form = if arguments.binary { Form::Binary } else { Form::Armored };
    let from_stdin = path == Path::new("-");
    let mut content: Box<dyn io::Read> = if from_stdin {
        Box::new(io::stdin())
    } else {
        Box::new(fs::File::open(path).with_context(|| format!("can't read {}", path.display()))?)
    };
    let (signature, request) = if arguments.clear {
        let mut text = Vec::new();
        content.take(MAX_TEXT + 1).read_to_end(&mut text).with_context(|| format!("can't read {}", path.display()))?;
        if text.len() as u64 > MAX_TEXT {
            bail!("a text above 64 MiB is not signed in clear: leave --clear out");
        }
        let cleartext = Cleartext::new(key, hash, &text)?;
        let answer = ask(app, (key, arguments), cleartext.draft(), context).await?;
        (cleartext.finish(key, &answer.signature.0)?, answer.request_id)
    } else {
        let draft = Draft::of_content(key, hash, &mut *content)?;
        let answer = ask(app, (key, arguments), &draft, context).await?;
        (draft.finish(key, &answer.signature.0, form)?, answer.request_id)
    };
    let output = match &arguments.output {
        Some(output) if output == Path::new("-") => None,
        Some(output) => Some(output.clone()),
        None if from_stdin => None,
        None => Some(signature_of(path, form)),
    };
    match output {
        None => io::stdout().write_all(&signature).context("can't write to standard output")?,
        Some(output) => {
            if output.exists() && !arguments.force {
                bail!("{} exists already; --force replaces it", output.display());
            }
            files::refuse_repository(&output)?;
            files::write_whole(&output, &signature)?;
            line(clean_path(&output));
        }
    }
    Ok((request, signature))
}

async fn ask(
    app: &App,
    (key, arguments): (&SigningKey, &Arguments),
    draft: &Draft,
    context: Option<UseContext>,
) -> anyhow::Result<SignatureResponse> {
    let request = SignRequest { hash: draft.hash(), digest: Bytes(draft.digest().to_vec()), context };
    let (remote, observer) = waiting::Observer::of(app, key.name(), arguments.waiting, !arguments.quiet);
    tokio::select! {
        answer = remote.sign(key.id(), Uuid::now_v7(), &request) => Ok(answer?),
        interrupted = observer.interrupted() => {
            interrupted?;
            Err(Interrupted.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_batch_is_not_called_signed() {
        let report = Report {
            key: "tags".to_owned(),
            fingerprint: sealcard_api::Fingerprint([1; 20]),
            signed: Vec::new(),
            waiting: Vec::new(),
            failed: vec![Failed { file: "a".into(), reason: "it can't be read".to_owned() }],
            already_signed: 0,
            skipped: Skipped::default(),
            interrupted: false,
        };
        let totals = totals(&report);
        assert!(totals.iter().any(|total| total.contains("0 of 1 signed")), "{totals:?}");
        assert!(totals.iter().all(|total| !total.contains("Signed 0")), "{totals:?}");
    }
}
