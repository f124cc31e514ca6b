//! A template that changes while gpg and other clients sign: each use is judged by one version or the other.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, DatabaseKind, wait_until};
use uuid::Uuid;

use super::{DEADLINE, apply, apply_template, expect_reason, last, many_denials, remove};
use crate::support::{
    expect_no_prompt,
    rest::{Answer, Rest},
};

#[test]
fn uses_are_judged_by_a_template_that_changes_meanwhile_on_sqlite() -> Result<()> {
    change(DatabaseKind::Sqlite)
}

#[test]
fn uses_are_judged_by_a_template_that_changes_meanwhile_on_postgres() -> Result<()> {
    change(DatabaseKind::Postgres)
}

const ROUNDS: usize = 5;
const OPEN: &str = "[template.changing]\nhashes = [\"sha256\", \"sha512\"]\n";
const CLOSED: &str = "[template.changing]\nhashes = [\"sha384\"]\n";

/// Why a use may be denied here.
fn is_expected(reason: &str) -> bool {
    reason.contains("rule linked of project playground ")
        && (reason.contains("allows only digests by sha384; this one is by sha")
            || reason.contains("links to the template changing, which was withdrawn"))
        && reason.ends_with("Ask an owner of the project playground.")
}

/// How many uses succeeded and how many were denied.
#[derive(Default)]
struct Counts {
    signed: AtomicUsize,
    denied: AtomicUsize,
}

impl Counts {
    fn both(&self) -> (usize, usize) {
        (self.signed.load(Ordering::SeqCst), self.denied.load(Ordering::SeqCst))
    }
}

/// As clients have to: a use that was denied a moment ago has no place at the signer yet when it is allowed, so the server
/// asks to try again.
fn sign(user: &Rest, key: &str) -> Result<Answer> {
    let request = Uuid::new_v4().to_string();
    let answer = user.sign(key, &[7; 32], &request)?;
    if answer.code() == "overloaded" { user.sign(key, &[7; 32], &request) } else { Ok(answer) }
}

fn change(database: DatabaseKind) -> Result<()> {
    let playground = many_denials()?.database(database).start()?;
    let (admin, station) = (&playground.admin, &playground.workstation);
    let key = playground.key(Algorithm::Ed25519)?;
    let user = Rest::user(&playground)?;
    apply_template(admin, OPEN)?;
    apply(admin, "[rule.linked]\ntemplate = \"changing\"\n")?;
    let (stop, gpg, http) = (AtomicBool::new(false), Counts::default(), Counts::default());
    thread::scope(|scope| {
        let mut workers = vec![scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let signed = station.try_sign(&key.fingerprint)?;
                if signed.status.success() {
                    gpg.signed.fetch_add(1, Ordering::SeqCst);
                } else {
                    expect_reason(station, &signed, &[])?;
                    let reason = last(station)?["reason"].as_str().context("no reason")?.to_owned();
                    ensure!(is_expected(&reason), "{reason}");
                    gpg.denied.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok(())
        })];
        workers.extend((0..2).map(|_| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let answer = sign(&user, &key.id)?;
                    if answer.status == 200 {
                        http.signed.fetch_add(1, Ordering::SeqCst);
                    } else {
                        let reason = answer.body["detail"].as_str().unwrap_or_default();
                        ensure!(answer.status == 403 && is_expected(reason), "{answer:?}");
                        http.denied.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Ok(())
            })
        }));
        // A worker that has failed is looked at below.
        let more = |allowed: bool| {
            let (gpg_before, http_before) = (gpg.both(), http.both());
            let went_on = |before: (usize, usize), now: (usize, usize)| {
                if allowed { now.0 > before.0 + 1 } else { now.1 > before.1 + 1 }
            };
            wait_until("uses after a change", DEADLINE, || {
                let go_on = went_on(gpg_before, gpg.both()) && went_on(http_before, http.both());
                Ok((go_on || workers.iter().any(thread::ScopedJoinHandle::is_finished)).then_some(()))
            })
        };
        let changes = || -> Result<()> {
            for round in 0..ROUNDS {
                more(true)?;
                if round % 2 == 0 {
                    apply_template(admin, CLOSED)?;
                    more(false)?;
                    apply_template(admin, OPEN)?;
                } else {
                    admin.admin(&["template", "withdraw", "changing", "--yes"])?;
                    more(false)?;
                    admin.admin(&["template", "restore", "changing"])?;
                }
            }
            more(true)
        };
        let changed = changes();
        stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        changed
    })?;
    eprintln!("signed and denied: gpg {:?}, clients {:?}", gpg.both(), http.both());
    remove(admin)?;
    station.try_sign(&key.fingerprint)?.success()?;
    admin.admin(&["record", "verify"])?;
    expect_no_prompt(&playground)
}
