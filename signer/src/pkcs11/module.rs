//! The module: loaded once in a process, initialised, and called under a deadline.

use std::{path::Path, sync::Arc, time::Duration};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};
use parking_lot::{Mutex, MutexGuard};
use sealcard_signer_protocol::SignerError;

use super::{
    config::{Deadlines, TokenConfig},
    failure::{CallError, TokenError},
    watch::{TimedOutCall, Watch, Watched},
};
use crate::log::{self, Level};

/// A loaded module.
pub(super) struct Module {
    pkcs11: Pkcs11,
    /// For a module that does not lock by itself: one call after the other.
    serial: Option<Mutex<()>>,
    watch: Arc<Watch>,
    deadlines: Deadlines,
}

/// What a call is for; each has its deadline in `token.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Start,
    Login,
    Operation,
    Generation,
}

/// While this lives, a call is under way.
pub(super) struct Calling<'a> {
    _watched: Watched<'a>,
    _serial: Option<MutexGuard<'a, ()>>,
}

impl Module {
    /// Loads the module and initialises it. Once in a process: modules do not stand a second time.
    pub(super) fn load(
        config: &TokenConfig,
        timed_out: impl Fn(TimedOutCall) + Send + 'static,
    ) -> Result<Self, TokenError> {
        let path = &config.module;
        let watch =
            Watch::start(timed_out).map_err(|error| absent(path, &format!("no thread can be started: {error}")))?;
        let starting = watch.call("the start of the module", config.deadlines.start);
        let pkcs11 = Pkcs11::new(path).map_err(|error| absent(path, &error.to_string()))?;
        let serial = initialize(&pkcs11).map_err(|error| absent(path, &CallError::from(error).to_string()))?;
        if serial {
            log::event(Level::Warn, "module-does-not-lock", &[("module", &path.display())]);
        }
        drop(starting);
        Ok(Self { pkcs11, serial: serial.then(|| Mutex::new(())), watch, deadlines: config.deadlines })
    }

    /// Whether calls are made one after the other, because the module does not lock by itself.
    pub(super) const fn is_serial(&self) -> bool {
        self.serial.is_some()
    }

    /// To be held during each call, also that of a session or object of this module.
    pub(super) fn calling(&self, purpose: Purpose) -> Calling<'_> {
        // Waiting for another call's end takes nothing from this one's time: the other one is watched too.
        let serial = self.serial.as_ref().map(|lock| lock.lock());
        let (what, deadline) = self.limit(purpose);
        Calling { _watched: self.watch.call(what, deadline), _serial: serial }
    }

    /// The context. Hold [`Module::calling`] while using it.
    pub(super) const fn context(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    const fn limit(&self, purpose: Purpose) -> (&'static str, Duration) {
        match purpose {
            Purpose::Start => ("the start of the module", self.deadlines.start),
            Purpose::Login => ("a login", self.deadlines.login),
            Purpose::Operation => ("an operation", self.deadlines.operation),
            Purpose::Generation => ("making a key", self.deadlines.generation),
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.watch.end();
    }
}

/// Calls `C_Initialize`. True if the module does not lock by itself.
fn initialize(pkcs11: &Pkcs11) -> Result<bool, Error> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) => Ok(false),
        // Section 5.4 of PKCS#11: the module can't lock as it was told. Then nobody may call it twice at once.
        Err(Error::Pkcs11(RvError::CantLock | RvError::ArgumentsBad, _)) => {
            pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::empty())).map(|()| true)
        }
        Err(error) => Err(error),
    }
}

fn absent(module: &Path, why: &str) -> TokenError {
    TokenError::fatal(SignerError::TokenAbsent(format!("the module {}: {why}", module.display())))
}
