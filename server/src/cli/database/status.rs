//! `sealcard-server database status`.

use clap::Args;

use super::{super::output, Data, of};
use crate::{
    config::Config,
    storage::{NodeStatus, RoleStatus, SchemaStatus, Store},
};
use anyhow::Context as _;

/// Show the schema of the database and the servers that share it
///
/// Run it before, during and after an upgrade. A schema step that is postponed is applied by a running server, within a
/// minute after all servers that can't work with it have been upgraded or stopped. Changes nothing, and works while the
/// server runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard-server database status")]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    data: Data,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let _acting = self.data.act_as_owner()?;
        let data = std::path::absolute(&self.data.data).context("--data")?;
        let config = Config::load(&data)
            .with_context(|| format!("{} can't be used (has it a server? see --data)", data.display()))?;
        let database = of(&data, &config.database)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = runtime.block_on(Store::schema_status(&database)).context("can't read the database")?;
        for line in lines(&status) {
            output::line(format_args!("{line}"));
        }
        Ok(())
    }
}

fn lines(status: &SchemaStatus) -> Vec<String> {
    let SchemaStatus { newest, lowest, known, missing, nodes, role } = status;
    let mut lines = vec![
        format!("schema      {newest}, for releases that know {lowest} or newer"),
        format!("this program  release {}, knows schema {known}", env!("CARGO_PKG_VERSION")),
    ];
    let width = "this program".len();
    for line in &mut lines {
        if let Some((label, text)) = line.clone().split_once("  ") {
            *line = format!("{label:<width$}  {}", text.trim_start());
        }
    }
    if lowest > known {
        lines.push("              this program can't use the database: install a newer release".to_owned());
    }
    for step in missing {
        let behind = |node: &&NodeStatus| node.live && node.schema < step.works_with;
        let names: Vec<&str> = nodes.iter().flatten().filter(behind).map(|node| node.name.as_str()).collect();
        let why = if names.is_empty() {
            match role {
                Some(role) if !role.can_change_record => {
                    "is applied by sealcard-server database prepare, as the owner of the tables".to_owned()
                }
                _ => "a server of this release applies it at its start, or within a minute".to_owned(),
            }
        } else {
            format!("waits until these servers are upgraded or stopped: {}", names.join(", "))
        };
        lines.push(format!("{:<width$}  step {}: {why}", "postponed", step.number));
    }
    let Some(nodes) = nodes else {
        lines.push(format!("{:<width$}  SQLite, used by one server alone", "database"));
        return lines;
    };
    if let Some(RoleStatus { name, can_change_record }) = role {
        let power = if *can_change_record {
            "owns the tables: whoever steals the server can change the record (see database prepare)"
        } else {
            "can add entries to the record and change none"
        };
        lines.push(format!("{:<width$}  {name}, {power}", "role"));
    }
    lines.push(String::new());
    if nodes.is_empty() {
        lines.push("No server runs.".to_owned());
        return lines;
    }
    let name_width = nodes.iter().map(|node| node.name.len()).max().unwrap_or(0).max("SERVER".len());
    lines.push(format!("{:<name_width$}  HOST ID                               RELEASE   SCHEMA  STATE", "SERVER"));
    for NodeStatus { name, host, release, schema, age, live, .. } in nodes {
        let state = if *live { "running".to_owned() } else { format!("not heard of for {}", duration(*age)) };
        lines.push(format!("{name:<name_width$}  {host}  {release:<8}  {schema:<6}  {state}"));
    }
    lines
}

fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::storage::StepStatus;

    #[test]
    fn postponed_step_names_the_servers_that_it_waits_for() {
        let node = |name: &str, schema, live| NodeStatus {
            id: Uuid::nil(),
            name: name.to_owned(),
            host: Uuid::nil(),
            release: "0.1.0".to_owned(),
            schema,
            age: 200,
            live,
        };
        let nodes = vec![node("one", 2, true), node("two", 4, true), node("gone", 2, false)];
        let missing = vec![StepStatus { number: 4, works_with: 3 }];
        let mut status = SchemaStatus { newest: 3, lowest: 2, known: 4, missing, nodes: Some(nodes), role: None };
        let text = lines(&status).join("\n");
        assert!(
            text.contains("postponed     step 4: waits until these servers are upgraded or stopped: one\n"),
            "{text}"
        );
        assert!(
            text.contains("gone    00000000-0000-0000-0000-000000000000  0.1.0     2       not heard of for 3 minutes"),
            "{text}"
        );
        status.nodes = None;
        assert!(lines(&status).iter().any(|line| line.ends_with("SQLite, used by one server alone")));
    }
}
