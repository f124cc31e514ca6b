//! What is the case now, gathered once for people and once for programs.

use std::sync::Arc;

use sealcard_api::{
    Timestamp,
    clock::{ClockDoubt, ClockState},
    life::{ends_soon, on_day},
    record::{RecordVerification, VerificationState},
    status::{
        CertificateStatus, CertificateUse, ENDING_KEYS_DAYS, EndingKey, EnvironmentStatus, RecordStatus, RequestCounts,
        ServerStatus, SharingServer,
    },
};

use super::{
    Parts, Telemetry,
    health::{EnvironmentFound, Found},
};
use crate::{
    clock::DAY,
    ends::{self, KeyEnd},
    log::WitnessesState,
    notices::NoticesState,
    sinks::SinksState,
    storage::{NodeStatus, OpenRequests, StorageError, Store},
};

/// What is the case now.
pub(super) struct Overview {
    pub(super) found: Arc<Found>,
    /// Number and time of the record's newest entry.
    pub(super) newest: Option<(u64, Timestamp)>,
    pub(super) open: OpenRequests,
    pub(super) keys: Arc<[KeyEnd]>,
    pub(super) certificates: Vec<CertificateStatus>,
    pub(super) verification: Option<RecordVerification>,
    pub(super) notices: NoticesState,
    pub(super) sinks: SinksState,
    pub(super) log: WitnessesState,
}

impl Telemetry {
    /// What an administrator needs to know.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn status(&self) -> Result<ServerStatus, StorageError> {
        let (overview, now) = (self.overview().await?, Timestamp::now());
        let Parts { store, started, .. } = &*self.0;
        let servers: Vec<SharingServer> =
            store.nodes().await?.into_iter().map(|node| sharing(store, node, now)).collect();
        let mut attention = self.attention(&overview, now);
        attention.extend(
            servers
                .iter()
                .filter(|server| !server.live)
                .map(|SharingServer { name, seen, .. }| format!("The server {name} ended without a word ({seen}).")),
        );
        let doubt = overview.found.clock_doubt;
        let doubt = doubt.map(|doubt| ClockDoubt {
            since: doubt.since,
            seconds: doubt.seconds,
            here: doubt.node == store.node(),
        });
        let environments = overview.found.environments.iter();
        Ok(ServerStatus {
            attention,
            servers,
            server_id: store.server_id(),
            node: store.node(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: *started,
            clock: ClockState { time: now, doubt },
            environments: environments.map(|found| self.environment(found, &overview.keys, now)).collect(),
            record: RecordStatus {
                entries: overview.newest.map_or(0, |(number, _)| number),
                newest: overview.newest.map(|(_, time)| time),
                published: overview.log.published,
                verification: overview.verification,
            },
            witnesses: overview.log.witnesses,
            requests: RequestCounts { waiting: overview.open.waiting, unknown: overview.open.unknown },
            ending_keys: ending(&overview.keys, now),
            certificates: overview.certificates,
        })
    }

