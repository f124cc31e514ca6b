//! How many signatures a second the server gives to many clients, beside what the key store alone can do.

mod load;
mod raw;
mod token;

use std::{thread::available_parallelism, time::Duration};

use anyhow::{Context, Result};
use sealcard_tests::{Algorithm, Binaries, Playground, PlaygroundBuilder, StoreKind, USER};

use self::load::Measured;
pub(crate) use self::load::{Load, Processes};
pub(crate) use self::token::RawToken;
use crate::{
    bench::NO_CEILING,
    cases::{ALGORITHMS, Contest},
    client::Client,
    report::{Report, median},
};
use xtask::output;

/// Clients at once.
const CLIENTS: [usize; 2] = [8, 128];

/// What the record of the design asks of Ed25519 with many clients, in signatures a second.
const ED25519_GOAL: f64 = 10_000.0;

/// What is measured on a token.
const ON_TOKEN: [Algorithm; 4] = [Algorithm::Rsa2048, Algorithm::Rsa4096, Algorithm::NistP256, Algorithm::Ed25519];

/// How it is measured.
#[derive(Clone, Copy)]
pub(super) struct Throughput<'a> {
    pub(super) contest: &'a Contest<'a>,
    pub(super) quick: bool,
}

impl Throughput<'_> {
    /// Measures the sealed store beside the library that it uses.
    pub(super) fn sealed(self, playground: &Playground, report: &mut Report) -> Result<()> {
        let name = |algorithm: Algorithm, clients: usize| format!("{clients} clients {algorithm} over HTTPS");
        if !self.wanted(&ALGORITHMS, &name) {
            return Ok(());
        }
        output::step("signing over HTTPS with many clients, beside the library alone");
        let threads = available_parallelism().context("processors")?.get();
        self.measure(playground, &ALGORITHMS, &name, "aws-lc-rs", report, |algorithm| {
            Ok(vec![raw::library(algorithm, threads, self.turn())?])
        })
    }

    /// Measures a token of SoftHSM beside the same token without us.
    pub(super) fn on_token(self, binaries: &Binaries, report: &mut Report) -> Result<()> {
        let name = |algorithm: Algorithm, clients: usize| format!("{clients} clients {algorithm} on a token");
        if !self.wanted(&ON_TOKEN, &name) {
            return Ok(());
        }
        output::step("starting a server with its keys on a token of SoftHSM");
        let builder = PlaygroundBuilder::new(binaries.clone()).store(StoreKind::SoftHsm).algorithms(&ON_TOKEN);
        let (ceiling, none) = NO_CEILING;
        let playground = builder.environment(ceiling, none).note(output::note).start()?;
        let token = playground.token.as_ref().context("a token")?;
        output::step("signing over HTTPS with many clients, beside the token alone");
        self.measure(&playground, &ON_TOKEN, &name, "softhsm", report, |algorithm| {
            token::rates(token, algorithm, self.turn())
        })
    }

    fn wanted(self, algorithms: &[Algorithm], name: &dyn Fn(Algorithm, usize) -> String) -> bool {
        algorithms.iter().any(|algorithm| self.clients(*algorithm, name).next().is_some())
    }

    fn clients(
        self,
        algorithm: Algorithm,
        name: &dyn Fn(Algorithm, usize) -> String,
    ) -> impl Iterator<Item = (usize, String)> {
        let named = CLIENTS.into_iter().map(move |clients| (clients, name(algorithm, clients)));
        named.filter(move |(_, name)| (self.contest.wanted)(name))
    }

    /// How long one turn takes. Short, because a machine that is shared is fast now and slow then.
    fn turn(self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 2 })
    }

    /// Measures ours and `raw` in turns. `raw` gives the rates of all the ways to use the store alone; ours is compared
    /// with the way whose median is the best.
    fn measure(
        self,
        playground: &Playground,
        algorithms: &[Algorithm],
        name: &dyn Fn(Algorithm, usize) -> String,
        peer: &'static str,
        report: &mut Report,
        raw: impl Fn(Algorithm) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let server = &playground.server;
        let target = Client::login(server.url(), &server.ca(), USER, &playground.facts.user_password)?;
        let processes = Processes { server: server.pid(), signers: server.signers()? };
        for algorithm in algorithms {
            let mut cases: Vec<_> =
                self.clients(*algorithm, name).map(|(clients, name)| (clients, name, Vec::new())).collect();
            if cases.is_empty() {
                continue;
            }
            let mut alone = Vec::new();
            for _ in 0..if self.quick { 1 } else { 7 } {
                alone.push(raw(*algorithm)?);
                for (clients, _, measured) in &mut cases {
                    (self.contest.check)()?;
                    let key = &playground.key(*algorithm)?.id;
                    let load = Load { target: &target, key, clients: *clients, time: self.turn() };
                    measured.push(load.run(&processes)?);
                }
            }
            let alone = best(&alone)?;
            for (clients, name, measured) in cases {
                let middle = |of: fn(&Measured) -> f64| median(measured.iter().map(of).collect());
                let rate = middle(|turn| turn.rate)?;
                output::note(&format!(
                    "{name}: {rate:.0}/s; processor time for each: client {:.0} µs, server {:.0} µs, signer {:.0} µs",
                    middle(|turn| turn.client)?,
                    middle(|turn| turn.server)?,
                    middle(|turn| turn.signers)?,
                ));
                report.add(&name, "1/s", rate, peer, alone);
                if *algorithm == Algorithm::Ed25519 && clients == 128 && peer == "aws-lc-rs" {
                    report.add(&format!("{name}, the goal"), "1/s", rate, "goal", ED25519_GOAL);
                }
            }
        }
        Ok(())
    }
}

/// The highest of the ways' medians; a row is one turn of all ways.
fn best(turns: &[Vec<f64>]) -> Result<f64> {
    let ways = turns.first().map_or(0, Vec::len);
    let medians = (0..ways).map(|way| median(turns.iter().filter_map(|turn| turn.get(way).copied()).collect()));
    Ok(medians.collect::<Result<Vec<_>>>()?.into_iter().fold(0.0, f64::max))
}
