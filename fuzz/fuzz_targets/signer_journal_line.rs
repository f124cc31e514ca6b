//! A line of the signer's journal: nothing panics, and an entry has one form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::signer_journal_line(data));
