//! Command lines and environments of processes, and the kernel's answers about sockets: what comes of them is a claim that
//! the server takes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::workstation_claims(data));
