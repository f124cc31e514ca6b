//! `sealcard verify`.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use sealcard_openpgp::{
    Certificates, Form, Judgement, SignatureError, Verdict, card_certificate, verify_detached, verify_inline,
};
use serde::Serialize;

use super::{
    App,
    bundle::{Evidence, Proved},
    output::{BAD, GOOD, WARN, clean, clean_path, count, line, lossy, note, show},
    progress,
    selection::{self, Selection, Skipped, is_signature, signature_of},
};
use crate::cards::cache;

const HELP: &str = "\
gpg is not needed. A signature is judged by the certificates of your keys, as the last sync fetched them, or by those \
of --certificate alone. The signature of FILE is FILE.asc or FILE.sig, or is in FILE itself. If FILE is a signature, \
the content is beside it.

Of a folder, all files in it and below it need a signature. Skipped are the signatures, symbolic links, names that \
begin with a dot (--hidden takes them) and, always, what belongs to version control (such as .git). A folder without \
files is an error. Of more than 10 files, only those that are not good are listed; --all lists all.

Examples:
  sealcard verify release.tar.gz
  sealcard verify dist/
  sealcard verify -c vendor.asc -s download.sig download.iso
  sealcard verify --output notes.txt notes.txt.asc
      writes the text without its signature
  sealcard verify --bundle release.sealcard-bundle.json release.tar.gz
      wants a receipt too: who signed, proved by the record

Exit codes:
  0  all are good
  1  one is bad or can't be read
  3  none is bad or missing, but one is by a key that is not known here
  4  none is bad, but one has no signature";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Files, signatures or folders
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// The signature, if it is not beside the file (for one file)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    signature: Option<PathBuf>,
    /// Judge by the certificates in this file and no others; may be repeated
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    certificate: Vec<PathBuf>,
    /// Expect a receipt of each signature in this file, as `sealcard receipt --bundle` writes it; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    bundle: Vec<PathBuf>,
    /// Trust the logs and witnesses of this policy (C2SP's tlog-policy) [default: the log that this computer knows]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "bundle")]
    policy: Option<PathBuf>,
    /// Write the content of a signed message here if its signatures are good (for one file)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    selection: selection::Options,
    /// List good files too, however many there are
    #[arg(short, long, conflicts_with = "quiet")]
    all: bool,
    /// Show no progress, no totals and nothing that is good
    #[arg(short, long)]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    totals: Totals,
    files: Vec<Verified>,
    skipped: Skipped,
}

/// What one file is worth.
#[derive(Debug, Serialize)]
struct Verified {
    #[serde(serialize_with = "lossy")]
    file: PathBuf,
    judgement: FileJudgement,
    signatures: Vec<Verdict>,
    /// Entries of the record that receipts prove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<Proved>,
    /// Why there is nothing to judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum FileJudgement {
    /// At least one signature is good and none is bad.
    Good,
    /// A signature is bad.
    Bad,
    /// There is no signature.
    Missing,
    /// All signatures are by keys that are not known here.
    UnknownKey,
    /// File or signature can't be read.
    Error,
}

/// How many files have which judgement.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Totals {
    good: usize,
    bad: usize,
    missing: usize,
    unknown_key: usize,
    error: usize,
}

impl Totals {
    fn of(files: &[Verified]) -> Self {
        let count = |wanted| files.iter().filter(|file| file.judgement == wanted).count();
        Self {
            good: count(FileJudgement::Good),
            bad: count(FileJudgement::Bad),
            missing: count(FileJudgement::Missing),
            unknown_key: count(FileJudgement::UnknownKey),
            error: count(FileJudgement::Error),
        }
    }

    /// By the worst that was found.
    const fn exit_code(self) -> u8 {
        match self {
            Self { bad: 1.., .. } | Self { error: 1.., .. } => 1,
            Self { missing: 1.., .. } => 4,
            Self { unknown_key: 1.., .. } => 3,
            _ => 0,
        }
    }
}

