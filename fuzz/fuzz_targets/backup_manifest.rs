//! The manifest of a backup: nothing panics, and no path leads out of the backup.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::backup_manifest(data));
