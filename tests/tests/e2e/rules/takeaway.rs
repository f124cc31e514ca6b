//! What is taken away at one server counts for every use that begins later at either, while many sign.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use sealcard_tests::{Algorithm, PROJECT, USER, wait_until};
use uuid::Uuid;

use super::{DEADLINE, MANY_DENIALS, apply, apply_template};
use crate::{
    nodes,
    support::rest::{Answer, Rest},
};

/// Clients at each server.
const CLIENTS: usize = 4;

/// A use: when it began, at which server, and what came of it.
struct Tried {
    began: Instant,
    second: bool,
    answer: Answer,
}

const RULES: &str = "\
[rule.who]
who = { groups = [\"makers\"] }

[rule.linked]
template = \"short-hashes\"
";

const TEMPLATE: &str = "[template.short-hashes]\nhashes = [\"sha256\"]\n";

#[test]
fn what_is_taken_away_counts_for_every_later_use_at_both_servers() -> Result<()> {
    let nodes = nodes::start(&MANY_DENIALS)?;
    let playground = &nodes.playground;
    let admin = &playground.admin;
    admin.admin(&["group", "add", "makers"])?;
    admin.admin(&["group", "add-member", "makers", USER])?;
    apply_template(admin, TEMPLATE)?;
    // The role comes from a group too.
    admin.admin(&["group", "add", "signers"])?;
    admin.admin(&["group", "add-member", "signers", USER])?;
    admin.admin(&["project", "add-member", PROJECT, "--group", "signers", "--role", "key-user"])?;
    admin.admin(&["project", "remove-member", PROJECT, "--user", USER, "--role", "key-user"])?;
    apply(admin, RULES)?;

    let key = playground.key(Algorithm::Ed25519)?.id.clone();
    let users = [Rest::user(playground)?.at(&playground.server), Rest::user(playground)?.at(&nodes.second)];
    let (stop, tried) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let load = Load { tried: &tried, stop: &stop };
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for number in 0..2 * CLIENTS {
            let (user, key, load) = (&users[number % 2], &key, &load);
            workers.push(scope.spawn(move || load.sign(user, key, number % 2 == 1)));
        }
        let changed = changes(&load, admin, &|| workers.iter().any(thread::ScopedJoinHandle::is_finished));
        stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        changed
    })?;
    // Each signature that was answered is in the record, and no other.
    let signed = tried.lock().iter().filter(|tried| tried.answer.status == 200).count();
    let cluster = playground.cluster.as_ref().context("no cluster")?;
    let recorded = cluster.sql("SELECT count(*) FROM record WHERE kind = 'outcome' AND state = 'signed'")?;
    ensure!(recorded.trim() == signed.to_string(), "{recorded} of {signed} are recorded");
    eprintln!("{} uses, {signed} signatures", tried.lock().len());
    Ok(())
}

/// Takes away and gives back, and looks at the uses after each change.
fn changes(load: &Load<'_>, admin: &sealcard_tests::Admin, failed: &dyn Fn() -> bool) -> Result<()> {
    let withdrawn = "links to the template short-hashes, which was withdrawn";
    let forbidden = (403, "forbidden");
    let run = |arguments: &[&str]| admin.admin(arguments).map(drop);
    load.expect(failed, (200, ""), "")?;
    apply(
        admin,
        &RULES.replace("makers", "signers").replace("[rule.linked]", "operations = [\"decrypt\"]\n[rule.linked]"),
    )?;
    load.expect(failed, forbidden, "rule who of project playground allows only to decrypt")?;
    run(&["policy", "remove", PROJECT, "--yes"])?;
    load.expect(failed, (200, ""), "")?;
    run(&["policy", "revert", PROJECT, "1"])?;
    load.expect(failed, (200, ""), "")?;
    run(&["template", "withdraw", "short-hashes", "--yes"])?;
    load.expect(failed, forbidden, withdrawn)?;
    run(&["template", "restore", "short-hashes"])?;
    load.expect(failed, (200, ""), "")?;
    run(&["group", "remove-member", "makers", USER])?;
    load.expect(failed, forbidden, "rule who of project playground allows only members of makers; you are ada")?;
    run(&["group", "add-member", "makers", USER])?;
    load.expect(failed, (200, ""), "")?;
    run(&["group", "remove-member", "signers", USER])?;
    load.expect(failed, (404, "not-found"), "")?;
    run(&["group", "add-member", "signers", USER])?;
    load.expect(failed, (200, ""), "")?;
    run(&["project", "remove-member", PROJECT, "--group", "signers", "--role", "key-user"])?;
    load.expect(failed, (404, "not-found"), "")?;
    run(&["project", "add-member", PROJECT, "--group", "signers", "--role", "key-user"])?;
    load.expect(failed, (200, ""), "")?;
    run(&["project", "add-member", PROJECT, "--user", USER, "--role", "approver"])?;
    run(&["project", "change", PROJECT, "--strict-separation", "on"])?;
    load.expect(failed, forbidden, "its roles key-user and approver can't be held together")?;
    run(&["project", "remove-member", PROJECT, "--user", USER, "--role", "approver"])?;
    load.expect(failed, (200, ""), "")?;
    run(&["user", "change", USER, "--system-role", "auditor"])?;
    load.expect(failed, forbidden, "its role key-user and the system role auditor can't be held together")?;
    run(&["project", "change", PROJECT, "--strict-separation", "off"])?;
    load.expect(failed, (200, ""), "")?;
    run(&["user", "disable", USER])?;
    load.expect(failed, (401, ""), "")
}

/// What the clients did.
struct Load<'a> {
    tried: &'a Mutex<Vec<Tried>>,
    stop: &'a AtomicBool,
}

impl Load<'_> {
    fn sign(&self, user: &Rest, key: &str, second: bool) -> Result<()> {
        while !self.stop.load(Ordering::SeqCst) {
            let began = Instant::now();
            let answer = user.sign(key, &[3; 32], &Uuid::new_v4().to_string())?;
            self.tried.lock().push(Tried { began, second, answer });
        }
        Ok(())
    }

    /// Waits until each client could have signed several times since now, and looks at all uses that began since: they
    /// have this status, code and reason.
    fn expect(&self, failed: &dyn Fn() -> bool, (status, code): (u16, &str), reason: &str) -> Result<()> {
        let changed = Instant::now();
        let since = |tried: &&Tried| tried.began > changed;
        wait_until("uses after the change", DEADLINE, || {
            let tried = self.tried.lock();
            let at = |second| tried.iter().filter(since).filter(|tried| tried.second == second).count();
            Ok((failed() || at(false).min(at(true)) >= 3 * CLIENTS).then_some(()))
        })?;
        for Tried { second, answer, began } in self.tried.lock().iter().filter(since) {
            let detail = answer.body["detail"].as_str().unwrap_or_default();
            let is_expected =
                answer.status == status && (code.is_empty() || answer.code() == code) && detail.contains(reason);
            let server = if *second { "second" } else { "first" };
            ensure!(
                is_expected,
                "{:?} after the change the {server} server answered {answer:?} instead of {status} {code} {reason}",
                began.duration_since(changed)
            );
        }
        Ok(())
    }
}
