//! See `openmsrp::fuzz::sdp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::sdp(octets));
