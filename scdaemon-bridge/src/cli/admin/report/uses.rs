//! Reports on uses of keys: an intent and its outcome are one row.

use std::collections::HashMap;

use clap::Args;
use sealcard_api::{Timestamp, ids::RequestId, record::RequestState};
use sealcard_record::{
    Body, Event,
    event::{Claims, Operation, UseIntent, UseOutcome},
};

use super::{
    Csv, Range,
    entries::{Selection, approval_of, record},
    sheet::{Form, Row, Sheet},
};
use crate::cli::{
    App,
    admin::record::entry::{self, Told},
    local_time,
    output::{count, note},
};

const SHOWN: [&str; 7] = ["#", "TIME", "WHO", "DID", "ON", "WITH", "RESULT"];

const NAMES: [&str; 21] = [
    "sequence",
    "time",
    "result",
    "who",
    "who_id",
    "operation",
    "project",
    "key",
    "key_id",
    "hash",
    "digest",
    "signature_sha256",
    "address",
    "claimed_host",
    "claimed_program",
    "claimed_program_sha256",
    "claimed_command",
    "justification",
    "approval",
    "ssh",
    "request_id",
];

/// `sealcard admin report impact`.
#[derive(Debug, Args)]
pub(in crate::cli::admin) struct Impact {
    /// The key: NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
    key: String,
    /// Since when it may have been misused
    #[arg(long, value_name = "TIME", value_parser = local_time::parse)]
    from: Timestamp,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME", value_parser = local_time::parse)]
    to: Option<Timestamp>,
    #[command(flatten)]
    csv: Csv,
}

/// Intents that have no outcome yet, by their requests.
#[derive(Default)]
struct Begun(HashMap<RequestId, Body>);

/// A use from its beginning to its end.
struct Use {
    /// Its end, or its beginning if it has no end.
    body: Body,
    intent: Option<UseIntent>,
    outcome: Option<UseOutcome>,
}

impl Begun {
    /// Takes an entry. The use that ends with it.
    fn take(&mut self, body: Body) -> Option<Use> {
        match &body.event {
            Event::UseIntent(_) => {
                self.0.insert(body.request_id, body);
                None
            }
            Event::UseOutcome(outcome) => {
                let intent = self.0.remove(&body.request_id).and_then(|begun| match begun.event {
                    Event::UseIntent(intent) => Some(intent),
                    _ => None,
                });
                Some(Use { intent, outcome: Some(outcome.clone()), body })
            }
            _ => None,
        }
    }

    /// Uses without an end, the oldest first.
    fn rest(self) -> Vec<Use> {
        let mut rest: Vec<Body> = self.0.into_values().collect();
        rest.sort_by_key(|body| body.sequence);
        rest.into_iter()
            .filter_map(|body| match &body.event {
                Event::UseIntent(intent) => Some(Use { intent: Some(intent.clone()), outcome: None, body }),
                _ => None,
            })
            .collect()
    }
}

impl Use {
    fn operation(&self) -> Option<Operation> {
        let outcome = self.outcome.as_ref().map(|outcome| outcome.asked.operation);
        outcome.or_else(|| self.intent.as_ref().map(|intent| intent.asked.operation))
    }

    /// Whether the key was used, or may have been.
    fn used_the_key(&self) -> bool {
        self.outcome
            .as_ref()
            .is_none_or(|outcome| matches!(outcome.state, RequestState::Signed | RequestState::Unknown))
    }

