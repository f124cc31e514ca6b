//! What rules cost: one decision, and the way of a signature with and without rules.

mod crowd;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use sealcard_api::{
    Timestamp,
    algorithm::HashAlgorithm,
    context::{Process, UseContext},
};
use sealcard_policy::{
    KeyOperation, RequestFacts, decide_use,
    rules::{Document, RuleSet, Scope},
};
use sealcard_server::authn::policy_facts;
use sealcard_tests::{Algorithm, PROJECT, Playground, USER};
use xtask::output;

use crate::{
    cases::Contest,
    client::Client,
    report::{Report, median},
    throughput::{Load, Processes},
};

/// Policies in the rules that are measured.
const POLICIES: usize = 50;

/// Median of one decision, in microseconds.
const DECISION_GOAL: f64 = 60.0;

const DECISION: &str = "policy decision, 50 policies, 1000 projects, 10000 users";
const PATH: &str = "policy: 128 clients ed25519 with 50 policies and 2 quotas";

/// Measures both.
pub(crate) fn measure(playground: &Playground, contest: &Contest<'_>, quick: bool, report: &mut Report) -> Result<()> {
    if (contest.wanted)(DECISION) {
        output::step("deciding by rules");
        report.add(DECISION, "µs", decision(if quick { 1000 } else { 20_000 })?, "goal", DECISION_GOAL);
    }
    if (contest.wanted)(PATH) {
        path(playground, contest, quick, report)?;
    }
    Ok(())
}

/// Rules that become [`POLICIES`] policies, two of which are quotas that are never reached. All allow `user`.
fn rules(user: &str) -> String {
    let mut text = String::new();
    for rule in 0..8 {
        let _ = write!(
            text,
            "[rule.r{rule}]\noperations = [\"sign\"]\nhashes = [\"sha256\", \"sha512\"]\n\
             who = {{ users = [\"{user}\"] }}\nnetworks = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n\
             hours = {{ zone = \"Europe/Berlin\" }}\nlogins = {{ methods = [\"password\"] }}\n",
        );
        if rule == 0 {
            text.push_str(
                "quota = [{ per = \"user\", uses = 100000000, window = \"1h\" }, \
                 { per = \"key\", uses = 100000000, window = \"1d\" }]\n",
            );
        }
    }
    text
}

/// One decision on a crowded server: stored facts, as the server has them, and the judgement of the rules.
fn decision(times: usize) -> Result<f64> {
    let folder = tempfile::tempdir().context("a folder")?;
    let text = rules("jane");
    let runtime = tokio::runtime::Runtime::new().context("the runtime")?;
    output::note(&format!("filling a database with {} projects and {} users", crowd::PROJECTS, crowd::USERS));
    let (store, query) = runtime.block_on(crowd::fill(&folder.path().join("crowd.db"), "jane", &text))?;
    let document = Document::parse(&text).map_err(|wrong| anyhow!("{wrong:?}"))?;
    let documents = [(Scope::Project("project".to_owned()), Arc::new(document))];
    let rules = RuleSet::compile(&documents, &BTreeMap::new()).map_err(|wrong| anyhow!("{wrong:?}"))?;
    ensure!(rules.len() == POLICIES, "{} policies", rules.len());
    let (request, none) = (request(), BTreeSet::new());
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let begin = Instant::now();
        let facts = runtime.block_on(store.facts(query))?.context("no facts")?;
        ensure!(facts.rules.project == Some(1), "no rules");
        let facts = policy_facts(&facts, request.clone(), Timestamp::now());
        let decision = decide_use(&facts, KeyOperation::Sign, Some(&rules), &none);
        taken.push(begin.elapsed().as_secs_f64() * 1e6);
        ensure!(decision.allowed(), "{:?}", decision.reasons());
    }
    runtime.block_on(store.close());
    median(taken)
}

fn request() -> RequestFacts {
    let process = |path: &str, command: &str| Process {
        path: Some(path.to_owned()),
        sha256: None,
        command: Some(command.to_owned()),
    };
    RequestFacts {
        address: Some([127, 0, 0, 1].into()),
        claims: UseContext {
            host: Some("build-1".to_owned()),
            processes: vec![process("/usr/bin/gpg", "gpg -bsau KEY"), process("/usr/bin/git", "git tag -s v1")],
            justification: None,
        },
        hash: Some(HashAlgorithm::Sha512),
        clock_in_doubt: false,
        approvals: BTreeSet::new(),
    }
}

/// The same clients, in turns with rules and without.
fn path(playground: &Playground, contest: &Contest<'_>, quick: bool, report: &mut Report) -> Result<()> {
    output::step("signing over HTTPS with many clients, in turns with rules and without");
    let file = playground.scratch.path().join("rules.toml");
    fs::write(&file, rules(USER)).context("the rules")?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    let (apply, remove) = (["policy", "apply", PROJECT, file, "--yes"], ["policy", "remove", PROJECT, "--yes"]);
    let server = &playground.server;
    let target = Client::login(server.url(), &server.ca(), USER, &playground.facts.user_password)?;
    let processes = Processes { server: server.pid(), signers: server.signers()? };
    let key = &playground.key(Algorithm::Ed25519)?.id;
    let (mut ruled, mut free) = (Vec::new(), Vec::new());
    for _ in 0..if quick { 1 } else { 7 } {
        for (change, rates) in [(apply.as_slice(), &mut ruled), (remove.as_slice(), &mut free)] {
            (contest.check)()?;
            playground.admin.admin(change)?;
            let load =
                Load { target: &target, key, clients: 128, time: Duration::from_secs(if quick { 1 } else { 2 }) };
            rates.push(load.run(&processes)?.rate);
        }
    }
    report.add(PATH, "1/s", median(ruled)?, "no rules", median(free)?);
    Ok(())
}
