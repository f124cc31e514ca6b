//! Jobs of each platform, with tokens in that platform's shape.

use sealcard_oidc::{Algorithm, Issuer, Job, Platform, Token, Trust};
use serde_json::{Value, json};

use super::issuer::{AUDIENCE, ISSUER, claims, issuer, verify};

fn trust(platform: Platform, claims: &[(&str, &str)]) -> Trust {
    Trust::new(platform, Issuer::parse(ISSUER).unwrap(), AUDIENCE, claims.iter().copied()).unwrap()
}

fn token(base: &Value, over: &Value) -> Token {
    let mut all = base.clone();
    for (name, value) in over.as_object().unwrap() {
        all[name] = value.clone();
    }
    verify(&issuer().token(&claims(&all), Algorithm::Rs256)).unwrap()
}

/// The claims that keep a token from matching.
fn unmet(trust: &Trust, token: &Token) -> Vec<String> {
    trust.check(token).0.into_iter().filter(|check| !check.met).map(|check| check.claim).collect()
}

fn github() -> Value {
    json!({
        "sub": "repo:acme@42/tools@4711:ref:refs/tags/v1.0", "repository": "acme/tools", "repository_id": "4711",
        "repository_owner": "acme", "repository_owner_id": "42", "repository_visibility": "public",
        "ref": "refs/tags/v1.0", "ref_type": "tag", "ref_protected": "true", "base_ref": "", "head_ref": "",
        "sha": "0123456789abcdef0123456789abcdef01234567", "run_id": "900", "run_number": "7", "run_attempt": "2",
        "actor": "jo", "actor_id": "5", "event_name": "push", "runner_environment": "github-hosted",
        "workflow": "Release", "workflow_ref": "acme/tools/.github/workflows/release.yml@refs/tags/v1.0",
        "job_workflow_ref": "acme/tools/.github/workflows/release.yml@refs/tags/v1.0",
    })
}

const GITHUB: [(&str, &str); 2] = [("repository_id", "4711"), ("ref", "refs/tags/v*")];

#[test]
fn github_job_of_a_tag_matches_and_is_named() {
    let token = token(&github(), &json!({}));
    assert_eq!(unmet(&trust(Platform::GitHub, &GITHUB), &token), [""; 0]);
    let job = Job::of(&token, Platform::GitHub);
    assert_eq!(job.repository.as_deref(), Some("acme/tools"));
    assert_eq!(job.git_ref.as_deref(), Some("refs/tags/v1.0"));
    assert_eq!((job.run_id.as_deref(), job.part.as_deref()), (Some("900"), Some("2")));
    assert_eq!(job.commit.as_deref(), Some("0123456789abcdef0123456789abcdef01234567"));
    assert_eq!(serde_json::from_str::<Job>(&serde_json::to_string(&job).unwrap()).unwrap(), job);
}

#[test]
fn github_repository_is_known_by_its_id() {
    let trust = trust(Platform::GitHub, &GITHUB);
    // Somebody took the name after the repository was renamed.
    assert_eq!(unmet(&trust, &token(&github(), &json!({"repository_id": "9999"}))), ["repository_id"]);
    // The old form of `sub`, and one that was customised.
    for sub in ["repo:acme/tools:ref:refs/tags/v1.0", "anything"] {
        assert_eq!(unmet(&trust, &token(&github(), &json!({ "sub": sub }))), [""; 0]);
    }
}

