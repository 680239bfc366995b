//! Lists of media types, as `accept-types` and `accept-wrapped-types` hold them (RFC 4975 §8.6).

use std::sync::Arc;

/// A list of media types: `type/subtype`, `type/*`, `*`. Lower-case, without parameters, no type twice.
///
/// Cloning is a reference count. Bounded by the session description it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeList(Arc<[Box<str>]>);

impl TypeList {
    /// The list that allows every type.
    #[must_use]
    pub fn any() -> Self {
        Self([Box::from("*")].into())
    }

    /// Reads types separated by blanks. What is no type is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::collect(text.split([' ', '\t']).map(bare).filter(|t| is_type(t)))
    }

    /// Whether `media_type` is allowed. Case and parameters do not matter (SDP-08).
    #[must_use]
    pub fn allows(&self, media_type: &str) -> bool {
        let wanted = bare(media_type);
        self.0.iter().any(|entry| covers(entry, wanted))
    }

    /// What either list allows.
    #[must_use]
    pub fn union(a: &Self, b: &Self) -> Self {
        if a.is_any() || b.is_any() { Self::any() } else { Self::collect(a.iter().chain(b.iter())) }
    }

    /// Whether every type is allowed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.iter().any(|entry| **entry == *"*")
    }

    /// Whether no type is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &**entry)
    }

    fn collect<'t>(entries: impl Iterator<Item = &'t str>) -> Self {
        let mut list: Vec<Box<str>> = Vec::new();
        for entry in entries {
            let entry = if entry == "*/*" { "*".into() } else { entry.to_ascii_lowercase() };
            if entry == "*" {
                return Self::any();
            }
            if !list.iter().any(|known| **known == *entry) {
                list.push(entry.into());
            }
        }
        Self(list.into())
    }
}

/// The entries separated by blanks.
impl std::fmt::Display for TypeList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, entry) in self.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            f.write_str(entry)?;
        }
        Ok(())
    }
}

/// A type without its parameters.
fn bare(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or("").trim()
}

fn covers(entry: &str, wanted: &str) -> bool {
    if entry == "*" {
        return true;
    }
    match entry.strip_suffix('*') {
        // `text/*`: what is left ends in the slash.
        Some(start) if start.ends_with('/') => {
            wanted.get(..start.len()).is_some_and(|w| w.eq_ignore_ascii_case(start))
        }
        _ => entry.eq_ignore_ascii_case(wanted),
    }
}

fn is_type(text: &str) -> bool {
    let token = |t: &str| {
        !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&b))
    };
    text == "*" || text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_match_without_case_and_parameters() {
        // SDP-08, CHAT-MSG-11
        let list =
            TypeList::parse("text/plain;charset=utf-8  IMAGE/* application/im-iscomposing+xml text/plain");
        assert_eq!(list.to_string(), "text/plain image/* application/im-iscomposing+xml");
        for good in [
            "text/plain",
            "Text/PLAIN; charset=x",
            "image/png",
            "image/svg+xml",
            "APPLICATION/im-iscomposing+XML",
        ] {
            assert!(list.allows(good), "{good}");
        }
        for bad in ["", "text/html", "text/plainx", "image", "imagex/png", "text", "x"] {
            assert!(!list.allows(bad), "{bad}");
        }
        assert!(TypeList::parse("text/html *").allows("x/y"));
        assert!(TypeList::parse("*/*").is_any());
        assert!(TypeList::any().allows("x/y"));
        assert!(TypeList::parse("text/pl ain/ * /x").is_any());
        assert!(TypeList::parse("text /x y/ ü/x").is_empty());
        assert!(!TypeList::parse("").allows("text/plain"));
    }

    #[test]
    fn a_union_allows_what_either_list_allows() {
        let (a, b) = (TypeList::parse("text/plain text/html"), TypeList::parse("Text/HTML image/*"));
        assert_eq!(TypeList::union(&a, &b).to_string(), "text/plain text/html image/*");
        assert!(TypeList::union(&a, &TypeList::any()).is_any());
    }
}
