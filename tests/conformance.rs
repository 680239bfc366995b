//! Which test proves which requirement: `docs/conformance.md` is made from the comments in test code that
//! name requirements (`// MSRP-FRAME-07`), and this test keeps it true.
//!
//! Requirements are in `docs/requirements.tsv`, what is not proved and why in
//! `docs/conformance-exceptions.tsv`. To make the table anew, and drop exceptions that have a test now:
//! `OPENMSRP_BLESS=1 cargo test --test conformance`

#[allow(dead_code, reason = "shared with tests/house.rs, which needs more of it")]
#[path = "house/source.rs"]
mod source;

use source::{Source, crate_sources, item_end, root, sources, words};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

const TABLE: &str = "docs/conformance.md";
const REQUIREMENTS: &str = "docs/requirements.tsv";
const EXCEPTIONS: &str = "docs/conformance-exceptions.tsv";
const BLESS: &str = "OPENMSRP_BLESS=1 cargo test --test conformance";

/// One line of the list of requirements.
struct Requirement {
    id: String,
    section: String,
    level: String,
    title: String,
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|why| panic!("{file}: {why}"))
}

fn requirements() -> Vec<Requirement> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text(REQUIREMENTS).lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = name.to_string();
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, level, title] = fields[..] else { panic!("{REQUIREMENTS}: not three fields: {line}") };
        let [id, level, title] = [id, level, title].map(str::to_string);
        found.push(Requirement { id, section: section.clone(), level, title });
    }
    found
}

/// Requirements that have no test, with the reason.
fn exceptions() -> BTreeMap<String, String> {
    let lines = text(EXCEPTIONS);
    let lines = lines.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (id, why) =
                line.split_once('\t').unwrap_or_else(|| panic!("{EXCEPTIONS}: no reason: {line}"));
            assert!(why.len() > 10, "{EXCEPTIONS}: no reason: {line}");
            (id.to_string(), why.to_string())
        })
        .collect()
}

