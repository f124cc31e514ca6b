//! Sequences of APDUs on a card with every kind of key: nothing panics, every answer ends in a status word.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::apdu(data));
