//! The one binary, `openmsrp`.

fn main() {}
