//! See `openmsrp::fuzz::msrp_uri_range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::msrp_uri_range(octets));
