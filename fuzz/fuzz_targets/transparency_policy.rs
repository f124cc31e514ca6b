//! A trust policy: nothing panics, and it trusts no unsigned checkpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::transparency_policy(data));
