//! The texts that a request is judged by. Those of a version never change, so whoever has them need not read them again.

use uuid::Uuid;

use crate::{
    Facts, StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// The rules that a request is judged by, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleTexts {
    /// The rules of the key's environment.
    pub environment: Option<String>,
    /// The rules of the project.
    pub project: Option<String>,
    /// The rules of the key.
    pub key: Option<String>,
    /// All templates. None are read where there are no rules.
    pub templates: Vec<TemplateText>,
}

/// A template as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateText {
    /// The name.
    pub name: String,
    /// The text.
    pub text: String,
    /// Whether rules that link to it deny every use.
    pub withdrawn: bool,
}

impl FromRow for TemplateText {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { name: row.get(0)?, text: row.get(1)?, withdrawn: row.get(2)? })
    }
}

const TEXT: &str = "SELECT text FROM rule_version WHERE scope = $1 AND subject = $2 AND version = $3";

/// The templates as they were when `server.templates_version` was `$1`.
const TEMPLATES: &str = "SELECT t.name, t.text, t.withdrawn FROM template_version t
     WHERE t.change = (SELECT max(n.change) FROM template_version n WHERE n.name = t.name AND n.change <= $1)
     ORDER BY t.name";

/// Kind, id and version of the rules that facts name: those of environment, project and key.
fn documents(facts: &Facts) -> [Option<(&'static str, Uuid, i64)>; 3] {
    let document = |kind, id: Option<Uuid>, version: Option<i64>| Some((kind, id?, version?));
    let (key, rules) = (facts.key.as_ref(), &facts.rules);
    [
        document("environment", key.map(|key| key.environment.0), rules.environment),
        document("project", facts.project.as_ref().map(|project| project.id.0), rules.project),
        document("key", key.map(|key| key.id.0), rules.key),
    ]
}

fn found(text: Option<(Option<String>,)>) -> Result<Option<String>, StorageError> {
    let text = text.and_then(|(text,)| text);
    text.map(Some).ok_or_else(|| StorageError::Damaged("a version of rules is missing".to_owned()))
}

impl Store {
    /// The texts of the versions in [`Facts::rules`], and the templates of that moment.
    ///
    /// # Errors
    /// If the database fails, or a text is missing: nothing may be allowed then.
    pub async fn rule_texts(&self, facts: &Facts) -> Result<RuleTexts, StorageError> {
        if facts.rules.is_empty() {
            return Ok(RuleTexts::default());
        }
        let mut texts = [None, None, None];
        for (text, document) in texts.iter_mut().zip(documents(facts)) {
            if let Some((kind, id, version)) = document {
                *text = found(self.reader().optional(TEXT, params![kind, id, version]).await?)?;
            }
        }
        let [environment, project, key] = texts;
        Ok(RuleTexts { environment, project, key, templates: self.templates_at(facts.rules.templates).await? })
    }

    /// All templates as they were at this [`crate::RulesState::templates`].
    ///
    /// # Errors
    /// If the database fails.
    pub async fn templates_at(&self, templates_version: i64) -> Result<Vec<TemplateText>, StorageError> {
        self.reader().all(TEMPLATES, params![templates_version]).await
    }
}

impl WriteTx {
    /// As [`Store::rule_texts`], inside the transaction.
    ///
    /// # Errors
    /// If the database fails, or a text is missing: nothing may be allowed then.
    pub fn rule_texts(&mut self, facts: &Facts) -> Result<RuleTexts, StorageError> {
        if facts.rules.is_empty() {
            return Ok(RuleTexts::default());
        }
        let mut texts = [None, None, None];
        for (text, document) in texts.iter_mut().zip(documents(facts)) {
            if let Some((kind, id, version)) = document {
                *text = found(self.conn_for_uses().optional(TEXT, params![kind, id, version])?)?;
            }
        }
        let [environment, project, key] = texts;
        let templates = self.conn_for_uses().all(TEMPLATES, params![facts.rules.templates])?;
        Ok(RuleTexts { environment, project, key, templates })
    }
}
