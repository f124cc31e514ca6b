//! Whatever gpg-agent sends, every line gets one answer and the next line is read.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use sealcard_fuzz_bodies::{assuan_lines, s_expression, scd_session};

/// How many answers end in `answered`: lines OK and ERR.
fn answers(answered: &[u8]) -> usize {
    let lines = answered.split(|byte| *byte == b'\n');
    lines.filter(|line| line.starts_with(b"OK") || line.starts_with(b"ERR ")).count()
}

#[test]
fn garbage_gets_one_err_each_and_the_session_goes_on() {
    let mut input = Vec::new();
    let garbage: [&[u8]; 9] = [
        b"\x00\x01\x02",
        b"\xFF\xFE\xFD",
        b"SERIALNO --demand=\x00",
        &[b'A'; 5000],
        b"PKSIGN",
        b"SETDATA ZZ",
        b"D data out of place",
        b"GETATTR",
        b"READKEY OPENPGP.999999999999999999999",
    ];
    for line in garbage {
        input.extend_from_slice(line);
        input.push(b'\n');
    }
    input.extend_from_slice(b"GETINFO version\n");
    let answered = scd_session(&input);
    let text = String::from_utf8_lossy(&answered);
    assert_eq!(answers(&answered), 11, "{text}");
    assert!(text.ends_with("D 2.5.99\nOK\n"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_line_gets_exactly_one_answer(
        lines in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![
                    "SERIALNO", "SERIALNO --all", "KEYINFO --list", "READKEY", "GETATTR", "SETDATA", "PKSIGN", "PKAUTH",
                    "PKDECRYPT", "LEARN --force", "GETINFO", "RESTART", "NOP", "SWITCHCARD", "LOCK", "OPTION", "RANDOM",
                ]),
                Just("FOO"),
            ],
            1..20,
        ),
        arguments in prop::collection::vec("[ -~]{0,40}", 20),
    ) {
        let mut input = String::new();
        for (line, argument) in lines.iter().zip(&arguments) {
            input.push_str(&format!("{line} {argument}\n"));
        }
        let answered = scd_session(input.as_bytes());
        prop_assert_eq!(answers(&answered), lines.len() + 1, "{}", String::from_utf8_lossy(&answered));
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = scd_session(&bytes);
        assuan_lines(&bytes);
        s_expression(&bytes);
    }
}
