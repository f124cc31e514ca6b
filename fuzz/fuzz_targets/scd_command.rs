//! One line of gpg-agent as a command with its arguments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::scd_command(data));
