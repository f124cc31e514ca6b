//! `sealcard can`.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use sealcard_api::{
    algorithm::HashAlgorithm,
    context::UseContext,
    decisions::{CanAnswer, CanRequest, PolicyDecision, UseKind},
};

use super::{
    App,
    output::{BAD, GOOD, WARN, clean, facts, line, show},
    sign::find_card,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is signed and nothing is recorded. The server judges the use as if this computer asked for it now. The tool that \
would ask is not known to it, so a rule about tools is shown as a condition.

Example:
  sealcard can sign tools/release

Exit codes: 0 it is allowed, 1 it is not, or it would wait.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    operation: Operation,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Operation {
    /// May I sign with this key now?
    Sign {
        #[command(flatten)]
        key: Key,
        /// The digest that is to be signed
        #[arg(long, value_name = "ALGORITHM", default_value = "sha512")]
        hash: HashAlgorithm,
    },
    /// May I decrypt with this key now?
    Decrypt(Key),
    /// May I log in by ssh with this key now?
    Authenticate(Key),
}

#[derive(Debug, Args)]
struct Key {
    /// The key's name, PROJECT/NAME or fingerprint
    key: String,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (wanted, operation, hash) = match arguments.operation {
        Operation::Sign { key, hash } => (key.key, UseKind::Sign, Some(hash)),
        Operation::Decrypt(key) => (key.key, UseKind::Decrypt, None),
        Operation::Authenticate(key) => (key.key, UseKind::Authenticate, None),
    };
    let claims = app.begin_claims();
    let cards = app.remote.cards().await?.cards;
    let card = find_card(&cards, &wanted)?;
    let Ok(claims) = claims.await else { bail!("the claims of this computer can't be gathered") };
    // This command is not what will ask.
    let context = Some(UseContext { processes: Vec::new(), ..claims });
    let answer: CanAnswer =
        app.remote.post(&format!("/v1/keys/{}/can", card.key_id), &CanRequest { operation, hash, context }).await?;
    show(arguments.json, &answer, |answer| print(answer, &card.full_name().to_string(), operation))?;
    Ok(if answer.decision == PolicyDecision::Allow { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(answer: &CanAnswer, key: &str, operation: UseKind) {
    let (key, verb) = (
        clean(key),
        match operation {
            UseKind::Sign => "sign",
            UseKind::Decrypt => "decrypt",
            UseKind::Authenticate => "log in",
        },
    );
    line(match answer.decision {
        PolicyDecision::Allow => format!("{GOOD}You can {verb} with {key}.{GOOD:#}"),
        PolicyDecision::Deny => format!("{BAD}You can't {verb} with {key} now.{BAD:#}"),
        PolicyDecision::Wait => format!("{WARN}Something is missing before you can {verb} with {key}.{WARN:#}"),
    });
    let mut rows = Vec::new();
    rows.extend(answer.reasons.iter().map(|reason| ("reason", clean(reason))));
    rows.extend(answer.conditions.iter().map(|condition| ("condition", clean(condition))));
    rows.extend(answer.advice.iter().map(|advice| ("next", clean(advice))));
    rows.extend(
        answer
            .quotas
            .iter()
            .map(|quota| ("quota", format!("{}: {} left until {}", clean(&quota.quota), quota.left, quota.until))),
    );
    facts(&rows);
}
