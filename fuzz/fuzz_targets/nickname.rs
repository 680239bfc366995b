//! See `openmsrp::fuzz::nickname`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::nickname(octets));
