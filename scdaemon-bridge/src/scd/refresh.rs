//! Fetching the list of cards anew.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use super::Daemon;
use crate::{
    cards::{Registry, cache},
    config::Config,
    remote::RemoteError,
};

/// After a refresh that failed, none is begun in the background for this long.
const PAUSE: Duration = Duration::from_secs(30);

/// Where refreshing stands.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    busy: Cell<bool>,
    failed: Cell<Option<Instant>>,
}

impl Daemon {
    /// Begins a refresh in the background if the server said that it has news. Must run inside a `LocalSet`.
    pub(super) fn refresh_if_outdated(self: &Rc<Self>) {
        let Some(newest) = self.holder.registry_version() else { return };
        let known = self.registry().version();
        let paused = self.refresh.failed.get().is_some_and(|when| when.elapsed() < PAUSE);
        if paused || known.is_some_and(|known| known >= newest) || self.refresh.busy.replace(true) {
            return;
        }
        let daemon = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Err(error) = daemon.refresh_now().await {
                daemon.refresh.failed.set(Some(Instant::now()));
                daemon.log_refresh_error(&error);
            }
            daemon.refresh.busy.set(false);
        });
    }

    /// Asks the server for the cards and keeps what it says.
    ///
    /// # Errors
    /// Those of the server's client. That the cache can't be written is only logged: the cards are known all the same.
    pub(super) async fn refresh_now(&self) -> Result<(), RemoteError> {
        let list = self.holder.cards().await?;
        let server = self.server_address();
        if let Some(paths) = &self.paths {
            match cache::update(&paths.cards_file(), &server, list.clone()) {
                Ok(_) => {
                    // Reads the file back, so that everyone sees the same.
                    let _ = self.registry();
                    return Ok(());
                }
                Err(error) => self.log.error(format!("the cache of cards: {error}")),
            }
        }
        self.set_registry(Registry::new(Some(cache::Cache::new(server, list, None))));
        Ok(())
    }

    fn server_address(&self) -> String {
        let configured = self.paths.as_ref().and_then(|paths| Config::load(&paths.in_use()).ok().flatten());
        configured.map(|config| config.server).unwrap_or_default()
    }
}
