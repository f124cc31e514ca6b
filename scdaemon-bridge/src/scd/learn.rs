//! LEARN: all that gpg shows of a card.

use std::rc::Rc;

use super::{
    Code, Session,
    attributes::{LEARNED, attribute},
};
use crate::{
    assuan::{Incoming, InquiryLine, Reply},
    cards::{CardEntry, Slot},
};

impl Session {
    /// LEARN. Unless `force`d, the client is asked whether it knows the card.
    pub(super) async fn learn(&mut self, demand: Option<&str>, force: bool, only_keys: bool) -> Result<(), Code> {
        let card = match demand {
            Some(serial) => {
                let registry = self.daemon.registry();
                let card = registry.by_serial(serial).filter(|card| !card.is_retired());
                card.cloned().ok_or(Code::NOT_FOUND)?
            }
            None => self.card()?,
        };
        self.current = Some(Rc::clone(&card));
        if !only_keys && !force {
            self.ask_whether_card_is_known(&card).await?;
        }
        if !only_keys {
            let facts = card.facts();
            self.reply.status("READER", &format!("Sealcard {}/{}", facts.project, facts.name));
            self.reply.status("SERIALNO", card.serial());
            for name in LEARNED {
                attribute(&mut self.reply, &card, name)?;
            }
        }
        for slot in card.slots() {
            key_pair_info(&mut self.reply, slot);
        }
        Ok(())
    }

    /// A client that knows the card cancels, and gets exactly one ERR: anything else would leave the stream out of
    /// step.
    async fn ask_whether_card_is_known(&mut self, card: &CardEntry) -> Result<(), Code> {
        self.reply.inquire("KNOWNCARDP", card.serial());
        self.flush().await.map_err(|_| Code::GENERAL)?;
        loop {
            let line = match self.connection.next().await {
                Ok(Some(Incoming::Line(line))) => line,
                Ok(Some(Incoming::TooLong)) => return Err(Code::LINE_TOO_LONG),
                Ok(None) | Err(_) => return Err(Code::GENERAL),
            };
            match InquiryLine::parse(&line) {
                InquiryLine::End => return Ok(()),
                InquiryLine::Cancel => return Err(Code::CANCELED),
                InquiryLine::Data(_) | InquiryLine::Silent => {}
                InquiryLine::Unexpected => return Err(Code::UNEXPECTED_COMMAND),
            }
        }
    }
}

/// `KEYPAIRINFO grip keyref usage time algorithm`
pub(super) fn key_pair_info(reply: &mut Reply, slot: &Slot) {
    let created = slot.component.created.unix();
    reply.status(
        "KEYPAIRINFO",
        &format!("{} {} {} {created} {}", slot.grip, slot.keyref(), slot.usage(), slot.algorithm_name()),
    );
}
