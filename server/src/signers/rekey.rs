//! Replacing the master key of a sealed store while its keys are used.
//!
//! A person gives the signer a new master key, and the database says which one is in use. When the signers of all
//! servers have the new one, it is put to use: from that transaction on no component is stored under another. Then every
//! component that is stored otherwise is sealed again and stored in place of what it was, each in a transaction of its
//! own. The work to do follows from the database alone, so it goes on after a crash at any point, on any server.

use std::sync::Arc;

use sealcard_api::ids::{ComponentId, EnvironmentId};
use sealcard_record::{
    Draft, Event, Named,
    event::{ComponentsResealed, MasterKeyChanged},
};
use sealcard_signer_protocol::{
    KeeperRequestBody, MasterKeyId, RequestBody, ResponseBody, StoredCheckpointKey, StoredKey,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};
use uuid::Uuid;

use super::{connection::Connection, link::Link};
use crate::{
    failpoint, limits,
    storage::{LogKeyRow, MasterKeyState, StorageError, Store},
};

/// How many components are read at once.
const PAGE: u32 = 100;

/// What is known of an environment's master key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MasterKeyStatus {
    /// The one in use.
    pub(crate) current: Option<MasterKeyId>,
    /// What goes on, or what a person has to do.
    pub(crate) note: Option<String>,
}

/// Looks after the master key of one sealed store, on this server.
pub(super) struct Rekeyer {
    pub(super) store: Store,
    pub(super) environment: EnvironmentId,
    pub(super) name: String,
    pub(super) connection: watch::Receiver<Option<Arc<Connection>>>,
    pub(super) link: watch::Receiver<Option<Arc<Link>>>,
    pub(super) status: watch::Sender<MasterKeyStatus>,
}

