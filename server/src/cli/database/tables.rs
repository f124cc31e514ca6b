//! `sealcard-server database export-tables`.

use std::{fs::OpenOptions, io::BufWriter, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use sealcard_record::fold::TablesHead;
use serde::Serialize;

use super::{super::output, Data, of};
use crate::{
    config::Config,
    storage::{StorageError, Store, TableRow},
};

/// Write the tables that follow from the record to a file
///
/// The file has users, roles, grants, keys, rules and approvals as the database has them, one row a line, and no
/// secrets. Compare it with an exported record on another machine: a row that was changed by hand is found there. Reads the database
/// itself, at one moment, also while the server runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard-server database export-tables tables.jsonl
  sealcard admin record export record.jsonl
  sealcard admin record verify --offline record.jsonl --tables tables.jsonl")]
pub(in crate::cli) struct ExportTables {
    /// Where to write; the file must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: Data,
}

impl ExportTables {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = std::path::absolute(&self.file).context("FILE")?;
        let data = std::path::absolute(&self.data.data).context("--data")?;
        // Names of persons and addresses are for whoever exports them.
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
        let mut writer = BufWriter::new(opened.with_context(|| file.display().to_string())?);
        let acting = self.data.act_as_owner()?;
        let config = Config::load(&data)
            .with_context(|| format!("{} can't be used (has it a server? see --data)", data.display()))?;
        let database = of(&data, &config.database)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let written = runtime.block_on(Store::read_tables_of(&database, move |mut tables| {
            let head = tables.head()?;
            Ok(write_line(&mut writer, &TablesHead::from(head)).and_then(|()| {
                let mut written = Written { rows: 0, unreadable: Vec::new() };
                tables.rows(|row| match row {
                    TableRow::Row(row) => {
                        written.rows += 1;
                        write_line(&mut writer, &row)
                    }
                    TableRow::Unreadable { table, error } => {
                        written.unreadable.push(format!("table {table}: a row can't be read: {error}"));
                        Ok(())
                    }
                })?;
                writer.into_inner().map_err(|error| error.into_error())?.sync_all()?;
                Ok((head.sequence, written))
            }))
        }));
        drop(acting);
        let (sequence, Written { rows, unreadable }) =
            written.context("can't read the database")?.with_context(|| file.display().to_string())?;
        for line in unreadable {
            output::line(format_args!("{line}"));
        }
        output::line(format_args!("Wrote {rows} rows, as of entry {sequence} of the record, to {}.", file.display()));
        Ok(())
    }
}

struct Written {
    rows: u64,
    /// Rows that hold what no server writes, for a person.
    unreadable: Vec<String>,
}

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

fn write_line(writer: &mut impl std::io::Write, line: &impl Serialize) -> Result<(), WriteError> {
    serde_json::to_writer(&mut *writer, line).map_err(std::io::Error::from)?;
    Ok(writer.write_all(b"\n")?)
}
