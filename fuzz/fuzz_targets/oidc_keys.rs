//! Key sets and discoveries of issuers: nothing panics, and each key is found by its name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::oidc_keys(data));
