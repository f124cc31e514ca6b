//! An entry of the record: nothing panics, and a known entry survives its bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::record_entry(data));
