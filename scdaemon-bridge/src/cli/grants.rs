//! `sealcard grants`: one's own logins.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use sealcard_api::{Timestamp, grants::GrantInfo, ids::GrantId};
use serde::Serialize;

use super::{
    App,
    ask::Yes,
    output::{clean, count, line, note, show, table, warn},
    pages::Pages,
    when,
};
use crate::remote::path;

/// What a request without a body sends.
const NO_BODY: Option<&()> = None;

/// What tells this workstation's login apart in a table.
const HERE: &str = "this one";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
A login is what a workstation has stored after `sealcard login`. End one that you don't know, and change your password
then: sealcard passwd.

Examples:
  sealcard grants                       your valid logins
  sealcard grants revoke laptop         end the one of the laptop
  sealcard grants revoke --others       end all but this workstation's

The last use is right to within five minutes.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Also those that expired or were revoked
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// End logins of yours; it counts from the next request on
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
struct RevokeArguments {
    /// The login: its name, usually a machine's, or its id
    #[arg(value_name = "NAME", required_unless_present_any = ["others", "all"])]
    login: Option<String>,
    /// All but this workstation's
    #[arg(long, conflicts_with_all = ["login", "all"])]
    others: bool,
    /// All, this workstation's too: you are logged out everywhere
    #[arg(long, conflicts_with = "login")]
    all: bool,
    #[command(flatten)]
    yes: Yes,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A login, and whether it is this workstation's.
#[derive(Debug, Serialize)]
struct Own {
    #[serde(flatten)]
    grant: GrantInfo,
    here: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { command, all, json } = arguments;
    if let Some(Command::Revoke(arguments)) = command {
        return revoke(app, arguments).await;
    }
    let now = Timestamp::now();
    let own = own(app, |grant| all || state(grant, now) == "valid").await?;
    show(json, &serde_json::json!({ "grants": own }), |_| print(&own, now))
}

/// The caller's logins that are wanted, oldest first.
async fn own(app: &App, wanted: impl Fn(&GrantInfo) -> bool) -> anyhow::Result<Vec<Own>> {
    let here = app.remote.whoami().await?;
    let grants = chosen(app, Some(here.principal_name), wanted).await?;
    Ok(grants.into_iter().map(|grant| Own { here: grant.id == here.id, grant }).collect())
}

/// Logins of one or of all that are wanted. The others, of which there may be very many, are not kept.
pub(super) async fn chosen(
    app: &App,
    of: Option<String>,
    wanted: impl Fn(&GrantInfo) -> bool,
) -> anyhow::Result<Vec<GrantInfo>> {
    let (path, mut grants) = (path(&["grants"]), Vec::new());
    let mut pages = Pages::new(&app.remote, &path, &[("principal", of)], usize::MAX);
    while let Some(page) = pages.next::<GrantInfo>().await? {
        grants.extend(page.into_iter().filter(&wanted));
    }
    Ok(grants)
}

/// Whether a login counts now.
pub(super) fn state(grant: &GrantInfo, now: Timestamp) -> &'static str {
    if grant.revoked.is_some() {
        "revoked"
    } else if grant.expires <= now {
        "expired"
    } else {
        "valid"
    }
}

fn print(own: &[Own], now: Timestamp) {
    let address = |address: &Option<String>| address.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<_> = own
        .iter()
        .map(|Own { grant, here }| {
            [
                name(grant),
                if *here { HERE.to_owned() } else { state(grant, now).to_owned() },
                grant.login_method.name().to_owned(),
                when::day(Some(grant.created)),
                address(&grant.login_address),
                grant.last_used.map_or_else(|| "-".to_owned(), |at| when::ago(at, now)),
                address(&grant.last_address),
                when::day(Some(grant.expires)),
            ]
        })
        .collect();
    let headings = ["NAME", "STATE", "BY", "LOGGED IN", "FROM", "LAST USED", "FROM", "EXPIRES"];
    table(headings, &rows, "You have no valid logins.");
}

/// What a login is called: as its holder did, or by its id.
pub(super) fn name(grant: &GrantInfo) -> String {
    if grant.label.is_empty() { grant.id.to_string() } else { grant.label.clone() }
}

