//! See `openmsrp::fuzz::cpim`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::cpim(octets));
