//! Opening an environment by hand.

use sealcard_policy::Action;
use sealcard_record::{
    Event,
    event::{EnvironmentAct, EnvironmentFailure},
};
use sealcard_signer_protocol::{KeeperRequestBody, NONCE_LEN};

use super::{KeeperError, Signers};
use crate::{
    authn::{AuthorizationError, Caller},
    storage::{EnvironmentRow, StorageError},
};

/// Why an environment was not opened.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// Its keeper refused, or did not answer.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The caller may not do it. Its keeper was not asked.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Signers {
    /// Opens an environment on this node: with what its keeper alone can read of a secret, under the keeper's nonce, or
    /// with the configured secret once more. The record has the attempt before it is made.
    pub(crate) async fn unseal(
        &self,
        caller: &Caller,
        environment: &EnvironmentRow,
        sealed: Option<([u8; NONCE_LEN], Vec<u8>)>,
    ) -> Result<(), UnsealError> {
        let signer = self.get(environment.id).ok_or(KeeperError::Unavailable)?;
        let act = EnvironmentAct { environment: environment.named() };
        let (event, body) = match sealed {
            None => (Event::Unseal(act), KeeperRequestBody::Unseal),
            Some((nonce, envelope)) => {
                (Event::UnsealWithSecret(act), KeeperRequestBody::UnsealWith { nonce, envelope })
            }
        };
        let (authorization, entry) = (caller.authorization(&[Action::ManageServer]), caller.draft(event));
        self.store
            .write(move |tx| {
                authorization.check(tx, None)?;
                tx.append_record(entry);
                Ok::<_, UnsealError>(())
            })
            .await?;
        if let Err(error) = signer.ask_keeper(body).await {
            let failure = EnvironmentFailure { environment: environment.named(), error: Some(error.to_string()) };
            self.store.append_record(caller.draft(Event::UnsealFailed(failure))).await?;
            return Err(error.into());
        }
        signer.try_again();
        Ok(())
    }
}
