//! Rules for the uses of keys, and templates.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    admin::Page,
    key_rules::{Rules, RulesChecked, RulesKind, RulesSummary, RulesVersion, Template, TemplateVersion},
    problem::{Problem, ProblemCode},
};
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Running, Session},
    keys::{add_key, add_member, add_project},
};

const ONE: &str = "[rule.hashes]\nhashes = [\"sha256\"]\n";
const OTHER: &str = "[rule.hashes]\nhashes = [\"sha512\"]\n";
const PROJECT: &str = "/v1/projects/tools/rules";
const KEY: &str = "/v1/keys/tools%2Ftags/rules";
const ENVIRONMENT: &str = "/v1/environments/default/rules";

/// A server with the project `tools`, its key `tags`, an owner, a key user, an approver, an auditor and a stranger.
async fn start() -> Running {
    let server = Running::start().await;
    let admin = server.admin().await;
    for user in ["owner", "keyuser", "approver", "auditor", "stranger"] {
        admin.add_user(user).await;
    }
    let project = add_project(&admin, "tools").await;
    for (user, role) in [("owner", "owner"), ("keyuser", "key-user"), ("approver", "approver"), ("auditor", "auditor")]
    {
        add_member(&admin, "tools", user, role).await;
    }
    add_key(&server, project, "tags", [0xA5; 20]).await;
    add_group(&admin, "makers").await;
    drop(admin);
    server
}

async fn add_group(admin: &Session<'_>, name: &str) {
    let _: Value = admin.post("/v1/groups", json!({"name": name})).await.json(StatusCode::CREATED);
}

async fn apply(session: &Session<'_>, path: &str, text: &str, base: u64) -> Rules {
    session.send(Method::PUT, path, json!({"text": text, "base": base})).await.json(StatusCode::OK)
}

async fn refused(session: &Session<'_>, path: &str, text: &str, base: u64, code: ProblemCode) -> Problem {
    session.send(Method::PUT, path, json!({"text": text, "base": base})).await.problem(code)
}

async fn add_templates(admin: &Session<'_>, text: &str) {
    admin.post("/v1/templates", json!({"text": text})).await.done();
}

async fn events(server: &Running) -> Vec<Value> {
    let about = |entry: &Value| {
        let event = entry["event"].as_str().unwrap();
        event.starts_with("rules-") || event.starts_with("template-")
    };
    server.record().await.into_iter().filter(about).collect()
}

