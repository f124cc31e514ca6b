//! Approvals in words. What others wrote is not cleaned here: tables and facts do that.

use sealcard_api::{
    Timestamp,
    approvals::{Approval, ApprovalKind, ApprovalStage, ApprovalState, AskedUse, PrincipalName, Terms, Verdict},
    context::Process,
    decisions::UseKind,
    roles::PrincipalKind,
};

use crate::{cli::when, waiting::short_id};

/// How much is shown of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// What a person looks at to decide.
    Short,
    All,
}

/// Who asks.
pub(super) fn who(approval: &Approval) -> String {
    principal(&approval.asked_by)
}

fn principal(principal: &PrincipalName) -> String {
    match principal.kind {
        PrincipalKind::User => principal.name.clone(),
        PrincipalKind::ServiceAccount => format!("{} (service account)", principal.name),
    }
}

/// What the key is to do, or what kind of change it is.
pub(super) fn operation(approval: &Approval) -> String {
    let operation = approval.operation.map_or("", |operation| match operation {
        UseKind::Sign => "sign",
        UseKind::Decrypt => "decrypt",
        UseKind::Authenticate => "log in",
    });
    match approval.kind {
        ApprovalKind::Use => operation.to_owned(),
        ApprovalKind::PreApproval => format!("{operation} (in advance)"),
        ApprovalKind::BreakGlass => format!("{operation} (break-glass)"),
        ApprovalKind::Change => "change".to_owned(),
    }
}

/// What is asked for, in a few words: the program and the machine that claim to ask, the terms, or the change.
pub(super) fn what(approval: &Approval) -> String {
    match (&approval.asked, &approval.terms) {
        (Some(asked), _) => use_of(asked),
        (None, Some(terms)) => terms_left(approval, terms),
        (None, None) => approval.change.join("; "),
    }
}

/// What is asked for, with what the key is to do unless it is to sign, and the kind unless it is a use.
pub(super) fn summary(approval: &Approval) -> String {
    let what = what(approval);
    let kind = match (approval.kind, approval.operation) {
        (ApprovalKind::Use, None | Some(UseKind::Sign)) | (ApprovalKind::Change, _) => return what,
        (ApprovalKind::Use, Some(UseKind::Decrypt)) => "decrypt",
        (ApprovalKind::Use, Some(UseKind::Authenticate)) => "log in",
        (ApprovalKind::PreApproval, _) => "in advance",
        (ApprovalKind::BreakGlass, _) => "break-glass",
    };
    format!("{kind}: {what}")
}

fn use_of(asked: &AskedUse) -> String {
    let mut parts = Vec::new();
    parts.extend(asked.ssh_user.as_ref().map(|user| format!("as {user}")));
    parts.extend(asked.ssh_namespace.as_ref().map(|namespace| format!("ssh namespace {namespace}")));
    parts.extend(tool(&asked.claims.processes).map(str::to_owned));
    let host = asked.claims.host.clone().or_else(|| asked.address.map(|address| address.to_string()));
    parts.extend(host.map(|host| format!("from {host}")));
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
}

/// The command that a person knows: not gpg, if something else started it.
fn tool(processes: &[Process]) -> Option<&str> {
    let is_gpg = |process: &Process| matches!(program(process), Some("gpg" | "gpg2" | "gpgsm"));
    let known = processes.iter().find(|process| !is_gpg(process) && !is_shell(process));
    let process = known.or_else(|| processes.first())?;
    process.command.as_deref().or(process.path.as_deref())
}

fn program(process: &Process) -> Option<&str> {
    process.path.as_deref().and_then(|path| path.rsplit('/').next())
}

fn is_shell(process: &Process) -> bool {
    matches!(program(process), Some("bash" | "sh" | "dash" | "zsh" | "fish"))
}

/// The terms of what is approved, with the uses that are left.
fn terms_left(approval: &Approval, terms: &Terms) -> String {
    match terms.uses {
        Some(uses) if approval.state == ApprovalState::Approved => {
            terms_of(terms, format!("{} of {uses} uses left", uses.saturating_sub(approval.used)))
        }
        _ => terms_text(terms),
    }
}

