//! Who approved what, and whether that counts: by the members and roles that the entries so far say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use sealcard_api::{
    approvals::{ApprovalKind, Verdict},
    ids::{ApprovalId, PrincipalId, ProjectId},
};

use super::{ApprovalRow, Fold, PrincipalRow, Row, approvals::Asked, compare::clean, rows::RowKey};
use crate::event::{Claims, DemandedStage};

/// Those whose approval does not count.
type Excluded = BTreeSet<PrincipalId>;

impl Fold {
    /// Whether enough people approved each of these stages, and still may. Those in `flipped` belong
    /// where they belonged before the change.
    pub(super) fn meets(
        &self,
        row: &ApprovalRow,
        (demanded, flipped): (&[DemandedStage], &BTreeSet<PrincipalId>),
        excluded: &Excluded,
    ) -> Result<(), String> {
        for DemandedStage { flow, by, count } in demanded {
            let approvers = self.approvers(row, (flow, by), excluded, flipped);
            if approvers < usize::try_from(*count).unwrap_or(usize::MAX) {
                let (flow, by) = (clean(flow), clean(by));
                return Err(format!("the stage {flow}/{by} needs {count} approvals and the record has {approvers}"));
            }
        }
        Ok(())
    }

    pub(super) fn is_complete(&self, row: &ApprovalRow) -> bool {
        let Some(asked) = self.approvals.asked.get(&row.id) else { return false };
        let excluded = self.excluded(decider_of(row));
        let demanded = asked.flows.iter().flat_map(|flow| {
            let name = &flow.name;
            flow.stages.iter().map(move |stage| DemandedStage {
                flow: name.clone(),
                by: stage.by.clone(),
                count: stage.count,
            })
        });
        let demanded: Vec<DemandedStage> = demanded.collect();
        self.meets(row, (&demanded, const { &BTreeSet::new() }), &excluded).is_ok()
    }

    /// How many people approved a stage, and still may.
    pub(super) fn approvers(
        &self,
        row: &ApprovalRow,
        (flow, by): (&str, &str),
        excluded: &Excluded,
        flipped: &BTreeSet<PrincipalId>,
    ) -> usize {
        let decisions = self.children(row.id.0).into_iter().filter_map(|key| match self.rows.get(&key) {
            Some(Row::ApprovalDecision(decision)) => Some(decision),
            _ => None,
        });
        let counts = decisions.filter(|decision| {
            let approver = decision.approver_id;
            decision.verdict == Verdict::Approve
                && decision.flow == flow
                && decision.stage == by
                && !excluded.contains(&approver)
                && self.belongs_to(approver, by, row.project_id) != flipped.contains(&approver)
        });
        counts.count()
    }

    /// Whether somebody is enabled and in the group of this name or, after `role:`, has this role in the project.
    pub(super) fn belongs_to(&self, principal: PrincipalId, by: &str, project: Option<ProjectId>) -> bool {
        let Some(row) = self.account(principal) else { return false };
        if row.disabled || row.removed {
            return false;
        }
        let role = by.strip_prefix("role:");
        self.children(principal.0).into_iter().any(|key| match self.rows.get(&key) {
            Some(Row::GroupMember(member)) => {
                let group = self.rows.get(&RowKey::Group(member.group_id));
                let is_named = matches!(group, Some(Row::PrincipalGroup(group)) if group.name == by);
                let in_project = || {
                    let mut keys = self.children(member.group_id.0).into_iter();
                    keys.any(|key| match self.rows.get(&key) {
                        Some(Row::ProjectGroup(of)) => Some(of.project_id) == project && Some(of.role.name()) == role,
                        _ => false,
                    })
                };
                is_named || (role.is_some() && in_project())
            }
            Some(Row::ProjectPrincipal(of)) => Some(of.project_id) == project && Some(of.role.name()) == role,
            _ => false,
        })
    }

    /// A requester and the owner of the service account that asks.
    pub(super) fn excluded(&self, requester: Option<PrincipalId>) -> Excluded {
        let owner = requester.and_then(|id| self.account(id)?.owner_id);
        requester.into_iter().chain(owner).collect()
    }

    /// The stages that a decision names as `flow/stage`: each as its flow and who may decide.
    pub(super) fn stages_named(&self, id: ApprovalId, names: &[String]) -> Vec<(String, String)> {
        let Some(asked) = self.approvals.asked.get(&id) else { return Vec::new() };
        let all = asked.flows.iter().flat_map(|flow| {
            let by = flow.stages.iter().map(|stage| &stage.by).chain(&flow.veto);
            by.map(move |by| (flow.name.clone(), by.clone()))
        });
        let all: BTreeMap<String, (String, String)> =
            all.map(|(flow, by)| (format!("{flow}/{by}"), (flow, by))).collect();
        names.iter().filter_map(|name| all.get(name).cloned()).collect()
    }

    pub(super) fn account(&self, id: PrincipalId) -> Option<&PrincipalRow> {
        match self.rows.get(&RowKey::Principal(id)) {
            Some(Row::Principal(row)) => Some(row),
            _ => None,
        }
    }
}

/// The principal for whom something is decided: those who make a change, or who use a key.
pub(super) const fn decider_of(row: &ApprovalRow) -> Option<PrincipalId> {
    match row.kind {
        ApprovalKind::Change => Some(row.asked_by),
        _ => row.requester_id,
    }
}

/// Whether a use comes from where the approval is for.
pub(super) fn is_within(
    (row, asked): (&ApprovalRow, &Asked),
    peer: Option<IpAddr>,
    claims: Option<&Claims>,
) -> Result<(), String> {
    let claimed = claims.and_then(|claims| claims.host.as_ref());
    if (row.kind == ApprovalKind::Use || row.host.is_some()) && row.host.as_ref() != claimed {
        return Err("it is for another host".to_owned());
    }
    let network = asked.networks.is_empty()
        || peer.is_some_and(|peer| asked.networks.iter().any(|network| is_in_network(network, peer)));
    if !network {
        return Err("it is for other networks".to_owned());
    }
    let tool = asked.tool.as_ref().is_none_or(|tool| {
        claims.is_some_and(|claims| {
            let is = |text: &Option<String>| text.as_ref().is_some_and(|text| text == tool || is_cut(text, tool));
            claims.processes.iter().any(|process| is(&process.path) || is(&process.sha256))
        })
    });
    if tool { Ok(()) } else { Err("it is for another tool".to_owned()) }
}

/// Whether a text in an entry is the beginning of this one, because the entry had no room for all.
fn is_cut(recorded: &str, whole: &str) -> bool {
    recorded.strip_suffix('…').is_some_and(|kept| whole.starts_with(kept))
}

/// As policy compares it: an IPv4-mapped network is one of IPv4.
fn is_in_network(network: &str, address: IpAddr) -> bool {
    const MAPPED_BITS: u8 = 96;
    let network = network.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(network.parse::<IpAddr>().ok()?)));
    let network = network.and_then(|network| match network {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(MAPPED_BITS)) {
            (Some(v4), Some(bits)) => IpNet::new(v4.into(), bits).ok(),
            _ => Some(network),
        },
        IpNet::V4(_) => Some(network),
    });
    network.is_some_and(|network| network.contains(&address.to_canonical()))
}
