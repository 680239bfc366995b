//! Reports as files: looked at before the load, written whole or not at all, each counted once.
//!
//! Touches the files it is given the names of, and a `.part` beside one that is being written. Proved by: `tests.rs` beside
//! this file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Looks whether a file can be written, before hours go into what is to stand in it. What stands in it stays.
///
/// # Errors
/// What the system says, with the path.
pub(crate) fn can_save(path: &Path) -> Result<(), String> {
    let new = !path.exists();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|e| format!("{}: {e}", path.display()))?;
    if new {
        // Only made to see whether it could be; what cannot be taken away is overwritten later.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Looks whether these reports are of as many tests: one that is named twice would count as two.
///
/// # Errors
/// Which two are one, or what the system says of one that cannot be read.
pub(crate) fn distinct(paths: &[PathBuf]) -> Result<(), String> {
    let mut seen: HashMap<Vec<u8>, &PathBuf> = HashMap::new();
    for path in paths {
        let content = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        if let Some(earlier) = seen.insert(content, path) {
            return Err(format!(
                "{} and {} are the same report; each file must be of a test of its own",
                earlier.display(),
                path.display()
            ));
        }
    }
    Ok(())
}

/// Writes a file, whole or not at all: what stood there before is gone only when the new text is there.
///
/// # Errors
/// What the system says, with the path.
pub(crate) fn save(path: &Path, text: &str) -> Result<(), String> {
    // Whoever names a link means the file behind it; what is no file, such as /dev/stdout, is written to as it is.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let plain = !target.exists() || target.is_file();
    let written = if plain {
        let mut beside = target.clone().into_os_string();
        beside.push(".part");
        let whole = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &target));
        whole.inspect_err(|_| drop(std::fs::remove_file(&beside)))
    } else {
        std::fs::write(&target, text)
    };
    written.map_err(|e| format!("{}: {e}", path.display()))
}
