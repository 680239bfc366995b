//! The corpus `tests/torture/msrp`: every file says in its first line what must come out of the rest,
//! and must say so whole, cut in two at every octet, and octet by octet.
//!
//! `sample-S-FF.msrp` are the worked examples of the requirements, section I.S, flow FF; the others are
//! one trick each.

use openmsrp::base::chunk::Flag;
use openmsrp::wire::msrp::{FrameError, Framer, Head, Kind, Method, Step};
use std::path::Path;

#[allow(dead_code, reason = "shared with tests that look closer")]
#[path = "../src/wire/msrp/frame/replay.rs"]
mod replay;

/// All files of the corpus: name, expectation, octets.
fn corpus() -> Vec<(String, String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/msrp");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "msrp") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let octets = std::fs::read(path).unwrap();
        let line = octets.iter().position(|octet| *octet == b'\n').expect("a first line");
        let first = std::str::from_utf8(&octets[..line]).unwrap();
        let expect = first.strip_prefix("# expect: ").unwrap_or_else(|| panic!("{name}: {first}"));
        files.push((name, expect.to_owned(), octets[line + 1..].to_vec()));
    }
    files.sort();
    files
}

#[test]
fn every_file_comes_out_as_it_says_however_it_arrives() {
    // MSRP-FRAME-17, MSRP-FRAME-19
    let files = corpus();
    assert!(files.len() >= 160, "{} files", files.len());
    for (name, expect, octets) in files {
        println!("{name}");
        assert_eq!(replay::everywhere(&octets).summary(), expect, "{name}");
    }
}

#[test]
fn every_worked_example_is_without_fault_and_its_range_tells_its_length() {
    // MSRP-FRAME-05, MSRP-CHUNK-02
    for (name, _, octets) in corpus().iter().filter(|(name, ..)| name.starts_with("sample-")) {
        let Ok(Step::Head { head, body, end: Some(_), used }) = Framer::default().step(octets, 0) else {
            panic!("{name}");
        };
        assert_eq!((head.fault, used), (None, octets.len()), "{name}");
        if let (true, Some(body), Some(range)) = (head.is_send(), body, head.byte_range)
            && let Some(end) = range.end
        {
            assert_eq!(end + 1 - range.start, body.len() as u64, "{name}");
        }
    }
}
