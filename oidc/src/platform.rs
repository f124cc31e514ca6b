//! What is special about each CI platform: what a trust must name, and which of the platform's jobs are refused
//! although their claims match.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Claims,
    trust::{Check, ClaimName, Trust},
};

/// A CI platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Jenkins with the plugin `oidc-provider`.
    Jenkins,
    /// Service accounts of Kubernetes.
    Kubernetes,
    /// Buildkite.
    Buildkite,
    /// Any other issuer.
    Generic,
}

/// Events of GitHub that people without any right to the repository can cause, or whose code nobody has reviewed.
const OUTSIDE_EVENTS: [&str; 9] = [
    "discussion",
    "discussion_comment",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "workflow_run",
];

/// Pipelines of GitLab that run code of a merge request, which may come from a fork.
const OUTSIDE_PIPELINES: [&str; 2] = ["external_pull_request_event", "merge_request_event"];

/// The id of a Kubernetes service account, which a new account of the same name does not have.
const ACCOUNT_UID: &str = "/kubernetes.io/serviceaccount/uid";

impl Platform {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::GitHub, Self::GitLab, Self::Jenkins, Self::Kubernetes, Self::Buildkite, Self::Generic];

    /// The name, as commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Jenkins => "jenkins",
            Self::Kubernetes => "kubernetes",
            Self::Buildkite => "buildkite",
            Self::Generic => "generic",
        }
    }

    /// The issuer, if all of the platform's customers have the same.
    #[must_use]
    pub const fn issuer(self) -> Option<&'static str> {
        match self {
            Self::GitHub => Some("https://token.actions.githubusercontent.com"),
            Self::GitLab => Some("https://gitlab.com"),
            Self::Buildkite => Some("https://agent.buildkite.com"),
            Self::Jenkins | Self::Kubernetes | Self::Generic => None,
        }
    }

    /// Lists of claims. A trust must name one claim of each: the thing by an id that is never given to another one, and
    /// what keeps unreviewed code out.
    #[must_use]
    pub const fn demanded(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::GitHub => &[&["repository_id"], &["ref", "environment", "workflow_ref", "job_workflow_ref"]],
            Self::GitLab => &[&["project_id"], &["ref", "ref_path", "ref_protected", "environment"]],
            Self::Jenkins => &[&["sub"]],
            Self::Kubernetes => &[&[ACCOUNT_UID]],
            Self::Buildkite => &[&["pipeline_id"], &["build_branch", "build_tag"]],
            Self::Generic => &[],
        }
    }

    /// What a claim must be named together with.
    #[must_use]
    pub fn companion(self, claim: &str) -> Option<&'static str> {
        // GitLab's `ref` is a name without `refs/heads/`: a branch can have the name of a tag.
        (self == Self::GitLab && claim == "ref").then_some("ref_type")
    }

    /// Whether a claim holds the name of a branch or tag, which a pattern may stand for.
    #[must_use]
    pub fn is_ref(self, claim: &str) -> bool {
        match self {
            Self::GitHub => claim == "ref",
            Self::GitLab => matches!(claim, "ref" | "ref_path"),
            Self::Buildkite => matches!(claim, "build_branch" | "build_tag"),
            Self::Jenkins | Self::Kubernetes => false,
            Self::Generic => claim == "ref",
        }
    }

    /// Whether a trust may name the claim: it has options for the others, and times always count.
    pub(crate) fn may_name(name: &ClaimName) -> bool {
        !matches!(name.as_str(), "iss" | "aud" | "exp" | "nbf" | "iat" | "jti")
    }

    /// What a token must be like besides having the claims that the trust names.
    pub(crate) fn checks(self, claims: &Claims, trust: &Trust) -> Vec<Check> {
        match self {
            Self::GitHub => vec![github_event(claims, trust), github_workflow(claims, trust)],
            Self::GitLab => vec![gitlab_source(claims), gitlab_project(claims)],
            Self::Jenkins | Self::Kubernetes | Self::Buildkite | Self::Generic => Vec::new(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|platform| platform.name() == text);
        found.ok_or_else(|| format!("{text:?} is no platform: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The event that started the workflow.
fn github_event(claims: &Claims, trust: &Trust) -> Check {
    let event = claims.text("event_name");
    let refused = event.is_none_or(|event| OUTSIDE_EVENTS.contains(&event));
    let allowed = event.is_some_and(|event| trust.names_exactly("event_name", event));
    Check {
        claim: "event_name".to_owned(),
        wanted: "an event that only members can cause, or one that the trust names".to_owned(),
        found: event.map(str::to_owned),
        met: !refused || allowed,
    }
}

/// A reused workflow of another repository is code that the trusted repository's members do not control. GitHub names
/// it `OWNER/REPOSITORY/.github/workflows/FILE@REF`.
fn github_workflow(claims: &Claims, trust: &Trust) -> Check {
    let workflow = claims.text("job_workflow_ref");
    let own = match (workflow, claims.text("repository")) {
        (None, _) => true,
        (Some(workflow), Some(repository)) => {
            workflow.strip_prefix(repository).is_some_and(|rest| rest.starts_with("/.github/workflows/"))
        }
        (Some(_), None) => false,
    };
    Check {
        claim: "job_workflow_ref".to_owned(),
        wanted: "a workflow of the same repository, or one that the trust names".to_owned(),
        found: workflow.map(str::to_owned),
        met: own || workflow.is_some_and(|workflow| trust.names_exactly("job_workflow_ref", workflow)),
    }
}

fn gitlab_source(claims: &Claims) -> Check {
    let source = claims.text("pipeline_source");
    Check {
        claim: "pipeline_source".to_owned(),
        wanted: "no pipeline of a merge request".to_owned(),
        found: source.map(str::to_owned),
        met: source.is_some_and(|source| !OUTSIDE_PIPELINES.contains(&source)),
    }
}

/// A pipeline of a merge request from a fork can run in another project than the one that it has the code of.
fn gitlab_project(claims: &Claims) -> Check {
    let runs_in = claims.get("job_project_id");
    Check {
        claim: "job_project_id".to_owned(),
        wanted: "the same as project_id".to_owned(),
        found: runs_in.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        met: runs_in.is_none() || runs_in == claims.get("project_id"),
    }
}
