//! Rules for the uses of keys, and the templates that they link to: reading, checking and changing them, without HTTP.
//!
//! A change is prepared outside of the transaction, because it takes time to compile rules. The transaction judges its
//! author again, looks whether the rules and templates are still those that the change was compiled with, and records
//! it.

mod change;
mod engine;
mod error;
mod prepare;
mod read;
mod sets;
mod target;
mod templates;
mod trial;

use std::sync::Arc;

use sealcard_api::{Timestamp, key_rules::Written};
use sealcard_record::Sha256;
use tokio::sync::Semaphore;

pub(crate) use change::Change;
pub(crate) use error::RulesError;
pub(crate) use target::Target;
pub(crate) use templates::{Act, TemplatesPlan};
pub(crate) use trial::{ReadExamples, Replay};

use crate::{
    authn::Caller,
    limits,
    storage::{Authorship, RulesState, Store, WriteTx},
};

/// The rules and templates of a server. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    store: Store,
    /// Whoever may read or check rules could keep all processors busy with it.
    compiling: Arc<Semaphore>,
}

type Result<T> = std::result::Result<T, RulesError>;

impl Rules {
    /// The rules in `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, compiling: Arc::new(Semaphore::new(limits::COMPILING_RULES)) }
    }

    /// Work that takes a processor for more than a moment.
    async fn compile<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        const FAULT: RulesError = RulesError::Fault("compiling rules failed");
        let permit = Arc::clone(&self.compiling).acquire_owned().await.map_err(|_| FAULT)?;
        // It goes on when the caller hangs up, and keeps its permit.
        let compiled = tokio::task::spawn_blocking(move || {
            let compiled = work();
            drop(permit);
            compiled
        });
        compiled.await.map_err(|_| FAULT)
    }
}

/// Whoever writes a version.
fn authorship(caller: &Caller, applied: Timestamp, note: &Option<String>) -> Authorship {
    Authorship {
        author_id: caller.principal,
        author: caller.name.clone(),
        applied,
        note: note.clone().unwrap_or_default(),
    }
}

/// As it is shown.
fn written(by: Authorship) -> Written {
    Written { by: by.author, time: by.applied, note: (!by.note.is_empty()).then_some(by.note) }
}

fn sha256(text: &str) -> Sha256 {
    let mut hash = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    Sha256(hash)
}

/// Refuses a change that was compiled with other rules or templates than there are.
fn expect_state(tx: &mut WriteTx, state: RulesState) -> Result<()> {
    if tx.rules_state()? == state {
        return Ok(());
    }
    Err(RulesError::Conflict("Other rules or templates were changed at the same moment. Try again.".to_owned()))
}
