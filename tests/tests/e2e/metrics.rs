//! The metrics, read by the Prometheus that people have: what is counted, and that the dashboard and the alerts that are
//! shipped use nothing else.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{
    Algorithm, Daemon, Facts, Playground, Scratch, Server, SignatureKind, USER, run, run_with_input, wait_until,
};
use serde_json::Value;

use crate::support::{PATIENCE, builder, rest::Rest};

/// The setting `metrics.listen`.
const LISTEN: &str = "SEALCARD_SERVER_METRICS__LISTEN";

#[test]
fn prometheus_reads_what_dashboard_and_alerts_show() -> Result<()> {
    // Metrics of sinks are there if there is a sink.
    let sink = |data: &Path| -> Result<()> {
        let config = data.join("server.toml");
        let text = fs::read_to_string(&config)?;
        Ok(fs::write(&config, format!("{text}\n[sinks.files]\nkind = \"jsonl\"\nfolder = \"sinks\"\n"))?)
    };
    let playground = builder()?.environment(LISTEN, "127.0.0.1:0").prepare(sink).start()?;
    let file = playground.workstation.write("text", "What is signed\n")?;
    let key = playground.key(Algorithm::Ed25519)?;
    playground.workstation.sign(SignatureKind::Detached, &key.fingerprint, &file, &[])?;
    playground.admin.admin(&["record", "verify"])?;
    let metrics = address(&playground.server)?;
    let prometheus = Prometheus::start(&playground.scratch, &metrics)?;
    wait_until("the signature in Prometheus", PATIENCE, || {
        let signed = prometheus.query("sum(sealcard_uses_total{operation=\"sign\",outcome=\"done\"}) > 0")?;
        Ok((!signed.is_empty()).then_some(()))
    })?;
    ensure!(!prometheus.query("up{job=\"sealcard\"} == 1")?.is_empty(), "the server is not up");
    let (dashboard, alerts) = (dashboard_expressions()?, fs::read_to_string(monitoring("sealcard.rules.yml"))?);
    ensure!(dashboard.len() > 20, "{dashboard:?}");
    for expression in &dashboard {
        prometheus.query(expression)?;
    }
    let names: BTreeSet<&str> = dashboard.iter().flat_map(|one| names(one)).chain(names(&alerts)).collect();
    ensure!(names.len() > 20, "{names:?}");
    for name in names {
        ensure!(!prometheus.query(&format!("count({name})"))?.is_empty(), "there is no {name}");
    }
    // Each alert was evaluated, and a server that is well raises none.
    let rules = wait_until("the alerts", PATIENCE, || {
        let answer = prometheus.get("rules", &[])?;
        let rules = answer["data"]["groups"][0]["rules"].as_array().context("no rules")?.clone();
        Ok(rules.iter().all(|rule| rule["health"] == "ok").then_some(rules))
    })?;
    for rule in rules {
        ensure!(rule["state"] != "firing", "{rule}");
    }
    Ok(())
}

#[test]
fn metrics_have_no_names_of_people_and_are_not_at_the_servers_address() -> Result<()> {
    let playground = playground_with_metrics()?;
    let file = playground.workstation.write("text", "What is signed\n")?;
    for key in &playground.facts.keys {
        playground.workstation.sign(SignatureKind::Detached, &key.fingerprint, &file, &[])?;
    }
    let url = format!("http://{}/metrics", address(&playground.server)?);
    let scrape = |accept: &str| -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "20", "--header", accept, &url]);
        Ok(run(&mut curl, PATIENCE)?.success()?.text())
    };
    let (plain, open) = (scrape("Accept: */*")?, scrape("Accept: application/openmetrics-text;version=1.0.0")?);
    ensure!(open.ends_with("# EOF\n") && open.contains("sealcard_build_info{version="), "{open}");
    let mut hidden = vec![format!("\"{}\"", Facts::ADMIN), format!("\"{USER}\""), "127.0.0.1".to_owned()];
    for key in &playground.facts.keys {
        hidden.extend([key.fingerprint.clone(), key.serial.clone(), format!("\"{}\"", key.algorithm)]);
    }
    for text in &hidden {
        let found = open.lines().find(|line| line.contains(text.as_str()));
        ensure!(found.is_none(), "{text:?} in {found:?}");
    }
    // Prometheus' own judgement of names, help and types.
    let mut promtool = Command::new("promtool");
    run_with_input(promtool.args(["check", "metrics"]), plain.as_bytes(), PATIENCE)?.success()?;
    let rest = Rest::admin(&playground)?;
    ensure!(rest.get("/metrics").is_err(), "the metrics are at the server's own address");
    Ok(())
}

