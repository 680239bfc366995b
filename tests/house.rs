//! The rules of the house, read off the source tree: who may use whom, where clocks, randomness, sockets
//! and unsafe code may stand, and what no file holds. The rules themselves are in `house/table.rs`.
//!
//! A rule that the code breaks is reported as `file:line`, with what to do.

#[allow(dead_code, reason = "shared with tests/conformance.rs, which needs more of it")]
#[path = "house/source.rs"]
mod source;
#[path = "house/table.rs"]
mod table;

use source::{Source, crate_sources, declared, files, module, paths, root, sources, words};
use std::fmt::Write as _;
use std::fs;
use table::{
    CRATES, CRATES_FREE, MACHINES, PROVED, UNITS, UNSAFE_MAX, Unit, WORDS_IN_PLACE, WORDS_NEVER,
    WORDS_NOT_IN_MACHINES, WORDS_NOWHERE,
};

/// What the code breaks, and how often.
#[derive(Default)]
struct Faults(String, usize);

impl Faults {
    fn add(&mut self, at: &str, what: &str, todo: &str) {
        self.1 += 1;
        let _ = write!(self.0, "\n{at}: {what}\n    {todo}");
    }

    #[track_caller]
    fn none(self) {
        assert!(self.1 == 0, "{} rules of the house are broken:{}", self.1, self.0);
    }
}

/// The sources of the crate that are shipped.
fn shipped() -> Vec<Source> {
    crate_sources().0
}

/// `path` is `of`, or below it.
fn within(path: &str, of: &str) -> bool {
    path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The unit that a path of the crate belongs to: the one that names the longest part of it.
fn unit(path: &str) -> Option<&'static Unit> {
    let length = |unit: &Unit| unit.modules.iter().filter(|m| within(path, m)).map(|m| m.len()).max();
    UNITS.iter().filter(|u| length(u).is_some()).max_by_key(|u| length(u))
}

/// `user` may use `path`: it is its own, or the table says so.
fn allowed(user: &Unit, path: &str) -> bool {
    unit(path).is_some_and(|used| used.name == user.name) || user.may.iter().any(|(may, _)| within(path, may))
}

#[test]
fn modules_use_each_other_in_the_directions_of_the_table() {
    let mut faults = Faults::default();
    for source in shipped().iter().filter(|s| s.file != "src/lib.rs") {
        let here = module(&source.file);
        let Some(user) = unit(&here) else {
            faults.add(&source.file, "no unit has this module", "add it to UNITS in tests/house/table.rs");
            continue;
        };
        for (at, path) in paths(&source.shipped, &here) {
            if !allowed(user, &path) {
                let what = format!("{} may not use {path}", user.name);
                let todo = "turn the dependency round, or move the thing down; arrows point down only";
                faults.add(&source.at(at), &what, todo);
            }
        }
    }
    faults.none();
}

#[test]
fn crates_are_used_where_the_table_says() {
    let mut faults = Faults::default();
    for source in shipped() {
        let here = module(&source.file);
        for (name, places, why) in CRATES {
            let path = format!("{name}::");
            for at in words(&source.shipped, &path) {
                let inner = source.shipped[..at].ends_with("::");
                if !inner && !places.iter().any(|place| within(&here, place)) {
                    let what = format!("{name} ({why}) may not be used here");
                    faults.add(&source.at(at), &what, &format!("its places are {}", places.join(", ")));
                }
            }
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let dependencies = manifest.split("\n[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
    for line in dependencies.expect("a list of dependencies").lines() {
        let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| !name.starts_with('#')) else {
            continue;
        };
        let name = name.replace('-', "_");
        if !CRATES.iter().any(|(of, ..)| *of == name) && !CRATES_FREE.contains(&name.as_str()) {
            let todo = "say in tests/house/table.rs where it may be used, and why";
            faults.add("Cargo.toml", &format!("{name} has no rule"), todo);
        }
    }
    faults.none();
}

#[test]
fn clocks_chance_sockets_and_unsafe_code_stand_in_their_files() {
    let mut faults = Faults::default();
    let mut unsafe_count = 0;
    for source in shipped() {
        for (list, places, todo) in WORDS_IN_PLACE {
            let allowed = places.iter().any(|place| source.file.starts_with(place));
            for word in *list {
                for at in words(&source.shipped, word) {
                    unsafe_count += usize::from(*word == "unsafe");
                    if !allowed {
                        faults.add(&source.at(at), &format!("`{word}` stands here"), todo);
                    }
                }
            }
        }
    }
    if unsafe_count != UNSAFE_MAX {
        let what = format!("{unsafe_count} uses of unsafe, not {UNSAFE_MAX}");
        let todo = "more: find a safe way, or raise UNSAFE_MAX with a reason; fewer: lower it";
        faults.add("src/shard/io.rs", &what, todo);
    }
    faults.none();
}

#[test]
fn machines_neither_wait_nor_share() {
    let mut faults = Faults::default();
    for source in shipped() {
        let machine = unit(&module(&source.file)).is_some_and(|unit| MACHINES.contains(&unit.name));
        for (word, todo) in WORDS_NOT_IN_MACHINES.iter().filter(|_| machine) {
            for at in words(&source.shipped, word) {
                faults.add(&source.at(at), &format!("`{word}` in a machine"), todo);
            }
        }
    }
    faults.none();
}

#[test]
fn nothing_shipped_panics_but_on_a_proved_invariant() {
    let mut faults = Faults::default();
    let mut needed = vec![false; PROVED.len()];
    for source in shipped() {
        for (word, todo) in WORDS_NOWHERE {
            for at in words(&source.shipped, word) {
                let line = source.line(at);
                match PROVED.iter().position(|(file, holds, _)| *file == source.file && line.contains(holds))
                {
                    Some(i) => needed[i] = true,
                    None => faults.add(&source.at(at), &format!("`{word}` outside tests"), todo),
                }
            }
        }
    }
    for ((file, holds, _), _) in PROVED.iter().zip(needed).filter(|(_, needed)| !needed) {
        faults.add(file, &format!("no line holds `{holds}` any more"), "take it out of PROVED");
    }
    faults.none();
}

#[test]
fn no_file_holds_unfinished_work() {
    let mut faults = Faults::default();
    for source in sources("") {
        for (word, todo) in WORDS_NEVER {
            for at in words(&source.code, word) {
                faults.add(&source.at(at), &format!("`{word}` stands here"), todo);
            }
        }
        if !source.raw.starts_with("//! ") {
            faults.add(&format!("{}:1", source.file), "no `//!` says what this file is", "begin with one");
        }
    }
    faults.none();
}

#[test]
fn every_source_file_is_a_module_that_somebody_declared() {
    let mut faults = Faults::default();
    let all = sources("src");
    let mut known = vec!["src/lib.rs".to_string(), "src/main.rs".to_string()];
    known.extend(all.iter().flat_map(declared).map(|(_, file, _)| file));
    for source in all.iter().filter(|source| !known.contains(&source.file)) {
        faults.add(&source.file, "no module declares this file", "declare it, or delete it");
    }
    faults.none();
}

#[test]
fn every_limit_has_its_reason() {
    let mut faults = Faults::default();
    let limits = Source::new(
        "src/base/limits.rs",
        &fs::read_to_string(root().join("src/base/limits.rs")).expect("the limits"),
    );
    let lines: Vec<&str> = limits.raw.lines().collect();
    let mut count = 0;
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("const ")) {
        let before = lines[..i].iter().rev().find(|line| !line.starts_with("#["));
        let explained = before.is_some_and(|line| line.starts_with("//"));
        count += 1;
        if !explained && !line.starts_with("//") {
            let at = format!("{}:{}", limits.file, i + 1);
            faults.add(&at, "a limit without a reason", "say what it bounds, why, and what happens there");
        }
    }
    assert!(count > 30, "the limits were found: {count}");
    faults.none();
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // Put together here, so that this file does not hold them.
    let places = ["work", "home", "root", "Users", "mnt"].map(|name| format!("/{name}/"));
    let mut faults = Faults::default();
    for file in files("") {
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        for (i, line) in text.lines().enumerate() {
            for place in &places {
                let named = line.match_indices(place).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "._-~<>}$*/".contains(c))
                });
                if named {
                    let todo = "name it from the root of the project, or not at all";
                    faults.add(&format!("{file}:{}", i + 1), &format!("names {place}"), todo);
                }
            }
        }
    }
    faults.none();
}

