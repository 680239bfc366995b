//! See `openmsrp::fuzz::sip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::sip(octets));
