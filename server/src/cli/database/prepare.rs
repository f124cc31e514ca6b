//! `sealcard-server database prepare`.

use anyhow::bail;
use clap::Args;
use uuid::Uuid;

use super::{super::output, DatabaseOptions, postgres};
use crate::storage::{Cause, Postponed, Store};

/// Prepare a PostgreSQL database for servers that can't change the record
///
/// The tables belong to the role in --database-url. The role of --server-role gets what a server needs: it can add
/// entries to the record, and can't change or remove any, not even if the server is stolen. Run it on an empty database
/// before `setup`, `init` or `database move`, and before each upgrade that changes the schema, with the programs of the
/// new release. It may be repeated, and needs neither a data folder nor root.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, with a role that owns the database and one for the servers:
  sealcard-server database prepare --server-role sealcard \\
    --database-url \\
      'postgres://sealcard_owner@db.example.org/sealcard?sslmode=require' \\
    --database-password-file owner-password")]
pub(in crate::cli) struct Prepare {
    #[command(flatten)]
    database: DatabaseOptions,
    /// The PostgreSQL role that the servers work as; it must exist
    #[arg(long, value_name = "ROLE")]
    server_role: String,
}

impl Prepare {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let section = self.database.section()?;
        let Some(url) = &section.url else {
            bail!("name the database and the role that owns it with --database-url");
        };
        // Paths of the options are absolute, and nothing here is a server.
        let options = postgres(url, &section, "".as_ref(), Uuid::nil())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let postponed = runtime.block_on(Store::prepare(&options, &self.server_role))?;
        let role = &self.server_role;
        output::line(format_args!("The schema is up to date, and servers can work as {role}."));
        output::line(format_args!("{role} can't change or remove entries of the record."));
        if let Some(Postponed { step, cause: Cause::Servers(servers) }) = postponed {
            output::line(format_args!("\nStep {step} waits until these servers are upgraded or stopped: {servers}"));
            output::line(format_args!("Then run this command again."));
        }
        Ok(())
    }
}
