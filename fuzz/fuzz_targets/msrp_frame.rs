//! See `openmsrp::fuzz::msrp_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::msrp_frame(octets));
