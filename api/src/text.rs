//! Text of others: what a terminal or a log shows as it is, and what it would obey or hide.

use std::borrow::Cow;

/// Whether the character is shown as itself and changes nothing around it. False for control characters, for format
/// characters (Unicode category Cf, such as those that turn the direction of writing or have no width), for separators
/// of lines and paragraphs, and for characters of private use or without a meaning.
#[must_use]
pub fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    if c.is_whitespace() {
        return !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    }
    // As the standard library judges it. Behind a letter, because combining characters are plain there.
    String::from_iter(['a', c]).escape_debug().count() == 2
}

/// The text with `?` for each control character, and a visible escape for each other character that is not plain.
#[must_use]
pub fn cleaned(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_plain(c) => clean.push(c),
            c if c.is_control() => clean.push('?'),
            c => clean.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(clean)
}

/// The text in one line of at most `most` characters: each character that is not plain, line breaks included, as a
/// visible escape such as `\u{202e}`. Of a longer text the beginning, then `…`.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let (mut line, mut length) = (String::new(), 0_usize);
    for c in text.chars() {
        let escaped = if is_plain(c) { String::from(c) } else { c.escape_unicode().to_string() };
        length = length.saturating_add(escaped.chars().count());
        if length > most {
            while line.chars().count() >= most.max(1) {
                line.pop();
            }
            line.push('…');
            break;
        }
        line.push_str(&escaped);
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_people_are_plain() {
        for text in ["Zoë Müller <z@example.org>", "山田　太郎", "Ünal e\u{301}", "Владимир", "עברית", "مریم", "✓ 🔑"]
        {
            assert!(matches!(cleaned(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn what_a_terminal_obeys_or_hides_is_escaped() {
        assert_eq!(cleaned("a\u{1b}[2Jb\u{9b}c"), "a?[2Jb?c");
        for c in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{2060}', '\u{feff}', '\u{ad}', '\u{2028}', '\u{2029}'] {
            assert!(!is_plain(c), "{c:?}");
        }
        for c in ['\u{e0041}', '\u{378}', '\u{10ffff}', '\u{e000}'] {
            assert!(!is_plain(c), "{c:?}");
        }
        assert_eq!(cleaned("alice\u{202e}gpj"), "alice\\u{202e}gpj");
    }

    #[test]
    fn one_line_shows_line_breaks_and_is_cut() {
        assert_eq!(one_line("a\nb\u{202e}c", 99), "a\\u{a}b\\u{202e}c");
        assert_eq!(one_line("abcd", 4), "abcd");
        assert_eq!(one_line("abcde", 4), "abc…");
        assert_eq!(one_line("ab\n", 4), "ab…");
    }

    proptest! {
        #[test]
        fn one_line_is_plain_and_short(text: String, most in 1_usize..40) {
            let line = one_line(&text, most);
            prop_assert!(line.chars().all(is_plain) && line.chars().count() <= most);
        }

        #[test]
        fn cleaned_text_is_plain(text: String) {
            prop_assert!(cleaned(&text).chars().all(is_plain));
        }
    }
}
