//! `sealcard last`.

use clap::Args;

use super::{
    App,
    output::{BAD, GOOD, facts, line, note, show},
    when,
};
use crate::last::{self, LastOperation, OperationKind, Outcome};

#[derive(Debug, Args)]
#[command(after_help = "\
gpg can only print a few words, such as \"Forbidden\". This command prints the whole reason, and the id by which an
administrator finds the request on the server.")]
pub(super) struct Arguments {
    /// Show the last one that failed, even if others succeeded since
    #[arg(long)]
    failed: bool,
    /// Print JSON; null if there was none
    #[arg(long)]
    json: bool,
}

pub(super) fn run(app: &App, arguments: &Arguments) -> anyhow::Result<()> {
    let path = app.paths.last_file();
    let operation = if arguments.failed { last::load_failure(&path)? } else { last::load(&path)? };
    show(arguments.json, &operation, |operation| match operation {
        None => note(format!("No key was used here yet. {NOT_ASKED}")),
        Some(operation) => print(operation),
    })
}

/// gpg fails without asking when it finds no key that it could ask for.
const NOT_ASKED: &str = "\
If gpg failed since, it did not ask Sealcard. For `Unusable secret key`, name the key without `!`: \
the primary key is on no card. For `No secret key`, run `sealcard sync`.";

fn print(operation: &LastOperation) {
    let what = match operation.operation {
        OperationKind::Sign => "signature",
        OperationKind::SshSign => "ssh signature",
        OperationKind::Authenticate => "ssh login",
        OperationKind::Decrypt => "decryption",
        OperationKind::SelectCard => "search for a card",
    };
    match operation.outcome {
        Outcome::Ok => line(format!("{GOOD}The last {what} succeeded.{GOOD:#}")),
        Outcome::Failed => line(format!("{BAD}The last {what} failed.{BAD:#}")),
    }
    let optional = [
        ("key", operation.key.clone()),
        ("fingerprint", operation.fingerprint.map(|fingerprint| fingerprint.to_string())),
        ("reason", operation.reason.clone()),
        ("code", operation.code.clone()),
        ("gpg said", operation.gpg_error.clone()),
        ("request", operation.request_id.map(|id| id.to_string())),
        ("next", operation.advice.clone()),
    ];
    let mut rows = vec![("when", when::with_distance(operation.time))];
    rows.extend(optional.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    facts(&rows);
    if operation.outcome == Outcome::Ok {
        note(NOT_ASKED);
    }
}
