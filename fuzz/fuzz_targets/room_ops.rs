//! See `openmsrp::fuzz::room_ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::room_ops(octets));