/// Why a file has no verdict.
enum NoVerdict {
    Missing(String),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for NoVerdict {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(super) fn run(app: &App, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if (arguments.signature.is_some() || arguments.output.is_some())
        && (arguments.paths.len() != 1 || arguments.paths.iter().any(|path| path.is_dir()))
    {
        bail!("--signature and --output are for one file");
    }
    let certificates = certificates(app, &arguments.certificate)?;
    let evidence = match arguments.bundle.as_slice() {
        [] => None,
        bundles => Some(Evidence::load(bundles, arguments.policy.as_deref(), &app.paths.known_log_file())?),
    };
    let Selection { files, skipped } = Selection::of(&arguments.paths, arguments.selection)?;
    let bar = progress::bar(files.len(), "verified", arguments.quiet);
    let judge = |file: selection::File| {
        bar.set_message(clean_path(&file.path));
        let signature = signature_file(arguments, &file.path);
        let mut verified = judge(&certificates, arguments, file);
        if let Some(evidence) = evidence.as_ref().filter(|_| verified.judgement == FileJudgement::Good) {
            verified.prove(evidence, &signature);
        }
        bar.inc(1);
        verified
    };
    let files: Vec<Verified> = files.into_iter().map(judge).collect();
    bar.finish_and_clear();
    let report = Report { totals: Totals::of(&files), files, skipped };
    show(arguments.json, &report, |report| print(report, arguments))?;
    Ok(ExitCode::from(report.totals.exit_code()))
}

/// Those of the files, or those of the person's keys, also of keys that may be used no more.
fn certificates(app: &App, files: &[PathBuf]) -> anyhow::Result<Certificates> {
    let mut certificates = Certificates::default();
    for path in files {
        let content = read(path)?;
        certificates.add(&content).with_context(|| path.display().to_string())?;
    }
    if !files.is_empty() {
        return Ok(certificates);
    }
    if let Some(cache) = cache::load(&app.paths.cards_file())? {
        for card in cache.list.cards.iter().chain(&cache.retired) {
            certificates.add_certificate(&card_certificate(card)?)?;
        }
    }
    if certificates.is_empty() {
        note("No certificate is known here: run `sealcard sync`, or use --certificate FILE.");
    }
    Ok(certificates)
}

fn judge(certificates: &Certificates, arguments: &Arguments, file: selection::File) -> Verified {
    let (judgement, signatures, reason) = match verdicts(certificates, arguments, &file) {
        Ok(signatures) => {
            let judgement = match Judgement::of(&signatures) {
                Judgement::Good => FileJudgement::Good,
                Judgement::Bad => FileJudgement::Bad,
                Judgement::Unknown => FileJudgement::UnknownKey,
            };
            (judgement, signatures, None)
        }
        Err(NoVerdict::Missing(reason)) => (FileJudgement::Missing, Vec::new(), Some(reason)),
        Err(NoVerdict::Failed(error)) => {
            let is_bad = matches!(error.downcast_ref(), Some(SignatureError::NoSignature(_)));
            let judgement = if is_bad { FileJudgement::Bad } else { FileJudgement::Error };
            (judgement, Vec::new(), Some(format!("{error:#}")))
        }
    };
    Verified { file: file.path, judgement, signatures, receipts: Vec::new(), reason }
}

impl Verified {
    /// A signature that no receipt proves is worth nothing where receipts are expected.
    fn prove(&mut self, evidence: &Evidence, signature: &Path) {
        match read(signature).and_then(|bytes| evidence.prove(&bytes)) {
            Ok(receipts) => self.receipts = receipts,
            Err(error) => {
                self.judgement = FileJudgement::Bad;
                self.reason = Some(format!("the signature is good, but not proved: {error:#}"));
            }
        }
    }
}

/// Where the signature of a file is.
fn signature_file(arguments: &Arguments, file: &Path) -> PathBuf {
    arguments.signature.clone().unwrap_or_else(|| pair(file).1)
}

fn verdicts(
    certificates: &Certificates,
    arguments: &Arguments,
    file: &selection::File,
) -> Result<Vec<Verdict>, NoVerdict> {
    let selection::File { path: file, size } = file;
    let (content, signature) = match &arguments.signature {
        Some(signature) => (Some(file.clone()), signature.clone()),
        None => pair(file),
    };
    let is_alone = content.is_none() && !is_signature(file);
    if is_alone && *size > MAX_MESSAGE {
        return Err(NoVerdict::Missing(no_signature_of(file)));
    }
    let bytes = read(&signature)?;
    if let Some(content) = content.filter(|_| arguments.output.is_none()) {
        let opened = fs::File::open(&content).with_context(|| format!("can't read {}", content.display()))?;
        match verify_detached(certificates, &bytes, opened) {
            // `FILE.asc` may hold a text of its own, as `sign --clear` writes it. That says nothing of FILE.
            Err(SignatureError::NoSignature(_)) if signature == *file => {}
            Err(SignatureError::NoSignature(_)) => {
                return Err(SignatureError::NoSignature(format!(
                    "{} holds no detached signature; to verify what is in it, name that file",
                    signature.display()
                ))
                .into());
            }
            other => return Ok(other?),
        }
    }
    match inline(certificates, &bytes, arguments.output.as_deref()) {
        Err(error) if is_alone && is_no_message(&error, &bytes) => Err(NoVerdict::Missing(no_signature_of(file))),
        Err(error) if matches!(error.downcast_ref(), Some(SignatureError::NoSignature(_))) && is_signature(file) => {
            let content = file.with_extension("");
            let content = content.file_name().unwrap_or_default().to_string_lossy();
            Err(NoVerdict::Failed(
                error.context(format!("if it belongs to {content}, that file must be beside it; see also --signature")),
            ))
        }
        other => Ok(other?),
    }
}

/// Whether this is no damaged message either, but any file.
fn is_no_message(error: &anyhow::Error, content: &[u8]) -> bool {
    const ARMOR: &[u8] = b"-----BEGIN PGP ";
    matches!(error.downcast_ref(), Some(SignatureError::NoSignature(_)))
        && !content.windows(ARMOR.len()).any(|window| window == ARMOR)
}

fn no_signature_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    format!("no {name}.asc or {name}.sig")
}

/// The largest signature or signed message, in bytes. Detached signatures have contents of any size.
const MAX_MESSAGE: u64 = 256 * 1024 * 1024;

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cant_read = || format!("can't read {}", path.display());
    let mut content = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_MESSAGE + 1).read_to_end(&mut content))
        .with_context(cant_read)?;
    if content.len() as u64 > MAX_MESSAGE {
        bail!("{} is larger than 256 MiB, which no signature is", path.display());
    }
    Ok(content)
}

