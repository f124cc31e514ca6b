//! `sealcard doctor`: each link from gpg to the server, in order, with what to do where one is broken.

mod custody;
mod gnupg;
mod server;
mod workstation;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{
    App,
    output::{BAD, BOLD, GOOD, WARN, clean, count, line, note, show},
};

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all links hold (warnings included), 1 one is broken.")]
pub(super) struct Arguments {
    /// For programs
    #[arg(long)]
    json: bool,
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
    show(arguments.json, &findings, |findings| findings.iter().for_each(print))?;
    let broken = findings.iter().filter(|finding| finding.verdict == Verdict::Broken).count();
    if broken == 0 {
        note(format!("{BOLD}All links hold.{BOLD:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    note(format!("{BOLD}{} broken.{BOLD:#} Begin with the first.", count(broken, "link")));
    Ok(ExitCode::FAILURE)
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
