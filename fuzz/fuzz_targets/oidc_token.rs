//! Tokens that nobody signed: nothing panics, and none is accepted.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::oidc_token(data));
