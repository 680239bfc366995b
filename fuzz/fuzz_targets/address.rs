//! See `openmsrp::fuzz::address`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::address(octets));
