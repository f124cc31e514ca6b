//! Approvals by their ids, or by the ends of these.

use anyhow::bail;
use sealcard_api::{
    approvals::{Approval, ApprovalFilter},
    ids::ApprovalId,
};

use super::{list, words};
use crate::{
    cli::{App, output::clean},
    remote::path,
    waiting::short_id,
};

/// The fewest digits of an id that a person can give.
const MIN_DIGITS: usize = 4;

/// So many digits are unique for sure.
const SURE_DIGITS: usize = 8;

/// A whole id, or the end of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Id(ApprovalId),
    /// Lower-case hexadecimal digits.
    End(String),
}

/// Reads an id, or the end of one.
///
/// # Errors
/// What is expected.
pub(super) fn wanted(text: &str) -> Result<Wanted, String> {
    if let Ok(id) = text.parse() {
        return Ok(Wanted::Id(id));
    }
    let digits = text.replace('-', "").to_ascii_lowercase();
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if are_digits && (MIN_DIGITS..32).contains(&digits.len()) {
        return Ok(Wanted::End(digits));
    }
    Err("expected an id, or at least its last 4 digits, as `sealcard requests` shows them".to_owned())
}

impl Wanted {
    fn is(&self, id: ApprovalId) -> bool {
        match self {
            Self::Id(wanted) => *wanted == id,
            Self::End(end) => id.0.simple().to_string().ends_with(end),
        }
    }
}

/// The approvals of these ids, each once, in this order. Those that are over are found too if `also_over`.
pub(super) async fn approvals(app: &App, wanted: &[Wanted], also_over: bool) -> anyhow::Result<Vec<Approval>> {
    let mut found: Vec<Approval> = Vec::with_capacity(wanted.len());
    // Asked for once, if an id is not whole.
    let mut open = None;
    for one in wanted {
        let approval = match one {
            Wanted::Id(id) => app.remote.get(&path(&["approvals", &id.to_string()])).await?,
            Wanted::End(end) => {
                let list = match &open {
                    Some(list) => list,
                    None => open.insert(list(app, &ApprovalFilter::default()).await?),
                };
                match choose(&list.approvals, end, list.more)? {
                    Some(approval) => approval,
                    None if also_over => {
                        let filter = ApprovalFilter { all: true, ..ApprovalFilter::default() };
                        let all = super::list(app, &filter).await?;
                        choose(&all.approvals, end, all.more)?.ok_or_else(|| missing(end, all.more))?
                    }
                    None => return Err(missing(end, list.more)),
                }
            }
        };
        if !found.iter().any(|other| other.id == approval.id) {
            found.push(approval);
        }
    }
    Ok(found)
}

fn missing(end: &str, more: bool) -> anyhow::Error {
    let more = if more { "; there are more than are listed, so give the whole id" } else { "" };
    anyhow::anyhow!("no approval that you see and that is open ends in {end}; `sealcard requests` lists them{more}")
}

/// The one whose id ends so.
fn choose(approvals: &[Approval], end: &str, more: bool) -> anyhow::Result<Option<Approval>> {
    let wanted = Wanted::End(end.to_owned());
    let found: Vec<&Approval> = approvals.iter().filter(|approval| wanted.is(approval.id)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [_] if more && end.len() < SURE_DIGITS => {
            bail!("there are more approvals than are listed: give at least 8 digits of the id")
        }
        [one] => Ok(Some((*one).clone())),
        several => {
            let lines: Vec<String> = several
                .iter()
                .map(|one| {
                    // One that differs only further in front is named whole.
                    let short = short_id(one.id);
                    let id = if end.len() < short.len() { short } else { one.id.to_string() };
                    format!("  {id}  {}: {}", clean(&words::who(one)), clean(&words::what(one)))
                })
                .collect();
            bail!("{end} is the end of several ids:\n{}\nGive more digits.", lines.join("\n"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::cli::approvals::words::tests::approval;

    fn with_id(id: u128) -> Approval {
        Approval { id: ApprovalId(Uuid::from_u128(id)), ..approval() }
    }

    #[test]
    fn ids_are_whole_or_end_with_four_digits_or_more() {
        let id = ApprovalId::new();
        assert_eq!(wanted(&id.to_string()), Ok(Wanted::Id(id)));
        assert_eq!(wanted("1A2B"), Ok(Wanted::End("1a2b".to_owned())));
        assert_eq!(wanted("8000-1a2b3c4d"), Ok(Wanted::End("80001a2b3c4d".to_owned())));
        for wrong in ["", "1a2", "xyzw", "1a2b 3c4d", "--------"] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn end_that_several_ids_have_lists_them() {
        let all = [with_id(0x1111_1a2b_3c4d), with_id(0x2222_1a2b_3c4d), with_id(0xffff_3c4d)];
        assert_eq!(choose(&all, "ffff3c4d", false).unwrap().unwrap().id, all.last().unwrap().id);
        assert!(choose(&all, "9999", false).unwrap().is_none());
        let text = choose(&all, "3c4d", false).unwrap_err().to_string();
        assert!(text.contains("1a2b3c4d") && text.contains("ffff3c4d") && text.contains("alice"), "{text}");
        let text = choose(&all, "1a2b3c4d", false).unwrap_err().to_string();
        assert!(text.contains("11111a2b3c4d") && text.contains("22221a2b3c4d"), "{text}");
        // Others may be beyond the end of the list.
        assert!(choose(&all, "f3c4d", true).is_err() && choose(&all, "ffff3c4d", true).is_ok());
    }

    proptest! {
        #[test]
        fn every_end_of_an_id_names_it(id: u128, digits in MIN_DIGITS..=32) {
            let id = ApprovalId(Uuid::from_u128(id));
            let text = id.0.simple().to_string();
            prop_assert!(wanted(&text[32 - digits..]).unwrap().is(id));
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = wanted(&text);
        }
    }
}
