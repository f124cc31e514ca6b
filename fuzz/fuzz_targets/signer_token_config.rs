//! A `token.toml`: nothing panics, and errors name a line that the file has.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::signer_token_config(data));
