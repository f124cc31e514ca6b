//! A receipt: nothing panics, and it has one form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::transparency_receipt(data));
