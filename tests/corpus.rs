//! Everything that was ever worth a look, through the bodies of the fuzz targets: the files kept under
//! `fuzz/corpus-kept`, and the torture corpora.
//!
//! With `OPENMSRP_SEEDS=folder` the torture corpora are also written there, one folder for each target, as
//! seeds for `cargo fuzz`.

#[path = "torture/cpim/table.rs"]
mod cpim_table;
#[path = "torture/octets.rs"]
mod octets;
#[path = "torture/sdp/table.rs"]
mod sdp_table;
#[path = "torture/xml/table.rs"]
mod xml_table;

use openmsrp::fuzz;
use std::fs;
use std::path::{Path, PathBuf};

/// A target of `fuzz/` and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 13] = [
    ("address", fuzz::address),
    ("conference_xml", fuzz::conference_xml),
    ("cpim", fuzz::cpim),
    ("digest", fuzz::digest),
    ("focus_ops", fuzz::focus_ops),
    ("msrp_frame", fuzz::msrp_frame),
    ("msrp_uri_range", fuzz::msrp_uri_range),
    ("nickname", fuzz::nickname),
    ("room_ops", fuzz::room_ops),
    ("sdp", fuzz::sdp),
    ("session_ops", fuzz::session_ops),
    ("shard_ops", fuzz::shard_ops),
    ("sip", fuzz::sip),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A name and what is to be read.
type Case = (String, Vec<u8>);

/// The files of a folder.
fn files(folder: &Path) -> Vec<Case> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// What the torture corpora hold for a target.
fn torture(target: &str) -> Vec<Case> {
    let folder = root().join("tests/torture");
    let own = |(name, text): (&str, &str)| (name.to_owned(), octets::octets(text));
    match target {
        // Their first line says what must come out.
        "msrp_frame" => files(&folder.join("msrp"))
            .into_iter()
            .map(|(name, file)| (name, file[file.iter().position(|b| *b == b'\n').unwrap() + 1..].to_vec()))
            .collect(),
        "sip" => files(&folder.join("sip")),
        "cpim" => cpim_table::CASES.iter().map(|case| own((case.0, case.1))).collect(),
        "sdp" => sdp_table::CASES.iter().map(|case| own((case.0, case.1))).collect(),
        "conference_xml" => {
            xml_table::CASES.iter().map(|case| (case.0.into(), xml_table::document(case.1))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_kept_input_and_every_torture_case_passes_its_target() {
    let seeds = std::env::var_os("OPENMSRP_SEEDS").map(PathBuf::from);
    let mut octets = 0;
    for (target, body) in TARGETS {
        let kept = files(&root().join("fuzz/corpus-kept").join(target));
        assert!(!kept.is_empty(), "{target}: nothing is kept");
        octets += kept.iter().map(|(_, file)| file.len()).sum::<usize>();
        let torture = torture(target);
        if let Some(folder) = seeds.as_ref().map(|seeds| seeds.join(target)) {
            fs::create_dir_all(&folder).unwrap();
            for (i, (_, file)) in torture.iter().enumerate() {
                fs::write(folder.join(format!("torture-{i}")), file).unwrap();
            }
        }
        for (name, file) in kept.iter().chain(&torture) {
            println!("{target} {name}");
            body(file);
            // Half of it is mostly an input of its own kind.
            body(&file[..file.len() / 2]);
        }
    }
    assert!(octets < 1024 * 1024, "{octets} octets are kept: choose");
}

#[test]
fn every_target_is_built_and_replayed() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let built: Vec<_> = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")).skip(1).collect();
    assert_eq!(built.len(), TARGETS.len());
    for (target, _) in TARGETS {
        assert!(built.contains(&format!("{target}\"").as_str()), "{target} is not in fuzz/Cargo.toml");
        assert!(root().join(format!("fuzz/fuzz_targets/{target}.rs")).exists(), "{target} has no file");
    }
}
