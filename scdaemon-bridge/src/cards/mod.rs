//! What is known of the cards: registry, cache file, keygrips, S-expressions.