fn terms_text(terms: &Terms) -> String {
    let uses = match terms.uses {
        Some(1) => "1 use".to_owned(),
        Some(uses) => format!("{uses} uses"),
        None => "any number of uses".to_owned(),
    };
    terms_of(terms, uses)
}

fn terms_of(terms: &Terms, uses: String) -> String {
    let mut parts = vec![uses];
    parts.extend(terms.requester.as_ref().map(|name| format!("by {name}")));
    parts.extend(terms.group.as_ref().map(|name| format!("by members of {name}")));
    parts.extend(terms.not_before.map(|time| format!("not before {time}")));
    if !terms.networks.is_empty() {
        parts.push(format!("from {}", terms.networks.join(" or ")));
    }
    parts.extend(terms.host.as_ref().map(|host| format!("on {host}")));
    parts.extend(terms.tool.as_ref().map(|tool| format!("with {tool}")));
    parts.join(", ")
}

/// What is missing, or how it ended.
pub(super) fn wants(approval: &Approval) -> String {
    match approval.state {
        ApprovalState::Pending => {
            let missing: Vec<String> =
                approval.flows.iter().filter_map(|flow| flow.stages.iter().find_map(missing)).collect();
            let yours = if approval.yours_to_decide { "you: " } else { "" };
            format!("{yours}{}", missing.join(", and "))
        }
        _ => state(approval),
    }
}

/// How it stands, and who took it back.
fn state(approval: &Approval) -> String {
    let state = approval.state.name();
    approval.revoked_by.as_ref().map_or_else(|| state.to_owned(), |name| format!("{state} by {name}"))
}

/// Who rejected it, and why.
fn rejection(approval: &Approval) -> Option<String> {
    let rejection = approval.decisions.iter().find(|decision| decision.verdict == Verdict::Reject)?;
    let why = rejection.comment.as_ref().map_or_else(String::new, |comment| format!(": {comment}"));
    Some(format!("{} rejected it{why}", rejection.approver))
}

fn missing(stage: &ApprovalStage) -> Option<String> {
    let given = u32::try_from(stage.approved.len()).unwrap_or(u32::MAX);
    let missing = stage.count.checked_sub(given).filter(|missing| *missing > 0)?;
    Some(so_many(missing, &stage.by))
}

/// `2 of the group approvers`, `1 person with the role owner`.
fn so_many(count: u32, by: &str) -> String {
    match (by.strip_prefix("the role "), count) {
        (Some(role), 1) => format!("1 person with the role {role}"),
        (Some(role), count) => format!("{count} people with the role {role}"),
        (None, count) => format!("{count} of {by}"),
    }
}

/// How long it can be decided or used, or is waited for.
pub(super) fn left(approval: &Approval, now: Timestamp) -> String {
    if !approval.state.is_open() {
        return "-".to_owned();
    }
    let waits = approval.deadline.filter(|deadline| *deadline > now);
    when::span(waits.unwrap_or(approval.expires).unix().saturating_sub(now.unix()))
}