    /// Gathers it.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn overview(&self) -> Result<Overview, StorageError> {
        let Parts { store, audit, notices, sinks, log, health, ends, watched, .. } = &*self.0;
        let files = [(CertificateUse::Server, &watched.certificate), (CertificateUse::Authority, &watched.authority)];
        let certificates = files.into_iter().filter_map(|(used_as, file)| {
            let [_, expires] = ends::validity(file)?;
            Some(CertificateStatus { used_as, expires })
        });
        Ok(Overview {
            found: health.get().await,
            newest: store.newest_entry().await?,
            open: store.open_requests().await?,
            keys: ends.get(store).await?,
            certificates: certificates.collect(),
            verification: audit.last(),
            notices: notices.state().await?,
            sinks: sinks.state().await?,
            log: log.witnesses_state().await?,
        })
    }

    fn environment(&self, found: &EnvironmentFound, keys: &[KeyEnd], now: Timestamp) -> EnvironmentStatus {
        let signer = self.0.signers.get(found.id);
        let (keeper_restarts, worker_restarts) = signer.as_ref().map(|signer| signer.restarts()).unwrap_or_default();
        let occupancy = signer.map(|signer| signer.occupancy()).unwrap_or_default();
        let usable = || usable(keys, found, now);
        EnvironmentStatus {
            id: found.id,
            name: found.name.clone(),
            kind: found.kind,
            state: found.state,
            detail: found.note.clone(),
            keeper_restarts,
            worker_restarts,
            uses_in_progress: occupancy.in_progress as u64,
            uses_waiting: occupancy.waiting as u64,
            keys: usable().count() as u64,
            next_key_end: usable().filter_map(|key| key.end).min(),
        }
    }

    /// What needs a person, one sentence each.
    fn attention(&self, overview: &Overview, now: Timestamp) -> Vec<String> {
        let mut sentences = overview.found.readiness(true).reasons;
        if let Some(text) = ends::of_certificate(&self.0.watched.certificate, now) {
            sentences.push(format!("The server's certificate {} {text}.", self.0.watched.certificate.display()));
        }
        let authority = overview.certificates.iter().find(|one| one.used_as == CertificateUse::Authority);
        if let Some(CertificateStatus { expires, .. }) = authority
            && (*expires <= now || ends_soon(*expires, now))
        {
            let file = self.0.watched.authority.display();
            sentences.push(format!("The server's own certificate authority {file} ends on {}.", expires.day()));
        }
        sentences.extend(ending(&overview.keys, now).iter().map(|EndingKey { name, expires, .. }| {
            if *expires <= now {
                format!("The key {name} expired on {}: extend, disable or revoke it.", expires.day())
            } else {
                format!("The key {name} expires {}: extend it.", on_day(*expires, now))
            }
        }));
        match &overview.verification {
            Some(RecordVerification { report: Some(report), .. }) if !report.findings.is_empty() => sentences
                .push("The last verification of the record found faults: run sealcard admin record verify.".to_owned()),
            Some(RecordVerification { state: VerificationState::Failed, .. }) => sentences.push(
                "The record could not be verified: the server's log says why; run sealcard admin record verify."
                    .to_owned(),
            ),
            _ => {}
        }
        sentences.extend(overview.notices.attention.iter().cloned());
        sentences.extend(overview.sinks.attention.iter().cloned());
        sentences.extend(overview.log.attention.iter().cloned());
        let unknown = match overview.open.unknown {
            0 => return sentences,
            1 => "1 use".to_owned(),
            uses => format!("{uses} uses"),
        };
        sentences.push(format!(
            "It is not known of {unknown} whether the key was used; sealcard admin record list shows what is unknown."
        ));
        sentences
    }
}

fn sharing(store: &Store, node: NodeStatus, now: Timestamp) -> SharingServer {
    let NodeStatus { id, name, host, release, age, live, .. } = node;
    let seen = Timestamp::from_unix(now.unix().saturating_sub(age));
    SharingServer { name, host, version: release, seen, live, here: id == store.node() }
}

/// The keys of an environment that can be used if it is ready.
pub(super) fn usable<'a>(
    keys: &'a [KeyEnd],
    environment: &EnvironmentFound,
    now: Timestamp,
) -> impl Iterator<Item = &'a KeyEnd> {
    let environment = environment.id;
    keys.iter().filter(move |key| key.environment == environment && !key.is_over(now))
}

/// Keys that end soon or ended not long ago, the earliest end first.
fn ending(keys: &[KeyEnd], now: Timestamp) -> Vec<EndingKey> {
    let near = ENDING_KEYS_DAYS * DAY;
    let mut ending: Vec<EndingKey> = keys
        .iter()
        .filter_map(|key| Some(EndingKey { id: key.id, name: key.name.clone(), expires: key.end? }))
        .filter(|key| key.expires.unix().saturating_sub(now.unix()).abs() <= near)
        .collect();
    ending.sort_unstable_by(|one, other| (one.expires, &one.name).cmp(&(other.expires, &other.name)));
    ending
}

#[cfg(test)]
mod tests {
    use sealcard_api::ids::{EnvironmentId, KeyId};

    use super::*;

    #[test]
    fn keys_end_soon_within_thirty_days_of_their_end() {
        let now = Timestamp::from_unix(1_000 * DAY);
        let key = |days: i64, name: &str| KeyEnd {
            id: KeyId::new(),
            name: name.to_owned(),
            environment: EnvironmentId::new(),
            end: Some(Timestamp::from_unix(now.unix() + days * DAY)),
        };
        let mut keys = vec![key(31, "later"), key(30, "soon"), key(-30, "over"), key(-31, "long over")];
        keys.push(KeyEnd { end: None, ..key(0, "endless") });
        let names: Vec<String> = ending(&keys, now).into_iter().map(|key| key.name).collect();
        assert_eq!(names, ["over", "soon"]);
    }
}
