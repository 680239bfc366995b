//! See `openmsrp::fuzz::digest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::digest(octets));
