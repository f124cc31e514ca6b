//! Trusts: what can be made, and which one a token matches.

use sealcard_oidc::{Algorithm, Issuer, Pattern, Platform, Selection, Trust, TrustError, select};
use serde_json::json;

use super::issuer::{AUDIENCE, ISSUER, claims, issuer, verify};

fn trust(platform: Platform, claims: &[(&str, &str)]) -> Result<Trust, TrustError> {
    Trust::new(platform, Issuer::parse(ISSUER).unwrap(), AUDIENCE, claims.iter().copied())
}

#[test]
fn platform_demands_its_ids_and_what_keeps_others_out() {
    for (platform, claims, missing) in [
        (Platform::GitHub, &[("repository", "a/b"), ("ref", "refs/heads/main")][..], "repository_id"),
        (Platform::GitHub, &[("repository_id", "1")], "ref or environment or workflow_ref or job_workflow_ref"),
        (Platform::GitHub, &[("job_workflow_ref", "a/b/.github/workflows/c@d")], "repository_id"),
        (Platform::GitLab, &[("ref_path", "refs/heads/main")], "project_id"),
        (Platform::GitLab, &[("project_id", "1")], "ref or ref_path or ref_protected or environment"),
        (Platform::GitLab, &[("project_id", "1"), ("ref", "main")], "ref_type"),
        (Platform::Jenkins, &[("build_number", "1")], "sub"),
        (Platform::Kubernetes, &[("sub", "system:serviceaccount:a:b")], "/kubernetes.io/serviceaccount/uid"),
        (Platform::Buildkite, &[("pipeline_slug", "x"), ("build_branch", "main")], "pipeline_id"),
        (Platform::Buildkite, &[("pipeline_id", "x")], "build_branch or build_tag"),
    ] {
        let refused = trust(platform, claims).unwrap_err().to_string();
        assert_eq!(refused, format!("a trust of {platform} must name {missing}"));
    }
    assert_eq!(trust(Platform::Generic, &[]), Err(TrustError::Everybody));
    trust(Platform::Generic, &[("sub", "a")]).unwrap();
}

#[test]
fn only_names_of_branches_and_tags_are_patterns() {
    let refused = trust(Platform::GitHub, &[("repository_id", "1*"), ("ref", "refs/heads/main")]).unwrap_err();
    assert!(matches!(refused, TrustError::Pattern { claim, .. } if claim == "repository_id"));
    let pattern = |text: &str| Pattern::Ref(text.to_owned());
    assert!(pattern("refs/tags/v*").matches("refs/tags/v1.2"));
    assert!(pattern("refs/tags/v*").matches("refs/tags/v"));
    assert!(pattern("refs/heads/*-*").matches("refs/heads/release-1"));
    assert!(pattern("*").matches("main"));
    assert!(pattern("a*b*b").matches("abab"));
    for other in ["refs/tags/v1/evil", "refs/heads/v1", "refs/tags/xv1", "x/refs/tags/v1", "refs/tags"] {
        assert!(!pattern("refs/tags/v*").matches(other), "{other}");
    }
    assert!(!pattern("a*a").matches("a"));
    assert!(!pattern("a*b*b").matches("ab"));
    assert!(!Pattern::Exact("refs/tags/v*".to_owned()).matches("refs/tags/v1"));
}

#[test]
fn what_options_say_can_not_be_a_claim() {
    for name in ["iss", "aud", "exp", "nbf", "iat", "jti", "", "a b", "ä"] {
        assert_eq!(trust(Platform::Generic, &[(name, "x")]), Err(TrustError::Name(name.to_owned())));
    }
    for value in ["", "a\nb", &"a".repeat(501)] {
        assert!(matches!(trust(Platform::Generic, &[("sub", value)]), Err(TrustError::Value { .. })));
    }
    let values: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> = values.iter().map(|value| ("sub", value.as_str())).collect();
    assert_eq!(trust(Platform::Generic, &many), Err(TrustError::Count));
}

#[test]
fn values_of_one_claim_are_alternatives_and_types_count() {
    let both = trust(Platform::Generic, &[("id", "1"), ("id", "2"), ("protected", "true")]).unwrap();
    let matches = |over| both.check(&verify(&issuer().token(&claims(&over), Algorithm::EdDsa)).unwrap()).matches();
    assert!(matches(json!({"id": "1", "protected": "true"})));
    assert!(matches(json!({"id": "2", "protected": "true"})));
    for over in [
        json!({"id": "3", "protected": "true"}),
        json!({"id": "1", "protected": true}),
        json!({"id": 1, "protected": "true"}),
        json!({"id": ["1"], "protected": "true"}),
        json!({"id": "1"}),
        json!({"protected": "true"}),
    ] {
        assert!(!matches(over.clone()), "{over}");
    }
}

#[test]
fn trust_of_another_issuer_or_audience_does_not_match() {
    let token = verify(&issuer().token(&claims(&json!({})), Algorithm::EdDsa)).unwrap();
    let with = |issuer: &str, audience: &str| {
        let trust = Trust::new(Platform::Generic, Issuer::parse(issuer).unwrap(), audience, [("sub", "job")]);
        trust.unwrap().check(&token).matches()
    };
    assert!(with(ISSUER, AUDIENCE));
    assert!(!with("https://issuer.example.org/", AUDIENCE));
    assert!(!with(ISSUER, "https://other.example"));
}

#[test]
fn token_of_two_accounts_matches_neither_alone() {
    let token = verify(&issuer().token(&claims(&json!({})), Algorithm::EdDsa)).unwrap();
    let (right, wrong) =
        (trust(Platform::Generic, &[("sub", "job")]).unwrap(), trust(Platform::Generic, &[("sub", "other")]).unwrap());
    let selected = |trusts: &[(&'static str, u8, &Trust)]| select(&token, trusts.iter().copied());
    assert_eq!(selected(&[]), Selection::None);
    assert_eq!(selected(&[("a", 1, &wrong)]), Selection::None);
    assert_eq!(selected(&[("a", 1, &wrong), ("b", 2, &right)]), Selection::One("b"));
    assert_eq!(selected(&[("a", 1, &right), ("b", 1, &right)]), Selection::One("a"));
    assert_eq!(selected(&[("a", 1, &right), ("b", 2, &right)]), Selection::Several(vec!["a", "b"]));
    assert_eq!(
        selected(&[("a", 1, &right), ("b", 1, &right), ("c", 2, &right)]),
        Selection::Several(vec!["a", "b", "c"])
    );
}