/// A file's content and signature; no content if the signature holds it.
fn pair(file: &Path) -> (Option<PathBuf>, PathBuf) {
    if is_signature(file) {
        let content = file.with_extension("");
        return (content.is_file().then_some(content), file.to_owned());
    }
    let beside = [Form::Armored, Form::Binary].map(|form| signature_of(file, form));
    match beside.into_iter().find(|signature| signature.is_file()) {
        Some(signature) => (Some(file.to_owned()), signature),
        None => (None, file.to_owned()),
    }
}

fn inline(certificates: &Certificates, message: &[u8], output: Option<&Path>) -> anyhow::Result<Vec<Verdict>> {
    let mut content = Vec::new();
    let verdicts = verify_inline(certificates, message, &mut content)?;
    if let Some(output) = output {
        if Judgement::of(&verdicts) != Judgement::Good {
            note(format!("{} is not written.", output.display()));
        } else if output == Path::new("-") {
            io::stdout().write_all(&content).context("can't write to standard output")?;
        } else {
            fs::write(output, content).with_context(|| format!("can't write {}", output.display()))?;
        }
    }
    Ok(verdicts)
}

/// Of more files than these, the good ones are only counted.
const MAX_LISTED: usize = 10;

fn print(report: &Report, arguments: &Arguments) {
    let list_good = !arguments.quiet && (arguments.all || report.files.len() <= MAX_LISTED);
    for file in report.files.iter().filter(|file| list_good || file.judgement != FileJudgement::Good) {
        print_file(file);
    }
    if arguments.quiet {
        return;
    }
    if report.files.len() != 1 {
        line(total(report.totals, report.files.len()));
    }
    if let Some(skipped) = report.skipped.description() {
        note(skipped);
    }
}

fn total(totals: Totals, all: usize) -> String {
    if totals.good == all {
        return format!("{GOOD}{} verified, all good.{GOOD:#}", count(all, "file"));
    }
    let parts = [
        (totals.bad, "bad"),
        (totals.missing, "without a signature"),
        (totals.unknown_key, "by an unknown key"),
        (totals.error, "unreadable"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    format!("{BAD}{} of {} good{BAD:#}, {}.", totals.good, count(all, "file"), parts.join(", "))
}

fn print_file(verified: &Verified) {
    let file = clean_path(&verified.file);
    if let Some(reason) = &verified.reason {
        let reason = clean(reason);
        match verified.judgement {
            FileJudgement::Missing => line(format!("{BAD}missing{BAD:#}  {file}: {reason}")),
            FileJudgement::Error => line(format!("{BAD}error{BAD:#}    {file}: {reason}")),
            _ => line(format!("{BAD}bad{BAD:#}      {file}: {reason}")),
        }
    }
    for proved in &verified.receipts {
        let by = proved.body().and_then(|body| body.actor).map(|actor| format!(", by {}", clean(&actor.name)));
        let (number, log) = (proved.number, clean(&proved.log));
        line(format!("{GOOD}proved{GOOD:#}   {file}: entry {number} of {log}{}", by.unwrap_or_default()));
    }
    for verdict in &verified.signatures {
        match verdict {
            Verdict::Good { fingerprint, user_id, made } => {
                let made = made.map(|made| format!(", made {made}")).unwrap_or_default();
                line(format!("{GOOD}good{GOOD:#}     {file}: {} ({fingerprint}){made}", clean(user_id)));
            }
            Verdict::Bad { by, reason } => {
                let by = by.as_ref().map(|by| format!(" (by {by})")).unwrap_or_default();
                line(format!("{BAD}bad{BAD:#}      {file}: {}{by}", clean(reason)));
            }
            Verdict::UnknownKey { by } => {
                let by = by.as_deref().unwrap_or("a key without a name");
                line(format!("{WARN}unknown{WARN:#}  {file}: signed by {by}, whose certificate is not known here"));
            }
        }
    }
}
