//! A file of an exported record: nothing panics, and a line keeps its entry's bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::record_tables(data));
