//! Which key signs.

use anyhow::bail;
use sealcard_api::{KeyRef, Timestamp, algorithm::ComponentRole, cards::Card};
use sealcard_openpgp::SigningKey;

use crate::cli::{App, output::clean};

/// The key of this name among those that the person may use, or the only one that signs now.
pub(super) async fn choose(app: &App, wanted: Option<&str>) -> anyhow::Result<SigningKey> {
    let cards = app.remote.cards().await?.cards;
    Ok(SigningKey::of(pick(&cards, wanted, Timestamp::now())?)?)
}

fn pick<'a>(cards: &'a [Card], wanted: Option<&str>, now: Timestamp) -> anyhow::Result<&'a Card> {
    let obstacle = |card: &Card| card.life().obstacle_to(ComponentRole::Sign, now);
    let card = match wanted {
        Some(wanted) => find(cards, wanted)?,
        None => {
            let signing: Vec<&Card> = cards.iter().filter(|card| obstacle(card).is_none()).collect();
            match (signing.as_slice(), cards) {
                ([only], _) => *only,
                ([], [only]) => only,
                ([], []) => bail!("you have no keys; ask an owner of a project for the role key-user"),
                ([], _) => {
                    let reasons: Vec<String> = cards.iter().filter_map(obstacle).collect();
                    bail!("none of your keys can sign: {}", clean(&reasons.join("; ")))
                }
                (several, _) => bail!("say with --key which key signs: {}", names(several.iter().copied())),
            }
        }
    };
    match obstacle(card) {
        Some(obstacle) => bail!(clean(&obstacle)),
        None => Ok(card),
    }
}

pub(in crate::cli) fn find<'a>(cards: &'a [Card], wanted: &str) -> anyhow::Result<&'a Card> {
    let key = KeyRef::parse(wanted);
    let found: Vec<&Card> = cards.iter().filter(|card| key.is_card(card)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] if cards.is_empty() => bail!("you have no keys; ask an owner of a project for the role key-user"),
        [] => bail!("no key named {wanted:?}; your keys: {}", names(cards)),
        several => bail!("{wanted:?} names several keys: {}", names(several.iter().copied())),
    }
}

fn names<'a>(cards: impl IntoIterator<Item = &'a Card>) -> String {
    let names: Vec<String> = cards.into_iter().map(|card| clean(&card.full_name().to_string())).collect();
    names.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_api::keys::KeyState;

    use super::*;
    use crate::scd::testing::sample_list;

    #[test]
    fn a_key_that_can_not_sign_says_why_and_is_no_choice() {
        let now = Timestamp::from_unix(1_800_000_000);
        let mut cards = sample_list().cards;
        let refused = |cards: &[Card], wanted| pick(cards, wanted, now).unwrap_err().to_string();
        assert!(refused(&cards, None).contains("--key"));
        let (names, ended) = (cards.clone(), Timestamp::from_unix(now.unix() - 1));
        for (card, state) in cards.iter_mut().zip([KeyState::Disabled, KeyState::Revoked]) {
            card.state = state;
        }
        assert_eq!(pick(&cards, None, now).unwrap().serial, names.last().unwrap().serial);
        cards.last_mut().unwrap().components.first_mut().unwrap().expires = Some(ended);
        for (card, why) in names.iter().zip(["is disabled", "is revoked", "expired on 2027-01-15"]) {
            let text = refused(&cards, Some(&card.name));
            assert!(text.contains(why) && !text.contains("role"), "{text}");
        }
        let text = refused(&cards, None);
        assert!(text.contains("disabled") && text.contains("revoked") && text.contains("expired"), "{text}");
        // A key whose encryption subkey ended signs as before.
        let mut only = vec![names.last().unwrap().clone()];
        only.iter_mut().flat_map(|card| card.components.get_mut(1)).for_each(|part| part.expires = Some(ended));
        assert!(pick(&only, None, now).is_ok());
    }

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
