//! Which columns of which tables follow from the record, and why others don't. A test compares this with the schema.

/// How one table is compared with the record.
#[derive(Debug, Clone, Copy)]
pub struct Folded {
    /// The table.
    pub table: &'static str,
    /// Columns that are compared.
    pub columns: &'static [&'static str],
    /// Columns that are not, and why.
    pub others: &'static [(&'static str, &'static str)],
}

const SHOWN: &str = "it is shown to people and decides nothing";
const TIME: &str = "the entry has its time";

const fn folded(
    table: &'static str,
    columns: &'static [&'static str],
    others: &'static [(&'static str, &'static str)],
) -> Folded {
    Folded { table, columns, others }
}

/// A table that is not compared.
const fn apart(table: &'static str, why: &'static [(&'static str, &'static str)]) -> Folded {
    folded(table, &[], why)
}

/// All columns of a table that is not compared.
const ALL: &str = "*";

/// All tables of the schema.
pub const TABLES: &[Folded] = &[
    folded(
        "principal",
        &[
            "id",
            "kind",
            "name",
            "password",
            "one_time_until",
            "email",
            "administrator",
            "security_officer",
            "auditor",
            "disabled",
            "owner_id",
            "removed",
        ],
        &[("created", TIME)],
    ),
    folded("principal_group", &["id", "name"], &[("created", TIME)]),
    folded("group_member", &["group_id", "principal_id"], &[]),
    folded("project", &["id", "name", "strict_separation", "removed"], &[("description", SHOWN), ("created", TIME)]),
    folded("project_principal", &["project_id", "principal_id", "role"], &[]),
    folded("project_group", &["project_id", "group_id", "role"], &[]),
    folded("service_token", &["id", "principal_id", "label", "hash", "expires", "revoked"], &[("created", TIME)]),
    folded(
        "access_grant",
        &["id", "principal_id", "service_token_id", "label", "created", "expires", "refreshable_until", "revoked"],
        &[("last_used", SHOWN), ("last_address", SHOWN), ("login_address", SHOWN)],
    ),
    folded("grant_token", &["hash", "grant_id", "retired"], &[("created", "only which tokens are forgotten first")]),
    apart(
        "server",
        &[(
            ALL,
            "numbers that caches and clocks are kept by; a doubt of the clock is an entry of its own, and which \
            version of a template counts is compared",
        )],
    ),
    folded(
        "environment",
        &["id", "name", "kind"],
        &[
            ("created", TIME),
            ("master_key", "the signer refuses what is sealed under another one"),
            ("earlier_master_key", "the same"),
        ],
    ),
    folded(
        "pin_attempt",
        &["environment_id", "state"],
        &[("node_id", "which server tries; a wrong one only blocks"), ("at", TIME)],
    ),
    apart(
        "component_attempt",
        &[(ALL, "keys that are not there yet; what is left of them is in the signer's journal")],
    ),
    folded(
        "signing_key",
        &[
            "id",
            "project_id",
            "environment_id",
            "name",
            "algorithm",
            "user_id",
            "fingerprint",
            "serial",
            "certificate",
            "disabled",
            "destroyed",
            "revoked",
            "revocation_reason",
            "revocation_message",
        ],
        &[("created", TIME)],
    ),
    apart("key_revocation", &[(ALL, "a certificate that proves itself, and that only revokes")]),
    apart("card_counter", &[(ALL, SHOWN)]),
    folded(
        "component_key",
        &[
            "id",
            "key_id",
            "role",
            "algorithm",
            "public_key",
            "public_exponent",
            "fingerprint",
            "created",
            "expires",
            "revoked",
        ],
        &[("handle", "the signer authenticates it; signatures are verified with the public key")],
    ),
    folded(
        "rule_version",
        &["scope", "subject", "version", "text", "author_id"],
        &[("author", SHOWN), ("applied", TIME), ("note", SHOWN)],
    ),
    folded(
        "template_version",
        &["name", "version", "text", "withdrawn", "author_id"],
        &[
            ("change", "which version counts follows from it, and that is compared"),
            ("author", SHOWN),
            ("applied", TIME),
            ("note", SHOWN),
        ],
    ),
    apart("rule_mention", &[(ALL, "it follows from the rules, and only refuses renamings")]),
    apart("template_mention", &[(ALL, "it follows from the templates, and only refuses renamings")]),
    apart("key_evidence", &[(ALL, SHOWN)]),
    apart("key_request", &[(ALL, "what is under way: each use is judged again when its intent is written")]),
    folded(
        "approval",
        &[
            "id",
            "kind",
            "state",
            "created",
            "expires",
            "use_seconds",
            "asked_by",
            "project_id",
            "key_id",
            "operation",
            "request_id",
            "requester_id",
            "group_id",
            "host",
            "max_uses",
            "used",
            "not_before",
            "reviewed",
            "revoked_by",
            "body",
        ],
        &[
            ("version", "a decision about another version is refused, and asked for again"),
            ("change", "only when those who wait look again"),
            ("reminded", "only who gets a notice"),
        ],
    ),
    folded(
        "approval_decision",
        &["approval_id", "flow", "approver_id", "stage", "verdict"],
        &[("comment", SHOWN), ("at", TIME)],
    ),
    apart("quota_use", &[(ALL, "counts of uses, which are entries")]),
    apart("notice", &[(ALL, SHOWN)]),
    apart("notice_delivery", &[(ALL, SHOWN)]),
    apart("notice_channel", &[(ALL, SHOWN)]),
    apart("sink", &[(ALL, "how far entries were sent; the receiver has them with their numbers, and sees a gap")]),
    apart("sink_parked", &[(ALL, "what the receiver refused; it sees the gap")]),
    apart(
        "record",
        &[(ALL, "it is what all others are compared with; the log and the columns are checked by themselves")],
    ),
    apart("record_subtree", &[(ALL, "the log: it is computed anew from the entries")]),
    apart("record_head", &[(ALL, "the log: it is computed anew from the entries")]),
    folded(
        "log_key",
        &["component_id", "environment_id", "origin", "ed25519", "ml_dsa_44"],
        &[("handle", "the signer authenticates it"), ("created", TIME)],
    ),
    apart("log_checkpoint", &[(ALL, "signed: its root is compared with the log's")]),
    apart("log_published", &[(ALL, "signed: its root is compared with the log's")]),
    apart("log_witness", &[(ALL, "how witnesses are asked; what they sign is verified with their keys")]),
];
