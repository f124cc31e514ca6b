//! All tables but `record_head`, which each database has in a form of its own. Each is after those that it refers to.

/// A table of the schema.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Its primary key.
    pub(crate) key: &'static [&'static str],
}

const fn table(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key }
}

pub(crate) const TABLES: &[Table] = &[
    table("principal", &["id"]),
    table("principal_group", &["id"]),
    table("group_member", &["group_id", "principal_id"]),
    table("project", &["id"]),
    table("project_principal", &["project_id", "principal_id", "role"]),
    table("project_group", &["project_id", "group_id", "role"]),
    table("service_token", &["id"]),
    table("access_grant", &["id"]),
    table("grant_token", &["hash"]),
    table("server", &["one"]),
    table("environment", &["id"]),
    table("pin_attempt", &["environment_id"]),
    table("component_attempt", &["component_id"]),
    table("signing_key", &["id"]),
    table("key_revocation", &["key_id"]),
    table("card_counter", &["key_id"]),
    table("component_key", &["id"]),
    table("rule_version", &["scope", "subject", "version"]),
    table("template_version", &["name", "version"]),
    table("rule_mention", &["scope", "subject", "kind", "name"]),
    table("template_mention", &["template", "kind", "name"]),
    table("key_evidence", &["component_id"]),
    table("key_request", &["id"]),
    table("approval", &["id"]),
    table("approval_decision", &["approval_id", "flow", "approver_id"]),
    table("quota_use", &["owner_id", "quota", "subject_id", "start"]),
    table("notice", &["id"]),
    table("notice_delivery", &["id"]),
    table("notice_channel", &["name"]),
    table("sink", &["name"]),
    table("sink_parked", &["sink", "sequence"]),
    table("record", &["sequence"]),
    table("record_subtree", &["level", "number"]),
    table("log_key", &["component_id"]),
    table("log_checkpoint", &["origin"]),
    table("log_published", &["origin"]),
    table("log_witness", &["origin", "name"]),
];
