//! A file of templates: nothing panics, and each part of a good one is good.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::rules_templates(data));