#[test]
fn github_events_of_outsiders_are_refused_unless_named() {
    let plain = trust(Platform::GitHub, &[("repository_id", "4711"), ("environment", "release")]);
    let environment = json!({"environment": "release"});
    let mut base = github();
    base["environment"] = environment["environment"].clone();
    for event in ["pull_request", "pull_request_target", "issue_comment", "workflow_run", "pull_request_review"] {
        assert_eq!(unmet(&plain, &token(&base, &json!({ "event_name": event }))), ["event_name"], "{event}");
    }
    assert_eq!(unmet(&plain, &token(&base, &json!({"event_name": null}))), ["event_name"]);
    let named = trust(
        Platform::GitHub,
        &[("repository_id", "4711"), ("environment", "release"), ("event_name", "pull_request_target")],
    );
    assert_eq!(unmet(&named, &token(&base, &json!({"event_name": "pull_request_target"}))), [""; 0]);
    assert_eq!(unmet(&named, &token(&base, &json!({"event_name": "pull_request"}))), ["event_name", "event_name"]);
    // A pull request's ref is no tag.
    let tags = trust(Platform::GitHub, &GITHUB);
    let pull = json!({"event_name": "pull_request", "ref": "refs/pull/7/merge"});
    assert_eq!(unmet(&tags, &token(&github(), &pull)), ["ref", "event_name"]);
}

#[test]
fn github_workflow_of_another_repository_must_be_named() {
    let reused = "acme/shared/.github/workflows/sign.yml@refs/heads/main";
    let job = token(&github(), &json!({ "job_workflow_ref": reused }));
    assert_eq!(unmet(&trust(Platform::GitHub, &GITHUB), &job), ["job_workflow_ref"]);
    let named = trust(Platform::GitHub, &[GITHUB[0], GITHUB[1], ("job_workflow_ref", reused)]);
    assert_eq!(unmet(&named, &job), [""; 0]);
    // The same workflow, reused by a stranger's repository.
    let stranger = json!({"job_workflow_ref": reused, "repository_id": "666", "repository": "mallory/x"});
    assert_eq!(unmet(&named, &token(&github(), &stranger)), ["repository_id"]);
    // A repository whose name begins with that of another one.
    let longer = json!({"job_workflow_ref": "acme/tools-evil/.github/workflows/a.yml@refs/heads/main"});
    assert_eq!(unmet(&trust(Platform::GitHub, &GITHUB), &token(&github(), &longer)), ["job_workflow_ref"]);
}

fn gitlab() -> Value {
    json!({
        "sub": "project_path:acme/tools:ref_type:tag:ref:v1.0", "namespace_id": "72", "namespace_path": "acme",
        "project_id": "20", "project_path": "acme/tools", "job_project_id": "20", "job_project_path": "acme/tools",
        "user_id": "1", "user_login": "jo", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
        "ref": "v1.0", "ref_type": "tag", "ref_path": "refs/tags/v1.0", "ref_protected": "true",
        "environment": "production", "environment_protected": "true", "runner_id": 1,
        "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "ci_config_ref_uri": "gitlab.example.com/acme/tools//.gitlab-ci.yml@refs/tags/v1.0",
    })
}

const GITLAB: [(&str, &str); 3] = [("project_id", "20"), ("ref_path", "refs/tags/v*"), ("ref_protected", "true")];

#[test]
fn gitlab_job_of_a_protected_tag_matches_and_is_named() {
    let token = token(&gitlab(), &json!({}));
    assert_eq!(unmet(&trust(Platform::GitLab, &GITLAB), &token), [""; 0]);
    let job = Job::of(&token, Platform::GitLab);
    assert_eq!(job.git_ref.as_deref(), Some("refs/tags/v1.0"));
    assert_eq!((job.run_id.as_deref(), job.part.as_deref()), (Some("574"), Some("302")));
    assert_eq!(job.commit.as_deref(), Some("714a629c0b401fdce83e847fc9589983fc6f46bc"));
}

#[test]
fn gitlab_merge_requests_and_forks_are_refused() {
    let trust = trust(Platform::GitLab, &[("project_id", "20"), ("ref_protected", "true")]);
    for source in ["merge_request_event", "external_pull_request_event"] {
        assert_eq!(unmet(&trust, &token(&gitlab(), &json!({ "pipeline_source": source }))), ["pipeline_source"]);
    }
    // A fork's merge request that runs in the parent project: one of the two ids is the fork's.
    let in_parent = json!({"job_project_id": "666"});
    assert_eq!(unmet(&trust, &token(&gitlab(), &in_parent)), ["job_project_id"]);
    let in_fork = json!({"project_id": "666"});
    assert_eq!(unmet(&trust, &token(&gitlab(), &in_fork)), ["project_id", "job_project_id"]);
    // Older versions do not have the claim.
    let mut old = gitlab();
    old.as_object_mut().unwrap().remove("job_project_id");
    assert_eq!(unmet(&trust, &token(&old, &json!({}))), [""; 0]);
}

