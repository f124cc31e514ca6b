//! A `seal.json`: nothing panics, and a seal survives its text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::signer_seal_file(data));
