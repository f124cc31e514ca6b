//! What a token says about its job, in the same words for all platforms.

use serde::{Deserialize, Serialize};

use crate::{Platform, Token};

/// The longest value that is used, in bytes.
const MAX_VALUE: usize = 500;

/// The job that a token was issued to. A value that the platform does not give, or that is too long, is absent; a rule
/// that wants it then denies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// The platform.
    pub platform: Platform,
    /// The token's `sub`, for display: its form is the platform's affair and changes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// The repository's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// The repository's id, which no other repository gets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository_id: Option<String>,
    /// The branch or tag, such as `refs/tags/v1`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub git_ref: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// The run, pipeline, build or pod.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run_id: Option<String>,
    /// Which attempt at the run, or which job of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<String>,
    /// The environment that is deployed to, or the namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// The file that says what the job does, with its version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workflow: Option<String>,
    /// What started the run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<String>,
}

impl Job {
    /// What a token of this platform says.
    #[must_use]
    pub fn of(token: &Token, platform: Platform) -> Self {
        let claim = |name: &str| {
            let text = token.claims.text(name)?;
            let usable = !text.is_empty() && text.len() <= MAX_VALUE && !text.chars().any(char::is_control);
            usable.then(|| text.to_owned())
        };
        let named = |prefix: &str, name: &str| claim(name).map(|text| format!("{prefix}{text}"));
        let job = Self {
            platform,
            subject: claim("sub"),
            repository: None,
            repository_id: None,
            git_ref: None,
            commit: None,
            run_id: None,
            part: None,
            environment: None,
            workflow: None,
            event: None,
        };
        match platform {
            Platform::GitHub => Self {
                repository: claim("repository"),
                repository_id: claim("repository_id"),
                git_ref: claim("ref"),
                commit: claim("sha"),
                run_id: claim("run_id"),
                part: claim("run_attempt"),
                environment: claim("environment"),
                workflow: claim("job_workflow_ref").or_else(|| claim("workflow_ref")),
                event: claim("event_name"),
                ..job
            },
            Platform::GitLab => Self {
                repository: claim("project_path"),
                repository_id: claim("project_id"),
                git_ref: claim("ref_path").or_else(|| match token.claims.text("ref_type") {
                    Some("branch") => named("refs/heads/", "ref"),
                    Some("tag") => named("refs/tags/", "ref"),
                    _ => None,
                }),
                commit: claim("sha"),
                run_id: claim("pipeline_id"),
                part: claim("job_id"),
                environment: claim("environment"),
                workflow: claim("ci_config_ref_uri"),
                event: claim("pipeline_source"),
                ..job
            },
            Platform::Jenkins => Self { run_id: claim("build_number"), ..job },
            Platform::Kubernetes => {
                Self { run_id: claim("/kubernetes.io/pod/uid"), environment: claim("/kubernetes.io/namespace"), ..job }
            }
            Platform::Buildkite => Self {
                repository: claim("pipeline_slug"),
                repository_id: claim("pipeline_id"),
                git_ref: named("refs/tags/", "build_tag").or_else(|| named("refs/heads/", "build_branch")),
                commit: claim("build_commit"),
                run_id: claim("build_number"),
                part: claim("job_id"),
                event: claim("build_source"),
                ..job
            },
            Platform::Generic => job,
        }
    }
}
