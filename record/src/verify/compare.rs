//! Comparing what record and journals say of each component in each request.

use std::io;

use sealcard_api::ids::{ComponentId, RequestId};

use super::{
    Journals, Operation, Scope,
    fact::{Kind, Origin, Parts, Requester, UseId},
    finding::{Finding, Findings, JournalUse},
    places::Places,
    sort::Sorted,
};

/// Goes through the facts. What it keeps is of one component in one request only.
pub(super) fn compare(
    mut facts: Sorted,
    names: &[String],
    scope: &Scope,
    places: &mut Places,
    findings: &mut Findings,
) -> io::Result<()> {
    let mut told: Option<Told> = None;
    while let Some(fact) = facts.next()? {
        let parts = Parts::decode(&fact).ok_or_else(|| io::Error::other("the temporary file was changed"))?;
        let told = match &mut told {
            Some(told) if told.id == parts.id => told,
            other => {
                if let Some(finished) = other.replace(Told::new(parts.id)) {
                    finished.end(scope, places, findings);
                }
                let Some(told) = other else { continue };
                told
            }
        };
        told.take(&parts, names, scope, findings);
    }
    if let Some(finished) = told {
        finished.end(scope, places, findings);
    }
    Ok(())
}

/// What was said so far of one component in one request.
struct Told {
    id: UseId,
    /// What the signer was to be asked for, over what, and by whom.
    intent: Option<(Operation, [u8; 32], Requester)>,
    has_outcome: bool,
    /// Outcomes that a journal must confirm.
    signed: bool,
    /// The journal's entry that the outcome names, 0 if none, until it is seen.
    named: u64,
    /// An entry of a journal where another one is named.
    elsewhere: Option<JournalUse>,
    made: bool,
    destroyed: bool,
    /// The input of the certifications that are being counted, and how many of the record's are left.
    certified: ([u8; 32], u64),
    /// Entries of journals that are no younger than the record.
    used: u64,
    used_later: bool,
}

impl Told {
    const fn new(id: UseId) -> Self {
        Self {
            id,
            intent: None,
            has_outcome: false,
            signed: false,
            named: 0,
            elsewhere: None,
            made: false,
            destroyed: false,
            certified: ([0; 32], 0),
            used: 0,
            used_later: false,
        }
    }

    fn take(&mut self, fact: &Parts, names: &[String], scope: &Scope, findings: &mut Findings) {
        match fact.kind {
            Kind::Intent => {
                self.intent.get_or_insert((fact.operation, fact.input, fact.requester));
            }
            Kind::Signed => (self.has_outcome, self.signed, self.named) = (true, true, fact.sequence),
            Kind::SignedBefore if scope.covers_before() => {
                (self.has_outcome, self.signed, self.named) = (true, true, fact.sequence);
            }
            Kind::SignedBefore | Kind::Ended => self.has_outcome = true,
            Kind::Made => self.made = true,
            Kind::Destroyed => self.destroyed = true,
            Kind::UsedLater => {
                self.used_later = true;
                self.place(fact, names);
            }
            Kind::Certified if fact.origin == Origin::Record => {
                if self.certified.0 != fact.input {
                    self.certified = (fact.input, 0);
                }
                self.certified.1 += 1;
            }
            Kind::Certified | Kind::Used => {
                let found = || journal_use(fact, names);
                self.used += 1;
                self.place(fact, names);
                if let Some(finding) = self.judge(fact, found) {
                    findings.add(finding);
                }
                if self.used > 1 && self.intent.is_some() {
                    findings.add(Finding::UsedAgain(found()));
                }
            }
        }
    }

    /// What is wrong with an entry of a journal.
    fn judge(&mut self, fact: &Parts, found: impl Fn() -> JournalUse) -> Option<Finding> {
        let known = match fact.operation {
            Operation::Certify => {
                // Each entry of the record explains one certification.
                let (input, left) = &mut self.certified;
                let known = *input == fact.input && *left > 0;
                *left = left.saturating_sub(u64::from(known));
                known
            }
            Operation::Generate | Operation::Import | Operation::Adopt => self.made,
            Operation::Destroy => self.destroyed,
            Operation::Sign | Operation::Authenticate | Operation::AuthenticateSsh | Operation::Decrypt => {
                match self.intent {
                    None => false,
                    Some((intended, ..)) if intended != fact.operation => {
                        return Some(Finding::OtherOperation { found: found(), intended });
                    }
                    Some((_, input, _)) if input != fact.input => return Some(Finding::OtherInput(found())),
                    Some((.., requester)) if requester != fact.requester => {
                        return Some(Finding::OtherRequester(found()));
                    }
                    Some(_) => true,
                }
            }
        };
        (!known).then(|| Finding::NotInRecord(found()))
    }

    /// Compares the place of an entry with the one that the record names. A request that was signed twice has one entry
    /// there, and one elsewhere.
    fn place(&mut self, fact: &Parts, names: &[String]) {
        if self.named == fact.sequence {
            (self.named, self.elsewhere) = (0, None);
        } else if self.named > 0 {
            self.elsewhere.get_or_insert_with(|| journal_use(fact, names));
        }
    }

    fn end(self, scope: &Scope, places: &mut Places, findings: &mut Findings) {
        let (request, component) = (RequestId(self.id.0), ComponentId(self.id.1));
        if self.signed && self.used == 0 && !self.used_later && scope.journals != Journals::None {
            findings.add(Finding::NotInJournal { request, component });
            places.miss(component.0, self.named);
        }
        if let Some(found) = self.elsewhere {
            findings.add(Finding::OtherPosition { found, named: self.named });
        }
        if self.intent.is_some() && !self.has_outcome {
            findings.add(Finding::NoOutcome { request, component });
        }
    }
}

/// The entry of a journal that a fact is from.
fn journal_use(fact: &Parts, names: &[String]) -> JournalUse {
    let name = fact.journal.checked_sub(1).and_then(|number| names.get(usize::from(number)).cloned());
    JournalUse {
        journal: name.unwrap_or_default(),
        sequence: fact.sequence,
        operation: fact.operation,
        component: ComponentId(fact.id.1),
        request: RequestId(fact.id.0),
    }
}