#[test]
fn alerts_are_raised_when_they_should_be() -> Result<()> {
    let promtool = |arguments: &[&str]| {
        let mut promtool = Command::new("promtool");
        run(promtool.current_dir(monitoring("")).args(arguments), PATIENCE)?.success()
    };
    promtool(&["check", "rules", "sealcard.rules.yml"])?;
    promtool(&["test", "rules", "sealcard.rules.test.yml"])?;
    // Each alert has a test that raises it, and one that does not.
    let (rules, tests) = (monitoring("sealcard.rules.yml"), monitoring("sealcard.rules.test.yml"));
    let (rules, tests) = (fs::read_to_string(rules)?, fs::read_to_string(tests)?);
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    ensure!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        let count = tests.matches(&format!("alertname: {alert}")).count();
        ensure!(count == 2, "{alert} is tested {count} times");
    }
    Ok(())
}

fn playground_with_metrics() -> Result<Playground> {
    builder()?.environment(LISTEN, "127.0.0.1:0").start()
}

/// A file of `packaging/monitoring`.
fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/monitoring").join(file)
}

/// Where the server serves its metrics: its log says it.
fn address(server: &Server) -> Result<String> {
    wait_until("the metrics' address", PATIENCE, || {
        let log = server.log();
        Ok(log.lines().filter(|line| line.contains("metrics: serving")).find_map(|line| word(line, "listen=")))
    })
}

/// What follows `name` in a line, up to the next blank.
fn word(line: &str, name: &str) -> Option<String> {
    Some(line.split_once(name)?.1.split(' ').next()?.to_owned())
}

/// All expressions of the dashboard, with values for its variables.
fn dashboard_expressions() -> Result<Vec<String>> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_slice(&fs::read(monitoring("sealcard.dashboard.json"))?)?;
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    Ok(found.iter().map(|one| one.replace("$__rate_interval", "1m").replace("$instance", ".+")).collect())
}

/// The names of metrics in a text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sealcard_") || word.starts_with("process_"))
}

/// A Prometheus that scrapes one server each second.
struct Prometheus {
    _daemon: Daemon,
    url: String,
}

impl Prometheus {
    fn start(scratch: &Scratch, metrics: &str) -> Result<Self> {
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n- job_name: sealcard\n  static_configs: [{{targets: [\"{metrics}\"]}}]\n",
            monitoring("sealcard.rules.yml").canonicalize()?.display(),
        );
        let config = scratch.file("prometheus.yml", &config)?;
        let (data, log) = (scratch.path().join("prometheus"), scratch.path().join("prometheus.log"));
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        let mut daemon = Daemon::spawn(&command, &log)?;
        let address = wait_until("Prometheus' address", PATIENCE, || {
            ensure!(daemon.ended()?.is_none(), "Prometheus ended:\n{}", daemon.log());
            let log = daemon.log();
            Ok(log.lines().filter(|line| line.contains("\"Listening on\"")).find_map(|line| word(line, "address=")))
        })?;
        let prometheus = Self { _daemon: daemon, url: format!("http://{address}") };
        wait_until("Prometheus", PATIENCE, || Ok(prometheus.get("status/buildinfo", &[]).ok()))?;
        Ok(prometheus)
    }

    /// What an expression gives now. An error if it is none.
    fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.get("query", &[&format!("query={expression}")])?;
        let result = answer["data"]["result"].as_array();
        Ok(result.with_context(|| format!("{expression}: {answer}"))?.clone())
    }

    fn get(&self, path: &str, parameters: &[&str]) -> Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--get"]);
        for parameter in parameters {
            curl.args(["--data-urlencode", parameter]);
        }
        let finished = run(curl.arg(format!("{}/api/v1/{path}", self.url)), PATIENCE)?.success()?;
        let answer: Value = serde_json::from_slice(&finished.stdout)?;
        ensure!(answer["status"] == "success", "{parameters:?}: {answer}");
        Ok(answer)
    }
}
