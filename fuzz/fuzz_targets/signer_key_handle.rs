//! What a row keeps of a key on a token: nothing panics, and a handle survives its bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::signer_key_handle(data));
