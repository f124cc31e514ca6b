//! What a proxy sends before TLS: nothing panics, and no part of a header is a header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealcard_fuzz_bodies::proxy_header(data));