async fn revoke(app: &App, arguments: RevokeArguments) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let own = own(app, |grant| state(grant, now) == "valid").await?;
    let mut ended = choose(&own, &arguments, now)?;
    if ended.is_empty() {
        return show(arguments.json, &serde_json::json!({ "grants": [] }), |_| line("You have no other logins."));
    }
    // This workstation's is the last: no request passes after it.
    ended.sort_by_key(|own| own.here);
    arguments.yes.confirm(&question(&ended))?;
    let chosen = std::mem::take(&mut ended);
    let mut failure = None;
    for own in chosen {
        // One that can't be ended doesn't save the others, but this workstation's could not be tried again for them.
        if own.here && failure.is_some() {
            continue;
        }
        match app.remote.delete(&path(&["grants", &own.grant.id.to_string()]), NO_BODY).await {
            Ok(_) => ended.push(own),
            Err(error) => {
                warn(format!("{} is still valid: {error}", clean(&name(&own.grant))));
                failure = Some(error);
            }
        }
    }
    show(arguments.json, &serde_json::json!({ "grants": ended }), |_| {
        match ended.as_slice() {
            [only] => line(format!("Ended the login {}.", clean(&name(&only.grant)))),
            several => line(format!("Ended {}.", count(several.len(), "login"))),
        }
        if ended.iter().any(|own| own.here) {
            note("That was this workstation's: log in again with `sealcard login`.");
        }
    })?;
    failure.map_or(Ok(()), |error| Err(error).context("not all logins were ended: run the command again"))
}

/// The logins that the arguments name.
fn choose<'a>(own: &'a [Own], arguments: &RevokeArguments, now: Timestamp) -> anyhow::Result<Vec<&'a Own>> {
    let Some(login) = &arguments.login else {
        return Ok(own.iter().filter(|own| arguments.all || !own.here).collect());
    };
    let id = login.parse::<GrantId>().ok();
    let named: Vec<&Own> = own.iter().filter(|own| own.grant.label == *login || Some(own.grant.id) == id).collect();
    match named.len() {
        0 => bail!("you have no valid login named {}; `sealcard grants` lists those that there are", clean(login)),
        1 => Ok(named),
        several => {
            for Own { grant, here } in named {
                let used = grant.last_used.map_or_else(|| "never used".to_owned(), |at| when::ago(at, now));
                note(format!("  {}  {used}{}", grant.id, if *here { "  (this one)" } else { "" }));
            }
            bail!("you have {several} valid logins named {}: choose one by its id", clean(login))
        }
    }
}

fn question(chosen: &[&Own]) -> String {
    let here = chosen.iter().any(|own| own.here);
    match (chosen, here) {
        ([only], true) => format!("End this workstation's login, {}?", clean(&name(&only.grant))),
        ([only], false) => format!("End the login {}?", clean(&name(&only.grant))),
        (several, true) => format!("End {}, this workstation's too?", count(several.len(), "login")),
        (several, false) => format!("End {}?", count(several.len(), "login")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_api::{grants::LoginMethod, ids::PrincipalId, roles::PrincipalKind};

    use super::*;

    fn login(label: &str, here: bool) -> Own {
        let grant = GrantInfo {
            id: GrantId::new(),
            principal: PrincipalId::new(),
            principal_name: "jane".to_owned(),
            roles: Vec::new(),
            label: label.to_owned(),
            created: Timestamp::from_unix(0),
            expires: Timestamp::from_unix(2000),
            refreshable_until: Timestamp::from_unix(2000),
            revoked: None,
            kind: PrincipalKind::User,
            last_used: None,
            last_address: None,
            login_method: LoginMethod::Password,
            login_address: Some("192.0.2.7".to_owned()),
        };
        Own { grant, here }
    }

    fn arguments(login: Option<&str>, others: bool, all: bool) -> RevokeArguments {
        let login = login.map(str::to_owned);
        RevokeArguments { login, others, all, yes: Yes::default(), json: false }
    }

    #[test]
    fn logins_are_chosen_by_name_by_id_or_all() {
        let own = [login("laptop", true), login("desk", false), login("build", false), login("build", false)];
        let labels = |arguments: &RevokeArguments| -> Vec<String> {
            let chosen = choose(&own, arguments, Timestamp::from_unix(9)).unwrap();
            chosen.iter().map(|own| own.grant.label.clone()).collect()
        };
        assert_eq!(labels(&arguments(Some("desk"), false, false)), ["desk"]);
        assert_eq!(labels(&arguments(None, true, false)), ["desk", "build", "build"]);
        assert_eq!(labels(&arguments(None, false, true)).len(), 4);
        let id = own[3].grant.id.to_string();
        assert_eq!(labels(&arguments(Some(&id), false, false)), ["build"]);
        let error = |name| choose(&own, &arguments(Some(name), false, false), Timestamp::from_unix(9)).unwrap_err();
        assert!(error("build").to_string().contains("2 valid logins named build: choose one by its id"));
        assert!(error("car\u{1b}").to_string().contains("no valid login named car"));
        assert!(!error("car\u{1b}").to_string().contains('\u{1b}'));
    }

    #[test]
    fn question_says_when_this_workstation_is_logged_out() {
        let (here, there) = (login("laptop", true), login("desk", false));
        assert_eq!(question(&[&here]), "End this workstation's login, laptop?");
        assert_eq!(question(&[&there]), "End the login desk?");
        assert_eq!(question(&[&there, &there]), "End 2 logins?");
        assert_eq!(question(&[&there, &here]), "End 2 logins, this workstation's too?");
    }
}
