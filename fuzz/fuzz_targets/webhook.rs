//! Answers of receivers of webhooks, and files of secrets: nothing panics, and no error tells of a secret.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::webhook(data));
