//! The client that belongs to the present configuration.

use std::{os::unix::fs::MetadataExt as _, path::Path, sync::Arc};

use parking_lot::Mutex;

use super::{Remote, RemoteError, Route, client::Http};
use crate::{
    config::{Config, ConfigError, Paths, Trust, files},
    grant::Grant,
};

/// Connections and grant for one state of `config.toml` and `proxy.toml`.
pub(super) struct Session {
    pub(super) http: Http,
    pub(super) config: Config,
    pub(super) paths: Paths,
    /// The grant in use; `None` before the first request and after the server refused one.
    grant: Mutex<Option<Arc<Grant>>>,
    /// Held while the grant is read, so that many requests at once read it once.
    pub(super) reading: tokio::sync::Mutex<()>,
    /// The refresh under way, if any.
    pub(super) refresh: Mutex<Option<tokio::task::JoinHandle<()>>>,
    stamp: Stamps,
}

impl Session {
    fn load(paths: &Paths, stamp: Stamps) -> Result<Self, RemoteError> {
        let config = Config::load(paths)?.ok_or(RemoteError::NotLoggedIn { reason: None })?;
        let invalid = |reason: String| ConfigError::invalid(paths.config_file(), reason);
        let url = config.server.parse().map_err(|error: super::client::ServerUrlError| invalid(error.to_string()))?;
        let authorities =
            match config.trust {
                Trust::CaFile {} => Some(files::read(&paths.ca_file())?.ok_or_else(|| {
                    invalid("the CA file is missing: run `sealcard login --ca-file` again".to_owned())
                })?),
                _ => None,
            };
        let http = Http::new(Route::to(url, paths)?, &config.trust, authorities.as_deref())?;
        Ok(Self {
            http,
            config,
            paths: paths.clone(),
            grant: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            refresh: Mutex::default(),
            stamp,
        })
    }

    pub(super) fn cached_grant(&self) -> Option<Arc<Grant>> {
        self.grant.lock().clone()
    }

    pub(super) fn set_grant(&self, grant: Option<Arc<Grant>>) {
        *self.grant.lock() = grant;
    }
}

impl Remote {
    /// The session of the present configuration: the one in use, or a new one if a file was replaced.
    pub(super) async fn session(&self) -> Result<Arc<Session>, RemoteError> {
        let mut slot = self.shared.session.lock().await;
        let stamp = Stamps::of(&self.shared.paths);
        if let Some(session) = &*slot
            && session.stamp == stamp
        {
            return Ok(session.clone());
        }
        *slot = None;
        let session = Arc::new(Session::load(&self.shared.paths.in_use(), stamp)?);
        *slot = Some(session.clone());
        Ok(session)
    }
}

/// Tells two states of the configuration apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamps {
    own: Stamp,
    machine: Stamp,
    own_proxy: Stamp,
    machine_proxy: Stamp,
}

impl Stamps {
    fn of(paths: &Paths) -> Self {
        let machine = paths.of_machine();
        Self {
            own: Stamp::of(&paths.config_file()),
            machine: Stamp::of(&machine.config_file()),
            own_proxy: Stamp::of(&paths.proxy_file()),
            machine_proxy: Stamp::of(&machine.proxy_file()),
        }
    }
}

/// Tells two states of a file apart: files of ours are replaced, never changed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(Option<(u64, i64, i64, u64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        Self(std::fs::metadata(path).ok().map(|f| (f.ino(), f.mtime(), f.mtime_nsec(), f.size())))
    }
}
