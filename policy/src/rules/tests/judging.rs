use super::*;

const TAGS: &str = "\
[template.release-tags]
operations = [\"sign\"]
hashes     = [\"sha256\", \"sha384\", \"sha512\"]
who        = { groups = [\"release-managers\"], service-accounts = [\"nightly\"] }
networks   = [\"10.20.0.0/16\"]
hours      = { days = \"mon-fri\", from = \"06:00\", to = \"20:00\", zone = \"Europe/Berlin\" }
tools      = [\"git\"]
quota      = [{ per = \"user\", uses = 60, window = \"1h\" }, { per = \"key\", uses = 500, window = \"1d\" }]
approval   = [{ group = \"approvers\", count = 2 }]
require    = [\"justification\"]

[tool.git]
path    = [\"/usr/bin/git\"]
command = '^git (tag|commit) '
";

fn tags() -> RuleSet {
    linked("[rule.tags]\ntemplate = \"release-tags\"\n", &BTreeMap::from([template(TAGS)]))
}

fn changed(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut changed = facts();
    changed.request.claims.justification = Some("v1 is ready".to_owned());
    change(&mut changed);
    changed
}

#[test]
fn unmet_demands_wait_if_nothing_else_forbids() {
    let decision = sign(&tags(), &facts());
    assert_eq!(ids(&decision), ["project/tags/approval-approvers", "project/tags/justification"]);
    assert!(!decision.allowed() && decision.denials().is_empty());
    let demands: Vec<_> = decision.unmet().iter().map(|unmet| unmet.demand.clone().unwrap()).collect();
    let by = Approvers::Group("approvers".to_owned());
    let approval = ApprovalDemand { flow: "project/tags".to_owned(), by, count: 2 };
    assert_eq!(demands, [Demand::Approval(approval), Demand::Justification]);
    let denied = sign(&tags(), &changed(|facts| facts.request.address = None));
    assert!(denied.unmet().is_empty() && !denied.denials().is_empty());
}

#[test]
fn each_field_denies_with_what_it_saw() {
    let with = |field: &str, facts: &Facts| sign(&compiled(&format!("[rule.a]\n{field}\n")), facts);
    let sha256 = changed(|facts| facts.request.hash = Some(HashAlgorithm::Sha256));
    let weekend = changed(|facts| facts.now = Timestamp::from_unix(MONDAY - 2 * 86_400));
    let doubted = changed(|facts| facts.request.clock_in_doubt = true);
    let nobody = changed(|facts| facts.request.claims = Default::default());
    let git = "tools = [\"git\"]\n[tool.git]\npath = [\"/opt/git\"]";
    let hours = "hours = { days = \"mon-fri\", from = \"06:00\", to = \"20:00\", zone = \"Europe/Berlin\" }";
    for (field, facts, text) in [
        ("operations = [\"decrypt\"]", facts(), "allows only to decrypt"),
        ("hashes = [\"sha384\", \"sha512\"]", sha256, "allows only digests by sha384 or sha512; this one is by sha256"),
        (
            "who = { groups = [\"qa\"], users = [\"bob\", \"al\"] }",
            facts(),
            "allows only members of qa or users bob or al; you are jane",
        ),
        (
            "networks = [\"10.30.0.0/16\", \"::1\"]",
            facts(),
            "allows only clients in 10.30.0.0/16 or ::1/128; your address is 10.20.1.2",
        ),
        (hours, weekend, "allows uses only mon-fri 06:00 to 20:00 Europe/Berlin; it is Saturday 11:00 there"),
        (
            hours,
            doubted,
            "allows uses only mon-fri 06:00 to 20:00 Europe/Berlin; the server's clock jumped, so no time \
                          window counts as open until an administrator confirms the clock",
        ),
        (git, facts(), "allows only the tool git; the programs that asked are `gpg -bsau KEY` and `git tag -s v1`"),
        (git, nobody.clone(), "allows only the tool git; the workstation did not say which tool asked"),
        ("hosts = [\"ci-*\"]", facts(), "allows only hosts named ci-*; your host is build-1"),
        ("hosts = [\"ci-*\"]", nobody, "allows only hosts named ci-*; the workstation did not say its name"),
        ("logins = { methods = [\"service-token\"] }", facts(), "allows only logins by service-token"),
        ("logins = { max-age = \"30m\" }", facts(), "allows only logins of the last 30m; log in again"),
    ] {
        let decision = with(field, &facts);
        assert!(!decision.allowed(), "{field}");
        assert_eq!(decision.reasons(), [format!("the rule a of project tools {text}")]);
    }
}

#[test]
fn exhausted_quota_denies() {
    let rules = compiled("[rule.a]\nquota = [{ per = \"user\", uses = 5, window = \"1h\" }]\n");
    let (quota, scope) = &rules.quotas()[0];
    assert_eq!((quota.name.as_str(), scope), ("project/a/user/1h", &project()));
    assert!(sign(&rules, &facts()).allowed());
    let exhausted = BTreeSet::from([quota.name.as_str()]);
    let decision = decide_use(&facts(), KeyOperation::Sign, Some(&rules), &exhausted);
    assert_eq!(
        decision.reasons(),
        ["the rule a of project tools allows 5 uses per user in 1h; nothing is left until 2026-11-30T11:00:00Z"]
    );
}

#[test]
fn weeks_begin_on_monday() {
    let rules = compiled("[rule.a]\nquota = [{ per = \"key\", uses = 5, window = \"1w\" }]\n");
    let (quota, _) = &rules.quotas()[0];
    let start = quota.window_start(Timestamp::from_unix(MONDAY));
    assert_eq!(start.to_string(), "2026-11-30T00:00:00Z");
    assert_eq!(quota.window_start(Timestamp::from_unix(start.unix() - 1)).to_string(), "2026-11-23T00:00:00Z");
}

#[test]
fn withdrawn_template_denies() {
    let templates = BTreeMap::from([("t".to_owned(), TemplateState::Withdrawn)]);
    let decision = sign(&linked("[rule.a]\ntemplate = \"t\"\n", &templates), &facts());
    assert_eq!(decision.reasons(), ["the rule a of project tools links to the template t, which was withdrawn"]);
}

#[test]
fn documents_of_all_scopes_must_be_met() {
    let scopes = [Scope::Environment("default".into()), project(), Scope::Key("tools/release".into())];
    let hosts = ["build-*", "*-1", "build-?"];
    for bad in 0..3 {
        let documents: Vec<_> = scopes
            .iter()
            .zip(hosts)
            .enumerate()
            .map(|(index, (scope, host))| {
                let host = if index == bad {
                    "other"
                } else if host == "build-?" {
                    "build-1"
                } else {
                    host
                };
                (scope.clone(), document(&format!("[rule.a]\nhosts = [\"{host}\"]\n")))
            })
            .collect();
        let rules = RuleSet::compile(&documents, &BTreeMap::new()).unwrap();
        assert_eq!(ids(&sign(&rules, &facts())), [format!("{}/a/hosts", scopes[bad].prefix())]);
    }
}

#[test]
fn free_cedar_forbids_with_its_reason() {
    let rules = compiled("[tool.git]\npath = [\"/usr/bin/git\"]\n[network.office]\nranges = [\"10.20.0.0/16\"]\n");
    assert!(rules.is_empty());
    let rules = compiled(
        "cedar = '''\n@id(\"no-git\")\n@reason(\"git is not used here\")\n\
         forbid (principal, action == Action::\"sign\", resource) when { context.tools.contains(\"project/git\") };\n\
         @demand(\"justification\")\nforbid (principal, action, resource) unless { context has justification };\n'''\n\
         [tool.git]\npath = [\"/usr/bin/git\"]\n",
    );
    let decision = sign(&rules, &facts());
    assert_eq!(ids(&decision), ["project/cedar/no-git", "project/cedar/2"]);
    assert!(decision.reasons()[0].ends_with("forbids it: git is not used here"), "{:?}", decision.reasons());
    let mut without = facts();
    without.request.claims.processes.clear();
    assert_eq!(sign(&rules, &without).unmet().len(), 1);
    without.request.claims.justification = Some("because".to_owned());
    assert!(sign(&rules, &without).allowed());
    assert!(rules.cedar().contains("@id(\"project/cedar/no-git\")"));
}

#[test]
fn free_cedar_sees_whether_the_clock_is_trusted() {
    let rules = compiled(
        "cedar = '''forbid (principal, action, resource) \
         unless { context.clockTrusted && context.time < datetime(\"2027-01-01\") };'''\n",
    );
    assert!(sign(&rules, &facts()).allowed());
    assert!(!sign(&rules, &changed(|facts| facts.request.clock_in_doubt = true)).allowed());
}

#[test]
fn policy_that_fails_denies() {
    // Beyond the largest number: strict validation does not see it.
    let rules = compiled(
        "cedar = '''forbid (principal, action, resource) \
         when { context.login.age + 9223372036854775807 < 0 };'''\n",
    );
    let decision = sign(&rules, &facts());
    assert!(
        matches!(decision.denials(), [Denial::RuleFailed(failed)] if failed.id == "project/cedar/1"),
        "{decision:?}"
    );
    assert!(decision.unmet().is_empty());
}

#[test]
fn built_in_denials_hide_the_rules() {
    let mut stranger = facts();
    stranger.roles = Roles::NONE;
    assert_eq!(sign(&tags(), &stranger).rules().count(), 0);
}

#[test]
fn compiled_text_is_for_people() {
    let cedar = tags().cedar();
    assert!(cedar.contains("// project tools\n@id(\"project/tags/tools\")\nforbid"), "{cedar}");
    assert!(cedar.contains("context.tools.contains(\"release-tags/git\")"), "{cedar}");
    assert!(cedar.contains("@demand(\"approval\")"), "{cedar}");
    let TemplateState::Active(template) = template(TAGS).1 else { panic!() };
    assert!(template.cedar().contains("principal == ServiceAccount::\"nightly\""), "{}", template.cedar());
}
