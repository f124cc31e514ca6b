//! A secret key that gpg exported, as the workstation reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_bridge::import::fuzzing::exported_key(data));