#[test]
fn gitlab_truth_is_a_text_and_a_branch_is_no_tag() {
    let protected = trust(Platform::GitLab, &GITLAB);
    assert_eq!(unmet(&protected, &token(&gitlab(), &json!({"ref_protected": "false"}))), ["ref_protected"]);
    assert_eq!(unmet(&protected, &token(&gitlab(), &json!({"ref_protected": true}))), ["ref_protected"]);
    let tag = trust(Platform::GitLab, &[("project_id", "20"), ("ref", "v*"), ("ref_type", "tag")]);
    assert_eq!(unmet(&tag, &token(&gitlab(), &json!({}))), [""; 0]);
    assert_eq!(unmet(&tag, &token(&gitlab(), &json!({"ref_type": "branch"}))), ["ref_type"]);
}

#[test]
fn kubernetes_account_is_known_by_its_uid() {
    let pod = json!({
        "sub": "system:serviceaccount:release:signer",
        "kubernetes.io": {
            "namespace": "release", "node": {"name": "n1", "uid": "4"}, "pod": {"name": "sign-x", "uid": "aaaa"},
            "serviceaccount": {"name": "signer", "uid": "bbbb"},
        },
    });
    let trust = trust(Platform::Kubernetes, &[("/kubernetes.io/serviceaccount/uid", "bbbb")]);
    let job = token(&pod, &json!({"aud": [AUDIENCE]}));
    assert_eq!(unmet(&trust, &job), [""; 0]);
    assert_eq!(Job::of(&job, Platform::Kubernetes).run_id.as_deref(), Some("aaaa"));
    // An account of the same name that was made anew, and a claim that only looks nested.
    let anew =
        json!({"kubernetes.io": {"serviceaccount": {"uid": "cccc"}}, "/kubernetes.io/serviceaccount/uid": "bbbb"});
    assert_eq!(unmet(&trust, &token(&pod, &anew)), ["/kubernetes.io/serviceaccount/uid"]);
}

#[test]
fn jenkins_and_buildkite_jobs_match() {
    let jenkins = json!({"sub": "https://jenkins.example.org/job/release/", "build_number": "17"});
    let own = trust(Platform::Jenkins, &[("sub", "https://jenkins.example.org/job/release/")]);
    assert_eq!(unmet(&own, &token(&jenkins, &json!({}))), [""; 0]);
    assert_eq!(
        unmet(&own, &token(&jenkins, &json!({"sub": "https://jenkins.example.org/job/release/job/x/"}))),
        ["sub"]
    );
    let buildkite = json!({
        "sub": "organization:acme:pipeline:tools:ref:refs/heads/main:commit:9f3:step:sign", "pipeline_slug": "tools",
        "pipeline_id": "0184", "build_number": 5, "build_branch": "main", "build_commit": "9f3", "job_id": "01",
    });
    let main = trust(Platform::Buildkite, &[("pipeline_id", "0184"), ("build_branch", "main")]);
    assert_eq!(unmet(&main, &token(&buildkite, &json!({}))), [""; 0]);
    // A fork's branch has its owner before its name.
    assert_eq!(unmet(&main, &token(&buildkite, &json!({"build_branch": "mallory:main"}))), ["build_branch"]);
    let job = Job::of(&token(&buildkite, &json!({})), Platform::Buildkite);
    assert_eq!(job.git_ref.as_deref(), Some("refs/heads/main"));
}

#[test]
fn value_that_is_too_long_is_absent() {
    let long = token(&github(), &json!({"ref": "refs/tags/".to_owned() + &"v".repeat(600), "sha": "a\nb"}));
    let job = Job::of(&long, Platform::GitHub);
    assert_eq!((job.git_ref, job.commit), (None, None));
}
