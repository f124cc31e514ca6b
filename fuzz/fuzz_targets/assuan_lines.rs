//! Lines of Assuan, cut from a stream and read as commands and as answers to an inquiry.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::assuan_lines(data));
