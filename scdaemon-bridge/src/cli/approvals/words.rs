//! Approvals in words. What others wrote is not cleaned here: tables and facts do that.

use sealcard_api::{
    Timestamp,
    approvals::{Approval, ApprovalKind, ApprovalStage, ApprovalState, AskedUse, PrincipalName, Terms, Verdict},
    context::Process,
    decisions::UseKind,
    roles::PrincipalKind,
};

use crate::{cli::when, waiting::short_id};

/// What is said of everything that a workstation says of itself.
const CLAIMED: &str = "(claimed by the workstation)";

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
        (None, Some(terms)) => terms_text(terms),
        (None, None) => approval.change.join("; "),
    }
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
    let is_gpg = |process: &&Process| {
        let name = process.path.as_deref().and_then(|path| path.rsplit('/').next());
        !matches!(name, Some("gpg" | "gpg2" | "gpgsm"))
    };
    let shells = |process: &&Process| {
        let name = process.path.as_deref().and_then(|path| path.rsplit('/').next());
        !matches!(name, Some("bash" | "sh" | "dash" | "zsh" | "fish"))
    };
    let known = processes.iter().find(|process| is_gpg(process) && shells(process));
    let process = known.or_else(|| processes.first())?;
    process.command.as_deref().or(process.path.as_deref())
}

fn terms_text(terms: &Terms) -> String {
    let mut parts = vec![match terms.uses {
        Some(1) => "1 use".to_owned(),
        Some(uses) => format!("{uses} uses"),
        None => "any number of uses".to_owned(),
    }];
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
        state => state.name().to_owned(),
    }
}

fn missing(stage: &ApprovalStage) -> Option<String> {
    let given = u32::try_from(stage.approved.len()).unwrap_or(u32::MAX);
    let missing = stage.count.checked_sub(given).filter(|missing| *missing > 0)?;
    Some(format!("{missing} of {}", stage.by))
}

/// How long it can be decided or used, or is waited for.
pub(super) fn left(approval: &Approval, now: Timestamp) -> String {
    if !approval.state.is_open() {
        return "-".to_owned();
    }
    let waits = approval.deadline.filter(|deadline| *deadline > now);
    when::span(waits.unwrap_or(approval.expires).unix().saturating_sub(now.unix()))
}

/// Everything that is known, in rows.
pub(super) fn rows(approval: &Approval, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("id", format!("{} ({})", short_id(approval.id), approval.id)),
        ("for", kind(approval.kind).to_owned()),
        ("state", approval.state.name().to_owned()),
        ("requester", who(approval)),
        ("asked", when::with_distance(approval.created)),
    ];
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
    rows.extend(approval.asked.iter().flat_map(|asked| asked_rows(asked, approval.reason.as_deref())));
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
    if approval.state == ApprovalState::Pending {
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

fn asked_rows(asked: &AskedUse, reason: Option<&str>) -> Vec<(&'static str, String)> {
    let login = asked.login.map_or_else(String::new, |login| format!(", {}", when::with_distance(login)));
    let mut rows = vec![("logged in by", format!("{}{login}", asked.login_method))];
    rows.extend(asked.address.map(|address| ("address", address.to_string())));
    rows.extend(asked.claims.host.as_ref().map(|host| ("host", format!("{host} {CLAIMED}"))));
    for (number, process) in asked.claims.processes.iter().enumerate() {
        let name = if number == 0 { "tool" } else { "started by" };
        let command = process.command.as_deref().unwrap_or("?");
        rows.push((name, format!("{command} {CLAIMED}")));
        rows.extend(process.path.as_ref().map(|path| ("", path.clone())));
        rows.extend(process.sha256.as_ref().map(|sha256| ("", format!("SHA-256 {sha256}"))));
    }
    let other_reason = asked.claims.justification.as_ref().filter(|text| Some(text.as_str()) != reason);
    rows.extend(other_reason.map(|text| ("justification", format!("{text} {CLAIMED}"))));
    rows.extend(asked.ssh_user.as_ref().map(|user| ("ssh login as", user.clone())));
    rows.extend(asked.ssh_namespace.as_ref().map(|namespace| ("ssh namespace", namespace.clone())));
    rows.extend(asked.hash.map(|hash| ("hash", hash.name().to_owned())));
    rows.extend(asked.digest.as_ref().map(|digest| ("digest", digest.clone())));
    rows
}

fn stage_text(number: usize, stage: &ApprovalStage) -> String {
    let mut text = format!("{number}. {} of {}", stage.count, stage.by);
    if !stage.approved.is_empty() {
        text.push_str(&format!("; approved by {}", stage.approved.join(", ")));
    }
    if !stage.waits_for.is_empty() {
        text.push_str(&format!("; waits for {}", stage.waits_for.join(", ")));
    }
    text
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
    fn details_mark_what_is_claimed_and_hide_nothing() {
        let approval = approval();
        let rows = rows(&approval, Timestamp::from_unix(1_800_000_090));
        let text: String = rows.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        for expected in [
            "requester: alice",
            "key: tools/tags",
            "logged in by: password, 2027-",
            "address: 192.0.2.7",
            "host: build1\u{202e} (claimed by the workstation)",
            "tool: gpg -bsau X (claimed by the workstation)",
            "started by: git tag -s v1.0\u{1b}[2J (claimed by the workstation)",
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
