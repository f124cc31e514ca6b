//! Templates that rules link to.

use super::{Authorship, Mention};
use crate::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// A version of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersionRow {
    /// The template.
    pub name: String,
    /// 1, 2, …
    pub version: i64,
    /// The template as it was written.
    pub text: String,
    /// Whether rules that link to it deny every use.
    pub withdrawn: bool,
    /// Who wrote it.
    pub by: Authorship,
}

impl FromRow for TemplateVersionRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            name: row.get(0)?,
            version: row.get(1)?,
            text: row.get(2)?,
            withdrawn: row.get(3)?,
            by: Authorship::from_columns(row, 4)?,
        })
    }
}

/// A version of a template that is to be appended.
#[derive(Debug, Clone)]
pub struct NewTemplateVersion {
    /// What is to be stored.
    pub row: TemplateVersionRow,
    /// What the template names; nothing if it is withdrawn.
    pub mentions: Vec<Mention>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT name, version, text, withdrawn, author_id, author, applied, note FROM template_version ", $rest)
    };
}

const CURRENT: &str = select!("WHERE name = $1 ORDER BY version DESC LIMIT 1");

impl Store {
    /// The newest version of a template; none if there is none of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn template(&self, name: &str) -> Result<Option<TemplateVersionRow>, StorageError> {
        self.reader().optional(CURRENT, params![name]).await
    }

    /// The newest versions of templates, sorted by name, after the given one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn templates(&self, after: &str, limit: u32) -> Result<Vec<TemplateVersionRow>, StorageError> {
        const ALL: &str = select!(
            "AS t WHERE name > $1 AND version = (SELECT max(n.version) FROM template_version n WHERE n.name = t.name)
             ORDER BY name LIMIT $2"
        );
        self.reader().all(ALL, params![after, i64::from(limit)]).await
    }

    /// Versions of a template, newest first, older than `before`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn template_versions(
        &self,
        name: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<TemplateVersionRow>, StorageError> {
        const VERSIONS: &str = select!("WHERE name = $1 AND version < $2 ORDER BY version DESC LIMIT $3");
        self.reader().all(VERSIONS, params![name, before.unwrap_or(i64::MAX), i64::from(limit)]).await
    }
}

impl WriteTx {
    /// As [`Store::template`], inside the transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub fn template(&mut self, name: &str) -> Result<Option<TemplateVersionRow>, StorageError> {
        self.conn_for_uses().optional(CURRENT, params![name])
    }

    /// Appends a version of a template, which is in force from now on.
    ///
    /// # Errors
    /// [`StorageError::Taken`] if there is a version of this number; or if the database fails.
    pub fn append_template(&mut self, new: &NewTemplateVersion) -> Result<(), StorageError> {
        const INSERT: &str = "INSERT INTO template_version
                (name, version, change, text, withdrawn, author_id, author, applied, note)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let NewTemplateVersion { row, mentions } = new;
        let change: Option<i64> = self.conn().scalar(
            "UPDATE server SET templates_version = templates_version + 1 RETURNING templates_version",
            params![],
        )?;
        let by = &row.by;
        let values = params![
            &row.name,
            row.version,
            change,
            &row.text,
            row.withdrawn,
            by.author_id.0,
            &by.author,
            by.applied.unix(),
            &by.note
        ];
        self.conn().execute(INSERT, values).map_err(|error| error.taken("this template was changed meanwhile"))?;
        self.replace_template_mentions(&row.name, mentions)
    }
}