impl Rekeyer {
    /// Looks again and again, until it is dropped.
    pub(super) async fn run(self) {
        let mut periods = interval(limits::REKEY_PERIOD);
        periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            periods.tick().await;
            if let Err(error) = self.look().await {
                // The database is reported where it is used.
                tracing::debug!(environment = self.name, %error, "master key: can't be looked after now");
            }
        }
    }

    async fn look(&self) -> Result<(), StorageError> {
        let connection = self.connection.borrow().clone();
        let Some(connection) = connection else { return Ok(()) };
        let asked = connection.ask(RequestBody::MasterKeys, limits::STATUS_DEADLINE).await;
        // One that is sealed says nothing.
        let Ok(ResponseBody::MasterKeys(ids)) = asked else { return Ok(()) };
        let (Some(oldest), Some(newest)) = (ids.first().copied(), ids.last().copied()) else { return Ok(()) };
        self.store.announce_master_keys(self.environment, &ids).await?;
        let mut state = self.store.master_key(self.environment).await?;
        if state.current.is_none() {
            let environment = self.environment;
            self.store.write(move |tx| tx.adopt_master_key(environment, oldest)).await?;
            state = self.store.master_key(environment).await?;
        }
        let Some(current) = state.current else { return Ok(()) };
        if !ids.contains(&current) {
            self.note(
                current,
                Some(format!(
                    "this server's signer lacks the master key {current}: copy seal.json from another server and run \
                 sealcard-signer rekey --from FILE"
                )),
            );
            return Ok(());
        }
        // What is under way is ended before something new begins.
        let state = if state.earlier.is_none() && newest != current {
            self.put_to_use(state, current, newest).await?
        } else {
            state
        };
        let Some(current) = state.current else { return Ok(()) };
        if state.earlier.is_some() {
            self.reseal_all(&connection, current).await?;
        } else if ids.len() == 1 {
            self.note(current, None);
        }
        self.tell_unused(&ids, current).await
    }

    /// Changes the master key that is in use, if all servers have the new one. How it is afterwards.
    async fn put_to_use(
        &self,
        state: MasterKeyState,
        before: MasterKeyId,
        new: MasterKeyId,
    ) -> Result<MasterKeyState, StorageError> {
        let lacking = self.store.servers_without_master_key(self.environment, new).await?;
        if !lacking.is_empty() {
            self.note(before, Some(format!(
                "the new master key {new} waits until these servers have it: {}; copy seal.json to each of them and \
                 run sealcard-signer rekey --from FILE",
                lacking.join(", ")
            )));
            return Ok(state);
        }
        let environment = self.environment;
        let entry = Draft::of_server(Event::MasterKeyChanged(MasterKeyChanged {
            environment: self.named(),
            master_key: new.to_string(),
            before: before.to_string(),
        }));
        let changed: Result<bool, StorageError> = self
            .store
            .write(move |tx| {
                let changed = tx.change_master_key(environment, before, new)?;
                if changed {
                    tx.append_record(entry);
                }
                Ok(changed)
            })
            .await;
        if changed? {
            tracing::info!(environment = self.name, master_key = %new, before = %before,
                "master key: a new one is in use; every component is sealed again");
        }
        failpoint::hit("server::after_master_key_changed");
        self.store.master_key(environment).await
    }

    /// Seals again all that is not stored under the master key in use.
    async fn reseal_all(&self, connection: &Connection, current: MasterKeyId) -> Result<(), StorageError> {
        let (all, otherwise) = self.store.count_sealed_otherwise(self.environment, current).await?;
        let (mut after, mut done, mut failed) = (Uuid::nil(), all - otherwise, 0_u64);
        loop {
            let rows = self.store.sealed_otherwise(self.environment, current, after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.component;
            for row in rows {
                self.note(current, Some(format!("{done} of {all} components are sealed under the new master key")));
                if self.reseal(connection, row, current).await? {
                    done += 1;
                } else {
                    failed += 1;
                }
                failpoint::hit("server::after_reseal");
            }
        }
        for key in self.store.log_keys_sealed_otherwise(self.environment, current).await? {
            failed += u64::from(!self.reseal_log_key(connection, key, current).await?);
        }
        if failed > 0 {
            self.note(current, Some(format!(
                "{failed} of {all} components can't be sealed under the new master key: see the server's log; keep the \
                 earlier one"
            )));
            sleep(limits::REKEY_RETRY).await;
            return Ok(());
        }
        self.finish(current).await
    }

    /// Whether it is stored under the master key now.
    async fn reseal(
        &self,
        connection: &Connection,
        row: StoredKey,
        master_key: MasterKeyId,
    ) -> Result<bool, StorageError> {
        let component = ComponentId(row.component);
        let asked = connection.ask(RequestBody::Reseal { key: row.clone(), master_key }, limits::USE_DEADLINE).await;
        let resealed = match asked {
            Ok(ResponseBody::Resealed { key }) => key,
            Ok(_) => {
                tracing::error!(environment = self.name, %component, "master key: the signer gave an odd answer");
                return Ok(false);
            }
            Err(error) => {
                tracing::error!(environment = self.name, %component, %error,
                    "master key: a component can't be sealed again");
                return Ok(false);
            }
        };
        let same = StoredKey { handle: row.handle.clone(), ..resealed.clone() } == row;
        if !same || MasterKeyId::of_handle(&resealed.handle) != Some(master_key) {
            tracing::error!(environment = self.name, %component, "master key: the signer sealed another component");
            return Ok(false);
        }
        // If it is not as it was any more, another server was faster, or its key is gone.
        self.store.write(move |tx| tx.replace_handle(component, &row.handle, &resealed.handle).map(drop)).await?;
        Ok(true)
    }

    /// The same for a key of the record's log.
    async fn reseal_log_key(
        &self,
        connection: &Connection,
        row: LogKeyRow,
        master_key: MasterKeyId,
    ) -> Result<bool, StorageError> {
        let key = row.key;
        let asked = RequestBody::ResealCheckpointKey { key: key.clone(), master_key };
        let resealed = match connection.ask(asked, limits::USE_DEADLINE).await {
            Ok(ResponseBody::CheckpointKey(resealed)) => resealed,
            answer => {
                let error = answer.err().map(|error| error.to_string()).unwrap_or_default();
                tracing::error!(
                    environment = self.name,
                    origin = key.origin,
                    error,
                    "master key: a key of the record's log can't be sealed again"
                );
                return Ok(false);
            }
        };
        let same = StoredCheckpointKey { handle: key.handle.clone(), ..resealed.clone() } == key;
        if !same || MasterKeyId::of_handle(&resealed.handle) != Some(master_key) {
            tracing::error!(environment = self.name, origin = key.origin, "master key: the signer sealed another key");
            return Ok(false);
        }
        let write = self.store.write(move |tx| tx.replace_log_key(key.component, &key.handle, &resealed.handle));
        write.await.map(|_| true)
    }

    async fn finish(&self, current: MasterKeyId) -> Result<(), StorageError> {
        let (environment, named) = (self.environment, self.named());
        let finished: Result<Option<u64>, StorageError> = self
            .store
            .write(move |tx| {
                let finished = tx.finish_master_key(environment, current)?;
                if let Some(components) = finished {
                    tx.append_record(Draft::of_server(Event::ComponentsResealed(ComponentsResealed {
                        environment: named,
                        master_key: current.to_string(),
                        components,
                    })));
                }
                Ok(finished)
            })
            .await;
        if let Some(components) = finished? {
            tracing::info!(environment = self.name, master_key = %current, components,
                "master key: every component is stored under the new one");
        }
        Ok(())
    }

    /// Tells the keeper which master keys nothing is stored under any more: a person may remove them then.
    async fn tell_unused(&self, ids: &[MasterKeyId], current: MasterKeyId) -> Result<(), StorageError> {
        if ids.len() == 1 {
            return Ok(());
        }
        let state = self.store.master_key(self.environment).await?;
        let (_, otherwise) = self.store.count_sealed_otherwise(self.environment, current).await?;
        let finished = state == MasterKeyState { current: Some(current), earlier: None } && otherwise == 0;
        let unused: Vec<MasterKeyId> = ids.iter().copied().filter(|id| finished && *id != current).collect();
        if finished && ids.last() == Some(&current) {
            self.note(current, Some(
                "no component is stored under an earlier master key: remove it on each server with sealcard-signer \
                 rekey --finish"
                    .to_owned(),
            ));
        }
        let link = self.link.borrow().clone();
        if let Some(link) = link {
            // Asked again in the next period.
            let _ = link.ask(KeeperRequestBody::UnusedMasterKeys(unused), limits::STATUS_DEADLINE).await;
        }
        Ok(())
    }

    fn note(&self, current: MasterKeyId, note: Option<String>) {
        let status = MasterKeyStatus { current: Some(current), note };
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    fn named(&self) -> Named<EnvironmentId> {
        Named::new(self.environment, &self.name)
    }
}