/// The words of `comment` that name requirements: capitals, hyphens, two digits at the end.
fn named(comment: &str) -> impl Iterator<Item = &str> {
    comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| {
        let Some((family, number)) = word.rsplit_once('-') else { return false };
        let letters =
            family.split('-').all(|part| part.len() > 1 && part.bytes().all(|b| b.is_ascii_uppercase()));
        letters && number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The name of the function around `at`; `None` outside all, as in tables of cases.
fn function(source: &Source, at: usize) -> Option<&str> {
    let start = words(&source.code, "fn").take_while(|start| *start < at).last()?;
    let name = source.code[start + 2..].trim_start();
    let name = &name[..name.find(|c: char| !c.is_alphanumeric() && c != '_')?];
    (item_end(&source.code, start) > at).then_some(name)
}

/// Every requirement that test code names: where, and in which test.
fn citations() -> Vec<(String, String, String)> {
    let (shipped, inner) = crate_sources();
    let mut outer: Vec<Source> = sources("tests");
    outer.extend(sources("loadtest"));
    let whole = inner.into_iter().chain(outer).map(|source| (source, true));
    let mut found = Vec::new();
    for (source, whole) in whole.chain(shipped.into_iter().map(|source| (source, false))) {
        if source.file == "tests/conformance.rs" || source.file.starts_with("tests/house") {
            continue;
        }
        for comment in &source.comments {
            let at = comment.start;
            let words = &source.raw[comment.clone()];
            let tested = whole || source.tests.iter().any(|item| item.contains(&at));
            if !tested || words.starts_with("///") || words.starts_with("//!") {
                continue;
            }
            let name = function(&source, at).unwrap_or("cases");
            for id in named(words) {
                found.push((id.to_string(), source.at(at), format!("{}: `{name}`", source.file)));
            }
        }
    }
    assert!(found.len() > 100, "citations were found: {}", found.len());
    found
}

/// The proofs of each requirement, without repetition.
fn proofs() -> BTreeMap<String, BTreeSet<String>> {
    let mut proofs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, _, test) in citations() {
        proofs.entry(id).or_default().insert(test);
    }
    proofs
}

fn table(
    requirements: &[Requirement],
    proofs: &BTreeMap<String, BTreeSet<String>>,
    exceptions: &BTreeMap<String, String>,
) -> String {
    let proved = requirements.iter().filter(|r| proofs.contains_key(&r.id)).count();
    let mut out = format!(
        "# Conformance\n\n\
         Which test proves which requirement, made by `{BLESS}` from the comments in the tests. Levels: M must,\n\
         S should, O optional, R our own ruling where the texts are silent. Requirements and sections are those\n\
         of `{REQUIREMENTS}`; reasons are in `{EXCEPTIONS}`.\n\n\
         {proved} of {} requirements are named by a test.\n",
        requirements.len()
    );
    let mut section = "";
    for requirement in requirements {
        if requirement.section != section {
            section = &requirement.section;
            let _ = write!(out, "\n## {section}\n\n| ID | level | what | proved by |\n|---|---|---|---|\n");
        }
        let proof = match (proofs.get(&requirement.id), exceptions.get(&requirement.id)) {
            (Some(tests), _) => tests.iter().cloned().collect::<Vec<_>>().join("<br>"),
            (None, Some(why)) => format!("— {why}"),
            (None, None) => "— no test yet".to_string(),
        };
        let Requirement { id, level, title, .. } = requirement;
        let _ = writeln!(out, "| {id} | {level} | {title} | {proof} |");
    }
    out
}

#[test]
fn the_table_of_conformance_is_what_the_tests_say() {
    let (requirements, proofs, mut exceptions) = (requirements(), proofs(), exceptions());
    if std::env::var_os("OPENMSRP_BLESS").is_some() {
        exceptions.retain(|id, _| !proofs.contains_key(id));
        let kept: Vec<String> = text(EXCEPTIONS)
            .lines()
            .filter(|line| line.split_once('\t').is_none_or(|(id, _)| exceptions.contains_key(id)))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(root().join(EXCEPTIONS), kept.concat()).expect("exceptions are written");
        fs::write(root().join(TABLE), table(&requirements, &proofs, &exceptions))
            .expect("the table is written");
    }
    let stale = exceptions.keys().filter(|id| proofs.contains_key(*id)).cloned().collect::<Vec<_>>();
    assert!(stale.is_empty(), "{EXCEPTIONS}: {} have tests now; run: {BLESS}", stale.join(", "));
    let is = fs::read_to_string(root().join(TABLE)).unwrap_or_default();
    let expected = table(&requirements, &proofs, &exceptions);
    let line = is.lines().zip(expected.lines()).position(|(a, b)| a != b).unwrap_or(0) + 1;
    assert!(is == expected, "{TABLE}:{line}: not what the tests say any more; run: {BLESS}");
}

#[test]
fn every_requirement_that_is_named_exists() {
    let known: BTreeSet<String> = requirements().into_iter().map(|r| r.id).collect();
    let mut unknown: Vec<String> = citations()
        .into_iter()
        .filter(|(id, ..)| !known.contains(id))
        .map(|(id, at, _)| format!("{at}: {id} is not in {REQUIREMENTS}"))
        .collect();
    let excepted = exceptions().into_keys().filter(|id| !known.contains(id));
    unknown.extend(excepted.map(|id| format!("{EXCEPTIONS}: {id} is not in {REQUIREMENTS}")));
    assert!(unknown.is_empty(), "correct the number:\n{}", unknown.join("\n"));
}

#[test]
fn every_must_has_a_test_or_a_reason() {
    let (proofs, exceptions) = (proofs(), exceptions());
    let open: Vec<String> = requirements()
        .into_iter()
        .filter(|r| r.level == "M" || r.level == "S")
        .filter(|r| !proofs.contains_key(&r.id) && !exceptions.contains_key(&r.id))
        .map(|r| format!("{}\t{}", r.id, r.title))
        .collect();
    let todo = format!("name them in the test that proves them, or give the reason in {EXCEPTIONS}");
    assert!(open.is_empty(), "{} musts without a test; {todo}:\n{}", open.len(), open.join("\n"));
}

#[test]
fn the_reader_of_citations_finds_names_in_their_tests() {
    let raw = concat!(
        "// A-01 at large\nfn helper() {}\n#[test]\nfn a_thing_holds() {\n    // MSRP-FRAME-07, SEC-04 (ncl): UTF-8\n",
        "    f(\"// SEC-05\");\n}\nconst T: &[u8] = &[\n    // SDP-20: samples, sha-256\n];\n",
    );
    let source = Source::new("tests/x.rs", raw);
    let found: Vec<(Option<&str>, Vec<&str>)> = source
        .comments
        .iter()
        .map(|c| (function(&source, c.start), named(&source.raw[c.clone()]).collect()))
        .collect();
    assert_eq!(
        found,
        [(None, vec![]), (Some("a_thing_holds"), vec!["MSRP-FRAME-07", "SEC-04"]), (None, vec!["SDP-20"]),]
    );
}
