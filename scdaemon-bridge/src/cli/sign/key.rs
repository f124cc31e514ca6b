//! Which key signs.

use anyhow::bail;
use sealcard_api::{KeyRef, cards::Card};

use crate::{
    cli::{App, output::clean},
    openpgp::SigningKey,
};

/// The key of this name among those that the person may use, or the only one.
pub(super) async fn choose(app: &App, wanted: Option<&str>) -> anyhow::Result<SigningKey> {
    let cards = app.remote.cards().await?.cards;
    let card = match wanted {
        Some(wanted) => find(&cards, wanted)?,
        None => match cards.as_slice() {
            [] => bail!("you may use no key; ask the owner of a project for the role key-user"),
            [only] => only,
            _ => bail!("say with --key which key signs: {}", names(&cards)),
        },
    };
    Ok(SigningKey::of(card)?)
}

pub(in crate::cli) fn find<'a>(cards: &'a [Card], wanted: &str) -> anyhow::Result<&'a Card> {
    let key = KeyRef::parse(wanted);
    let found: Vec<&Card> = cards.iter().filter(|card| key.is_card(card)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] if cards.is_empty() => bail!("you may use no key; ask the owner of a project for the role key-user"),
        [] => bail!("you may use no key {wanted:?}, but: {}", names(cards)),
        several => {
            let several: Vec<Card> = several.iter().map(|card| (*card).clone()).collect();
            bail!("{wanted:?} names several keys: {}", names(&several))
        }
    }
}

fn names(cards: &[Card]) -> String {
    let names: Vec<String> = cards.iter().map(|card| clean(&card.full_name().to_string())).collect();
    names.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scd::testing::sample_list;

    #[test]
    fn a_key_is_found_by_name_project_and_fingerprint_and_never_guessed() {
        let cards = sample_list().cards;
        let card = cards.first().unwrap();
        for wanted in [card.name.clone(), format!("{}/{}", card.project, card.name), card.fingerprint.to_string()] {
            assert_eq!(find(&cards, &wanted).unwrap().serial, card.serial);
        }
        assert!(find(&cards, "nobody").unwrap_err().to_string().contains(&card.name));
        let mut twice = vec![card.clone(), card.clone()];
        twice.iter_mut().for_each(|card| card.project = format!("{}-{}", card.project, card.serial));
        assert!(find(&twice, &card.name).unwrap_err().to_string().contains("several"));
    }
}
