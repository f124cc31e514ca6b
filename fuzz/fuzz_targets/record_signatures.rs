//! A file with signatures that are looked for in the record: nothing panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::record_signatures(data));
