//! `sealcard-audit verify`: the whole log, in bounded memory.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueHint};
use sealcard_record::{
    Body, Event, Line,
    export::{LogFile, check_line, lines},
    fold::{Fold, TablesFile, TablesHead},
    verify::{Finding as RecordFinding, Journals, MEMORY, Options, Verifier, read_journal},
};
use sealcard_transparency::{Frontier, Hash, Leaf, TILE_WIDTH, Tile, TreeHead, parse_bundle};
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::{
    cli::{FINDING, Log},
    finding::{Finding, Findings},
    output::{self, BAD, GOOD, clean, clean_path, count, entries, facts, line, note, show, warn},
    source::{Content, Source, SourceError},
    state::State,
    tree::Tree,
    trust::{Trust, Trusted},
};

const HELP: &str = "\
LOG is a folder that `sealcard admin record export-log` wrote, or the URL of one: of a web server that serves such a folder, \
or https://SERVER/v1/log for a Sealcard server.

Checked are the checkpoint's signatures, each tile against its root, each leaf against its tile, and, where the entries are \
there, each entry against its leaf and its schema. With --journal every use of a key is compared with the signers' \
journals. Give the journals of all signers of all machines. With --tables users, roles, grants and keys in the database \
are compared with the entries that explain them.

With --state the next run goes on where the last one ended, also if it was interrupted, and a log that went back or was \
rewritten since is found. With --journal or --tables all entries are read each time.

Examples:
  sealcard-audit verify /srv/log --policy trusted.tlog-policy
  sealcard-audit verify /srv/log --policy trusted.tlog-policy \\
    --journal default.jsonl --state log.state
  sealcard-audit verify https://sign.example.org:8443/v1/log \\
    --grant auditor.token --ca-file ca.pem --state log.state

Exit codes: 0 all is well, 1 it could not be checked, 2 wrong usage, 3 something is wrong with the log.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: Log,
    /// Remember here how far the log was verified, and go on from there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    state: Option<PathBuf>,
    /// A signer's journal; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    journal: Vec<PathBuf>,
    /// Tables of the database, as `sealcard-server database export-tables` wrote them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tables: Option<PathBuf>,
    /// Check the hashes and leaves only, though the entries are there
    #[arg(long, conflicts_with_all = ["journal", "tables"])]
    no_entries: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a verification came to.
#[derive(Debug, Serialize)]
struct Report {
    /// The log's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// How many entries the checkpoint covers.
    entries: u64,
    /// Its root.
    root: String,
    /// Entries that an earlier run had verified.
    verified_before: u64,
    /// What was checked.
    checked: Vec<String>,
    /// Witnesses of the policy that have cosigned the checkpoint.
    witnesses: Vec<String>,
    /// Entries of a newer release, of which only the commitment was checked.
    unknown: u64,
    findings: Vec<String>,
    more_findings: u64,
}

/// Every so many tiles it is remembered how far the log was verified.
const TILES_PER_STATE: u64 = 256;

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let source = arguments.log.open()?;
    let mut state = match &arguments.state {
        Some(file) => State::load(file)?,
        None => None,
    };
    let trust = Trust::load(arguments.log.policy(), state.as_ref(), &source).await?;
    let checkpoint = source.read(LogFile::CHECKPOINT).await?;
    let checkpoint = checkpoint.with_context(|| format!("{}: there is no log", arguments.log.place()))?;
    let mut findings = Findings::default();
    let seen = match trust.check(&checkpoint) {
        Ok(seen) => seen,
        Err(finding) => {
            findings.add(finding);
            return finish(Report::of(None, &findings), arguments.json);
        }
    };
    let Some(mut tree) = begin(&source, &seen, state.as_ref(), &mut findings).await? else {
        return finish(Report::of(Some(&seen), &findings), arguments.json);
    };
    let expected = arguments.log.has_grant() || state.as_ref().is_some_and(State::had_entries);
    let with_entries = !arguments.no_entries && has_entries(&source, seen.tree.size, expected).await?;
    // What is compared with all entries can't go on in the middle.
    let needs_all = !arguments.journal.is_empty() || arguments.tables.is_some();
    ensure!(
        with_entries || !needs_all,
        "{}: the entries are not there, so nothing can be compared with them: export them with --entries",
        arguments.log.place()
    );
    let tables = match &arguments.tables {
        Some(path) => Some(Tables::open(path, &mut tree, &mut findings).await?),
        None => None,
    };
    let mut start = Frontier::new();
    if let Some(verified) = state.as_ref().and_then(|state| state.verified(with_entries))
        && !needs_all
        && verified.size() <= seen.tree.size
    {
        let size = verified.size();
        if tree.begins_with(&verified.head(), &mut findings).await? {
            start = verified;
        } else {
            findings.add(Finding::Rewritten { known: size });
        }
    }
    let mut state = match state.take() {
        Some(mut state) => {
            state.advance(&seen);
            state
        }
        None => State::new(&seen, trust.own_keys.clone()),
    };
    let verified_before = start.size();
    let mut verification = Verification {
        source,
        tree,
        size: seen.tree.size,
        with_entries,
        journals: open_journals(&arguments.journal, arguments.json)?,
        tables,
        log: start,
        findings,
        unknown: 0,
    };
    let save = |log: &Frontier| match &arguments.state {
        Some(file) => {
            state.set_verified(log, with_entries);
            state.save(file)
        }
        None => Ok(()),
    };
    verification.run(arguments.json, save).await?;
    let unknown = verification.unknown;
    let findings = verification.finish(&seen)?;
    let mut report = Report::of(Some(&seen), &findings);
    report.verified_before = verified_before;
    report.unknown = unknown;
    report.checked.extend(with_entries.then(|| "entries".to_owned()));
    report.checked.extend(arguments.journal.iter().map(|journal| format!("journal {}", clean_path(journal))));
    report.checked.extend(arguments.tables.iter().map(|tables| format!("tables {}", clean_path(tables))));
    finish(report, arguments.json)
}

