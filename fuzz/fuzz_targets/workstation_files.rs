//! `config.toml`, `sealcard.conf`, the grant's file, `gpg-agent.conf`: nothing panics, and set-up can be undone.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::workstation_files(data));
