//! Rust sources as text that rules can be checked on: comments and literals blanked, tests left out,
//! module paths resolved. Octets keep their places, so a position is one in the file as it is.
//!
//! It reads the Rust of this project, not any Rust: macros that build items are not looked into.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// Its path from the root of the project, with `/`.
    pub(crate) file: String,
    /// As it stands in the file.
    pub(crate) raw: String,
    /// With comments and the insides of literals blanked.
    pub(crate) code: String,
    /// `code` with everything blanked that is built for tests only.
    pub(crate) shipped: String,
    /// Where its comments are.
    pub(crate) comments: Vec<Range<usize>>,
    /// Where the items are that are built for tests only.
    pub(crate) tests: Vec<Range<usize>>,
}

impl Source {
    /// A source of the given text.
    pub(crate) fn new(file: &str, raw: &str) -> Self {
        let (code, comments) = blank(raw);
        let tests = test_items(&code);
        let mut shipped = code.clone().into_bytes();
        tests.iter().for_each(|item| wipe(&mut shipped[item.clone()]));
        let shipped = String::from_utf8(shipped).expect("whole items are blanked");
        Self { file: file.into(), raw: raw.into(), code, shipped, comments, tests }
    }

    /// `file:line` of an octet, as compilers print it.
    pub(crate) fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.file, self.raw[..offset].matches('\n').count() + 1)
    }

    /// The line that holds an octet.
    pub(crate) fn line(&self, offset: usize) -> &str {
        let start = self.raw[..offset].rfind('\n').map_or(0, |at| at + 1);
        self.raw[start..].lines().next().unwrap_or("").trim()
    }
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project below `folder`, as paths from the root; what builds leave behind is left out.
pub(crate) fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    let root = root();
    let mut names: Vec<String> = found
        .iter()
        .map(|path| path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/"))
        .collect();
    names.sort();
    names
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every Rust file of the project below `folder`.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    files(folder)
        .iter()
        .filter(|file| file.ends_with(".rs"))
        .map(|file| Source::new(file, &fs::read_to_string(root().join(file)).expect("a source file is text")))
        .collect()
}

/// Blanks comments and the insides of string and character literals; says where the comments are.
fn blank(text: &str) -> (String, Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut comments = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let inside_word = at > 0 && is_word(bytes[at - 1]);
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if let Some((open, close)) = raw_string(rest).filter(|_| !inside_word) {
            let body = at + open;
            let end = find(&bytes[body..], &close).map_or(bytes.len(), |n| body + n);
            wipe(&mut out[body..end]);
            at = (end + close.len()).min(bytes.len());
            continue;
        } else if bytes[at] == b'"' {
            let end = at + 1 + quoted(&rest[1..], b'"');
            wipe(&mut out[at + 1..end]);
            at = (end + 1).min(bytes.len());
            continue;
        } else if bytes[at] == b'\'' && is_character(rest) {
            let end = at + 1 + quoted(&rest[1..], b'\'');
            wipe(&mut out[at + 1..end]);
            at = (end + 1).min(bytes.len());
            continue;
        } else {
            at += 1;
            continue;
        };
        wipe(&mut out[at..end]);
        comments.push(at..end);
        at = end;
    }
    (String::from_utf8(out).expect("whole characters are blanked"), comments)
}

fn wipe(octets: &mut [u8]) {
    for octet in octets.iter_mut().filter(|b| **b != b'\n') {
        *octet = b' ';
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// For `r"`, `r#"`, `br#"` …: the length of the opening, and what closes it.
fn raw_string(rest: &[u8]) -> Option<(usize, Vec<u8>)> {
    let prefix = if rest.starts_with(b"br") { 2 } else { usize::from(rest.starts_with(b"r")) };
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    let opened = prefix > 0 && rest.get(prefix + hashes) == Some(&b'"');
    opened.then(|| (prefix + hashes + 1, [b"\"".as_slice(), &b"#".repeat(hashes)].concat()))
}

/// Where the literal ends that goes on with `rest`.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at.min(rest.len())
}

/// A character literal, and not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(9)]).into_owned();
    let mut chars = text.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

/// Every item marked `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        from = item_end(code, start);
        items.push(start..from);
    }
    items
}

/// The end of the item at `start`: its `;`, or the brace that closes it. Attributes have neither
/// outside their brackets.
pub(crate) fn item_end(code: &str, start: usize) -> usize {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (at, octet) in code.bytes().enumerate().skip(start) {
        match octet {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces <= 0 {
                    return at + 1;
                }
            }
            b';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Where `word` stands in `code`, not as a part of a longer word.
pub(crate) fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).map(|i| code.as_bytes()[i]);
        let after = code.as_bytes().get(at + word.len());
        let starts = !before.is_some_and(is_word) || !is_word(word.as_bytes()[0]);
        let ends = !after.is_some_and(|b| is_word(*b)) || !is_word(word.as_bytes()[word.len() - 1]);
        starts && ends
    })
}

