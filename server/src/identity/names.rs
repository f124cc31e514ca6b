//! What things may be called.

use sealcard_api::KeyRef;

use sealcard_api::text::is_plain;

/// The rule, for error messages.
pub const NAME_RULE: &str =
    "1 to 64 characters of a-z A-Z 0-9 . _ - @, not beginning with \"-\" or \".\", and not in the form of an id";

const MAX_NAME: usize = 64;
const MAX_LABEL: usize = 200;
const MAX_DESCRIPTION: usize = 2000;

/// Checks the name of a user, service account, group or project.
///
/// # Errors
/// [`NAME_RULE`], with what it is about.
pub fn check_name(name: &str) -> Result<(), String> {
    let characters_ok = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
    // A name in the form of an id could pass for another thing's id; "." and ".." vanish from addresses.
    let ok = (1..=MAX_NAME).contains(&name.len())
        && characters_ok
        && !name.starts_with(['-', '.'])
        && uuid::Uuid::try_parse(name).is_err();
    if ok { Ok(()) } else { Err(format!("The name must have {NAME_RULE}.")) }
}

/// Checks the name of a key: it must not read as a fingerprint, key id or id.
///
/// # Errors
/// What is wrong.
pub fn check_key_name(name: &str) -> Result<(), String> {
    check_name(name)?;
    if KeyRef::is_reserved(name) {
        return Err(
            "The name must not have the form of a fingerprint or key id (16 or 40 hexadecimal digits).".to_owned()
        );
    }
    Ok(())
}

/// Checks what a grant or token is for: one line of text.
///
/// # Errors
/// What is wrong.
pub fn check_label(label: &str) -> Result<(), String> {
    check_text(label, "label", MAX_LABEL, false)
}

/// Checks a description: text, also of several lines.
///
/// # Errors
/// What is wrong.
pub fn check_description(text: &str) -> Result<(), String> {
    check_text(text, "description", MAX_DESCRIPTION, true)
}

fn check_text(text: &str, what: &str, max: usize, lines: bool) -> Result<(), String> {
    if text.chars().count() > max {
        return Err(format!("The {what} may have {max} characters."));
    }
    if let Some(c) = text.chars().find(|c| !(is_plain(*c) || lines && *c == '\n')) {
        return Err(format!(
            "The {what} must not contain control characters or invisible ones, such as {}.",
            c.escape_unicode()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_people_and_programs_pass() {
        for name in ["a", "alice", "Alice.B_c-d@example.org", &"x".repeat(64)] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn names_that_mislead_are_refused() {
        let id = uuid::Uuid::now_v7();
        let (hyphenated, simple) = (id.to_string(), id.simple().to_string());
        for name in ["", "a b", "ä", "..", "-rf", "a/b", "a\n", &"x".repeat(65), &hyphenated, &simple] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_key_name_is_no_fingerprint_or_key_id() {
        for name in ["deadbeefdeadbeef", "0xDEADBEEFDEADBEEF", &"0A".repeat(20)] {
            assert!(check_key_name(name).is_err(), "{name}");
        }
        assert_eq!(check_key_name("cafe"), Ok(()));
    }

    proptest! {
        #[test]
        fn a_name_that_passes_is_safe_in_addresses_and_terminals(name: String) {
            if check_name(&name).is_ok() {
                prop_assert!(name.bytes().all(|b| b.is_ascii_graphic() && !b"/?#%\\\"'".contains(&b)));
                prop_assert!(!name.is_empty() && name.len() <= 64);
            }
        }

        #[test]
        fn a_label_that_passes_is_one_line(label: String) {
            if check_label(&label).is_ok() {
                prop_assert!(!label.chars().any(char::is_control));
            }
        }

        #[test]
        fn invisible_characters_are_refused_in_labels_and_descriptions(
            c in proptest::sample::select(vec!['\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}', '\u{feff}', '\u{e0041}']),
            before in "[a-z]{0,5}",
        ) {
            let text = format!("{before}{c}x");
            prop_assert!(check_label(&text).is_err());
            prop_assert!(check_description(&text).is_err());
        }
    }
}
