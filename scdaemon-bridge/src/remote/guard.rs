//! No use of a key with a server whose record went back or was rewritten.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{Remote, RemoteError};
use crate::witness::{self, WitnessError};

/// How often the log is looked at while keys are used.
const PERIOD: Duration = Duration::from_mins(1);

/// A server that is slower than this with its log is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Remote {
    /// The answer to a use of a key, unless the server's record is not the one that this computer has seen before. The
    /// log is looked at while the use is under way, once in a minute. A server that does not answer for its log passes:
    /// it is looked at again with the next use after that minute.
    ///
    /// # Errors
    ///
    /// Those of the use; [`RemoteError::Record`] if the record went back, was rewritten or is another one.
    pub async fn guarded<T>(&self, answer: impl Future<Output = Result<T, RemoteError>>) -> Result<T, RemoteError> {
        let due = self.shared.log_seen.lock().is_none_or(|seen| seen.elapsed() >= PERIOD);
        if !due {
            return answer.await;
        }
        let (mut answer, mut log) = (pin!(answer), pin!(self.look_at_log()));
        tokio::select! {
            looked = &mut log => {
                looked?;
                answer.await
            }
            answered = &mut answer => {
                log.await?;
                answered
            }
        }
    }

    /// Compares the server's log with the one that is remembered.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Record`] if it is not that one.
    pub async fn look_at_log(&self) -> Result<(), RemoteError> {
        let session = self.session().await?;
        let file = session.paths.known_log_file();
        let looked = timeout(PATIENCE, witness::witness(self, &session.config.server, &file)).await;
        match looked {
            Ok(Err(error)) if error.is_alarm() => Err(error.into()),
            // Whether it could be asked or not: the use itself says what is wrong with the connection.
            _ => {
                *self.shared.log_seen.lock() = Some(Instant::now());
                Ok(())
            }
        }
    }
}

impl From<WitnessError> for RemoteError {
    fn from(error: WitnessError) -> Self {
        Self::Record(Box::new(error))
    }
}