/// What is known, in rows.
pub(super) fn rows(approval: &Approval, now: Timestamp, detail: Detail) -> Vec<(&'static str, String)> {
    let all = detail == Detail::All;
    let mut rows = match detail {
        Detail::All => vec![
            ("id", format!("{} ({})", short_id(approval.id), approval.id)),
            ("for", kind(approval.kind).to_owned()),
            ("state", state(approval)),
        ],
        Detail::Short => vec![("id", short_id(approval.id))],
    };
    rows.extend([("requester", who(approval)), ("asked", when::with_distance(approval.created))]);
    let mut add = |name: &'static str, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    add("project", approval.project.clone().filter(|_| approval.key.is_none()));
    add("key", approval.key.clone());
    add("operation", approval.operation.map(|_| operation(approval)));
    for line in &approval.change {
        add("change", Some(line.clone()));
    }
    add("reason", approval.reason.clone());
    add("terms", approval.terms.as_ref().map(terms_text));
    let is_limited = approval.terms.is_some();
    add("used", is_limited.then(|| approval.used.to_string()));
    rows.extend(approval.asked.iter().flat_map(|asked| asked_rows(asked, approval.reason.as_deref(), detail)));
    for flow in &approval.flows {
        rows.push(("flow", format!("{}, because of {}", flow.name, flow.rule)));
        rows.extend(flow.stages.iter().enumerate().map(|(number, stage)| ("", stage_text(number + 1, stage))));
        if !flow.veto.is_empty() {
            rows.push(("", format!("members of {} can reject it too", flow.veto.join(", "))));
        }
    }
    for decision in &approval.decisions {
        let did = match decision.verdict {
            Verdict::Approve => "approved",
            Verdict::Reject => "rejected",
        };
        let comment = decision.comment.as_ref().map_or_else(String::new, |comment| format!(": {comment}"));
        let ago = when::ago(decision.at, now);
        rows.push(("decision", format!("{} {did} it for {} ({ago}){comment}", decision.approver, decision.by)));
    }
    if approval.state.is_open() {
        let waits = approval.deadline.filter(|deadline| *deadline > now);
        rows.extend(waits.map(|deadline| ("requester waits until", when::with_distance(deadline))));
        let name = if approval.state == ApprovalState::Pending { "can be decided until" } else { "can be used until" };
        rows.push((name, when::with_distance(approval.expires)));
    }
    if approval.state == ApprovalState::Pending && (all || !approval.yours_to_decide) {
        let yours = match (&approval.not_yours, approval.yours_to_decide) {
            (_, true) => "yes".to_owned(),
            (Some(why), false) => format!("no: {why}"),
            (None, false) => "no".to_owned(),
        };
        rows.push(("yours to decide", yours));
    }
    rows
}

fn kind(kind: ApprovalKind) -> &'static str {
    match kind {
        ApprovalKind::Use => "a use of a key",
        ApprovalKind::PreApproval => "uses of a key in advance",
        ApprovalKind::BreakGlass => "uses of a key in an emergency",
        ApprovalKind::Change => "a change",
    }
}

/// Everything that a workstation says of itself is named a claim.
fn asked_rows(asked: &AskedUse, reason: Option<&str>, detail: Detail) -> Vec<(&'static str, String)> {
    let login = asked.login.map_or_else(String::new, |login| format!(", {}", when::with_distance(login)));
    let mut rows = vec![("logged in by", format!("{}{login}", asked.login_method))];
    rows.extend(asked.address.map(|address| ("address", address.to_string())));
    rows.extend(asked.claims.host.as_ref().map(|host| ("host (claimed)", host.clone())));
    for (number, process) in asked.claims.processes.iter().enumerate() {
        let name = if number == 0 { "tool (claimed)" } else { "started by (claimed)" };
        if detail == Detail::Short && number > 0 && is_shell(process) {
            continue;
        }
        rows.push((name, process.command.clone().unwrap_or_else(|| "?".to_owned())));
        if detail == Detail::All || process.command.is_none() {
            rows.extend(process.path.as_ref().map(|path| ("", path.clone())));
            rows.extend(process.sha256.as_ref().map(|sha256| ("", format!("SHA-256 {sha256}"))));
        }
    }
    let other_reason = asked.claims.justification.as_ref().filter(|text| Some(text.as_str()) != reason);
    rows.extend(other_reason.map(|text| ("justification (claimed)", text.clone())));
    rows.extend(asked.ssh_user.as_ref().map(|user| ("ssh login as", user.clone())));
    rows.extend(asked.ssh_namespace.as_ref().map(|namespace| ("ssh namespace", namespace.clone())));
    rows.extend(asked.hash.map(|hash| ("hash", hash.name().to_owned())));
    rows.extend(asked.digest.as_ref().map(|digest| ("digest", digest.clone())));
    rows
}

fn stage_text(number: usize, stage: &ApprovalStage) -> String {
    let mut text = format!("{number}. {}", so_many(stage.count, &stage.by));
    if !stage.approved.is_empty() {
        text.push_str(&format!("; approved by {}", stage.approved.join(", ")));
    }
    if !stage.waits_for.is_empty() {
        text.push_str(&format!("; waits for {}", stage.waits_for.join(", ")));
    }
    text
}