    fn row(&self) -> Row<7> {
        let told = Told::of(&self.body);
        // The outcome of a use whose server stopped does not say what was asked.
        let did = match &self.intent {
            Some(intent) => entry::used(&intent.asked),
            None => told.did.clone(),
        };
        let asked = self.intent.as_ref().map(|intent| &intent.asked);
        let claims = asked.and_then(|asked| asked.claims.as_ref());
        let process = claims.and_then(|claims| claims.processes.first());
        let event = &self.body.event;
        let text = |value: Option<String>| value.unwrap_or_default();
        let values = vec![
            self.body.sequence.to_string(),
            self.body.time.to_string(),
            told.result.clone(),
            told.who.clone(),
            text(self.body.actor.as_ref().map(|actor| actor.id.to_string())),
            text(self.operation().map(|operation| entry::words_of(&operation))),
            text(event.project().map(|project| project.name.clone())),
            text(event.key().map(|key| key.name.clone())),
            text(event.key().map(|key| key.id.to_string())),
            text(asked.and_then(|asked| asked.hash).map(|hash| hash.name().to_owned())),
            text(asked.and_then(|asked| asked.digest.as_ref()).map(ToString::to_string)),
            text(event.signature_sha256().map(|hash| hash.to_string())),
            text(self.body.peer.map(|peer| peer.to_string())),
            text(claims.and_then(|claims| claims.host.clone())),
            text(process.and_then(|process| process.path.clone())),
            text(process.and_then(|process| process.sha256.clone())),
            text(process.and_then(|process| process.command.clone())),
            text(claims.and_then(|claims| claims.justification.clone())),
            text(asked.and_then(approval_of).map(|approval| approval.to_string())),
            text(asked.and_then(|asked| asked.ssh_user.clone().or_else(|| asked.ssh_namespace.clone()))),
            self.body.request_id.to_string(),
        ];
        let time = local_time::shown(self.body.time);
        let with = claims.and_then(with).unwrap_or_else(|| "-".to_owned());
        Row { shown: [self.body.sequence.to_string(), time, told.who, did, told.on, with, told.result], values }
    }
}

/// The command line, or else the program.
fn with(claims: &Claims) -> Option<String> {
    let process = claims.processes.first()?;
    process.command.clone().or_else(|| process.path.clone())
}

/// Writes the uses of a selection that are wanted. How many there were, and of how many people.
async fn write(
    app: &App,
    selection: Selection,
    form: Form,
    wanted: impl Fn(&Use) -> bool,
    if_empty: &str,
) -> anyhow::Result<(usize, usize)> {
    let path = record();
    let mut entries = Selection { kinds: "intent,outcome", ..selection }.entries(app, &path);
    let mut sheet = Sheet::new(form, SHOWN, &NAMES);
    let (mut begun, mut people) = (Begun::default(), std::collections::BTreeSet::new());
    let mut put = |uses: Vec<Use>, sheet: &mut Sheet<7>| {
        let rows: Vec<_> = uses.iter().filter(|one| wanted(one)).collect();
        people.extend(rows.iter().filter_map(|one| one.body.actor.as_ref()).map(|actor| actor.id));
        sheet.write(&rows.iter().map(|one| one.row()).collect::<Vec<_>>())
    };
    while let Some(bodies) = entries.next().await? {
        put(bodies.into_iter().filter_map(|body| begun.take(body)).collect(), &mut sheet)?;
    }
    put(begun.rest(), &mut sheet)?;
    Ok((sheet.end(if_empty)?, people.len()))
}

pub(super) async fn signatures(app: &App, range: &Range, json: bool) -> anyhow::Result<()> {
    let selection = Selection::of(app, range).await?;
    let is_signature = |one: &Use| one.operation() == Some(Operation::Sign) && one.used_the_key();
    write(app, selection, range.csv.form(json), is_signature, "Nothing was signed.").await.map(drop)
}

pub(super) async fn impact(app: &App, impact: &Impact, json: bool) -> anyhow::Result<()> {
    let key = crate::cli::admin::key::find(app, &impact.key).await?;
    let selection =
        Selection { key: Some(key.id.to_string()), since: Some(impact.from), until: impact.to, ..Selection::default() };
    let form = impact.csv.form(json);
    let (uses, people) = write(app, selection, form, Use::used_the_key, "The key was not used in that time.").await?;
    if form == Form::Table && uses > 0 {
        note(format!(
            "\n{} of {}/{} by {}. A result other than ok: the server stopped meanwhile, and the key may have been used.",
            count(uses, "use"),
            key.project,
            key.name,
            count(people, "account"),
        ));
    }
    Ok(())
}
