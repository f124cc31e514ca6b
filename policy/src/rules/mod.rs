//! The rules that people write for environments, projects and keys.
//!
//! A rule document is TOML: rules with fields ([`fields`]), definitions of tools and networks, and free Cedar. Templates
//! are rules that documents link to. [`RuleSet::compile`] turns the documents that apply to one key into one Cedar
//! policy set, and [`crate::decide_use`] asks it. All rules of environment, project and key apply together, and each can
//! only forbid: what the built-in rules deny stays denied.
//!
//! Cedar has no regular expressions, no time zones and no counting. So tools, networks, time windows and quotas are
//! matched here and handed to Cedar as sets of names ([`SCHEMA`]).

mod cedar;
mod changes;
mod check;
mod compile;
mod diagnostic;
mod document;
mod examples;
pub mod fields;
mod flow;
mod mention;
mod merge;
mod network;
mod quota;
mod reader;
mod reason;
mod set;
mod split;
mod tool;
mod window;

pub use cedar::SCHEMA;
pub use changes::{ChangeDemand, ChangeDemands, ChangeKind};
pub use diagnostic::Diagnostic;
pub use document::{Document, Template};
pub use examples::{Example, ExampleResult, Examples, Expectation};
pub use flow::{BreakGlass, Flow, MAX_STAGES, PreApprovalLimits, Stage};
pub use mention::{Mention, MentionKind};
pub use network::network_contains;
pub use quota::{Quota, QuotaOf};
pub use set::{RuleFlow, RuleSet, Scope, TemplateState};
pub use split::{TemplateText, split_templates};

/// The longest text of a document or template, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// The most Cedar policies that apply to one key.
pub const MAX_POLICIES: usize = 500;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
