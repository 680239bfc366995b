//! See `openmsrp::fuzz::focus_ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::focus_ops(octets));