/// How it stands, with who rejected it and why.
pub(super) fn standing(approval: &Approval) -> String {
    match (rejection(approval), approval.state) {
        (Some(rejection), _) => format!("{}: {rejection}", short_id(approval.id)),
        (None, ApprovalState::Revoked) => format!("{}: {}.", short_id(approval.id), state(approval)),
        (None, _) => outcome(approval),
    }
}

/// What came of a decision.
pub(super) fn outcome(approval: &Approval) -> String {
    let id = short_id(approval.id);
    match approval.state {
        ApprovalState::Pending => format!("{id}: noted. Still missing: {}.", wants(approval)),
        ApprovalState::Approved | ApprovalState::Spent => format!("{id}: approved."),
        ApprovalState::Rejected => format!("{id}: rejected."),
        state => format!("{id}: {}.", state.name()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use sealcard_api::{
        algorithm::HashAlgorithm,
        approvals::{ApprovalDecision, ApprovalFlow},
        context::UseContext,
        ids::{ApprovalId, KeyId, PrincipalId},
    };

    use super::*;
    use crate::cli::output::clean;

    pub(in crate::cli::approvals) fn approval() -> Approval {
        let process = |path: &str, command: &str| Process {
            path: Some(path.to_owned()),
            sha256: Some("ab".repeat(32)),
            command: Some(command.to_owned()),
        };
        let stage = |by: &str, count, approved: &[&str], waits_for: &[&str]| ApprovalStage {
            by: by.to_owned(),
            count,
            approved: approved.iter().map(|&name| name.to_owned()).collect(),
            waits_for: waits_for.iter().map(|&name| name.to_owned()).collect(),
        };
        Approval {
            id: ApprovalId::new(),
            kind: ApprovalKind::Use,
            state: ApprovalState::Pending,
            version: 3,
            created: Timestamp::from_unix(1_800_000_000),
            expires: Timestamp::from_unix(1_800_003_600),
            deadline: Some(Timestamp::from_unix(1_800_000_300)),
            asked_by: PrincipalName { id: PrincipalId::new(), name: "alice".to_owned(), kind: PrincipalKind::User },
            project: Some("tools".to_owned()),
            key: Some("tools/tags".to_owned()),
            key_id: Some(KeyId::new()),
            operation: Some(UseKind::Sign),
            asked: Some(AskedUse {
                address: Some("192.0.2.7".parse().unwrap()),
                login_method: "password".to_owned(),
                login: Some(Timestamp::from_unix(1_799_990_000)),
                claims: UseContext {
                    host: Some("build1\u{202e}".to_owned()),
                    processes: vec![
                        process("/usr/bin/gpg", "gpg -bsau X"),
                        process("/usr/bin/git", "git tag -s v1.0\u{1b}[2J"),
                        process("/usr/bin/bash", "bash"),
                    ],
                    justification: Some("Release 1.0".to_owned()),
                },
                hash: Some(HashAlgorithm::Sha512),
                digest: Some("0123".to_owned()),
                ssh_user: None,
                ssh_namespace: None,
            }),
            terms: None,
            change: Vec::new(),
            reason: Some("Release 1.0".to_owned()),
            used: 0,
            flows: vec![ApprovalFlow {
                name: "project/tags".to_owned(),
                rule: "the rule tags of project tools".to_owned(),
                stages: vec![
                    stage("the group approvers", 2, &["anna"], &["ben", "carla"]),
                    stage("the group managers", 1, &[], &[]),
                ],
                veto: vec!["security".to_owned()],
            }],
            decisions: vec![ApprovalDecision {
                approver: "anna".to_owned(),
                verdict: Verdict::Approve,
                flow: "project/tags".to_owned(),
                by: "the group approvers".to_owned(),
                at: Timestamp::from_unix(1_800_000_060),
                comment: Some("looks right".to_owned()),
            }],
            yours_to_decide: true,
            revoked_by: None,
            not_yours: None,
        }
    }

    #[test]
    fn row_names_the_tool_that_a_person_knows_and_what_is_missing() {
        let approval = approval();
        let now = Timestamp::from_unix(1_800_000_090);
        assert_eq!(clean(&what(&approval)), "git tag -s v1.0?[2J from build1\\u{202e}");
        assert_eq!(wants(&approval), "you: 1 of the group approvers");
        assert_eq!(left(&approval, now), "3m");
        let late = Timestamp::from_unix(1_800_000_400);
        assert_eq!(left(&approval, late), "53m");
        let over = Approval { state: ApprovalState::Rejected, ..approval };
        assert_eq!((wants(&over).as_str(), left(&over, now).as_str()), ("rejected", "-"));
    }

    #[test]
    fn summary_names_what_is_no_simple_signature() {
        let approval = approval();
        assert_eq!(summary(&approval), what(&approval));
        let login = Approval { operation: Some(UseKind::Authenticate), ..approval.clone() };
        assert!(summary(&login).starts_with("log in: git tag -s"), "{}", summary(&login));
        let terms = Some(Terms { uses: Some(3), ..Terms::default() });
        let advance = Approval { kind: ApprovalKind::PreApproval, asked: None, terms, ..approval };
        assert_eq!(summary(&advance), "in advance: 3 uses");
        let revoked = Approval { state: ApprovalState::Revoked, revoked_by: Some("ben".to_owned()), ..advance.clone() };
        assert_eq!(wants(&revoked), "revoked by ben");
        assert!(standing(&revoked).ends_with(": revoked by ben.") && outcome(&revoked).ends_with(": revoked."));
        assert!(rows(&revoked, Timestamp::from_unix(0), Detail::All).contains(&("state", "revoked by ben".to_owned())));
        let used = Approval { state: ApprovalState::Approved, used: 1, ..advance };
        assert_eq!(summary(&used), "in advance: 2 of 3 uses left");
    }

    #[test]
    fn details_mark_what_is_claimed_and_hide_nothing() {
        let approval = approval();
        let text_of = |detail| -> String {
            let rows = rows(&approval, Timestamp::from_unix(1_800_000_090), detail);
            rows.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
        };
        let text = text_of(Detail::All);
        for expected in [
            "requester: alice",
            "key: tools/tags",
            "logged in by: password, 2027-",
            "address: 192.0.2.7",
            "host (claimed): build1\u{202e}",
            "tool (claimed): gpg -bsau X",
            "started by (claimed): git tag -s v1.0\u{1b}[2J",
            "started by (claimed): bash",
            "SHA-256 abab",
            "reason: Release 1.0",
            "hash: sha512",
            "digest: 0123",
            "flow: project/tags, because of the rule tags of project tools",
            "1. 2 of the group approvers; approved by anna; waits for ben, carla",
            "2. 1 of the group managers",
            "members of security can reject it too",
            "decision: anna approved it for the group approvers (just now): looks right",
            "requester waits until: ",
            "can be decided until: ",
            "yours to decide: yes",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let short = text_of(Detail::Short);
        for expected in ["host (claimed): build1", "started by (claimed): git tag", "digest: 0123", "approved by anna"]
        {
            assert!(short.contains(expected), "{expected}\n{short}");
        }
        assert!(!short.contains("bash") && !short.contains("SHA-256") && !short.contains("yours"), "{short}");
    }

    #[test]
    fn terms_are_told_in_one_line() {
        let terms = Terms {
            group: Some("ci".to_owned()),
            uses: Some(3),
            networks: vec!["10.0.0.0/8".to_owned(), "192.0.2.0/24".to_owned()],
            host: Some("build1".to_owned()),
            tool: Some("/usr/bin/rpmsign".to_owned()),
            ..Terms::default()
        };
        let text = "3 uses, by members of ci, from 10.0.0.0/8 or 192.0.2.0/24, on build1, with /usr/bin/rpmsign";
        assert_eq!(terms_text(&terms), text);
        assert_eq!(terms_text(&Terms::default()), "any number of uses");
    }
}