#[tokio::test]
async fn rules_are_applied_reverted_and_removed_in_versions() {
    let server = start().await;
    let owner = server.login("owner", PASSWORD).await;
    let none: Rules = owner.get(PROJECT).await.json(StatusCode::OK);
    assert_eq!((none.version, none.text.as_str(), none.written), (0, "", None));
    let body = json!({"text": ONE, "base": 0, "note": "ticket 12"});
    let first: Rules = owner.send(Method::PUT, PROJECT, body).await.json(StatusCode::OK);
    assert_eq!((first.version, first.text.as_str()), (1, ONE));
    assert_eq!((first.place.kind, first.place.name.as_str()), (RulesKind::Project, "tools"));
    let written = first.written.unwrap();
    assert_eq!((written.by.as_str(), written.note.as_deref()), ("owner", Some("ticket 12")));

    // What is so already is no new version, and what is based on another version is refused.
    assert_eq!(apply(&owner, PROJECT, ONE, 1).await.version, 1);
    let conflict = refused(&owner, PROJECT, OTHER, 0, ProblemCode::Conflict).await.detail.unwrap();
    assert!(conflict.contains("version 1 is in force, by owner"), "{conflict}");
    assert!(conflict.contains("sealcard admin policy history tools --diff 1"), "{conflict}");
    assert_eq!(apply(&owner, PROJECT, OTHER, 1).await.version, 2);

    let revert = format!("{PROJECT}/revert");
    let reverted: Rules = owner.post(&revert, json!({"version": 1, "base": 2})).await.json(StatusCode::OK);
    assert_eq!((reverted.version, reverted.text.as_str()), (3, ONE));
    owner.post(&revert, json!({"version": 9, "base": 3})).await.problem(ProblemCode::NotFound);
    let removed = apply(&owner, PROJECT, " \n", 3).await;
    assert_eq!((removed.version, removed.text.as_str()), (4, ""));
    // A key's rules have versions of their own.
    assert_eq!(apply(&owner, KEY, ONE, 0).await.version, 1);

    let versions = format!("{PROJECT}/versions?limit=3");
    let page: Page<RulesVersion> = owner.get(&versions).await.json(StatusCode::OK);
    let texts: Vec<_> = page.items.iter().map(|version| (version.version, version.text.as_str())).collect();
    assert_eq!(texts, [(4, ""), (3, ONE), (2, OTHER)]);
    let rest = format!("{versions}&after={}", page.next.unwrap());
    let rest: Page<RulesVersion> = owner.get(&rest).await.json(StatusCode::OK);
    assert_eq!((rest.items.len(), rest.items[0].version, rest.next), (1, 1, None));

    let told: Vec<_> = events(&server)
        .await
        .iter()
        .map(|entry| {
            let number = |name: &str| entry[name].as_u64();
            (entry["event"].as_str().unwrap().to_owned(), number("version"), number("before"), number("reverted_to"))
        })
        .collect();
    let expected = [
        ("rules-applied", Some(1), None, None),
        ("rules-applied", Some(2), Some(1), None),
        ("rules-reverted", Some(3), Some(2), Some(1)),
        ("rules-removed", Some(4), Some(3), None),
        ("rules-applied", Some(1), None, None),
    ];
    assert_eq!(told, expected.map(|(event, version, before, to)| (event.to_owned(), version, before, to)));
    let record = events(&server).await;
    assert_eq!((&record[0]["project"]["name"], &record[0]["note"]), (&json!("tools"), &json!("ticket 12")));
    assert_eq!(record[4]["key"]["name"], "tags");
    assert_eq!(record[0]["sha256"], record[2]["sha256"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_several_changes_on_the_same_base_is_applied() {
    let server = start().await;
    let owner = server.login("owner", PASSWORD).await;
    let change = |number: usize| {
        let text = format!("# {number}\n{ONE}");
        let owner = &owner;
        async move { owner.send(Method::PUT, PROJECT, json!({"text": text, "base": 0})).await }
    };
    let (a, b, c, d) = tokio::join!(change(1), change(2), change(3), change(4));
    let applied = [a, b, c, d].into_iter().filter(|answer| {
        let applied = answer.status == StatusCode::OK;
        assert!(applied || answer.problem(ProblemCode::Conflict).detail.is_some());
        applied
    });
    assert_eq!(applied.count(), 1);
    let page: Page<RulesVersion> = owner.get(&format!("{PROJECT}/versions")).await.json(StatusCode::OK);
    assert_eq!(page.items.len(), 1);
}

#[tokio::test]
async fn mistakes_are_named_with_their_places_and_change_nothing() {
    let server = start().await;
    let owner = server.login("owner", PASSWORD).await;
    let unknown = "[rule.a]\nwho = { groups = [\"makers\", \"nobody\"] }\n";
    let problem = refused(&owner, PROJECT, unknown, 0, ProblemCode::RulesInvalid).await;
    let [found] = problem.diagnostics.as_slice() else { panic!("{:?}", problem.diagnostics) };
    assert_eq!((found.line, found.column, found.end_column), (2, 29, 37));
    assert!(found.message.contains("no group nobody"), "{found:?}");
    assert!(problem.detail.unwrap().starts_with("Line 2, column 29: "));
    let wrong = "[rule.a]\nhashes = [\"sha257\"]\n[rule.b]\ntemplate = \"missing\"\n";
    let problem = refused(&owner, PROJECT, wrong, 0, ProblemCode::RulesInvalid).await;
    assert!(problem.diagnostics.iter().any(|found| found.line == 2), "{:?}", problem.diagnostics);
    let linked = "[rule.b]\ntemplate = \"missing\"\n";
    let problem = refused(&owner, PROJECT, linked, 0, ProblemCode::RulesInvalid).await;
    assert!(problem.diagnostics.iter().any(|found| found.message.contains("missing")), "{:?}", problem.diagnostics);
    let long = format!("{ONE}# {}\n", "ä".repeat(40_000));
    let problem = refused(&owner, PROJECT, &long, 0, ProblemCode::RulesInvalid).await;
    assert!(problem.diagnostics[0].message.contains("65536"), "{:?}", problem.diagnostics);

    let check = |kind: &str, name: &str, text: &str| {
        let body = json!({"kind": kind, "name": name, "text": text});
        let owner = &owner;
        async move { owner.post("/v1/rules/check", body).await.json::<RulesChecked>(StatusCode::OK) }
    };
    let checked = check("project", "tools", unknown).await;
    assert_eq!((checked.diagnostics.len(), checked.cedar.as_str()), (1, ""));
    let checked = check("key", "tools/tags", ONE).await;
    assert_eq!(checked.diagnostics, []);
    assert!(checked.cedar.contains("forbid"), "{}", checked.cedar);
    let rules: Rules = owner.get(PROJECT).await.json(StatusCode::OK);
    assert_eq!(rules.version, 0);
    assert_eq!(events(&server).await, Vec::<Value>::new());
}

#[tokio::test]
async fn members_read_rules_and_owners_change_them() {
    let server = start().await;
    let admin = server.admin().await;
    apply(&admin, PROJECT, ONE, 0).await;
    apply(&admin, KEY, OTHER, 0).await;
    apply(&admin, ENVIRONMENT, ONE, 0).await;
    let mut sessions = Vec::new();
    for user in ["keyuser", "approver", "auditor"] {
        sessions.push(server.login(user, PASSWORD).await);
    }
    for (session, history) in sessions.iter().zip([false, false, true]) {
        for path in [PROJECT, KEY] {
            let _: Rules = session.get(path).await.json(StatusCode::OK);
            refused(session, path, OTHER, 1, ProblemCode::Forbidden).await;
            let revert = json!({"version": 1, "base": 1});
            session.post(&format!("{path}/revert"), revert).await.problem(ProblemCode::Forbidden);
            let versions = session.get(&format!("{path}/versions")).await;
            assert_eq!(versions.status == StatusCode::OK, history, "{path}: {}", versions.text());
        }
        let check = json!({"kind": "project", "name": "tools", "text": ONE});
        session.post("/v1/rules/check", check).await.problem(ProblemCode::Forbidden);
    }
    let owner = server.login("owner", PASSWORD).await;
    for session in [&sessions[0], &owner] {
        let _: Rules = session.get(ENVIRONMENT).await.json(StatusCode::OK);
        refused(session, ENVIRONMENT, OTHER, 1, ProblemCode::Forbidden).await;
        session.get(&format!("{ENVIRONMENT}/versions")).await.problem(ProblemCode::Forbidden);
        let check = json!({"kind": "environment", "name": "default", "text": ONE});
        session.post("/v1/rules/check", check).await.problem(ProblemCode::Forbidden);
        let template = json!({"text": "[template.t]\noperations = [\"sign\"]\n"});
        session.post("/v1/templates", template).await.problem(ProblemCode::Forbidden);
    }
    let stranger = server.login("stranger", PASSWORD).await;
    for path in [PROJECT, KEY, ENVIRONMENT] {
        stranger.get(path).await.problem(ProblemCode::NotFound);
        refused(&stranger, path, OTHER, 1, ProblemCode::NotFound).await;
    }

    let names = |page: Page<RulesSummary>| page.items.into_iter().map(|rules| rules.place.name).collect::<Vec<_>>();
    let all = ["default", "tools", "tools/tags"];
    assert_eq!(names(admin.get("/v1/rules").await.json(StatusCode::OK)), all);
    assert_eq!(names(sessions[0].get("/v1/rules").await.json(StatusCode::OK)), all);
    assert_eq!(names(stranger.get("/v1/rules").await.json(StatusCode::OK)), [] as [&str; 0]);
    let page: Page<RulesSummary> = admin.get("/v1/rules?limit=2").await.json(StatusCode::OK);
    let rest = admin.get(&format!("/v1/rules?after={}", page.next.unwrap())).await;
    assert_eq!(names(rest.json(StatusCode::OK)), all[2..]);

    // A key shows all that holds for it.
    let shown: Rules = owner.get(&format!("{KEY}?cedar=true")).await.json(StatusCode::OK);
    let cedar = shown.cedar.unwrap();
    assert!(cedar.contains("sha256") && cedar.contains("sha512"), "{cedar}");
    assert!(owner.get(KEY).await.json::<Rules>(StatusCode::OK).cedar.is_none());
}

#[tokio::test]
async fn former_owner_changes_nothing() {
    let server = start().await;
    let (admin, owner) = (server.admin().await, server.login("owner", PASSWORD).await);
    apply(&owner, PROJECT, ONE, 0).await;
    let role = json!({"kind": "user", "name": "owner", "role": "owner"});
    admin.send(Method::DELETE, "/v1/projects/tools/members", role).await.done();
    refused(&owner, PROJECT, OTHER, 1, ProblemCode::NotFound).await;
}

#[tokio::test]
async fn file_of_templates_is_applied_as_a_whole_or_not_at_all() {
    let server = start().await;
    let admin = server.admin().await;
    let both = "[template.a]\noperations = [\"sign\"]\n\n[template.b]\nhashes = [\"sha256\"]\n";
    add_templates(&admin, both).await;
    let list = || async {
        let page: Page<Template> = admin.get("/v1/templates").await.json(StatusCode::OK);
        page.items.into_iter().map(|template| (template.name, template.version)).collect::<Vec<_>>()
    };
    let named = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    assert_eq!(list().await, named(1, 1));
    // Only b changes.
    let changed = both.replace("sha256", "sha512");
    let bases = json!([{"name": "a", "version": 1}, {"name": "b", "version": 1}]);
    admin.post("/v1/templates", json!({"text": changed, "bases": bases})).await.done();
    assert_eq!(list().await, named(1, 2));
    // b is based on a version that is not in force any more, so a stays too.
    let again = both.replace("sha256", "sha384").replace("\"sign\"", "\"sign\", \"authenticate\"");
    admin.post("/v1/templates", json!({"text": again, "bases": bases})).await.problem(ProblemCode::Conflict);
    let wrong = format!("{both}\n[template.c]\nhashes = [\"md0\"]\n");
    let problem = admin.post("/v1/templates", json!({"text": wrong})).await.problem(ProblemCode::RulesInvalid);
    assert_eq!(problem.diagnostics[0].line, 8, "{:?}", problem.diagnostics);
    assert_eq!(list().await, named(1, 2));
    let page: Page<Template> = admin.get("/v1/templates?limit=1").await.json(StatusCode::OK);
    assert_eq!((page.items.len(), page.next.as_deref()), (1, Some("a")));
    let page: Page<Template> = admin.get("/v1/templates?after=a").await.json(StatusCode::OK);
    assert_eq!((page.items[0].name.as_str(), page.next), ("b", None));

    let put = |name: &str, text: &str, base: u64| {
        let (path, body) = (format!("/v1/templates/{name}"), json!({"text": text, "base": base}));
        let admin = &admin;
        async move { admin.send(Method::PUT, &path, body).await }
    };
    put("a", both, 1).await.problem(ProblemCode::RulesInvalid);
    let one = "[template.b]\nhashes = [\"sha384\"]\n";
    put("b", one, 1).await.problem(ProblemCode::Conflict);
    let template: Template = put("b", one, 2).await.json(StatusCode::OK);
    assert_eq!((template.version, template.text.as_str()), (3, one));
    let revert = admin.post("/v1/templates/b/revert", json!({"version": 1, "base": 3})).await;
    let reverted: Template = revert.json(StatusCode::OK);
    assert!(reverted.version == 4 && reverted.text.contains("sha256"), "{reverted:?}");
    let versions: Page<TemplateVersion> = admin.get("/v1/templates/b/versions").await.json(StatusCode::OK);
    assert_eq!(versions.items.iter().map(|version| version.version).collect::<Vec<_>>(), [4, 3, 2, 1]);
    let told: Vec<_> = events(&server).await.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect();
    let applied = ["template-applied"; 4].map(str::to_owned).to_vec();
    assert_eq!(told, [applied, vec!["template-reverted".to_owned()]].concat());
    let shown: Template = admin.get("/v1/templates/b?cedar=true").await.json(StatusCode::OK);
    assert!(shown.cedar.unwrap().contains("forbid"));
}

const FOR_MAKERS: &str = "[template.t]\nhashes = [\"sha256\"]\nvisible-to = [\"makers\"]\n";
const LINK: &str = "[rule.linked]\ntemplate = \"t\"\n";

#[tokio::test]
async fn template_for_a_group_is_invisible_to_others() {
    let server = start().await;
    let (admin, owner) = (server.admin().await, server.login("owner", PASSWORD).await);
    add_templates(&admin, FOR_MAKERS).await;
    owner.get("/v1/templates/t").await.problem(ProblemCode::NotFound);
    assert_eq!(owner.get("/v1/templates").await.json::<Page<Template>>(StatusCode::OK).items, []);
    let problem = refused(&owner, PROJECT, LINK, 0, ProblemCode::RulesInvalid).await;
    assert!(problem.diagnostics[0].message.contains('t'), "{:?}", problem.diagnostics);
    admin.bare(Method::PUT, "/v1/groups/makers/members/owner").await.done();
    let seen: Template = owner.get("/v1/templates/t").await.json(StatusCode::OK);
    assert_eq!((seen.visible_to, seen.used_by), (vec!["makers".to_owned()], Vec::new()));
    assert_eq!(apply(&owner, PROJECT, LINK, 0).await.templates, ["t"]);
    // A link that is there stays allowed.
    admin.bare(Method::DELETE, "/v1/groups/makers/members/owner").await.done();
    assert_eq!(apply(&owner, PROJECT, &format!("{LINK}{OTHER}"), 1).await.version, 2);
    refused(&owner, KEY, LINK, 0, ProblemCode::RulesInvalid).await;
    let used: Template = admin.get("/v1/templates/t").await.json(StatusCode::OK);
    assert_eq!(used.used_by.iter().map(|place| place.name.as_str()).collect::<Vec<_>>(), ["tools"]);
}

#[tokio::test]
async fn withdrawn_template_takes_no_new_links_until_it_is_restored() {
    let server = start().await;
    let (admin, owner) = (server.admin().await, server.login("owner", PASSWORD).await);
    add_templates(&admin, FOR_MAKERS.replace("visible-to = [\"makers\"]\n", "").as_str()).await;
    apply(&owner, PROJECT, LINK, 0).await;
    let act = |what: &str, base: u64| {
        let (path, body) = (format!("/v1/templates/t/{what}"), json!({"base": base, "note": "unsafe"}));
        let admin = &admin;
        async move { admin.post(&path, body).await }
    };
    act("withdraw", 7).await.problem(ProblemCode::Conflict);
    owner.post("/v1/templates/t/withdraw", json!({"base": 1})).await.problem(ProblemCode::Forbidden);
    let withdrawn: Template = act("withdraw", 1).await.json(StatusCode::OK);
    assert!(withdrawn.withdrawn && withdrawn.version == 2);
    let again: Template = act("withdraw", 2).await.json(StatusCode::OK);
    assert_eq!(again.version, 2);
    let problem = refused(&owner, KEY, LINK, 0, ProblemCode::RulesInvalid).await;
    let found = &problem.diagnostics[0];
    assert!(found.message.contains("is withdrawn") && found.line == 2, "{found:?}");
    assert_eq!(apply(&owner, PROJECT, &format!("{LINK}{OTHER}"), 1).await.version, 2);
    // A new text does not restore it.
    let body = json!({"text": "[template.t]\nhashes = [\"sha512\"]\n", "base": 2});
    let changed: Template = admin.send(Method::PUT, "/v1/templates/t", body).await.json(StatusCode::OK);
    assert!(changed.withdrawn && changed.version == 3);
    let restored: Template = act("restore", 3).await.json(StatusCode::OK);
    assert!(!restored.withdrawn && restored.version == 4);
    apply(&owner, KEY, LINK, 0).await;
    let told: Vec<_> = events(&server).await.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect();
    assert!(told.contains(&"template-withdrawn".to_owned()) && told.contains(&"template-restored".to_owned()));
}

#[tokio::test]
async fn template_change_that_linking_rules_do_not_fit_is_refused() {
    let server = start().await;
    let (admin, owner) = (server.admin().await, server.login("owner", PASSWORD).await);
    let before = "[template.t]\noperations = [\"sign\"]\n";
    add_templates(&admin, before).await;
    apply(&owner, PROJECT, &format!("{LINK}hashes = [\"sha256\"]\n"), 0).await;
    let after = format!("{before}hashes = [\"sha512\"]\n");
    let check = json!({"kind": "templates", "text": after});
    let checked: RulesChecked = admin.post("/v1/rules/check", check).await.json(StatusCode::OK);
    assert!(checked.diagnostics[0].message.contains("the rules of the project tools"), "{checked:?}");
    let bases = json!([{"name": "t", "version": 1}]);
    let change = json!({"text": after, "bases": bases});
    let problem = admin.post("/v1/templates", change).await.problem(ProblemCode::Conflict);
    assert!(problem.detail.unwrap().contains("the rules of the project tools"));
    let other: Template = admin.get("/v1/templates/t").await.json(StatusCode::OK);
    assert_eq!(other.version, 1);
}

#[tokio::test]
async fn what_rules_name_is_neither_renamed_nor_removed() {
    let server = start().await;
    let admin = server.admin().await;
    add_group(&admin, "others").await;
    let text = "[rule.tags]\nwho = { groups = [\"makers\"], users = [\"keyuser\"] }\n";
    apply(&admin, KEY, text, 0).await;
    add_templates(&admin, "[template.t]\nhashes = [\"sha256\"]\nvisible-to = [\"others\"]\n").await;
    let rename = json!({"name": "renamed"});
    let refusal = |answer: Problem| answer.detail.unwrap();
    for (path, named) in [
        ("/v1/groups/makers", "the rules of the key tools/tags (rule tags)"),
        ("/v1/users/keyuser", "(rule tags)"),
        ("/v1/groups/others", "the template t"),
    ] {
        let detail = refusal(admin.send(Method::PATCH, path, &rename).await.problem(ProblemCode::Conflict));
        assert!(detail.contains(named) && detail.contains("change them first"), "{detail}");
        let detail = refusal(admin.bare(Method::DELETE, path).await.problem(ProblemCode::Conflict));
        assert!(detail.contains(named), "{detail}");
    }
    // The same name, a member, and being disabled are no other name.
    let _: Value = admin.send(Method::PATCH, "/v1/groups/makers", json!({"name": "makers"})).await.json(StatusCode::OK);
    let _: Value = admin.send(Method::PATCH, "/v1/users/keyuser", json!({"disabled": true})).await.json(StatusCode::OK);

    let cedar = "cedar = '''\nforbid (principal, action, resource)\nunless { resource == Key::\"tools/tags\" };\n'''\n";
    apply(&admin, ENVIRONMENT, cedar, 0).await;
    for path in ["/v1/keys/tools%2Ftags", "/v1/projects/tools"] {
        let detail = refusal(admin.send(Method::PATCH, path, &rename).await.problem(ProblemCode::Conflict));
        assert!(detail.contains("the rules of the environment default"), "{detail}");
    }
    apply(&admin, ENVIRONMENT, "", 1).await;
    apply(&admin, KEY, "", 1).await;
    admin.bare(Method::DELETE, "/v1/users/keyuser").await.done();
    let _: Value = admin.send(Method::PATCH, "/v1/projects/tools", &rename).await.json(StatusCode::OK);
    let withdraw = json!({"base": 1});
    let _: Template = admin.post("/v1/templates/t/withdraw", withdraw).await.json(StatusCode::OK);
    admin.bare(Method::DELETE, "/v1/groups/others").await.done();
    // What a template names must exist when it is restored.
    let problem = admin.post("/v1/templates/t/restore", json!({"base": 2})).await.problem(ProblemCode::RulesInvalid);
    assert!(problem.diagnostics[0].message.contains("no group others"), "{:?}", problem.diagnostics);
}
