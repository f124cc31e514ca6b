//! Rules for the uses of keys, and the templates that they link to: `/v1/rules`, `/v1/projects/{project}/rules`,
//! `/v1/keys/{key}/rules`, `/v1/environments/{environment}/rules`, `/v1/templates`.

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    rules::{Name, RulesText},
};

/// The longest text of rules or templates, in bytes of UTF-8.
pub const MAX_RULES: usize = RulesText::MAX;

/// The most items of a page whose items have texts.
pub const TEXTS_PAGE: u32 = 50;

/// What has rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RulesKind {
    /// An environment: they hold for all of its keys.
    Environment,
    /// A project: they hold for all of its keys.
    Project,
    /// One key.
    Key,
}

impl RulesKind {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Project => "project",
            Self::Key => "key",
        }
    }
}

/// What rules belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesPlace {
    /// What it is.
    pub kind: RulesKind,
    /// The name of the environment or project, or PROJECT/NAME of the key.
    pub name: String,
}

/// Who wrote a version, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Written {
    /// The name that the author had then.
    pub by: String,
    /// When it was applied.
    pub time: Timestamp,
    /// Why, in the author's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// Rules in force. `GET /v1/projects/{project}/rules`, and so for keys and environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rules {
    /// What they belong to.
    #[serde(flatten)]
    pub place: RulesPlace,
    /// The version; 0 if there never were any.
    pub version: u64,
    /// The rules as they were written, TOML. Empty if there are none.
    pub text: String,
    /// The templates that they link to, sorted.
    pub templates: Vec<String>,
    /// Who wrote them. Absent if there never were any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub written: Option<Written>,
    /// What they are in Cedar, if it was asked for; for a key with those of its environment and project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cedar: Option<String>,
}

/// Rules in a list. `GET /v1/rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesSummary {
    /// What they belong to.
    #[serde(flatten)]
    pub place: RulesPlace,
    /// The version in force.
    pub version: u64,
    /// The templates that they link to, sorted.
    pub templates: Vec<String>,
    /// Who wrote them.
    pub written: Written,
}

/// A version of rules. `GET /v1/projects/{project}/rules/versions`, newest first, at most 50 in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesVersion {
    /// Its number.
    pub version: u64,
    /// The rules as they were written; empty if they were removed.
    pub text: String,
    /// Who wrote it.
    pub written: Written,
}

/// Body of `PUT /v1/projects/{project}/rules`, and so for keys and environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RulesChange {
    /// The rules, TOML. Empty: none, so that the built-in ones are left.
    #[cfg_attr(feature = "openapi", schema(value_type = RulesText))]
    pub text: String,
    /// The version that the change is based on; 0 if there never were any. A conflict if another one is in force.
    pub base: u64,
    /// Why, for the history.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Label>))]
    pub note: Option<String>,
}

/// Body of `POST /v1/projects/{project}/rules/revert`, and so for keys, environments and templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RulesRevert {
    /// The version whose text becomes the newest one.
    pub version: u64,
    /// As [`RulesChange::base`].
    pub base: u64,
    /// As [`RulesChange::note`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Label>))]
    pub note: Option<String>,
}

/// A template that rules link to. `GET /v1/templates/{template}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Template {
    /// The name.
    pub name: String,
    /// The version in force.
    pub version: u64,
    /// The template as it was written, TOML.
    pub text: String,
    /// Whether rules that link to it deny every use.
    pub withdrawn: bool,
    /// The groups whose members may see it and link to it. Empty: everyone.
    pub visible_to: Vec<String>,
    /// Whose rules link to it. Only holders of a system role are told.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub used_by: Vec<RulesPlace>,
    /// Who wrote this version.
    pub written: Written,
    /// What a link to it is in Cedar, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cedar: Option<String>,
}

/// A version of a template. `GET /v1/templates/{template}/versions`, newest first, at most 50 in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateVersion {
    /// Its number.
    pub version: u64,
    /// The template as it was written.
    pub text: String,
    /// Whether it was withdrawn from this version on.
    pub withdrawn: bool,
    /// Who wrote it.
    pub written: Written,
}

/// Body of `POST /v1/templates`: all templates of a text are applied, or none. Those that stay as they are get no new
/// version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TemplatesChange {
    /// `[template.NAME]` for each, and the tools and networks that they name.
    #[cfg_attr(feature = "openapi", schema(value_type = RulesText))]
    pub text: String,
    /// The version of each that the change is based on; one that is not named must be new.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub bases: Vec<TemplateBase>,
    /// Why, for the history.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Label>))]
    pub note: Option<String>,
}

/// The version of a template that a change is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TemplateBase {
    /// The template.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// Its version in force.
    pub version: u64,
}

/// Body of `POST /v1/templates/{template}/withdraw` and `restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TemplateAct {
    /// The version in force.
    pub base: u64,
    /// Why, for the history.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Label>))]
    pub note: Option<String>,
}

/// What a text that is checked is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CheckedKind {
    /// A file of templates.
    Templates,
    /// The rules of an environment.
    Environment,
    /// The rules of a project.
    Project,
    /// The rules of a key.
    Key,
}

/// Body of `POST /v1/rules/check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RulesCheck {
    /// What the text is meant for.
    pub kind: CheckedKind,
    /// Whose rules, as in an address; absent for templates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The text, TOML.
    #[cfg_attr(feature = "openapi", schema(value_type = RulesText))]
    pub text: String,
}

/// Answer of `POST /v1/rules/check`: what applying the text would say. Nothing was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesChecked {
    /// What is wrong with the text. Empty: it can be applied.
    pub diagnostics: Vec<Diagnostic>,
    /// What it is in Cedar; empty if something is wrong.
    pub cedar: String,
    /// The templates of the text.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub templates: Vec<TemplateText>,
}

/// The text of one template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateText {
    /// The template's name.
    pub name: String,
    /// Its TOML, with the tools and networks that it names.
    pub text: String,
}

/// What is wrong at one place of a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
    /// The first line.
    pub line: usize,
    /// The first character.
    pub column: usize,
    /// The last line.
    pub end_line: usize,
    /// Behind the last character.
    pub end_column: usize,
}

impl TemplateBase {
    /// The form of the name.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        Name::check(&self.name)
    }
}
