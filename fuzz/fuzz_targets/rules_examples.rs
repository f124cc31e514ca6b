//! A file of examples beside rules: nothing panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::rules_examples(data));