#[test]
fn the_reader_of_sources_blanks_comments_literals_and_tests() {
    let raw = concat!(
        "// a.unwrap()\nfn f<'a>(x: &'a str) -> char { /* dbg! /* */ todo! */ g(\"panic!\\\"\", '\"', '\\'') }\n",
        "const R: &str = r#\"unsafe \" \"#; /// unsafe\n",
        "#[cfg(test)]\nfn only(x: [u8; 2]) { x.unwrap() }\nfn kept() { y.expect(\"so\") }\n",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nmod t;\nmod last;\n#[cfg(test)]\nmod tests { fn z() { q.unwrap() } }\n",
    );
    let source = Source::new("src/a/mod.rs", raw);
    assert_eq!(source.code.len(), raw.len());
    for word in ["panic!", "dbg!", "todo!", "unsafe"] {
        assert_eq!(words(&source.code, word).count(), 0, "{word}");
    }
    assert_eq!(words(&source.code, ".unwrap()").count(), 2);
    assert_eq!(words(&source.shipped, ".unwrap()").count(), 0);
    let kept: Vec<usize> = words(&source.shipped, ".expect(").collect();
    assert_eq!(source.at(kept[0]), "src/a/mod.rs:6");
    assert_eq!(source.line(kept[0]), "fn kept() { y.expect(\"so\") }");
    let modules = declared(&source);
    assert_eq!(modules[0], ("t".into(), "src/a/x.rs".into(), true));
    assert_eq!((modules[1].0.as_str(), modules[1].2), ("last", false));
}

#[test]
fn the_reader_of_paths_follows_groups_and_parents() {
    let names = |code: &str, module: &str| -> Vec<String> {
        paths(code, module).into_iter().map(|(_, path)| path).collect()
    };
    assert_eq!(names("use crate::wire::msrp::Head;", "room"), ["wire::msrp::Head"]);
    assert_eq!(
        names("use crate::{\n    shard::{self, io::Bell as B, run},\n    base,\n};", "control"),
        ["base", "shard", "shard::io::Bell", "shard::run"]
    );
    assert_eq!(names("let x = super::super::io::f();", "shard::core::rooms"), ["shard::io::f"]);
    assert_eq!(names("pub(crate) fn f(super_x: u8) { my::crate::x(); }", "base"), [""; 0]);
    assert_eq!(names("openmsrp::cli::main()", "main"), ["cli::main"]);
}

#[test]
fn the_table_of_directions_says_no() {
    let may = |user: &str, path: &str| allowed(unit(user).expect("a unit"), path);
    assert!(may("shard::core::rooms", "room::Room"));
    assert!(!may("room", "wire::msrp"));
    assert!(!may("shard::core::rooms", "shard::io::recv"));
    assert!(!may("shard::run", "control::config"));
    assert!(may("control::shards", "shard::io::Bell"));
    assert!(!may("control::shards", "shard::io::recv"));
    assert!(!may("client::chat", "shard::message"));
    assert!(!may("base", "based"));
    assert!(!may("focus", "server"));
}
