//! A certificate that is to be imported, as the server reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::import_certificate(data));
