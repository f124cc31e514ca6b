//! Telling a slow answer from a server that hangs.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long to wait before asking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long an answer may take before the server is asked whether it lives, and after each time that it does.
    pub(super) before: Duration,
    /// How long the server may take to say so.
    pub(super) limit: Duration,
}

/// Making an RSA key on a token takes minutes; a server that works answers meanwhile.
pub(super) const PATIENCE: Patience = Patience { before: Duration::from_secs(10), limit: Duration::from_secs(5) };

impl Patience {
    /// After how many seconds [`answer_of`] gives up.
    pub(super) const fn seconds(self) -> u64 {
        self.before.as_secs() + self.limit.as_secs()
    }
}

/// The answer to a request, however long it takes, as long as the server lives. `None` if it does not.
pub(super) async fn answer_of<T, F: Future<Output = bool>>(
    patience: Patience,
    request: impl Future<Output = T>,
    lives: impl Fn() -> F,
) -> Option<T> {
    tokio::pin!(request);
    loop {
        let asked = async {
            sleep(patience.before).await;
            timeout(patience.limit, lives()).await.unwrap_or(false)
        };
        tokio::select! {
            answer = &mut request => return Some(answer),
            lives = asked => if !lives { return None },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::sync::Notify;

    use super::*;

    const SHORT: Patience = Patience { before: Duration::from_millis(1), limit: Duration::from_millis(1) };

    #[tokio::test]
    async fn a_server_that_hangs_is_given_up() {
        assert_eq!(answer_of(SHORT, pending::<()>(), pending::<bool>).await, None);
        assert_eq!(answer_of(SHORT, pending::<()>(), || async { false }).await, None);
    }

    #[tokio::test]
    async fn a_slow_answer_of_a_server_that_lives_is_waited_for() {
        let (asked, enough) = (Cell::new(0), Notify::new());
        let request = async {
            enough.notified().await;
            7
        };
        let lives = || async {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                enough.notify_one();
            }
            true
        };
        let patience = Patience { limit: Duration::from_secs(60), ..SHORT };
        assert_eq!(answer_of(patience, request, lives).await, Some(7));
        assert!(asked.get() >= 3);
    }
}
