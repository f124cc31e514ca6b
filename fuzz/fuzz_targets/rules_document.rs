//! A rule document with its Cedar and regular expressions: nothing panics, and a good one compiles.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::rules_document(data));
