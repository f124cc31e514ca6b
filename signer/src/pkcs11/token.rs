//! A token: found, logged in to, and used by all threads of the worker.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cryptoki::{
    error::{Error, RvError},
    object::ObjectHandle,
    session::{Session, SessionState, UserType},
    slot::{Slot, TokenInfo},
    types::AuthPin,
};
use parking_lot::{Mutex, MutexGuard};
use sealcard_signer_protocol::{Input, ResponseBody, SignerError, StoredKey};
use uuid::Uuid;

use super::{
    codes::Class,
    config::{Pin, RsaForm, TokenConfig},
    decrypt::decrypt,
    failure::{CallError, Problem, TokenError},
    find::{self, Known},
    mechanisms::Mechanisms,
    module::{Module, Purpose},
    pool::{self, Pool},
    shape::Shape,
    sign::sign,
    slots,
    watch::TimedOutCall,
};
use crate::log::{self, Level};

/// Rows that are kept parsed at most; each takes a few KiB.
const KNOWN_ROWS: usize = 1024;

/// A token of a module. All threads use one; each takes a session while it works.
pub struct Token {
    pub(super) module: Module,
    pub(super) slot: Slot,
    pub(super) facts: Facts,
    pub(super) mechanisms: Mechanisms,
    pub(super) rsa: RsaForm,
    pub(super) config_sessions: u16,
    pub(super) path: String,
    pub(super) pool: Pool,
    /// Held while objects are made or destroyed: SoftHSM 2.6 fails now and then when two threads do it at once.
    pub(super) changing: Mutex<()>,
    /// The form of templates that the token took last.
    pub(super) shape: Mutex<Shape>,
    /// The session that is never used: with the last one a token forgets the login. Locked while somebody logs in.
    keeper: Mutex<Option<Session>>,
    unlocked: AtomicBool,
    /// The token does not say that it wants a login. A hint: some forget to say it.
    says_no_login: bool,
    /// It is true: the token has refused a login, or shown a private key without one.
    takes_no_login: AtomicBool,
    ignores_pin_flags: bool,
    known: Mutex<HashMap<Uuid, Arc<Known>>>,
}

/// What a token says of itself and does not change.
pub(super) struct Facts {
    pub(super) label: String,
    pub(super) serial: String,
    pub(super) firmware: String,
}

impl Token {
    /// Loads the module and finds the token. Once in a process.
    ///
    /// `timed_out` is told of calls that take longer than their deadline. They can't be cancelled: it should end the
    /// process.
    ///
    /// # Errors
    /// [`SignerError::TokenAbsent`], always fatal: a module may learn of a token only when it starts.
    pub fn open(config: &TokenConfig, timed_out: impl Fn(TimedOutCall) + Send + 'static) -> Result<Self, TokenError> {
        let module = Module::load(config, timed_out)?;
        let calling = module.calling(Purpose::Start);
        let context = module.context();
        let (slot, info) = slots::find(context, &config.token).map_err(TokenError::fatal)?;
        let mechanisms = Mechanisms::read(context, slot).map_err(|error| absent(&error))?;
        drop(calling);
        let sessions = pool::limit(config.sessions.get(), info.max_session_count().into());
        Ok(Self {
            slot,
            facts: Facts {
                label: slots::text(info.label()).to_owned(),
                serial: slots::text(info.serial_number()).to_owned(),
                firmware: info.firmware_version().to_string(),
            },
            mechanisms,
            rsa: config.rsa,
            config_sessions: config.sessions.get(),
            path: config.module.display().to_string(),
            pool: Pool::new(sessions),
            changing: Mutex::default(),
            shape: Mutex::default(),
            keeper: Mutex::new(None),
            unlocked: AtomicBool::new(!info.login_required()),
            says_no_login: !info.login_required(),
            takes_no_login: AtomicBool::new(false),
            ignores_pin_flags: config.ignore_pin_flags,
            known: Mutex::new(HashMap::new()),
            module,
        })
    }

    /// Whether keys can be used: somebody has logged in, or the token wants no login.
    pub fn is_unlocked(&self) -> bool {
        self.unlocked.load(Ordering::Acquire)
    }

    /// How many threads can use the token at once.
    pub fn sessions(&self) -> usize {
        self.pool.limit()
    }

    /// The token's label and serial number, for the log.
    pub fn name(&self) -> (&str, &str) {
        (&self.facts.label, &self.facts.serial)
    }

