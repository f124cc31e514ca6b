//! Making checkpoints: the server proves to the signer that the log only grew, and the signer signs.

use sealcard_api::{
    Timestamp,
    admin::EnvironmentState,
    ids::{ComponentId, EnvironmentId, RequestId},
};
use sealcard_record::{
    Draft, Event, Head, Named,
    event::{LogBegun, LogKeyBegun},
};
use sealcard_signer_protocol::Stated;
use sealcard_transparency::{Checkpoint, Hash, Note, TreeHead};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Log, NEW_LOG, goes_on_as, keys};
use crate::{
    failpoint, limits,
    signers::{Signer, UseError},
    storage::{CheckpointRow, LogKeyRow, StorageError, WriteTx},
};

/// Why no checkpoint was made.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The signer has signed a longer log, or another one: the database is an older copy, or was changed. Retrying can't
    /// help.
    #[error(
        "the signer of the record's log has signed a checkpoint of {signed} entries that this database does not have: it \
         has {has}, or others. An older backup was restored, or somebody changed the record. The server stops. If \
         you restored a backup, begin a new log: sealcard-server new-log --data DIR"
    )]
    Forked {
        /// How many entries the signer's last checkpoint has.
        signed: u64,
        /// How many the record has.
        has: u64,
    },
    /// The environment's keys can't be used at present, which is said where it is looked after. Retrying helps then.
    #[error("the environment of the log's key is not ready")]
    NotReady,
    /// The environment can't sign checkpoints.
    #[error("{0}")]
    Environment(String),
    /// The signer gave no checkpoint. Retrying may help.
    #[error("the signer of the log: {0}")]
    Signer(#[from] UseError),
    /// What the signer gave is no checkpoint of this log. Retrying can't help.
    #[error("the signer's checkpoint is not right: {0}")]
    Wrong(String),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Log {
    /// Makes checkpoints as long as it runs. Ends if the signer has signed another log than the database has.
    pub async fn keep_publishing(self) -> PublishError {
        let mut periods = interval(limits::CHECKPOINT_PERIOD);
        periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut compared) = (String::new(), false);
        loop {
            periods.tick().await;
            match self.publish(!compared).await {
                Ok(()) => {
                    compared = true;
                    if !said.is_empty() {
                        tracing::info!("log: checkpoints are made again");
                        said.clear();
                    }
                }
                Err(PublishError::NotReady) => {}
                Err(forked @ PublishError::Forked { .. }) => return forked,
                Err(error) => {
                    let text = error.to_string();
                    // Said once, not every second.
                    if said != text {
                        tracing::warn!(%error, "log: no checkpoint can be made");
                        said = text;
                    }
                    if !matches!(error, PublishError::Environment(_)) {
                        sleep(limits::CHECKPOINT_RETRY).await;
                    }
                }
            }
        }
    }

    /// Makes a checkpoint if there are entries that the newest one does not cover. Without them, the log is compared with
    /// the signer's last checkpoint if it is to be: the database may be an older copy.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, compare: bool) -> Result<(), PublishError> {
        let Some(name) = &self.config.origin else { return Ok(()) };
        let (environment, signer) = self.signer().await?;
        let mark = self.signers.folder().with_file_name(NEW_LOG);
        let key = match self.store.log_key().await? {
            Some(key) if !mark.exists() && goes_on_as(&key.key.origin, name) => key,
            None => self.begin(name, environment, &signer).await?,
            Some(_) => {
                if signer.state().await != EnvironmentState::Ready {
                    return Err(PublishError::NotReady);
                }
                // Before the key is made: a mark that stays would make one again and again.
                match std::fs::remove_file(&mark) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(PublishError::Wrong(format!("{}: {error}", mark.display())));
                    }
                    _ => {}
                }
                // What was signed under the old name stays true; the new one has no past that it must continue.
                let time: String = Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
                self.begin(&format!("{name}/{time}"), environment, &signer).await?
            }
        };
        let newest = self.store.checkpoint(&key.key.origin).await?;
        let size = self.store.record_length().await?;
        let is_due = self.is_due(newest.as_ref(), size).await?;
        if !is_due && !compare {
            return Ok(());
        }
        let signed = signer.last_checkpoint(key.key.component).await?;
        let proof = self.proof(signed, size).await?;
        if !is_due {
            return Ok(());
        }
        let head = self.store.log_head_at(size).await?.ok_or(PublishError::Forked { signed: size, has: 0 })?;
        let tree = TreeHead { size, root: Hash(head.root.0) };
        failpoint::hit("server::before_checkpoint");
        let note =
            signer.sign_checkpoint(key.key.clone(), tree, (signed.map_or(0, |signed| signed.size), proof)).await?;
        check(&key, &note, tree)?;
        failpoint::hit("server::after_checkpoint");
        let row = CheckpointRow { origin: key.key.origin, size, note, time: Timestamp::now() };
        let is_given_out = self.witnesses.is_none();
        let put = move |tx: &mut WriteTx| {
            let is_newest = tx.put_checkpoint(&row)?;
            if is_newest && is_given_out { tx.publish_checkpoint(&row) } else { Ok(()) }
        };
        self.store.write(put).await.map_err(PublishError::Storage)
    }

    /// Whether it is time for the checkpoint that covers `size` entries. The newest one keeps its place until enough
    /// witnesses have cosigned it, but no longer than they may take.
    async fn is_due(&self, newest: Option<&CheckpointRow>, size: u64) -> Result<bool, StorageError> {
        let Some(newest) = newest else { return Ok(size > 0) };
        let has_grown = size > newest.size;
        let Some(witnesses) = &self.witnesses else { return Ok(has_grown) };
        if !has_grown {
            return Ok(false);
        }
        if witnesses.have_cosigned(&newest.note) {
            // Fewer witnesses may be needed than before the server was started.
            let published = self.store.published_checkpoint(&newest.origin).await?;
            if published.is_none_or(|published| published.size < newest.size) {
                let origin = newest.origin.clone();
                // As it is by now: it may have more cosignatures.
                let publish = move |tx: &mut WriteTx| match tx.checkpoint(&origin)? {
                    Some(newest) => tx.publish_checkpoint(&newest),
                    None => Ok(()),
                };
                self.store.write(publish).await?;
            }
            return Ok(true);
        }
        let age = Timestamp::now().unix().saturating_sub(newest.time.unix()).unsigned_abs();
        Ok(age >= limits::WITNESS_ROUND.as_secs())
    }

    /// The environment that signs checkpoints, and its signer.
    async fn signer(&self) -> Result<(Named<EnvironmentId>, std::sync::Arc<Signer>), PublishError> {
        let name = &self.config.environment;
        let environment = self.store.environments().await?.into_iter().find(|environment| environment.name == *name);
        let missing = || PublishError::Environment(format!("there is no environment {name}: see record.environment"));
        let environment = environment.ok_or_else(missing)?.named();
        let signer = self.signers.get(environment.id).ok_or_else(missing)?;
        if signer.is_token() {
            return Err(PublishError::Environment(format!(
                "the environment {name} is a token: checkpoints need a sealed store, see record.environment"
            )));
        }
        Ok((environment, signer))
    }

    /// Makes the log's key, and records that the log begins.
    async fn begin(
        &self,
        origin: &str,
        environment: Named<EnvironmentId>,
        signer: &Signer,
    ) -> Result<LogKeyRow, PublishError> {
        // What can't be done now is not begun, again and again.
        if signer.state().await != EnvironmentState::Ready {
            return Err(PublishError::NotReady);
        }
        let request = RequestId::new();
        let component = ComponentId::new();
        let begun = LogKeyBegun { origin: origin.to_owned(), environment: environment.clone(), component };
        // Before the signer's journal has it: a crash or a faster server leaves no entry there that nothing explains.
        self.store.append_record(Draft::new(request, Event::LogKeyBegun(begun))).await?;
        let master_key = signer.master_key().await?;
        let stated = Stated::by_server(request.0);
        let key = signer.make_checkpoint_key(component.0, origin, master_key, stated).await?;
        let row = LogKeyRow { key, environment: environment.id, created: Timestamp::now() };
        let verifiers = keys(&row).map_err(|error| PublishError::Wrong(error.to_string()))?;
        let keys = verifiers.iter().map(ToString::to_string).collect();
        let event = Event::LogBegun(LogBegun { origin: origin.to_owned(), environment, component, keys });
        let draft = Draft::new(request, event);
        let added = row.clone();
        let is_first = self.store.write(move |tx| -> Result<bool, StorageError> {
            let is_first = tx.add_log_key(&added)?;
            if is_first {
                tx.append_record(draft);
            }
            Ok(is_first)
        });
        if is_first.await? {
            tracing::info!(origin, "log: it has a key now");
            return Ok(row);
        }
        // Another server was faster.
        let theirs = self.store.log_key().await?;
        theirs.ok_or_else(|| PublishError::Wrong("its key is gone".to_owned()))
    }

    /// The proof that the log only grew since the signer's last checkpoint.
    async fn proof(&self, signed: Option<TreeHead>, size: u64) -> Result<Vec<Hash>, PublishError> {
        let Some(signed) = signed else { return Ok(Vec::new()) };
        let forked = PublishError::Forked { signed: signed.size, has: size };
        if signed.size > size {
            return Err(forked);
        }
        match self.store.log_head_at(signed.size).await? {
            Some(Head { root, .. }) if root.0 == signed.root.0 => {
                Ok(self.store.prove_consistency(signed.size, size).await?)
            }
            _ => Err(forked),
        }
    }
}

/// The note must be a checkpoint of this tree with the signatures of all of the log's keys.
fn check(key: &LogKeyRow, note: &str, tree: TreeHead) -> Result<(), PublishError> {
    let wrong = |error: &dyn std::fmt::Display| PublishError::Wrong(error.to_string());
    let note = Note::parse(note.as_bytes()).map_err(|error| wrong(&error))?;
    let keys = keys(key).map_err(|error| wrong(&error))?;
    let verified = note.verify(&keys).map_err(|error| wrong(&error))?;
    if verified.len() != keys.len() {
        return Err(wrong(&"a signature is missing"));
    }
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(&error))?;
    if checkpoint.origin() == key.key.origin && *checkpoint.tree() == tree {
        Ok(())
    } else {
        Err(wrong(&"another tree"))
    }
}
