//! The RFC 7512 URI of a token: nothing panics, and a URI survives its text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::signer_token_uri(data));
