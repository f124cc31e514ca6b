//! `sealcard admin`: a file for each noun. Everything goes over the API, so any node of the server will do.

mod access;
mod clock;
mod environment;
mod flow;
mod grant;
mod group;
mod key;
mod known_signers;
mod named;
mod notices;
mod policy;
mod project;
mod record;
mod report;
mod rules;
mod service_account;
mod signer_trust;
mod sinks;
mod status;
mod template;
mod user;

pub(super) use key::find as find_key;

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{App, done, output};

#[derive(Debug, Args)]
#[command(after_help = "\
You must be logged in as an administrator, or as an owner of the project concerned.

Example, from nothing to a key that jane may use:
  sealcard admin user add jane
  sealcard admin project add tools --description 'Our tools'
  sealcard admin project add-member tools --user jane --role key-user
  sealcard admin key create tools/release \\
    --user-id 'Tools Release <release@example.org>'")]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Noun {
    /// Show how the server is, and what needs attention
    Status(status::Arguments),
    /// Add, change and remove users
    #[command(subcommand)]
    User(user::Command),
    /// Manage programs that sign, such as CI jobs, and their tokens
    #[command(subcommand)]
    ServiceAccount(service_account::Command),
    /// Manage groups of users and service accounts
    #[command(subcommand)]
    Group(group::Command),
    /// Manage projects, and who may do what in them
    #[command(subcommand)]
    Project(project::Command),
    /// Rules for the uses of keys: who, from where, when, with what
    #[command(subcommand)]
    Policy(policy::Command),
    /// Templates that such rules link to
    #[command(subcommand)]
    Template(template::Command),
    /// See who approves uses and changes
    #[command(subcommand)]
    Flow(flow::Command),
    /// Look at the places where private keys are kept, and open them
    #[command(subcommand)]
    Environment(environment::Command),
    /// Make, import, extend, revoke and list signing keys
    #[command(subcommand)]
    Key(Box<key::Command>),
    /// Look at the server's clock, and confirm it after it jumped
    #[command(subcommand)]
    Clock(clock::Command),
    /// List and end logins
    #[command(subcommand)]
    Grant(grant::Command),
    /// Read and verify the record of what was done
    #[command(subcommand)]
    Record(record::Command),
    /// Ready reports: signatures, denials, approvals, access, keys, incidents
    #[command(subcommand)]
    Report(report::Command),
    /// See which notices were delivered, and try the channels
    #[command(subcommand)]
    Notices(notices::Command),
    /// See how far the record has left the server, and mend sinks
    #[command(after_help = sinks::HELP)]
    Sinks(sinks::Arguments),
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let json = arguments.json;
    match arguments.noun {
        Noun::Status(_) => status::run(app, json).await,
        Noun::User(command) => user::run(app, command, json).await.map(done),
        Noun::ServiceAccount(command) => service_account::run(app, command, json).await.map(done),
        Noun::Group(command) => group::run(app, command, json).await.map(done),
        Noun::Project(command) => project::run(app, command, json).await.map(done),
        Noun::Policy(command) => policy::run(app, command, json).await,
        Noun::Template(command) => template::run(app, command, json).await,
        Noun::Flow(command) => flow::run(app, command, json).await.map(done),
        Noun::Environment(command) => environment::run(app, command, json).await.map(done),
        Noun::Key(command) => key::run(app, *command, json).await.map(done),
        Noun::Clock(command) => clock::run(app, command, json).await.map(done),
        Noun::Grant(command) => grant::run(app, command, json).await.map(done),
        Noun::Record(command) => record::run(app, command, json).await,
        Noun::Report(command) => report::run(app, command, json).await.map(done),
        Noun::Notices(command) => notices::run(app, command, json).await,
        Noun::Sinks(arguments) => sinks::run(app, arguments, json).await,
    }
}

/// Shows a list: for programs an object with the list under `name`, as all their documents are objects.
fn show_list<T: Serialize>(json: bool, name: &str, items: &[T], person: impl FnOnce(&[T])) -> anyhow::Result<()> {
    if json {
        return output::json(&BTreeMap::from([(name, items)]));
    }
    person(items);
    Ok(())
}

/// The nothing that requests without a body carry.
const NO_BODY: Option<&()> = None;
