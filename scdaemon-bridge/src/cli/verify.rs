//! `sealcard verify`.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use serde::Serialize;

use super::{
    App,
    output::{BAD, GOOD, WARN, clean, line, note, show},
    sign::{is_signature, signature_of, walk},
};
use crate::{
    cards::cache,
    openpgp::{Certificates, Form, Judgement, OpenPgpError, Verdict, received, verify_detached, verify_inline},
};

#[derive(Debug, Args)]
#[command(after_help = "\
gpg is not needed. A signature is judged by the certificates of your keys, as the last sync fetched them, or by those of
--certificate alone. Of FILE, the signature is FILE.asc or FILE.sig, or in FILE itself; if FILE is a signature, the content
is beside it. Of a folder, every file needs a signature.

Examples:
  sealcard verify release.tar.gz
  sealcard verify --certificate vendor.asc --signature download.sig download.iso
  sealcard verify --output notes.txt notes.txt.asc    the text without its signature

Exit codes: 0 all are good, 1 one is bad or missing, 3 none is bad, but one is by a key that is not at hand.")]
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
    /// Write the content of a signed message here if its signatures are good (for one file)
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What one file is worth.
#[derive(Debug, Serialize)]
struct Verified {
    file: PathBuf,
    judgement: Judgement,
    signatures: Vec<Verdict>,
    /// Why there is nothing to judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn run(app: &App, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if (arguments.signature.is_some() || arguments.output.is_some()) && arguments.paths.len() != 1 {
        bail!("--signature and --output are for one file");
    }
    let certificates = certificates(app, &arguments.certificate)?;
    let mut verified = Vec::new();
    for path in &arguments.paths {
        let mut files = vec![(path.clone(), 0)];
        if path.is_dir() {
            files.clear();
            walk(path, &mut files)?;
        }
        for (file, _) in files {
            verified.push(judge(&certificates, arguments, file));
        }
    }
    show(arguments.json, &verified, |verified| verified.iter().for_each(print))?;
    let any = |wanted| verified.iter().any(|one| one.judgement == wanted);
    Ok(if any(Judgement::Bad) {
        ExitCode::FAILURE
    } else if any(Judgement::Unknown) {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    })
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
            certificates.add_certificate(&received(card)?)?;
        }
    }
    if certificates.is_empty() {
        note("No certificate is known here: run `sealcard sync`, or use --certificate FILE.");
    }
    Ok(certificates)
}

fn judge(certificates: &Certificates, arguments: &Arguments, file: PathBuf) -> Verified {
    match verdicts(certificates, arguments, &file) {
        Ok(signatures) => Verified { file, judgement: Judgement::of(&signatures), signatures, error: None },
        Err(error) => {
            Verified { file, judgement: Judgement::Bad, signatures: Vec::new(), error: Some(format!("{error:#}")) }
        }
    }
}

fn verdicts(certificates: &Certificates, arguments: &Arguments, file: &Path) -> anyhow::Result<Vec<Verdict>> {
    let (content, signature) = match &arguments.signature {
        Some(signature) => (Some(file.to_owned()), signature.clone()),
        None => pair(file)?,
    };
    let bytes = read(&signature)?;
    if let Some(content) = content.filter(|_| arguments.output.is_none()) {
        let opened = File::open(&content).with_context(|| format!("can't read {}", content.display()))?;
        match verify_detached(certificates, &bytes, opened) {
            // `FILE.asc` may hold a text of its own, as `sign --clear` writes it. That says nothing of FILE.
            Err(OpenPgpError::NoSignature(_)) if signature == file => {}
            Err(OpenPgpError::NoSignature(_)) => {
                bail!("{} is not a signature of it alone; verify that file itself", signature.display())
            }
            other => return Ok(other?),
        }
    }
    inline(certificates, &bytes, arguments.output.as_deref()).with_context(|| {
        if is_signature(file) {
            "if it is a signature alone, the file that it belongs to must be beside it or be named: verify --signature"
        } else {
            "there is no FILE.asc and no FILE.sig"
        }
    })
}

/// The largest signature or signed message, in bytes. Detached signatures have contents of any size.
const MAX_MESSAGE: u64 = 256 * 1024 * 1024;

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cant_read = || format!("can't read {}", path.display());
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_MESSAGE + 1).read_to_end(&mut content)).with_context(cant_read)?;
    if content.len() as u64 > MAX_MESSAGE {
        bail!("{} is larger than 256 MiB, and there is no signature beside it", path.display());
    }
    Ok(content)
}

/// A file's content and signature; no content if the signature holds it.
fn pair(file: &Path) -> anyhow::Result<(Option<PathBuf>, PathBuf)> {
    if is_signature(file) {
        let content = file.with_extension("");
        return Ok((content.is_file().then_some(content), file.to_owned()));
    }
    let beside = [Form::Armored, Form::Binary].map(|form| signature_of(file, form));
    match beside.into_iter().find(|signature| signature.is_file()) {
        Some(signature) => Ok((Some(file.to_owned()), signature)),
        None => Ok((None, file.to_owned())),
    }
}

fn inline(certificates: &Certificates, message: &[u8], output: Option<&Path>) -> anyhow::Result<Vec<Verdict>> {
    let mut content = Vec::new();
    let verdicts = verify_inline(certificates, message, &mut content)?;
    if let Some(output) = output {
        if Judgement::of(&verdicts) != Judgement::Good {
            note(format!("{} is not written.", output.display()));
        } else if output == Path::new("-") {
            std::io::stdout().write_all(&content).context("can't write to standard output")?;
        } else {
            fs::write(output, content).with_context(|| format!("can't write {}", output.display()))?;
        }
    }
    Ok(verdicts)
}

fn print(verified: &Verified) {
    let file = clean(&verified.file.display().to_string());
    if let Some(error) = &verified.error {
        line(format!("{BAD}bad    {BAD:#} {file}: {}", clean(error)));
    }
    for verdict in &verified.signatures {
        match verdict {
            Verdict::Good { fingerprint, user_id, made } => {
                let made = made.map(|made| format!(", made {made}")).unwrap_or_default();
                line(format!("{GOOD}good   {GOOD:#} {file}: {} ({fingerprint}){made}", clean(user_id)));
            }
            Verdict::Bad { by, reason } => {
                let by = by.as_ref().map(|by| format!(" (by {by})")).unwrap_or_default();
                line(format!("{BAD}bad    {BAD:#} {file}: {}{by}", clean(reason)));
            }
            Verdict::UnknownKey { by } => {
                let by = by.as_deref().unwrap_or("an unnamed key");
                line(format!("{WARN}unknown{WARN:#} {file}: signed by {by}, which is not at hand"));
            }
        }
    }
}
