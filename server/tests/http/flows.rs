//! Who can approve uses and changes.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    flows::{Flow, Flows},
    key_rules::Rules,
    problem::ProblemCode,
};
use sealcard_policy::rules::ChangeKind;
use sealcard_server::config::ChangeDemandConfig;
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Running, Session},
    keys::{add_key, add_member, add_project},
};

const RULES: &str = r#"
[rule.release]
approval = "release"

[flow.release]
stages       = [{ group = "approvers", count = 2 }, { role = "owner" }]
veto         = ["legal"]
wait         = "10m"
pre-approval = { uses = 50, window = "30d" }
break-glass  = { stages = [{ role = "owner", count = 2 }], window = "30m", uses = 10 }

[flow.second-person]
stages = [{ group = "legal" }]

[changes]
members = "second-person"
keys    = { delay = "24h" }
"#;

async fn start() -> Running {
    let server = Running::with_config(|config| {
        let demand = ChangeDemandConfig { group: Some("approvers".to_owned()), count: 2, delay_hours: 3 };
        config.changes.demands.insert(ChangeKind::Keys, demand);
    })
    .await;
    let admin = server.admin().await;
    for user in ["ann", "ben", "owner", "stranger"] {
        admin.add_user(user).await;
    }
    for (group, members) in [("approvers", ["ben", "ann"].as_slice()), ("legal", &[])] {
        let _: Value = admin.post("/v1/groups", json!({"name": group})).await.json(StatusCode::CREATED);
        for member in members {
            admin.bare(Method::PUT, &format!("/v1/groups/{group}/members/{member}")).await.done();
        }
    }
    let project = add_project(&admin, "tools").await;
    add_member(&admin, "tools", "owner", "owner").await;
    add_key(&server, project, "tags", [0xA5; 20]).await;
    drop(admin);
    server
}

async fn flows(session: &Session<'_>, path: &str) -> Flows {
    session.get(path).await.json(StatusCode::OK)
}

const OF_KEY: &str = "/v1/keys/tools%2Ftags/flows";
const OF_PROJECT: &str = "/v1/projects/tools/flows";

/// Stages as people read them.
fn stages(flow: &Flow) -> Vec<String> {
    let one = |stage: &sealcard_api::flows::FlowStage| {
        let few = if stage.too_few { " (too few)" } else { "" };
        format!("{} {}: {}{few}", stage.count, stage.by, stage.people.join(" "))
    };
    flow.stages.iter().map(one).collect()
}

#[tokio::test]
async fn flows_name_who_can_approve_now() {
    let server = start().await;
    let owner = server.login("owner", PASSWORD).await;
    assert_eq!(flows(&owner, OF_KEY).await, Flows { place: "tools/tags".to_owned(), flows: Vec::new() });
    // With the demand on members, taking Ben out of the group would need approval itself.
    let rules = json!({"text": RULES.replace("members = \"second-person\"\n", ""), "base": 0});
    let _: Rules = owner.send(Method::PUT, "/v1/projects/tools/rules", rules).await.json(StatusCode::OK);

    let found = flows(&owner, OF_KEY).await.flows;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].asked_by, "the rule release of project tools");
    assert_eq!(stages(&found[0]), ["2 members of approvers: ann ben", "1 people with the role owner: owner"]);
    assert_eq!((found[0].veto.as_slice(), found[0].delay_seconds), (["legal".to_owned()].as_slice(), None));
    let uses = found[0].uses.as_ref().unwrap();
    assert_eq!((uses.wait_seconds, uses.pre_approval_uses, uses.pre_approval_seconds), (600, 50, 30 * 24 * 3600));
    assert!(!uses.pre_approval_unlimited);
    let short = uses.break_glass.as_ref().unwrap();
    assert_eq!((short.uses, short.seconds, short.stages[0].too_few), (10, 1800, true));

    // A group without enough people lets nothing pass.
    let admin = server.admin().await;
    admin.bare(Method::DELETE, "/v1/groups/approvers/members/ben").await.done();
    let found = flows(&owner, OF_KEY).await.flows;
    assert_eq!(stages(&found[0])[0], "2 members of approvers: ann (too few)");
}

#[tokio::test]
async fn flows_of_a_project_are_those_of_its_changes() {
    let server = start().await;
    let owner = server.login("owner", PASSWORD).await;
    let rules = json!({"text": RULES, "base": 0});
    let _: Rules = owner.send(Method::PUT, "/v1/projects/tools/rules", rules).await.json(StatusCode::OK);
    let found = flows(&owner, OF_PROJECT).await;
    let seen: Vec<_> =
        found.flows.iter().map(|flow| (flow.asked_by.as_str(), stages(flow), flow.delay_seconds)).collect();
    assert_eq!(
        seen,
        [
            ("changes of members of the project tools", vec!["1 members of legal:  (too few)".to_owned()], None),
            ("changes of keys of the project tools", vec![], Some(24 * 3600)),
            ("changes of keys on this server", vec!["2 members of approvers: ann ben".to_owned()], Some(3 * 3600)),
        ]
    );
    let stranger = server.login("stranger", PASSWORD).await;
    for path in [OF_KEY, OF_PROJECT] {
        stranger.get(path).await.problem(ProblemCode::NotFound);
    }
}
