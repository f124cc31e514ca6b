//! Real reverse proxies in front of the server, configured as the handbook says.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use sealcard_tests::{Daemon, Playground, USER, run, run_with_input, wait_until};
use serde_json::json;

use crate::support::{PATIENCE, builder, page::Page, record::read_record, rest::Rest};

/// Where the proxies connect from. The playground's other clients come from 127.0.0.1.
pub(crate) const PROXY: &str = "127.0.0.9";
pub(crate) const HONEST: &str = "127.0.0.2";
const GUESSING: &str = "127.0.0.3";

const HEADING: &str = "Put a reverse proxy in front of the server";

pub(crate) fn behind_proxy() -> Result<Playground> {
    let playground = builder()?
        .environment("SEALCARD_SERVER_TRUSTED_PROXIES", "[\"127.0.0.9\"]")
        .environment("SEALCARD_SERVER_LIMITS__FREE_ATTEMPTS", "1")
        .without_login();
    playground.start()
}

#[test]
fn server_behind_haproxy_uses_the_clients_addresses() -> Result<()> {
    let playground = behind_proxy()?;
    let proxy = haproxy(&playground)?;
    expect_clients_addresses(&playground, &proxy)
}

/// HAProxy as the handbook configures it.
pub(crate) fn haproxy(playground: &Playground) -> Result<Proxy> {
    let page = Page::read("configuration.md")?.block(HEADING, "haproxy")?;
    start(playground, |port, server| {
        let config = replaced(&page, &[("bind :8443", &format!("bind 127.0.0.1:{port}")), ("10.0.0.5:8443", server)])?;
        let config = replaced(&config, &[("send-proxy-v2", &format!("source {PROXY} send-proxy-v2"))])?;
        let config = playground.scratch.file("haproxy.cfg", config)?;
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(config);
        Ok(command)
    })
}

#[test]
fn server_behind_nginx_uses_the_clients_addresses() -> Result<()> {
    let playground = behind_proxy()?;
    let page = Page::read("configuration.md")?.block(HEADING, "nginx")?;
    let proxy = start(&playground, |port, server| {
        let stream =
            replaced(&page, &[("listen 8443", &format!("listen 127.0.0.1:{port}")), ("10.0.0.5:8443", server)])?;
        let stream = replaced(&stream, &[("proxy_protocol on;", &format!("proxy_protocol on; proxy_bind {PROXY};"))])?;
        let folder = playground.scratch.folder("nginx")?;
        let config = format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\n\
             error_log stderr;\npid {}/pid;\nevents {{}}\n{stream}",
            folder.display()
        );
        let config = playground.scratch.file("nginx/nginx.conf", config)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder).arg("-c").arg(config).args(["-e", "stderr"]);
        Ok(command)
    })?;
    expect_clients_addresses(&playground, &proxy)
}

/// A proxy that runs until this value is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    _daemon: Daemon,
}

/// Starts the command that is made of a free port and the server's address, once it listens.
fn start(playground: &Playground, command: impl Fn(u16, &str) -> Result<Command>) -> Result<Proxy> {
    let server = playground.server.url().trim_start_matches("https://");
    // The proxies can't choose a free port, so another process may take ours in between: then another one is tried.
    for _ in 0..5 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = playground.scratch.path().join(format!("proxy-{port}.log"));
        let mut daemon = Daemon::spawn(&command(port, server)?, &log)?;
        let is_up = wait_until("the reverse proxy", Duration::from_secs(20), || {
            if daemon.ended()?.is_some() {
                eprintln!("{}", daemon.log());
                return Ok(Some(false));
            }
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(true))
        })?;
        if is_up {
            return Ok(Proxy { url: format!("https://127.0.0.1:{port}"), _daemon: daemon });
        }
    }
    bail!("the reverse proxy does not start")
}

fn replaced(config: &str, pairs: &[(&str, &str)]) -> Result<String> {
    let mut config = config.to_owned();
    for (from, to) in pairs {
        ensure!(config.contains(from), "no {from} in {config}");
        config = config.replace(from, to);
    }
    Ok(config)
}

/// The status of a login from an address of this machine.
fn login(url: &str, ca: &Path, from: &str, user: &str, password: &str) -> Result<u16> {
    let body = json!({"type": "password", "user": user, "password": password, "label": "test"}).to_string();
    let config = format!(
        "silent\nurl = \"{url}/v1/login\"\ncacert = \"{}\"\ninterface = \"{from}\"\noutput = \"/dev/null\"\n\
         write-out = \"%{{http_code}}\"\nheader = \"Content-Type: application/json\"\nmax-time = 40\ndata = \"{}\"\n",
        ca.display(),
        body.replace('"', "\\\"")
    );
    let finished = run_with_input(Command::new("curl").args(["--config", "-"]), config.as_bytes(), PATIENCE)?;
    finished.text().trim().parse().with_context(|| finished.description())
}

/// The record and the delays after wrong passwords have the addresses of the clients, not of the proxy.
fn expect_clients_addresses(playground: &Playground, proxy: &Proxy) -> Result<()> {
    let (ca, password) = (playground.server.ca(), &playground.facts.user_password);
    let guess = |number| login(&proxy.url, &ca, GUESSING, &format!("nobody-{number}"), "wrong password");
    let mut guesses = 0;
    while guess(guesses)? == 401 {
        guesses += 1;
        ensure!(guesses < 50, "many wrong passwords and no delay");
    }
    ensure!(guesses > 0 && guess(guesses)? == 429, "after {guesses} guesses");
    ensure!(login(&proxy.url, &ca, HONEST, USER, password)? == 200, "another client has to wait too");
    let record = read_record(&Rest::admin(playground)?)?;
    let peers = |event: &str| -> Vec<String> {
        let entries = record.iter().filter(|entry| entry.event.name() == event);
        entries.map(|entry| entry.peer.map(|peer| peer.to_string()).unwrap_or_default()).collect()
    };
    let failed = peers("login-failed");
    ensure!(failed.len() == guesses && failed.iter().all(|peer| peer == GUESSING), "{failed:?}");
    ensure!(peers("login").last().is_some_and(|peer| peer == HONEST), "{:?}", peers("login"));
    // A client that connects directly has its own address, whatever it says before.
    let direct = playground.server.url();
    let mut forged = Command::new("curl");
    forged.args(["--silent", "--haproxy-protocol", "--max-time", "40", "--cacert"]).arg(&ca);
    run(forged.arg(format!("{direct}/healthz")), PATIENCE)?.failure()?;
    ensure!(login(direct, &ca, HONEST, USER, password)? == 200, "a direct connection fails");
    // Neither the proxy's health checks nor its clients were refused.
    let log = playground.server.log();
    ensure!(!log.contains("refused connections of trusted proxies"), "{log}");
    Ok(())
}
