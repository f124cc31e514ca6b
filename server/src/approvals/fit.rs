//! Which of what is approved serves a use that is asked for.

use std::{cmp::Reverse, collections::BTreeSet, net::IpAddr};

use sealcard_api::{
    approvals::{ApprovalKind, Terms},
    context::UseContext,
    ids::{ApprovalId, PrincipalId},
};
use sealcard_policy::{
    ApprovalDemand,
    rules::{RuleSet, Stage, network_contains},
};
use sealcard_record::event::DemandedStage;

use super::flow::{Excluded, passed};
use crate::{
    authn::Caller,
    requests::UseRequest,
    storage::{ApprovedUse, Facts, FlowOf, StageOf},
};

/// A use that is asked for, as far as approvals look at it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Who asks.
    pub requester: PrincipalId,
    /// The owner of the service account that asks.
    pub owner: Option<PrincipalId>,
    /// The client's address.
    pub address: IpAddr,
    /// What the workstation claims.
    pub claims: &'a UseContext,
    /// The approval that the request waits for itself.
    pub own: Option<ApprovalId>,
}

/// An approval that may serve, with the demands that it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitting {
    /// The approval.
    pub id: ApprovalId,
    /// What is met, by the names that policy knows ([`ApprovalDemand::name`]).
    pub met: BTreeSet<String>,
    /// The stages that were passed for that.
    pub demanded: Vec<DemandedStage>,
}

impl<'a> Wanted<'a> {
    /// The use that `caller` asks for.
    pub fn new(caller: &Caller, request: &'a UseRequest, facts: &Facts, own: Option<ApprovalId>) -> Self {
        let (requester, owner, address) = (caller.principal, facts.principal.owner, caller.peer.ip());
        Self { requester, owner, address, claims: &request.context, own }
    }
    /// Those whose approval does not count for this use.
    #[must_use]
    pub fn excluded(&self) -> Excluded {
        std::iter::once(self.requester).chain(self.owner).collect()
    }

    /// What serves the use, and in which order it is tried: what the request waits for itself, then the narrowest, then
    /// what expires soonest. Whether it is enough, policy says.
    #[must_use]
    pub fn fitting(
        &self,
        approved: Vec<ApprovedUse>,
        demands: &[&ApprovalDemand],
        rules: Option<&RuleSet>,
    ) -> Vec<Fitting> {
        let mut fitting: Vec<ApprovedUse> = approved.into_iter().filter(|one| self.fits(one)).collect();
        fitting.sort_by_key(|one| {
            let own = self.own == Some(one.row.id);
            (Reverse(own), Reverse(narrowness(one)), one.row.expires, one.row.id)
        });
        let excluded = self.excluded();
        let fit = |one: &ApprovedUse| {
            let mut fit = Fitting { id: one.row.id, met: BTreeSet::new(), demanded: Vec::new() };
            for demand in demands {
                let stages = match one.row.kind {
                    ApprovalKind::BreakGlass => short_way(demand, rules),
                    _ => vec![(*demand).clone()],
                };
                if !stages.is_empty() && stages.iter().all(|stage| meets(one, stage, &excluded)) {
                    fit.met.insert(demand.name());
                    fit.demanded.extend(stages.iter().map(demanded));
                }
            }
            fit
        };
        fitting.iter().map(fit).collect()
    }

    fn fits(&self, one: &ApprovedUse) -> bool {
        let row = &one.row;
        // An approval of one use is for the place that it was asked from; terms bind only where they are given.
        let host = match row.kind {
            ApprovalKind::Use => row.host == self.claims.host,
            _ => row.host.is_none() || row.host == self.claims.host,
        };
        host && row.body.terms.as_ref().is_none_or(|terms| self.is_within(terms))
    }

    fn is_within(&self, terms: &Terms) -> bool {
        let network = terms.networks.is_empty()
            || terms.networks.iter().any(|network| network_contains(network, self.address) == Some(true));
        let tool = terms.tool.as_ref().is_none_or(|tool| {
            self.claims
                .processes
                .iter()
                .any(|process| process.path.as_ref() == Some(tool) || process.sha256.as_ref() == Some(tool))
        });
        network && tool
    }
}

/// How much an approval leaves out: one for a single use above all.
fn narrowness(one: &ApprovedUse) -> (bool, bool, usize, Reverse<u32>) {
    let row = &one.row;
    let terms = row.body.terms.clone().unwrap_or_default();
    let given = [row.host.is_some(), terms.tool.is_some(), !terms.networks.is_empty(), terms.not_before.is_some()];
    let given = given.into_iter().filter(|given| *given).count();
    let left = row.max_uses.map_or(u32::MAX, |uses| uses.saturating_sub(row.used));
    (row.kind == ApprovalKind::Use, row.requester.is_some(), given, Reverse(left))
}

/// The stages of the way for emergencies that the demand's flow has now. Empty if it has none.
fn short_way(demand: &ApprovalDemand, rules: Option<&RuleSet>) -> Vec<ApprovalDemand> {
    let short = rules.and_then(|rules| rules.flow(&demand.flow)).and_then(|of| of.flow.break_glass.as_ref());
    let stages = short.iter().flat_map(|short| &short.stages);
    let demand = |stage: &Stage| ApprovalDemand { flow: demand.flow.clone(), by: stage.by.clone(), count: stage.count };
    stages.map(demand).collect()
}

/// A demand, as the record says it.
fn demanded(demand: &ApprovalDemand) -> DemandedStage {
    DemandedStage { flow: demand.flow.clone(), by: demand.by.id(), count: demand.count }
}

/// Whether the decisions meet the demand as rules make it now.
fn meets(one: &ApprovedUse, demand: &ApprovalDemand, excluded: &Excluded) -> bool {
    let stage = StageOf { by: demand.by.id(), count: demand.count };
    let flow = FlowOf { name: demand.flow.clone(), rule: String::new(), stages: Vec::new(), veto: Vec::new() };
    passed(&flow, &stage, &one.decisions, excluded)
}
