//! The cache of cards, and all that is worked out from it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::cards_cache(data));
