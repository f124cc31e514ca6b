//! Request bodies, as every type that the server reads: nothing panics, and what was read survives being written.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::json_bodies(data));
