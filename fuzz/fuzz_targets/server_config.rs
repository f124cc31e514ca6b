//! `server.toml`, variables of the environment, names and labels: nothing panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::server_config(data));