    /// Logs in: at most one `C_Login`, and none if it is done already. `attended` if a person gave the PIN just now;
    /// else the last attempt that the token allows is not spent.
    ///
    /// # Errors
    /// [`SignerError::PinRefused`] if the token does not take the PIN, [`SignerError::PinNotTried`] if it was not
    /// asked; no further attempt may be made with it.
    pub fn unlock(&self, pin: &Pin, attended: bool) -> Result<(), TokenError> {
        let mut keeper = self.keeper();
        if self.is_unlocked() {
            return Ok(());
        }
        let _calling = self.module.calling(Purpose::Login);
        let context = self.module.context();
        let info = context.get_token_info(self.slot).map_err(CallError::from)?;
        // Flags are hints, and the login decides. But a wrong PIN would lock the token, which only a person may risk.
        if info.user_pin_final_try() && !attended && !self.ignores_pin_flags {
            return Err(SignerError::PinNotTried(LAST_ATTEMPT.into()).into());
        }
        if keeper.is_none() {
            *keeper = Some(context.open_ro_session(self.slot).map_err(CallError::from)?);
        }
        let Some(session) = keeper.as_ref() else { return Err(SignerError::Locked.into()) };
        match session.login(UserType::User, Some(&AuthPin::from(pin.text()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                self.unlocked.store(true, Ordering::Release);
                log::event(
                    Level::Info,
                    "token-unlocked",
                    &[("label", &self.facts.label), ("serial", &self.facts.serial)],
                );
                Ok(())
            }
            Err(error) => {
                // A session that failed is not the one to wait in.
                *keeper = None;
                let error = CallError::from(error);
                if !info.login_required() && !error.judges_pin() {
                    // The token says that it wants no login, and takes none: then that is right.
                    log::event(Level::Warn, "login-not-wanted", &[("why", &error)]);
                    self.takes_no_login.store(true, Ordering::Release);
                    self.unlocked.store(true, Ordering::Release);
                    return Ok(());
                }
                let hints = hints(&info);
                Err(TokenError::from(error).with_hint(&hints))
            }
        }
    }

    /// Whether the key of a row was found on the token and compared before: then using it takes no preparation.
    pub fn knows(&self, row: &StoredKey) -> bool {
        self.is_unlocked() && self.remembered(row).is_some()
    }

    /// Makes sure that a key can be used: finds it on the token and compares it with the row. Uses no key.
    ///
    /// # Errors
    /// If nobody has logged in, the token can't do it, or the key is not there.
    pub fn admit(&self, row: &StoredKey) -> Result<(), TokenError> {
        let known = self.known(row)?;
        self.with_key(&known, |_, _| Ok(()))
    }

    /// Does with a key what its row allows (`check` of the protocol). A signature is verified with the row's public key
    /// before it is given out.
    ///
    /// # Errors
    /// If the key can't be used, a ciphertext does not decrypt, or the module failed. Then
    /// [`SignerError::Token`] with a function that uses a key says that it may have been used; nothing is tried again.
    pub fn perform(&self, row: &StoredKey, input: Input<'_>) -> Result<ResponseBody, TokenError> {
        let known = self.known(row)?;
        self.with_key(&known, |session, key| match input {
            Input::Ciphertext(ciphertext) => {
                decrypt(session, key, &known, &self.mechanisms, ciphertext).map(ResponseBody::Plaintext)
            }
            _ => sign(session, key, &known, self.rsa, input).map(ResponseBody::Signature),
        })
    }

    /// Does some work with a key in a session. If what failed came before any use of a key, and another session or a
    /// new search may help, it is tried once more.
    fn with_key<T>(
        &self,
        known: &Arc<Known>,
        work: impl Fn(&Session, ObjectHandle) -> Result<T, Problem>,
    ) -> Result<T, TokenError> {
        let mut again = true;
        loop {
            if !self.is_unlocked() {
                return Err(SignerError::Locked.into());
            }
            let result = self.pool.with(&self.module, self.slot, |opened| {
                let found = find::private_key(opened, known);
                let key = self.seen(&opened.session, found)?;
                work(&opened.session, key)
            });
            match result {
                Ok(made) => {
                    if self.says_no_login {
                        self.takes_no_login.store(true, Ordering::Release);
                    }
                    self.remember(known);
                    return Ok(made);
                }
                Err(Problem::Call(error)) => {
                    self.after(&error);
                    let renewable = matches!(error.class, Class::Session | Class::Handle) && !error.key_used;
                    if !renewable || !std::mem::take(&mut again) {
                        return Err(error.into());
                    }
                }
                Err(Problem::OtherWay(_)) if std::mem::take(&mut again) => {}
                Err(problem) => return Err(problem.into()),
            }
        }
    }

    /// What was found on the token. Without a login private keys are not to be seen, and a token does not say that this
    /// is the reason.
    pub(super) fn seen<T>(&self, session: &Session, found: Result<T, Problem>) -> Result<T, Problem> {
        // Also if the token says that it wants no login: some forget to say it.
        if !self.takes_no_login.load(Ordering::Acquire)
            && matches!(found, Err(Problem::Refused(SignerError::NotOnToken(_))))
            && matches!(session.get_session_info()?.session_state(), SessionState::RoPublic | SessionState::RwPublic)
        {
            return Err(CallError::logged_out().into());
        }
        found
    }

    /// What a failed call means for everything else.
    pub(super) fn after(&self, error: &CallError) {
        match error.class {
            Class::Session | Class::Handle => self.reconnect(error),
            Class::Login => self.logged_out(&mut self.keeper()),
            _ => {}
        }
    }

    /// Forgets all sessions, and the login too if it went with them.
    fn reconnect(&self, why: &CallError) {
        log::event(Level::Warn, "sessions-reopened", &[("why", why)]);
        self.pool.reconnect(&self.module);
        let mut keeper = self.keeper();
        if let Some(session) = keeper.as_ref() {
            let _calling = self.module.calling(Purpose::Operation);
            let state = session.get_session_info().map(|info| info.session_state());
            if !matches!(state, Ok(SessionState::RoUser | SessionState::RwUser)) {
                self.logged_out(&mut keeper);
            }
        }
    }

    fn logged_out(&self, keeper: &mut Option<Session>) {
        if self.unlocked.swap(false, Ordering::AcqRel) {
            log::event(Level::Warn, "token-logged-out", &[("serial", &self.facts.serial)]);
            *keeper = None;
        }
    }

    /// The row, parsed. Only what was found on the token is remembered.
    fn known(&self, row: &StoredKey) -> Result<Arc<Known>, TokenError> {
        if let Some(known) = self.remembered(row) {
            return Ok(known);
        }
        self.mechanisms.serves(row.algorithm, row.role, self.rsa).map_err(|missing| self.lacks(&missing))?;
        Ok(Arc::new(Known::parse(row)?))
    }

    pub(super) fn lacks(&self, missing: &str) -> SignerError {
        SignerError::Unsupported(format!("the token {:?} lacks {missing}", self.facts.label))
    }

    fn remembered(&self, row: &StoredKey) -> Option<Arc<Known>> {
        let known = self.known.lock();
        known.get(&row.component).filter(|known| known.row == *row).cloned()
    }

    fn remember(&self, known: &Arc<Known>) {
        let mut all = self.known.lock();
        if all.get(&known.row.component).is_some_and(|same| Arc::ptr_eq(same, known)) {
            return;
        }
        if all.len() >= KNOWN_ROWS {
            all.clear();
        }
        all.insert(known.row.component, Arc::clone(known));
    }

    /// Forgets a row: its key is gone.
    pub(super) fn forget(&self, component: Uuid) {
        self.known.lock().remove(&component);
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Session>> {
        self.keeper.lock()
    }
}

/// Why a PIN that no person gave just now is not tried.
const LAST_ATTEMPT: &str = "the token says that one attempt is left (CKF_USER_PIN_FINAL_TRY), and only a person may \
    make it; if the module sets this flag wrongly, say ignore-pin-flags = true in token.toml";

/// What the token says of its PIN, for the message about a login that failed.
fn hints(info: &TokenInfo) -> String {
    let told = [
        (info.user_pin_locked(), "CKF_USER_PIN_LOCKED: the PIN is locked, and the security officer must set a new one"),
        (!info.user_pin_initialized(), "no CKF_USER_PIN_INITIALIZED: no PIN was set for the token's user"),
        (info.user_pin_final_try(), "CKF_USER_PIN_FINAL_TRY: one attempt is left"),
        (info.user_pin_to_be_changed(), "CKF_USER_PIN_TO_BE_CHANGED: the PIN must be changed first"),
    ];
    told.iter().filter(|(is, _)| *is).map(|(_, text)| *text).collect::<Vec<_>>().join("; ")
}

fn absent(error: &CallError) -> TokenError {
    TokenError::fatal(SignerError::TokenAbsent(error.to_string()))
}
