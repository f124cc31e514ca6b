//! A secret key that gpg exported, as the workstation reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::import_exported_key(data));
