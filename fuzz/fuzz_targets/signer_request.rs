//! A frame from the server or from the control socket: nothing panics, and a request survives its frame.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::signer_request(data));
