//! `sealcard admin report`: what auditors and officers ask for again and again.

mod entries;
mod keys;
mod sheet;
mod uses;

use clap::{Args, Subcommand};
use sealcard_api::Timestamp;

use self::sheet::Form;
use crate::cli::{App, local_time};

const REPORT_HELP: &str = "\
Each report is a table, a spreadsheet (--csv) or an object a line for programs (--json). Without --since, reports on \
entries go back 30 days. Auditors of a project name it with --project.

Examples:
  sealcard admin report signatures --since 2026-01-01 --csv > 2026.csv
  sealcard admin report access-changes --since 90d
  sealcard admin report keys
  sealcard admin report unused-keys --days 180
  sealcard admin report impact release/tags \\
    --from 2026-05-02 --to 2026-05-04T12:00";

const IMPACT_HELP: &str = "\
Run it when a private key, an account or a machine may have been in other hands. It lists each use of the \
key, or what may have been one: signatures, decryptions and logins with ssh. It shows who asked, from which address, with which program and command line as the workstation claimed \
them, and the SHA-256 of the signature. `sealcard admin record find FILE.sig` tells whether a signature in your hands \
is one of them.

Example:
  sealcard admin report impact release/tags \\
    --from 2026-05-02 --to 2026-05-04T12:00 --csv > impact.csv";

#[derive(Debug, Subcommand)]
#[command(after_help = REPORT_HELP)]
pub(super) enum Command {
    /// What was signed
    Signatures(Range),
    /// What was refused: uses of keys, logins, changes of passwords and other requests
    Denials(Range),
    /// What people were asked to approve, and what they decided
    Approvals(Range),
    /// Who got or lost access: users, groups, roles, tokens, logins, rules
    AccessChanges(Range),
    /// Break-glass, what it was used for, and its reviews
    BreakGlass(Range),
    /// All keys, with their ends and last uses
    Keys(keys::Inventory),
    /// Active keys that nobody has used for some time
    UnusedKeys(keys::Unused),
    /// What a key has signed in a window of time, for an incident
    #[command(after_help = IMPACT_HELP)]
    Impact(uses::Impact),
}

/// Which entries, and how they are written.
#[derive(Debug, Args)]
pub(super) struct Range {
    /// Only what this user or service account did or tried
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those of this key: NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
    #[arg(long)]
    key: Option<String>,
    /// Only those of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only those of this time or later
    #[arg(long, value_name = "TIME", value_parser = local_time::parse, default_value = "30d")]
    since: Timestamp,
    /// Only those of this time or earlier
    #[arg(long, value_name = "TIME", value_parser = local_time::parse)]
    until: Option<Timestamp>,
    #[command(flatten)]
    csv: Csv,
}

/// A spreadsheet in place of a table.
#[derive(Debug, Args)]
struct Csv {
    /// Print comma-separated values, for spreadsheets
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

impl Csv {
    const fn form(&self, json: bool) -> Form {
        match (json, self.csv) {
            (true, _) => Form::Json,
            (_, true) => Form::Csv,
            _ => Form::Table,
        }
    }
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    super::record::unless_reader_went_away(match command {
        Command::Signatures(range) => uses::signatures(app, &range, json).await,
        Command::Denials(range) => entries::run(app, &range, &entries::DENIALS, json).await,
        Command::Approvals(range) => entries::run(app, &range, &entries::APPROVALS, json).await,
        Command::AccessChanges(range) => entries::run(app, &range, &entries::ACCESS_CHANGES, json).await,
        Command::BreakGlass(range) => entries::break_glass(app, &range, json).await,
        Command::Keys(inventory) => keys::inventory(app, &inventory, json).await,
        Command::UnusedKeys(unused) => keys::unused(app, &unused, json).await,
        Command::Impact(impact) => uses::impact(app, &impact, json).await,
    })
}
