//! See `openmsrp::fuzz::conference_xml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::conference_xml(octets));