/// The module path of a file below `src/`: `src/shard/core/mod.rs` is `shard::core`.
pub(crate) fn module(file: &str) -> String {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { String::new() } else { path.replace('/', "::") }
}

/// Every path of the crate that `code` names through `crate::`, `super::` or `openmsrp::`, seen from
/// `module`: where, and the full path without the crate's name.
pub(crate) fn paths(code: &str, module: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in ["crate", "openmsrp", "super"] {
        for at in words(code, start) {
            let goes_on = code[..at].ends_with("::");
            if goes_on || !code[at + start.len()..].starts_with("::") {
                continue;
            }
            let mut base: Vec<&str> = module.split("::").filter(|s| !s.is_empty()).collect();
            let mut rest = &code[at..];
            if start == "super" {
                while let Some(after) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = after;
                }
            } else {
                base.clear();
                rest = &rest[start.len() + 2..];
            }
            let mut paths = Vec::new();
            tree(rest, &base.join("::"), &mut paths);
            found.extend(paths.into_iter().map(|path| (at, path)));
        }
    }
    found.sort();
    found
}

/// Reads one tree of a `use`, `a::{b, c::d}`; gives the octets read.
fn tree(text: &str, base: &str, into: &mut Vec<String>) -> usize {
    let mut path = base.to_string();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if text[at..].starts_with('{') {
            at += 1;
            loop {
                at += text[at..].find(|c: char| !c.is_whitespace() && c != ',').unwrap_or(0);
                if at >= text.len() || text[at..].starts_with('}') {
                    return (at + 1).min(text.len());
                }
                let read = tree(&text[at..], &path, into);
                at += read.max(1);
                // `as another_name`
                at += text[at..].find([',', '}']).unwrap_or(0);
            }
        }
        let word = text[at..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - at);
        if word > 0 && &text[at..at + word] != "self" {
            path =
                if path.is_empty() { text[at..at + word].into() } else { path + "::" + &text[at..at + word] };
        }
        at += word;
        if word == 0 || !text[at..].starts_with("::") {
            into.push(path);
            return at;
        }
        at += 2;
    }
}

/// The modules that `source` declares: name, file, and whether it is built for tests only.
pub(crate) fn declared(source: &Source) -> Vec<(String, String, bool)> {
    let folder = source.file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let stem = source.file.trim_end_matches(".rs");
    let own = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| source.file.ends_with(name));
    let inner = if own { folder } else { stem };
    let mut found = Vec::new();
    for at in words(&source.code, "mod") {
        let rest = source.code[at + 3..].trim_start();
        let Some((name, _)) = rest.split_once(';').filter(|(name, _)| name.bytes().all(is_word)) else {
            continue;
        };
        let before = source.raw[..at].trim_end_matches("pub ").trim_end();
        let path = before.rsplit('\n').next().and_then(|line| line.trim().strip_prefix("#[path = \""));
        let shipped = source.shipped[at..].starts_with("mod");
        let file = match path.and_then(|p| p.split('"').next()) {
            Some(path) => format!("{folder}/{path}"),
            None if root().join(format!("{inner}/{name}.rs")).exists() => format!("{inner}/{name}.rs"),
            None => format!("{inner}/{name}/mod.rs"),
        };
        found.push((name.to_string(), file, !shipped));
    }
    found
}

/// The sources of the crate that are shipped, and those that are built for tests only, by following the
/// declarations of modules from `lib.rs` and `main.rs`.
pub(crate) fn crate_sources() -> (Vec<Source>, Vec<Source>) {
    let mut by_file: BTreeMap<String, Source> =
        sources("src").into_iter().map(|source| (source.file.clone(), source)).collect();
    let mut waiting = vec![("src/lib.rs".to_string(), false), ("src/main.rs".to_string(), false)];
    let (mut shipped, mut tests) = (Vec::new(), Vec::new());
    while let Some((file, test)) = waiting.pop() {
        let Some(source) = by_file.remove(&file) else { continue };
        waiting.extend(declared(&source).into_iter().map(|(_, file, inner)| (file, test || inner)));
        if test { tests.push(source) } else { shipped.push(source) }
    }
    assert!(shipped.len() > 40, "the modules were found: {}", shipped.len());
    (shipped, tests)
}
