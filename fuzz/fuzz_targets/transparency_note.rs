//! A signed note or a key: nothing panics, and each has one form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::transparency_note(data));
