//! Whatever arrives, every line gets one answer and the next line is read.

use proptest::prelude::*;

use super::super::{fuzzing, testing::sample_list};
use crate::cards::cache::Cache;

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
    let answered = fuzzing::session(&input);
    let text = String::from_utf8_lossy(&answered);
    assert_eq!(answers(&answered), 11, "{text}");
    assert!(text.ends_with("D 2.5.99\nOK\n"), "{text}");
}

#[test]
fn the_cards_of_the_fuzz_sessions_are_the_sample_cards() {
    let stored = Cache::parse(include_bytes!("../../cards/testdata/cards.json")).unwrap();
    assert_eq!(stored.list, sample_list());
}

#[test]
fn the_fuzz_corpora_run() {
    for name in ["assuan_lines", "scd_session", "cards_cache", "s_expression"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let mut seeds = 0;
        for file in std::fs::read_dir(&folder).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            match name {
                "assuan_lines" => fuzzing::lines(&bytes),
                "scd_session" => drop(fuzzing::session(&bytes)),
                "cards_cache" => fuzzing::cache(&bytes),
                _ => fuzzing::s_expression(&bytes),
            }
            seeds += 1;
        }
        assert!(seeds > 0, "no seeds in {}", folder.display());
    }
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
        let answered = fuzzing::session(input.as_bytes());
        prop_assert_eq!(answers(&answered), lines.len() + 1, "{}", String::from_utf8_lossy(&answered));
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = fuzzing::session(&bytes);
        fuzzing::lines(&bytes);
        fuzzing::s_expression(&bytes);
    }
}
