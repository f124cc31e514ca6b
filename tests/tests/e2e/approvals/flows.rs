//! Some of a group, and groups that only reject.

use anyhow::{Result, ensure};
use sealcard_tests::run;

use super::{DEADLINE, Office, SUE, approve, fails, last, requests, state, succeeds, wait_for_one, wait_for_state};
use crate::rules::tools::Tool;

const TWO_OF_THREE: &str = "[rule.release]\napproval = [{ group = \"approvers\", count = 2 }]\n";

const VETO: &str = "[rule.release]\napproval = \"release\"\n\n[flow.release]\n\
    stages = [{ group = \"approvers\", count = 2 }]\nveto   = [\"security\"]\n";

#[test]
fn two_of_three_are_enough_whoever_they_are() -> Result<()> {
    let office = Office::open()?;
    office.playground.admin.admin(&["group", "add-member", "approvers", SUE])?;
    office.rules(TWO_OF_THREE)?;
    let tools = office.tools()?;
    let people = [&office.ann, &office.ben, &office.sue];
    for (tool, [first, second, third]) in
        [(Tool::GitTag, [0, 1, 2]), (Tool::Rpmsign, [1, 2, 0]), (Tool::Debsign, [2, 0, 1])]
    {
        let mut waiting = office.start(&tools, tool)?;
        let id = wait_for_one(people[first])?;
        approve(people[first], &id)?;
        let shown = people[third].run_sealcard(&["requests", "show", &id])?.text();
        ensure!(shown.contains("2 of the group approvers; approved by"), "{shown}");
        ensure!(waiting.ended()?.is_none(), "one was enough: {}", waiting.log());
        approve(people[second], &id)?;
        succeeds(&mut waiting)?;
        tools.expect_signed(tool)?;
        let late = run(&mut people[third].sealcard(&["approve", &id, "--yes"]), DEADLINE)?.failure()?;
        ensure!(late.stderr.contains("nothing can be decided about"), "{}", late.description());
    }
    // Each can reject, also after another one has approved.
    let mut waiting = office.start(&tools, Tool::Gpg)?;
    let id = wait_for_one(&office.ann)?;
    approve(&office.ann, &id)?;
    office.ben.run_sealcard(&["reject", &id, "--reason", "not today"])?;
    fails(&mut waiting)?;
    ensure!(state(&office.sue, &id)? == "rejected");
    office.playground.admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn veto_group_rejects_and_does_not_approve() -> Result<()> {
    let office = Office::open()?;
    office.rules(VETO)?;
    let tools = office.tools()?;
    let mut waiting = office.start(&tools, Tool::GitTag)?;
    let id = wait_for_one(&office.ann)?;
    ensure!(requests(&office.sue, &["--mine"])?.is_empty(), "she can't approve it");
    let shown = office.sue.run_sealcard(&["requests", "show", &id])?.text();
    ensure!(shown.contains("members of security can reject it too"), "{shown}");
    let refused = run(&mut office.sue.sealcard(&["approve", &id, "--yes"]), DEADLINE)?.failure()?;
    ensure!(refused.stderr.contains("Only members of approvers can approve"), "{}", refused.description());
    approve(&office.ann, &id)?;
    office.sue.run_sealcard(&["reject", &id, "--reason", "a lawyer looks at it first"])?;
    fails(&mut waiting)?;
    let story = last(&office)?;
    ensure!(story.contains("sue rejected it: a lawyer looks at it first"), "{story}");
    wait_for_state(&office.ben, &id, "rejected")?;
    let refused = run(&mut office.ben.sealcard(&["approve", &id, "--yes"]), DEADLINE)?.failure()?;
    ensure!(refused.stderr.contains("it is rejected"), "{}", refused.description());
    // A rejection is about one request.
    let mut waiting = office.start(&tools, Tool::GitTag)?;
    let id = wait_for_one(&office.ann)?;
    approve(&office.ann, &id)?;
    approve(&office.ben, &id)?;
    succeeds(&mut waiting)?;
    tools.expect_signed(Tool::GitTag)
}
