//! Requests to a witness and its answers: nothing panics, and a request has one form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::transparency_witness(data));
