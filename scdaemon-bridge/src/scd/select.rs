//! Choosing a card: SERIALNO, SWITCHCARD, SWITCHAPP, DEVINFO.

use std::{rc::Rc, time::Duration};

use super::{Code, Session};
use crate::{
    cards::{CardEntry, Registry},
    last::{LastOperation, OperationKind, Outcome},
};

/// What SERIALNO --all answers when there is no card at all. gpg 2.4 asks it before each use of a key, and takes any
/// error for a card that must be inserted; with this it goes on to PKSIGN, which says what is really wrong.
const NO_CARD: &str = "D276000124010304FF00000000000000";

impl Session {
    /// SERIALNO. Without a demanded card, no card at all is an error unless `all` are asked for.
    pub(super) fn serialno(&mut self, demand: Option<&str>, all: bool) -> Result<(), Code> {
        let registry = self.daemon.registry();
        let (card, shown) = if let Some(demand) = demand {
            let card = registry.by_serial(demand).cloned().ok_or_else(|| self.unknown_card(&registry))?;
            // gpg-agent 2.2 compares with what it has in the stub, byte by byte.
            (card, demand.to_owned())
        } else {
            let current = self.current.as_ref().and_then(|card| registry.by_serial(card.serial()));
            match current.filter(|card| !card.is_retired()).or_else(|| registry.first()) {
                Some(card) => (Rc::clone(card), card.serial().to_owned()),
                None if all => {
                    self.current = None;
                    self.reply.status("SERIALNO", NO_CARD);
                    return Ok(());
                }
                None => return Err(Code::ENODEV),
            }
        };
        self.current = Some(card);
        self.reply.status("SERIALNO", &shown);
        Ok(())
    }

    /// The error for a demanded card that is not here. Not ENODEV and not CARD_NOT_PRESENT: with them gpg-agent 2.2
    /// asks the user to insert it.
    fn unknown_card(&self, registry: &Registry) -> Code {
        let (code, name, reason) = if registry.version().is_none() {
            (Code::NO_AUTH, "not-logged-in", "gpg asked for a card, but this workstation knows none")
        } else {
            (Code::NOT_FOUND, "unknown-card", "gpg asked for a card that is not among yours")
        };
        self.daemon.note(LastOperation {
            time: sealcard_api::Timestamp::now(),
            operation: OperationKind::SelectCard,
            key: None,
            fingerprint: None,
            outcome: Outcome::Failed,
            code: Some(name.to_owned()),
            gpg_error: Some(code.text().to_owned()),
            reason: Some(reason.to_owned()),
            request_id: None,
            advice: Some("Run `sealcard login`, or `sealcard sync` if you are logged in.".to_owned()),
        });
        code
    }

    /// SWITCHCARD
    pub(super) fn switch_card(&mut self, serial: Option<&str>) -> Result<(), Code> {
        let card = match serial {
            Some(serial) => {
                let registry = self.daemon.registry();
                registry.by_serial(serial).filter(|card| !card.is_retired()).cloned().ok_or(Code::NOT_FOUND)?
            }
            None => self.card()?,
        };
        self.reply.status("SERIALNO", card.serial());
        self.current = Some(card);
        Ok(())
    }

    /// SWITCHAPP
    pub(super) fn switch_application(&mut self, application: Option<&str>) -> Result<(), Code> {
        let card = self.card()?;
        match application {
            None => {}
            Some(name) if name.eq_ignore_ascii_case("openpgp") => {}
            Some(_) => return Err(Code::NOT_FOUND),
        }
        self.reply.status("SERIALNO", card.serial());
        self.current = Some(card);
        Ok(())
    }

    /// DEVINFO
    pub(super) async fn devinfo(&mut self, watch: bool) -> Result<(), Code> {
        if watch && self.is_pipe() {
            return Err(Code::NOT_SUPPORTED);
        }
        loop {
            let registry = self.daemon.registry();
            if !watch && registry.first().is_none() {
                return Err(Code::NOT_FOUND);
            }
            self.reply.status("DEVINFO_START", "");
            for card in registry.listed() {
                self.reply.status("DEVICE", &format!("generic {} openpgp", card.serial()));
            }
            self.reply.status("DEVINFO_END", "");
            if !watch {
                return Ok(());
            }
            self.flush().await.map_err(|_| Code::GENERAL)?;
            while self.daemon.registry().lists_the_same(&registry) {
                if self.client_is_gone().await {
                    return Err(Code::GENERAL);
                }
            }
        }
    }

    /// Waits for a second, or until the client closes the connection, which it says.
    async fn client_is_gone(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(1), self.connection.next()).await.is_ok()
    }

    /// The current card, or the first one. A card that is no longer listed counts as removed.
    pub(super) fn card(&self) -> Result<Rc<CardEntry>, Code> {
        let registry = self.daemon.registry();
        match &self.current {
            Some(current) => registry
                .by_serial(current.serial())
                .filter(|card| !card.is_retired())
                .cloned()
                .ok_or(Code::CARD_REMOVED),
            None => registry.first().cloned().ok_or(Code::CARD_NOT_PRESENT),
        }
    }
}
