//! Resource: cards.