/// Compares the log with what is remembered of it. None if nothing more can be checked.
async fn begin(
    source: &Source,
    seen: &Trusted,
    state: Option<&State>,
    findings: &mut Findings,
) -> anyhow::Result<Option<Tree>> {
    let known = match state.map(|state| state.expect(seen)).transpose() {
        Ok(known) => known,
        Err(finding) => {
            findings.add(finding);
            return Ok(None);
        }
    };
    let Some(mut tree) = Tree::open(source, seen.tree, findings).await? else { return Ok(None) };
    if let Some(known) = known
        && !tree.begins_with(&known, findings).await?
    {
        findings.add(Finding::Rewritten { known: known.size });
    }
    Ok(Some(tree))
}

/// Whether the entries themselves are there, as the first file of them says.
async fn has_entries(source: &Source, size: u64, expected: bool) -> anyhow::Result<bool> {
    let Some(first) = Tile::in_tree(0, 0, size) else { return Ok(true) };
    match source.read_or_full(LogFile::Lines(first)).await {
        // Where they were before, or are for whoever shows a grant, their absence is a finding.
        Ok(content) => Ok(content.is_some() || expected),
        Err(SourceError::Web(error)) if error.is_refused() && !expected => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open_journals(journals: &[PathBuf], quiet: bool) -> anyhow::Result<Option<Verifier>> {
    if journals.is_empty() {
        return Ok(None);
    }
    let options = Options { folder: std::env::temp_dir(), memory: MEMORY, journals: Journals::All };
    let mut verifier = Verifier::new(options);
    for path in journals {
        read_one(&mut verifier, path, quiet).with_context(|| clean_path(path))?;
    }
    Ok(Some(verifier))
}

fn read_one(verifier: &mut Verifier, path: &Path, quiet: bool) -> anyhow::Result<()> {
    let file = File::open(path)?;
    let bar = output::progress(file.metadata()?.len(), "bytes", quiet);
    let file = BufReader::with_capacity(1 << 16, file);
    let read = read_journal(verifier, &clean_path(path), file, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    Ok(read?)
}

/// The database's tables, and what the entries say of them.
struct Tables {
    name: String,
    file: TablesFile<BufReader<File>>,
    fold: Fold,
}

impl Tables {
    /// Opens a file of tables, which must be of this log.
    async fn open(path: &Path, tree: &mut Tree, findings: &mut Findings) -> anyhow::Result<Self> {
        let name = clean_path(path);
        let file = BufReader::with_capacity(1 << 16, File::open(path).with_context(|| name.clone())?);
        let file = TablesFile::open(file).with_context(|| name.clone())?;
        let TablesHead { sequence: number, root } = file.head();
        let head = TreeHead { size: number, root: Hash(root.0) };
        if number <= tree.size() && !tree.begins_with(&head, findings).await? {
            findings.add(Finding::TablesOfOtherLog { file: name.clone(), number });
        }
        Ok(Self { name, file, fold: Fold::up_to(number) })
    }

    /// Compares them, after all entries.
    fn compare(self, findings: &mut Findings) -> anyhow::Result<()> {
        let Self { name, file, fold } = self;
        file.compare(fold, |difference| findings.add(Finding::Tables(difference))).with_context(|| name)
    }
}

/// A verification in work.
struct Verification {
    source: Source,
    tree: Tree,
    size: u64,
    with_entries: bool,
    journals: Option<Verifier>,
    tables: Option<Tables>,
    /// What was verified. Its size is a multiple of that of a tile until the end.
    log: Frontier,
    findings: Findings,
    unknown: u64,
}

/// What is read of a tile of level 0.
struct Chunk {
    tile: Tile,
    hashes: Option<Content>,
    leaves: Option<Content>,
    lines: Option<Content>,
}

impl Verification {
    async fn run(&mut self, quiet: bool, mut save: impl FnMut(&Frontier) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let bar = output::progress(self.size, "entries", quiet);
        let mut wanted = self.log.size() / u64::from(TILE_WIDTH);
        // Read in advance while the ones before are checked.
        let mut reading: VecDeque<JoinHandle<Result<Chunk, SourceError>>> = VecDeque::new();
        loop {
            while reading.len() < self.source.parallel() {
                let Some(tile) = Tile::in_tree(0, wanted, self.size) else { break };
                reading.push_back(tokio::spawn(read(self.source.clone(), tile, self.with_entries)));
                wanted += 1;
            }
            let Some(chunk) = reading.pop_front() else { break };
            let chunk = chunk.await.context("reading failed inside the program")??;
            let tile = chunk.tile;
            if tile.is_full() && tile.index() % TILES_PER_STATE == 0 && self.findings.is_empty() {
                save(&self.log)?;
            }
            if !tile.is_full() && self.findings.is_empty() {
                // The rest is checked again when it has grown.
                save(&self.log)?;
            }
            self.check(chunk).await?;
            bar.set_position(tile.node(tile.width() - 1).index + 1);
        }
        bar.finish_and_clear();
        if self.findings.is_empty() && self.size.is_multiple_of(TILE_WIDTH.into()) {
            save(&self.log)?;
        }
        Ok(())
    }

    async fn check(&mut self, chunk: Chunk) -> anyhow::Result<()> {
        let Chunk { tile, hashes, leaves, lines } = chunk;
        self.tree.offer(LogFile::tile(tile), hashes);
        self.tree.offer(LogFile::leaves(tile), leaves);
        let known = self.tree.hashes(0, tile.index(), &mut self.findings).await?;
        if let Some(known) = &known {
            self.check_leaves(tile, known).await?;
            if self.with_entries {
                self.check_lines(tile, known, lines).context("the temporary file for the comparison with journals")?;
            }
            known.iter().for_each(|hash| drop(self.log.append(*hash)));
        }
        self.tree.forget();
        Ok(())
    }

    async fn check_leaves(&mut self, tile: Tile, known: &[Hash]) -> Result<(), SourceError> {
        let file = || LogFile::leaves(tile).to_string();
        let Some((_, bytes)) = self.tree.content(LogFile::leaves(tile)).await? else {
            self.findings.add(Finding::Missing { file: file() });
            return Ok(());
        };
        let mut leaves = match parse_bundle(bytes) {
            Ok(leaves) => leaves,
            Err(error) => {
                self.findings.add(Finding::Malformed { file: file(), reason: error.to_string() });
                return Ok(());
            }
        };
        leaves.truncate(known.len());
        if leaves.len() < known.len() {
            let reason = format!("it has {} leaves instead of {}", leaves.len(), known.len());
            self.findings.add(Finding::Malformed { file: file(), reason });
        }
        for ((leaf, hash), number) in leaves.iter().zip(known).zip(tile.node(0).index + 1..) {
            if Hash::leaf(leaf) != *hash {
                self.findings.add(Finding::Leaf { file: file(), number });
            } else if let Err(error) = Leaf::parse(leaf) {
                self.findings.add(Finding::LeafForm { file: file(), number, error });
            }
        }
        Ok(())
    }

    fn check_lines(&mut self, tile: Tile, known: &[Hash], content: Option<Content>) -> io::Result<()> {
        let file = || LogFile::Lines(tile).to_string();
        let Some((_, bytes)) = content else {
            self.findings.add(Finding::Missing { file: file() });
            return Ok(());
        };
        let first = tile.node(0).index + 1;
        let mut count = 0;
        match lines(&bytes) {
            Ok(lines) => {
                for ((text, hash), number) in lines.zip(known).zip(first..) {
                    count += 1;
                    match check_line(text, number, hash) {
                        Ok(line) => self.take(&line)?,
                        Err(error) => self.findings.add(Finding::Entry { file: file(), number, error }),
                    }
                }
            }
            Err(error) => {
                self.findings.add(Finding::Malformed { file: file(), reason: error.to_string() });
                return Ok(());
            }
        }
        if count < known.len() {
            let reason = format!("it has {count} entries instead of {}", known.len());
            self.findings.add(Finding::Malformed { file: file(), reason });
        }
        Ok(())
    }

    /// Takes an entry that is the one of the log, in the order of numbers: what is compared with something outside the log
    /// begins here, and is judged in [`Self::finish`].
    fn take(&mut self, (line, body): &(Line, Body)) -> io::Result<()> {
        self.unknown += u64::from(body.event == Event::Unknown);
        if let Some(tables) = &mut self.tables {
            tables.fold.entry(body);
        }
        if let Some(journals) = &mut self.journals {
            journals.entry(line.entry.get(), &line.salt, line.hash)?;
        }
        Ok(())
    }

    /// Compares what remains to be compared.
    fn finish(self, seen: &Trusted) -> anyhow::Result<Findings> {
        let mut findings = self.findings;
        if findings.is_empty() && self.log.head() != seen.tree {
            findings.add(Finding::Root);
        }
        // From entries that are wrong or missing, other tables would follow.
        if let Some(tables) = self.tables
            && findings.is_empty()
        {
            tables.compare(&mut findings)?;
        }
        if let Some(journals) = self.journals {
            let report = journals.finish().context("comparing with the journals")?;
            // What the log shows better.
            let is_of_log = |finding: &RecordFinding| {
                matches!(
                    finding,
                    RecordFinding::Missing { .. } | RecordFinding::Hash(_) | RecordFinding::Unreadable { .. }
                )
            };
            report.findings.into_iter().filter(|finding| !is_of_log(finding)).for_each(|finding| {
                findings.add(Finding::Journals(finding));
            });
            findings.more += report.more;
        }
        Ok(findings)
    }
}

async fn read(source: Source, tile: Tile, with_entries: bool) -> Result<Chunk, SourceError> {
    Ok(Chunk {
        tile,
        hashes: source.read_or_full(LogFile::tile(tile)).await?,
        leaves: source.read_or_full(LogFile::leaves(tile)).await?,
        lines: if with_entries { source.read_or_full(LogFile::Lines(tile)).await? } else { None },
    })
}

impl Report {
    fn of(seen: Option<&Trusted>, findings: &Findings) -> Self {
        Self {
            log: seen.map(|seen| seen.origin.clone()),
            entries: seen.map_or(0, |seen| seen.tree.size),
            root: seen.map(|seen| seen.tree.root.to_string()).unwrap_or_default(),
            verified_before: 0,
            checked: vec!["hashes".to_owned(), "leaves".to_owned()],
            witnesses: seen.map(|seen| seen.witnesses.clone()).unwrap_or_default(),
            unknown: 0,
            findings: findings.first.iter().map(ToString::to_string).collect(),
            more_findings: findings.more,
        }
    }
}

fn finish(report: Report, json: bool) -> anyhow::Result<ExitCode> {
    show(json, &report, print)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FINDING) })
}

fn print(report: &Report) {
    if report.findings.is_empty() {
        line(format!("{GOOD}All is well:{GOOD:#} {}.", entries(report.entries)));
        let witnesses = if report.witnesses.is_empty() { "none".to_owned() } else { report.witnesses.join(", ") };
        facts(&[
            ("log", report.log.clone().unwrap_or_default()),
            ("root", report.root.clone()),
            ("checked", report.checked.join(", ")),
            ("witnesses", witnesses),
        ]);
        if report.verified_before > 0 {
            note(format!("{} had been verified before.", entries(report.verified_before)));
        }
    } else {
        let number = report.findings.len() as u64 + report.more_findings;
        line(format!("{BAD}{}:{BAD:#}", count(number, "finding")));
        report.findings.iter().for_each(|finding| line(format!("  {}", clean(finding))));
        if report.more_findings > 0 {
            line(format!("  and {} more", report.more_findings));
        }
    }
    if report.unknown > 0 {
        warn(format!("{} are of a newer release: only their commitments were checked.", entries(report.unknown)));
    }
}
