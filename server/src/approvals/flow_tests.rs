//! Flows against a model that knows people, groups and the order of events, and nothing of decisions in rows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use sealcard_api::{Timestamp, approvals::Verdict, ids::PrincipalId};
use uuid::Uuid;

use super::*;

const GROUPS: [&str; 4] = ["a", "b", "c", "role:owner"];

fn person(number: u8) -> PrincipalId {
    PrincipalId(Uuid::from_u128(u128::from(number) + 1))
}

/// What happens to an approval.
#[derive(Debug, Clone)]
enum Step {
    Approve(u8),
    /// Somebody joins or leaves a group.
    Toggle(u8, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_u8..6).prop_map(Step::Approve),
        1 => (0_u8..6, 0_usize..4).prop_map(|(person, group)| Step::Toggle(person, group)),
    ];
    vec(step, 0..60)
}

fn flows() -> impl Strategy<Value = Vec<FlowOf>> {
    let stages = proptest::sample::subsequence(vec![0_usize, 1, 2, 3], 1..=3).prop_shuffle();
    let flow = (stages, vec(1_u32..3, 3)).prop_map(|(groups, counts)| {
        groups
            .into_iter()
            .zip(counts)
            .map(|(group, count)| StageOf { by: GROUPS.get(group).copied().unwrap_or("a").to_owned(), count })
            .collect::<Vec<_>>()
    });
    vec(flow, 1..3).prop_map(|all| {
        let named = all.into_iter().enumerate();
        named
            .map(|(number, stages)| FlowOf {
                name: format!("project/{number}"),
                rule: String::new(),
                stages,
                veto: Vec::new(),
            })
            .collect()
    })
}

/// The model: who has approved which stage of which flow. A person stands once in a flow, at the stage whose turn it was.
#[derive(Default)]
struct Model {
    members: BTreeMap<&'static str, BTreeSet<u8>>,
    approved: BTreeMap<(usize, u8), usize>,
}

impl Model {
    fn counts(&self, flows: &[FlowOf], (flow, stage): (usize, usize), requester: u8) -> usize {
        let by = flows.get(flow).and_then(|one| one.stages.get(stage)).map_or("", |one| one.by.as_str());
        let members = self.members.get(by);
        let at = self.approved.iter().filter(|((in_flow, _), at)| *in_flow == flow && **at == stage);
        at.filter(|((_, who), _)| *who != requester && members.is_some_and(|members| members.contains(who))).count()
    }

    fn turn(&self, flows: &[FlowOf], flow: usize, requester: u8) -> Option<usize> {
        let stages = &flows.get(flow)?.stages;
        stages.iter().enumerate().find_map(|(at, stage)| {
            let enough = self.counts(flows, (flow, at), requester) >= stage.count as usize;
            (!enough).then_some(at)
        })
    }
}

fn rows(model: &Model, flows: &[FlowOf]) -> Vec<DecisionRow> {
    let rows = model.approved.iter().filter_map(|((flow, who), stage)| {
        let of = flows.get(*flow)?;
        let by = of.stages.get(*stage)?.by.clone();
        let stands = model.members.get(by.as_str()).is_some_and(|members| members.contains(who));
        Some(DecisionRow {
            flow: of.name.clone(),
            stage: by,
            approver: person(*who),
            name: who.to_string(),
            verdict: Verdict::Approve,
            at: Timestamp::from_unix(0),
            comment: None,
            stands,
        })
    });
    rows.collect()
}

proptest! {
    #[test]
    fn flows_follow_the_model(flows in flows(), steps in steps(), requester in 0_u8..6) {
        let excluded = Excluded::from([person(requester)]);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Toggle(who, group) => {
                    let members = model.members.entry(GROUPS.get(group).copied().unwrap_or("a")).or_default();
                    if !members.remove(&who) {
                        members.insert(who);
                    }
                }
                Step::Approve(who) if who != requester => {
                    let member_of: BTreeSet<String> = model.members.iter()
                        .filter(|(_, members)| members.contains(&who)).map(|(name, _)| (*name).to_owned()).collect();
                    let decisions = rows(&model, &flows);
                    let stages = approvable(&flows, &decisions, &excluded, (person(who), &member_of));
                    for (number, flow) in flows.iter().enumerate() {
                        let turn = model.turn(&flows, number, requester);
                        prop_assert_eq!(
                            current(flow, &decisions, &excluded).map(|stage| &stage.by),
                            turn.and_then(|turn| flow.stages.get(turn)).map(|stage| &stage.by)
                        );
                        let stands = model.approved.get(&(number, who)).is_some_and(|at| {
                            flow.stages.get(*at).is_some_and(|stage| member_of.contains(&stage.by))
                        });
                        let may = turn.is_some_and(|turn| {
                            flow.stages.get(turn).is_some_and(|stage| member_of.contains(&stage.by))
                        });
                        let offered = stages.iter().any(|(one, _)| one.name == flow.name);
                        prop_assert_eq!(offered, may && !stands);
                        if let (true, Some(turn)) = (offered, turn) {
                            model.approved.insert((number, who), turn);
                        }
                    }
                }
                Step::Approve(_) => {}
            }
            let decisions = rows(&model, &flows);
            let done = (0..flows.len()).all(|flow| model.turn(&flows, flow, requester).is_none());
            prop_assert_eq!(complete(&flows, &decisions, &excluded), done);
            if done {
                let needed: u32 = flows.iter().map(|flow| flow.stages.iter().map(|stage| stage.count).sum::<u32>()).max()
                    .unwrap_or_default();
                let people: BTreeSet<u8> = model.approved.keys().map(|(_, who)| *who).collect();
                prop_assert!(people.len() >= needed as usize && !people.contains(&requester), "{people:?}");
                let all: BTreeSet<String> = flows.iter()
                    .flat_map(|flow| flow.stages.iter().map(|stage| format!("{}/{}", flow.name, stage.by))).collect();
                prop_assert_eq!(met(&flows, &decisions, &excluded), all);
            }
        }
    }

    #[test]
    fn rejecting_takes_a_member_of_any_stage_or_of_a_veto(flows in flows(), member in 0_usize..5) {
        let flows: Vec<FlowOf> =
            flows.into_iter().map(|flow| FlowOf { veto: vec!["auditors".to_owned()], ..flow }).collect();
        let group = GROUPS.get(member).copied().unwrap_or("auditors");
        let member_of = BTreeSet::from([group.to_owned()]);
        let may: Vec<&str> = rejectable(&flows, &member_of).into_iter().map(|(flow, _)| flow.name.as_str()).collect();
        let expected: Vec<&str> = flows.iter()
            .filter(|flow| group == "auditors" || flow.stages.iter().any(|stage| stage.by == group))
            .map(|flow| flow.name.as_str()).collect();
        prop_assert_eq!(may, expected);
    }
}
