//! What all text formats share.

use crate::node::MAX_SIZE;

/// A decimal number in its only form: digits without leading zeros, not above [`MAX_SIZE`].
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let only_form = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| only_form && *number <= MAX_SIZE)
}

/// The first line and what is after it. `None` if there is no end of a line.
pub(crate) fn line(text: &str) -> Option<(&str, &str)> {
    text.split_once('\n')
}
