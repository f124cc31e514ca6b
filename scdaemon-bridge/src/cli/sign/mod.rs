//! `sealcard sign`.

mod files;
mod key;
mod pipeline;
mod progress;
mod record;

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueHint};
use sealcard_api::{Bytes, algorithm::HashAlgorithm, operations::SignRequest};
use serde::Serialize;
use uuid::Uuid;

pub(super) use files::{is_signature, signature_of, walk};
pub(super) use key::find as find_card;

use super::{
    App,
    output::{GOOD, clean, count, line, note, show, warn},
};
use crate::openpgp::{Cleartext, Draft, Form, SigningKey};

#[derive(Debug, Args)]
#[command(after_help = "\
gpg is not needed: the files are hashed here, the server signs the digests, and the signatures are what gpg, sq and rpm make
and verify. Of a folder all files are signed, those below it too, but no signatures (*.asc, *.sig) and nothing that a
symbolic link leads to. A signature is there as a whole or not at all, also after Ctrl-C; files whose signature exists
already are skipped with --missing.

Examples:
  sealcard sign release.tar.gz                  makes release.tar.gz.asc
  sealcard sign --key release --missing dist/   everything in dist/ that has no signature yet
  sealcard sign --clear --output - notes.txt    the text with a signature below, to standard output

Exit codes: 0 everything was signed, 1 not everything, 130 interrupted.")]
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
    /// sha256, sha384 or sha512 (default: what suits the key)
    #[arg(long, value_name = "ALGORITHM")]
    hash: Option<HashAlgorithm>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    key: String,
    fingerprint: sealcard_api::Fingerprint,
    signed: Vec<Signed>,
    failed: Vec<Failed>,
    skipped: usize,
    interrupted: bool,
}

#[derive(Debug, Serialize)]
struct Signed {
    file: PathBuf,
    signature: PathBuf,
    request_id: sealcard_api::ids::RequestId,
}

#[derive(Debug, Serialize)]
struct Failed {
    file: PathBuf,
    reason: String,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let key =
        key::choose(app, arguments.key.as_deref()).await.inspect_err(|error| record::failure(app, None, error))?;
    let hash = arguments.hash.unwrap_or_else(|| key.preferred_hash());
    let to_stdout = arguments.output.as_deref() == Some(Path::new("-"));
    let from_stdin = arguments.paths.iter().any(|path| path == Path::new("-"));
    if arguments.clear || from_stdin || to_stdout {
        let signed = one(app, &arguments, &key, hash).await;
        if let Err(error) = &signed {
            record::failure(app, Some(&key), error);
        }
        return signed.map(|()| ExitCode::SUCCESS);
    }
    let form = if arguments.binary { Form::Binary } else { Form::Armored };
    let plan = files::plan(&arguments, form)?;
    let skipped = plan.skipped;
    let (signed, failed, interrupted) = pipeline::sign(app, &key, hash, form, plan.jobs, arguments.quiet)
        .await
        .inspect_err(|error| record::failure(app, Some(&key), error))?;
    match (failed.first(), signed.last()) {
        (Some(failed), _) => record::failure(app, Some(&key), &anyhow!("{}: {}", failed.file.display(), failed.reason)),
        (None, Some(signed)) => record::success(app, &key, Some(signed.request_id)),
        (None, None) => {}
    }
    let report =
        Report { key: key.name().to_owned(), fingerprint: key.fingerprint(), signed, failed, skipped, interrupted };
    show(arguments.json, &report, print)?;
    Ok(match (report.interrupted, report.failed.is_empty()) {
        (true, _) => ExitCode::from(130),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

fn print(report: &Report) {
    if let [only] = report.signed.as_slice() {
        line(clean(&only.signature.display().to_string()));
    }
    let key = format!("{} ({})", clean(&report.key), report.fingerprint);
    let signed = count(report.signed.len(), "file");
    note(format!("{GOOD}Signed {signed}{GOOD:#} with {key}."));
    if report.skipped > 0 {
        note(format!("{} had a signature already.", count(report.skipped, "file")));
    }
    for failed in &report.failed {
        warn(format!("{} is not signed: {}", clean(&failed.file.display().to_string()), clean(&failed.reason)));
    }
    if report.interrupted {
        warn("interrupted; `sealcard sign --missing` goes on where this ended");
    }
}

/// The largest text that is signed in clear, in bytes.
const MAX_TEXT: u64 = 64 * 1024 * 1024;

/// One content, with a signature that may go to standard output.
async fn one(app: &App, arguments: &Arguments, key: &SigningKey, hash: HashAlgorithm) -> anyhow::Result<()> {
    let [path] = arguments.paths.as_slice() else {
        bail!("with --clear, --output - or standard input, exactly one file is signed");
    };
    let from_stdin = path == Path::new("-");
    let mut content: Box<dyn io::Read> = if from_stdin {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("can't read {}", path.display()))?)
    };
    let signature = if arguments.clear {
        let mut text = Vec::new();
        content.take(MAX_TEXT + 1).read_to_end(&mut text).with_context(|| format!("can't read {}", path.display()))?;
        if text.len() as u64 > MAX_TEXT {
            bail!("a text above 64 MiB is not signed in clear: leave --clear out");
        }
        let cleartext = Cleartext::new(key, hash, &text)?;
        let raw = ask(app, key, cleartext.draft()).await?;
        cleartext.finish(key, &raw)?
    } else {
        let draft = Draft::of_content(key, hash, &mut *content)?;
        let raw = ask(app, key, &draft).await?;
        draft.finish(key, &raw, if arguments.binary { Form::Binary } else { Form::Armored })?
    };
    let output = match &arguments.output {
        Some(output) if output == Path::new("-") => None,
        Some(output) => Some(output.clone()),
        None if from_stdin => None,
        None => Some(signature_of(path, if arguments.binary { Form::Binary } else { Form::Armored })),
    };
    match output {
        None => io::stdout().write_all(&signature).context("can't write to standard output"),
        Some(output) => {
            if output.exists() && !arguments.force {
                bail!("{} exists; --force replaces it", output.display());
            }
            files::write_whole(&output, &signature)?;
            line(clean(&output.display().to_string()));
            Ok(())
        }
    }
}

async fn ask(app: &App, key: &SigningKey, draft: &Draft) -> anyhow::Result<Vec<u8>> {
    let request = SignRequest { hash: draft.hash(), digest: Bytes(draft.digest().to_vec()) };
    let answer = app.remote.sign(key.id(), Uuid::now_v7(), &request).await?;
    record::success(app, key, Some(answer.request_id));
    Ok(answer.signature.0)
}
