//! The secret of a token: its PIN.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sealcard_signer_protocol::SecretKind;

use crate::{
    control::{PinUse, Secret},
    pkcs11::config::{ConfigError, Pin, PinSource, TokenConfig, read_pin},
    seal::{Passphrase, SealError},
};

pub(super) struct TokenSecret {
    folder: PathBuf,
    config: TokenConfig,
    held: Mutex<Option<Held>>,
    /// The one that the token has refused last.
    refused: Mutex<Option<Pin>>,
    /// Whether the worker said last that keys can be used.
    open: Mutex<bool>,
}

/// A PIN that no token has refused yet.
struct Held {
    pin: Pin,
    /// What the next worker may do with it.
    usage: PinUse,
    /// A worker was given it to be tried at once.
    attended: bool,
}

impl TokenSecret {
    /// `None` if the folder is no token's.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>, ConfigError> {
        let Some(config) = TokenConfig::load(folder)? else { return Ok(None) };
        Ok(Some(Self {
            folder: folder.to_owned(),
            config,
            held: Mutex::default(),
            refused: Mutex::default(),
            open: Mutex::default(),
        }))
    }

    pub(super) const fn config(&self) -> &TokenConfig {
        &self.config
    }

    pub(super) const fn kind(&self) -> &'static str {
        self.config.pin.kind()
    }

    pub(super) const fn wanted(&self) -> SecretKind {
        match self.config.pin {
            PinSource::Person => SecretKind::Pin,
            PinSource::File(_) | PinSource::SystemdCredential(_) => SecretKind::None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        *self.open.lock()
    }

    pub(super) fn set_open(&self, open: bool) {
        *self.open.lock() = open;
    }

    /// Reads the configured PIN. It is used when the server asks, which has noted the attempt before.
    pub(super) fn read(&self) -> Result<(), SealError> {
        let pin = read_pin(&self.folder, &self.config.pin)?.ok_or(SealError::PinNeeded)?;
        *self.held.lock() = Some(Held { pin, usage: PinUse::WhenAsked, attended: false });
        Ok(())
    }

    /// Takes the PIN of a person, who may also say that the configured one is right now. It is used at once, unless it
    /// is configured still as the token has refused it: that would cost another attempt for nothing.
    pub(super) fn take(&self, typed: Option<&Passphrase>) -> Result<(), SealError> {
        let pin = match typed {
            Some(typed) => Pin::from(typed),
            None => {
                let pin = read_pin(&self.folder, &self.config.pin)?.ok_or(SealError::PinNeeded)?;
                if self.refused.lock().as_ref().is_some_and(|refused| refused.is(&pin)) {
                    return Err(SealError::PinUnchanged);
                }
                pin
            }
        };
        *self.held.lock() = Some(Held { pin, usage: PinUse::Attended, attended: false });
        Ok(())
    }

    /// The token has taken the PIN: a person's is good for later workers. With the configured one they wait until the
    /// server has noted the attempt: it may have been changed on the token meanwhile.
    pub(super) fn was_right(&self) {
        *self.refused.lock() = None;
        if let Some(held) = &mut *self.held.lock()
            && held.attended
            && self.wanted() == SecretKind::Pin
        {
            held.usage = PinUse::AtOnce;
        }
    }

    /// The token has refused the PIN: nobody tries it again.
    pub(super) fn forget(&self) {
        *self.refused.lock() = self.held.lock().take().map(|held| held.pin);
    }

    /// What a worker is given. A person's PIN is tried at once by one worker only: if that one ends without having said
    /// what came of it, the token may have counted the attempt, so the server is asked before the next.
    pub(super) fn secret(&self) -> Option<Secret> {
        let mut held = self.held.lock();
        let held = held.as_mut()?;
        let usage = held.usage;
        if usage == PinUse::Attended {
            held.usage = PinUse::WhenAsked;
            held.attended = true;
        }
        Some(Secret::Pin { pin: held.pin.clone(), usage })
    }
}
