//! What all text formats share.

use data_encoding::BASE64;

use crate::node::MAX_SIZE;

/// A decimal number in its only form: digits without leading zeros, not above [`MAX_SIZE`].
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let only_form = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| only_form && *number <= MAX_SIZE)
}

/// Standard base64 with padding (RFC 4648, section 4) in its only form.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    // The decoder also takes several padded texts one after the other.
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text)
}

/// The first line and what is after it. `None` if there is no end of a line.
pub(crate) fn line(text: &str) -> Option<(&str, &str)> {
    text.split_once('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_form() {
        assert_eq!(base64("YWI="), Some(b"ab".to_vec()));
        assert_eq!(base64(""), Some(Vec::new()));
        for other in ["YWI", "YWI==", "YWJ=", "YQ==YWI=", "YWI=\n", " YWI=", "YW I="] {
            assert_eq!(base64(other), None, "{other}");
        }
    }

    #[test]
    fn number_has_one_form() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("9223372036854775807"), Some(MAX_SIZE));
        for other in ["", "00", "01", "+1", "-0", " 1", "1 ", "9223372036854775808", "99999999999999999999", "\u{661}"]
        {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
