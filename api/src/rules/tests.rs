use proptest::prelude::*;

use super::*;

#[test]
fn names_of_people_and_programs_pass() {
    for name in ["a", "alice", "Alice.B_c-d@example.org", &"x".repeat(64)] {
        assert_eq!(Name::check(name), Ok(()));
    }
}

#[test]
fn names_that_mislead_are_refused() {
    let id = uuid::Uuid::now_v7();
    let (hyphenated, simple) = (id.to_string(), id.simple().to_string());
    for name in ["", "a b", "ä", "..", "-rf", "a/b", "a\n", &"x".repeat(65), &hyphenated, &simple] {
        assert!(Name::check(name).is_err(), "{name}");
    }
}

#[test]
fn email_addresses_are_plain() {
    for good in ["a@b.c", "jane.doe+sealcard@mail.example.org", "x_y-z@a-b.example", &format!("{}@b.c", "a".repeat(63))]
    {
        assert_eq!(EmailAddress::check(good), Ok(()));
    }
    let (long, label) = (format!("{}.a@b.c", "a".repeat(63)), format!("a@{}.c", "b".repeat(64)));
    for bad in [
        "",
        "a",
        "a@b",
        "@b.c",
        "a@",
        "a@@b.c",
        "a@b@c.d",
        "a b@c.d",
        "a..b@c.d",
        ".a@c.d",
        "a@-b.c",
        "a@b-.c",
        "a@b..c",
        "a@b.c.",
        "ä@b.c",
        "a@b.c\r\nBcc: x@y.z",
        "Jane <a@b.c>",
        "\"a\"@b.c",
        "a@[127.0.0.1]",
        &long,
        &label,
    ] {
        assert!(EmailAddress::check(bad).is_err(), "{bad}");
    }
    assert_eq!(EmailChange::check(""), Ok(()));
    assert!(EmailChange::check("a").is_err());
}

#[test]
fn key_name_is_no_fingerprint_key_id_or_address() {
    for name in ["deadbeefdeadbeef", "0xDEADBEEFDEADBEEF", &"0A".repeat(20), "adopt", "import"] {
        assert!(NewKeyName::check(name).is_err(), "{name}");
    }
    assert_eq!(NewKeyName::check("cafe"), Ok(()));
}

#[test]
fn weak_passwords_are_refused() {
    for (password, user) in [("short", "a"), ("aaaaaaaaaaaaaaaa", "a"), ("administrator", "Administrator")] {
        assert!(NewPassword::check(password, user, 12).is_err(), "{password}");
    }
    assert!(NewPassword::check(&"xy".repeat(513), "a", 12).is_err());
    assert_eq!(NewPassword::check("correct horse battery", "alice", 12), Ok(()));
}

#[test]
fn user_ids_are_one_line_of_text() {
    for bad in ["", " ", " a", "a ", "a\nb", "a\u{202e}b", &"x".repeat(257)] {
        assert!(UserId::check(bad).is_err(), "{bad:?}");
    }
    assert_eq!(UserId::check(&"ä".repeat(256)), Ok(()));
}

proptest! {
    #[test]
    fn a_name_that_passes_is_safe_in_addresses_and_terminals(name: String) {
        if Name::check(&name).is_ok() {
            prop_assert!(name.bytes().all(|b| b.is_ascii_graphic() && !b"/?#%\\\"'".contains(&b)));
            prop_assert!(!name.is_empty() && name.len() <= 64);
        }
    }

    #[test]
    fn a_label_that_passes_is_one_line(label: String) {
        if Label::check(&label).is_ok() {
            prop_assert!(!label.chars().any(char::is_control));
        }
    }

    #[test]
    fn invisible_characters_are_refused_in_labels_and_descriptions(
        c in proptest::sample::select(vec!['\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}', '\u{feff}']),
        before in "[a-z]{0,5}",
    ) {
        let text = format!("{before}{c}x");
        prop_assert!(Label::check(&text).is_err());
        prop_assert!(Description::check(&text).is_err());
    }
}
