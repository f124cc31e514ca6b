//! The keys' lives: which can't be used, and which end soon.

use sealcard_api::{Timestamp, cards::Card};

use super::Finding;
use crate::{cards::cache, cli::App};

const LINK: &str = "key life";

/// As far as the last sync knows.
pub(super) fn look(app: &App) -> Vec<Finding> {
    let Ok(Some(cache)) = cache::load(&app.paths.cards_file()) else { return Vec::new() };
    judge(&cache.list.cards, Timestamp::now())
}

fn judge(cards: &[Card], now: Timestamp) -> Vec<Finding> {
    cards.iter().flat_map(|card| card.life().news(now)).map(|text| Finding::warning(LINK, text, ADVICE)).collect()
}

const ADVICE: &str = "after a change on the server: sealcard sync";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use sealcard_api::keys::KeyState;

    use super::*;
    use crate::scd::testing::sample_list;

    #[test]
    fn keys_that_end_soon_or_can_not_be_used_are_warned_of() {
        let now = Timestamp::from_unix(1_800_000_000);
        let mut cards = sample_list().cards;
        assert!(judge(&cards, now).is_empty());
        cards[0].state = KeyState::Disabled;
        cards[1].components[0].expires = Some(Timestamp::from_unix(now.unix() + 86_400));
        cards[2].components[0].expires = Some(Timestamp::from_unix(now.unix() - 86_400));
        let texts: Vec<_> = judge(&cards, now).into_iter().map(|finding| finding.text).collect();
        assert!(texts.len() == 3 && texts[0].contains("disabled"), "{texts:?}");
        assert!(texts[1].contains("expires on 2027-01-16") && texts[2].contains("expired on 2027-01-14"), "{texts:?}");
        assert!(texts.iter().all(|text| !text.contains("role")), "{texts:?}");
    }
}
