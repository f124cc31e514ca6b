//! `sealcard admin record list`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use sealcard_api::{Timestamp, admin::Page};
use sealcard_record::{Body, Line};

use super::{
    csv,
    entry::{HEADINGS, Told},
    unless_reader_went_away, write_json,
};
use crate::{
    cli::{
        App, local_time,
        output::{self, ListWriter, warn},
        pages::{self, Pages},
    },
    remote::{path, query},
};

/// How often new entries are asked for.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(in crate::cli::admin) struct Arguments {
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
    #[arg(long, value_name = "TIME", value_parser = local_time::parse)]
    since: Option<Timestamp>,
    /// Only those of this time or earlier
    #[arg(long, value_name = "TIME", value_parser = local_time::parse)]
    until: Option<Timestamp>,
    /// Only those of this kind; may be repeated
    #[arg(long, value_enum)]
    kind: Vec<Kind>,
    /// Only this event, such as key-created
    #[arg(long, value_name = "EVENT", value_parser = event_names())]
    event: Option<String>,
    /// Only what was refused: uses, logins, changes of passwords and other requests
    #[arg(long)]
    denied: bool,
    /// At most so many, the newest ones
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on with new entries as they come
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,
    /// Print comma-separated values, for spreadsheets
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

fn event_names() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(sealcard_record::Event::NAMES)
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Uses of keys, refused ones included
    Use,
    /// Uses that wait for people, what is asked in advance, and what people decide
    Approval,
    /// Logins, and what users do with their own logins and passwords
    Authentication,
    /// Changes of users, groups, projects, environments and keys
    Administration,
}

impl Kind {
    /// As the server names them. A use that has begun and not ended is left out by those who wait for more.
    const fn names(self, with_intents: bool) -> &'static str {
        match (self, with_intents) {
            (Self::Use, true) => "intent,outcome,denied",
            (Self::Use, false) => "outcome,denied",
            (Self::Approval, _) => "approval",
            (Self::Authentication, _) => "authentication",
            (Self::Administration, _) => "administration",
        }
    }
}

pub(super) async fn run(app: &App, arguments: Arguments, json: bool) -> anyhow::Result<()> {
    // The server knows it by its id, whatever it is called here.
    let key = match &arguments.key {
        Some(key) => Some(crate::cli::admin::key::find(app, key).await?.id.to_string()),
        None => None,
    };
    let list = List { app, filter: arguments.parameters(key), writer: Writer::new(json, arguments.csv) };
    unless_reader_went_away(list.write(&arguments).await)
}

/// The parameters of a request.
type Parameters = Vec<(&'static str, Option<String>)>;

impl Arguments {
    fn parameters(&self, key: Option<String>) -> Parameters {
        let kinds = match self.kind.as_slice() {
            [] if self.follow => Kind::value_variants(),
            kinds => kinds,
        };
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.names(!self.follow)).collect();
        vec![
            ("user", self.user.clone()),
            ("key", key),
            ("project", self.project.clone()),
            ("since", self.since.map(|time| time.to_string())),
            ("until", self.until.map(|time| time.to_string())),
            ("kind", (!kinds.is_empty()).then(|| kinds.join(","))),
            ("event", self.event.clone()),
            ("denied", self.denied.then(|| "true".to_owned())),
            ("folded", Some("true".to_owned())),
        ]
    }
}

/// A list that is written page by page: there may be more entries than memory holds.
struct List<'a> {
    app: &'a App,
    filter: Parameters,
    writer: Writer,
}

