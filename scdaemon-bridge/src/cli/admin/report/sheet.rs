//! Rows of a report, as a table, a spreadsheet or objects.

use serde_json::{Map, Value};

use crate::cli::{
    admin::record::csv,
    output::{self, ListWriter},
};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Csv,
    /// An object a line.
    Json,
}

/// A row: what people see, and all values for programs.
pub(super) struct Row<const SHOWN: usize> {
    pub(super) shown: [String; SHOWN],
    pub(super) values: Vec<String>,
}

/// A report that is written as its rows come.
pub(super) struct Sheet<const SHOWN: usize> {
    form: Form,
    headings: [&'static str; SHOWN],
    names: &'static [&'static str],
    table: ListWriter<'static>,
    rows: usize,
}

impl<const SHOWN: usize> Sheet<SHOWN> {
    /// A report with these columns for people, and these names for programs.
    pub(super) fn new(form: Form, headings: [&'static str; SHOWN], names: &'static [&'static str]) -> Self {
        Self { form, headings, names, table: ListWriter::new(false, ""), rows: 0 }
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// If standard output has been closed, or is full.
    pub(super) fn write(&mut self, rows: &[Row<SHOWN>]) -> anyhow::Result<()> {
        if self.form == Form::Csv && self.rows == 0 && !rows.is_empty() {
            output::write(&csv::line(self.names))?;
        }
        self.rows = self.rows.saturating_add(rows.len());
        match self.form {
            Form::Table => {
                self.table.rows(self.headings, &rows.iter().map(|row| row.shown.clone()).collect::<Vec<_>>())?;
            }
            Form::Csv => output::write(&rows.iter().map(|row| csv::line(&row.values)).collect::<String>())?,
            Form::Json => output::write(&rows.iter().map(|row| self.object(row)).collect::<String>())?,
        }
        Ok(())
    }

    /// A value that is empty is left out.
    fn object(&self, row: &Row<SHOWN>) -> String {
        let filled = self.names.iter().zip(&row.values).filter(|(_, value)| !value.is_empty());
        let object: Map<String, Value> =
            filled.map(|(&name, value)| (name.to_owned(), value.as_str().into())).collect();
        format!("{}\n", Value::Object(object))
    }

    /// Ends it. How many rows it had.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn end(self, if_empty: &str) -> anyhow::Result<usize> {
        match self.form {
            Form::Table => self.table.end(if_empty)?,
            Form::Csv if self.rows == 0 => output::write(&csv::line(self.names))?,
            Form::Csv | Form::Json => {}
        }
        Ok(self.rows)
    }
}
