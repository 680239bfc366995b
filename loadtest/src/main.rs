//! The load harness, `openmsrp-loadtest`.

fn main() {}