impl List<'_> {
    async fn write(mut self, arguments: &Arguments) -> anyhow::Result<()> {
        let limit = arguments.limit as usize;
        let mut newest = if arguments.follow { self.newest_of_all(arguments).await? } else { 0 };
        let path = path(&["record"]);
        if limit <= pages::PAGE {
            if let Some(lines) = self.pages(&path, "newest", None, limit).next::<Line>().await? {
                newest = newest.max(self.writer.write(lines)?);
            }
        } else {
            // The server gives the newest from the end, but they are written from the oldest to the newest.
            let first = self.before_newest(&path, limit).await?;
            let mut pages = self.pages(&path, "oldest", Some(first), limit);
            while let Some(lines) = pages.next::<Line>().await? {
                newest = newest.max(self.writer.write(lines)?);
            }
        }
        if !arguments.follow {
            return self.writer.end();
        }
        loop {
            tokio::time::sleep(PERIOD).await;
            let mut pages = self.pages(&path, "oldest", Some(newest), usize::MAX);
            while let Some(lines) = pages.next::<Line>().await? {
                newest = newest.max(self.writer.write(lines)?);
            }
        }
    }

    fn pages<'p>(&self, path: &'p str, order: &str, after: Option<u64>, limit: usize) -> Pages<'p>
    where
        Self: 'p,
    {
        let mut parameters = self.filter.clone();
        parameters.extend([("after", after.map(|after| after.to_string())), ("order", Some(order.to_owned()))]);
        Pages::new(&self.app.remote, path, &parameters, limit)
    }

    /// The number before the newest entries that are wanted.
    async fn before_newest(&self, path: &str, limit: usize) -> anyhow::Result<u64> {
        let mut first = None;
        let mut pages = self.pages(path, "newest", None, limit);
        while let Some(lines) = pages.next::<Line>().await? {
            first = lines.last().map(|line| line.body().map(|body| body.sequence)).transpose()?.or(first);
        }
        Ok(first.unwrap_or(1).saturating_sub(1))
    }

    /// The number of the newest entry that the person may read, whatever is filtered.
    async fn newest_of_all(&self, arguments: &Arguments) -> anyhow::Result<u64> {
        let chosen = [
            ("order", Some("newest".to_owned())),
            ("limit", Some("1".to_owned())),
            ("project", arguments.project.clone()),
            ("key", self.filter.iter().find(|(name, _)| *name == "key").and_then(|(_, key)| key.clone())),
        ];
        let page: Page<Line> = self.app.remote.get(&format!("{}{}", path(&["record"]), query(&chosen))).await?;
        Ok(page.items.first().map(|line| line.body().map(|body| body.sequence)).transpose()?.unwrap_or_default())
    }
}

/// How entries are written.
enum Writer {
    Json,
    Csv { began: bool },
    Table(ListWriter<'static>),
}

impl Writer {
    fn new(json: bool, csv: bool) -> Self {
        match (json, csv) {
            (true, _) => Self::Json,
            (_, true) => Self::Csv { began: false },
            _ => Self::Table(ListWriter::new(false, "")),
        }
    }

    /// Writes entries from the oldest to the newest. The number of the newest.
    fn write(&mut self, mut lines: Vec<Line>) -> anyhow::Result<u64> {
        let sequence = |line: &Line| line.body().map_or(0, |body| body.sequence);
        lines.sort_by_cached_key(sequence);
        let newest = lines.last().map_or(0, sequence);
        if let Self::Json = self {
            write_json(&lines)?;
            return Ok(newest);
        }
        let mut bodies: Vec<Body> = Vec::with_capacity(lines.len());
        for line in &lines {
            match line.body() {
                Ok(body) => bodies.push(body),
                Err(error) => warn(format!("an entry can't be read: {error}")),
            }
        }
        match self {
            Self::Csv { began } => {
                let headings = if std::mem::replace(began, true) { String::new() } else { csv::line(&csv::HEADINGS) };
                let rows = bodies.iter().map(|body| csv::line(&csv::values(body)));
                output::write(&std::iter::once(headings).chain(rows).collect::<String>())?;
            }
            Self::Table(writer) => writer.part(&bodies, HEADINGS, Told::row)?,
            Self::Json => {}
        }
        Ok(newest)
    }

    fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Table(writer) => Ok(writer.end("The record holds no such entry.")?),
            Self::Csv { began: false } => Ok(output::write(&csv::line(&csv::HEADINGS))?),
            Self::Csv { .. } | Self::Json => Ok(()),
        }
    }
}
