//! `sealcard doctor`: each link from gpg to the server, in order, with what to do where one is broken.

mod custody;
mod gnupg;
mod life;
mod server;
mod tools;
mod workstation;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{
    App,
    output::{BAD, BOLD, GOOD, WARN, clean, count, line, note, show},
};

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing is broken (there may be warnings), 1 something is broken.")]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Finding>,
    broken: usize,
    warnings: usize,
}

/// One link.
#[derive(Debug, Serialize)]
struct Finding {
    link: &'static str,
    verdict: Verdict,
    /// What was found.
    text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Good,
    Warning,
    Broken,
}

impl Finding {
    fn good(link: &'static str, text: impl Into<String>) -> Self {
        Self { link, verdict: Verdict::Good, text: text.into(), advice: None }
    }

    fn warning(link: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { link, verdict: Verdict::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    fn broken(link: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { link, verdict: Verdict::Broken, text: text.into(), advice: Some(advice.into()) }
    }
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut findings = workstation::look(app);
    findings.extend(server::look(app).await);
    findings.extend(gnupg::look(app));
    findings.extend(life::look(app));
    findings.extend(tools::look(app));
    let number = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (broken, warnings) = (number(Verdict::Broken), number(Verdict::Warning));
    let report = Report { findings, broken, warnings };
    show(arguments.json, &report, |report| report.findings.iter().for_each(print))?;
    note(format!("{BOLD}{}{BOLD:#}", summary(broken, warnings)));
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(broken: usize, warnings: usize) -> String {
    match (broken, warnings) {
        (0, 0) => "All links hold.".to_owned(),
        (0, _) => format!("0 broken, {}.", count(warnings, "warning")),
        (_, 0) => format!("{broken} broken. Begin with the first."),
        _ => format!("{broken} broken, {}. Begin with the first that is broken.", count(warnings, "warning")),
    }
}

fn print(finding: &Finding) {
    let mark = match finding.verdict {
        Verdict::Good => format!("{GOOD}good   {GOOD:#}"),
        Verdict::Warning => format!("{WARN}warning{WARN:#}"),
        Verdict::Broken => format!("{BAD}broken {BAD:#}"),
    };
    line(format!("{mark} {:<14} {}", finding.link, clean(&finding.text)));
    if let Some(advice) = &finding.advice {
        line(format!("        {:<14} {BOLD}{}{BOLD:#}", "", clean(advice)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_counted_in_the_summary() {
        assert_eq!(summary(0, 0), "All links hold.");
        assert_eq!(summary(0, 1), "0 broken, 1 warning.");
        assert!(summary(1, 2).starts_with("1 broken, 2 warnings."));
    }
}
