//! Uses that wait for people: what is said of them, and the notes by which `sealcard status --waiting` finds them.

mod attempt;
mod note;

use sealcard_api::{Timestamp, approvals::WaitingUse, ids::ApprovalId, text::cleaned};

pub use self::{
    attempt::{Attempt, Attempts},
    note::WaitingNote,
};
use crate::local_time::clock;

/// Names that are listed; of the others only the number is told.
const NAMES: usize = 5;

/// The last eight hexadecimal digits of an approval's id: enough for a person to name it.
#[must_use]
pub fn short_id(id: ApprovalId) -> String {
    let digits = id.0.simple().to_string();
    digits.get(24..).unwrap_or(&digits).to_owned()
}

/// The command by which an approver lets it go on.
#[must_use]
pub fn approve_command(id: ApprovalId) -> String {
    format!("sealcard approve {}", short_id(id))
}

/// `the approval of 2 members of approvers (anna, ben)`, without what a terminal would obey or hide.
#[must_use]
pub fn wanted(wants: &[String], approvers: &[String]) -> String {
    let wants = if wants.is_empty() { "an approval".to_owned() } else { cleaned(&wants.join(" and ")).into_owned() };
    if approvers.is_empty() {
        return wants;
    }
    format!("{wants} ({})", names(approvers))
}

/// `anna, ben`, without what a terminal would obey or hide.
#[must_use]
pub fn names(names: &[String]) -> String {
    let listed: Vec<_> = names.iter().take(NAMES).map(|name| cleaned(name)).collect();
    let more = match names.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", listed.join(", "))
}

/// `waits until 14:05 for the approval of 2 members of approvers.`, and in the next line
/// `anna, ben can run: sealcard approve 1a2b3c4d`
#[must_use]
pub fn sentence(waiting: &WaitingUse, until: Timestamp) -> String {
    let (wanted, who) = (wanted(&waiting.wants, &[]), who_can_run(&waiting.approvers));
    format!("waits until {} for {wanted}.\n{who}: {}", clock(until), approve_command(waiting.approval))
}

/// `anna, ben can run`
#[must_use]
pub fn who_can_run(approvers: &[String]) -> String {
    if approvers.is_empty() { "An approver can run".to_owned() } else { format!("{} can run", names(approvers)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use sealcard_api::ids::RequestId;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn waiting_use() -> WaitingUse {
        let now = Timestamp::now().unix();
        WaitingUse {
            request_id: RequestId::new(),
            approval: ApprovalId(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_1a2b_3c4d)),
            wants: vec!["the approval of 2 members of approvers".to_owned()],
            approvers: vec!["anna".to_owned(), "b\u{1b}[2Jen".to_owned()],
            deadline: Timestamp::from_unix(now + 300),
            expires: Timestamp::from_unix(now + 3600),
        }
    }

    #[test]
    fn sentence_names_what_is_missing_who_gives_it_and_how() {
        let waiting = waiting_use();
        let text = sentence(&waiting, waiting.deadline);
        assert!(text.starts_with("waits until ") && !text.contains('\u{1b}'), "{text}");
        let end = " for the approval of 2 members of approvers.\nanna, b?[2Jen can run: sealcard approve 1a2b3c4d";
        assert!(text.ends_with(end), "{text}");
        let nobody = WaitingUse { approvers: Vec::new(), ..waiting };
        let text = sentence(&nobody, nobody.deadline);
        assert!(text.ends_with(".\nAn approver can run: sealcard approve 1a2b3c4d"), "{text}");
    }

    #[test]
    fn of_many_names_the_first_are_listed() {
        let many: Vec<String> = (1..=7).map(|number| format!("n{number}")).collect();
        assert_eq!(names(&many), "n1, n2, n3, n4, n5 and 2 more");
    }
}
