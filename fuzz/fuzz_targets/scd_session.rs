//! Whole sessions of a client with the daemon: it neither panics nor stops to answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(sealcard_fuzz_bodies::scd_session(data)));
