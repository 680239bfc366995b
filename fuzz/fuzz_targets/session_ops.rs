//! See `openmsrp::fuzz::session_ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::session_ops(octets));
