//! See `openmsrp::fuzz::shard_ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| openmsrp::fuzz::shard_ops(octets));
