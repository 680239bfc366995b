//! A small pull parser: elements, attributes, text and namespaces; no DTD, no entities of one's own.

use super::DOCUMENT_BYTES_MAX;
use std::borrow::Cow;
use std::fmt;

/// Elements within each other. RFC 4575 needs 6.
pub const DEPTH_MAX: usize = 16;

/// Attributes of one element. RFC 4575 needs 5.
pub const ATTRIBUTES_MAX: usize = 32;

/// Namespaces declared at one place of a document.
pub const NAMESPACES_MAX: usize = 32;

/// Why a document cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum XmlError {
    /// More than [`DOCUMENT_BYTES_MAX`] octets.
    TooLong,
    /// More than [`DEPTH_MAX`] elements within each other.
    TooDeep,
    /// More than [`ATTRIBUTES_MAX`] attributes or [`NAMESPACES_MAX`] namespaces.
    TooMany,
    /// Not UTF-8, or a character that no document may hold.
    Encoding,
    /// A DTD, or an entity other than the five of XML.
    Forbidden,
    /// Not well-formed.
    Syntax,
    /// Another kind of document.
    OtherDocument,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "document too long",
            Self::TooDeep => "elements too deep",
            Self::TooMany => "too many attributes or namespaces",
            Self::Encoding => "not UTF-8",
            Self::Forbidden => "DTD or unknown entity",
            Self::Syntax => "not well-formed",
            Self::OtherDocument => "no conference-info",
        })
    }
}

impl std::error::Error for XmlError {}

/// What comes next in a document.
pub(super) enum Event<'x> {
    /// An element begins; [`Reader::attribute`] gives its attributes.
    Start { namespace: &'x str, name: &'x str },
    /// An element ends.
    End,
    /// Text of the innermost element; may come in pieces.
    Text(Cow<'x, str>),
}

/// Steps through a document.
pub(super) struct Reader<'x> {
    rest: &'x str,
    /// Names of the open elements, as written.
    open: Vec<&'x str>,
    /// Declarations in force: how deep they were made, prefix, namespace.
    spaces: Vec<(usize, &'x str, &'x str)>,
    /// Attributes of the element that just began, raw.
    attributes: Vec<(&'x str, &'x str)>,
    /// The element that just began ends at once: `<name/>`.
    empty: bool,
    /// The root has ended.
    done: bool,
}

impl<'x> Reader<'x> {
    /// Starts before the first character.
    pub(super) fn new(document: &'x [u8]) -> Result<Self, XmlError> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(XmlError::TooLong);
        }
        let text = std::str::from_utf8(document).map_err(|_| XmlError::Encoding)?;
        if text.bytes().any(|b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) {
            return Err(XmlError::Encoding);
        }
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (open, spaces, attributes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { rest, open, spaces, attributes, empty: false, done: false })
    }

    /// The next event; `None` at the end of a well-formed document.
    pub(super) fn next(&mut self) -> Result<Option<Event<'x>>, XmlError> {
        if std::mem::take(&mut self.empty) {
            self.close();
            return Ok(Some(Event::End));
        }
        loop {
            if !self.rest.starts_with('<') {
                let end = self.rest.find('<').unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                match (self.open.is_empty(), text.trim().is_empty()) {
                    (false, _) if rest.is_empty() => return Err(XmlError::Syntax),
                    (false, _) => return Ok(Some(Event::Text(decode(text)?))),
                    (true, false) => return Err(XmlError::Syntax),
                    (true, true) if rest.is_empty() => {
                        return if self.done { Ok(None) } else { Err(XmlError::Syntax) };
                    }
                    (true, true) => continue,
                }
            }
            if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
                let (text, rest) = rest.split_once("]]>").ok_or(XmlError::Syntax)?;
                self.rest = rest;
                if self.open.is_empty() {
                    return Err(XmlError::Syntax);
                }
                return Ok(Some(Event::Text(Cow::Borrowed(text))));
            }
            if let Some(rest) = self.rest.strip_prefix("<!--") {
                self.rest = rest.split_once("-->").ok_or(XmlError::Syntax)?.1;
            } else if let Some(rest) = self.rest.strip_prefix("<?") {
                self.rest = rest.split_once("?>").ok_or(XmlError::Syntax)?.1;
            } else if self.rest.starts_with("<!") {
                return Err(XmlError::Forbidden);
            } else if let Some(rest) = self.rest.strip_prefix("</") {
                return self.end(rest).map(Some);
            } else {
                return self.start().map(Some);
            }
        }
    }

    /// An attribute of the element that just began, decoded. Attributes without prefix have no namespace.
    pub(super) fn attribute(&self, namespace: &str, name: &str) -> Result<Option<Cow<'x, str>>, XmlError> {
        for (written, value) in &self.attributes {
            let (prefix, local) = written.split_once(':').unwrap_or(("", written));
            let fits =
                if prefix.is_empty() { namespace.is_empty() } else { self.bound(prefix) == Some(namespace) };
            if fits && local == name {
                return decode(value).map(Some);
            }
        }
        Ok(None)
    }

    fn end(&mut self, rest: &'x str) -> Result<Event<'x>, XmlError> {
        let (name, rest) = rest.split_once('>').ok_or(XmlError::Syntax)?;
        if self.open.last() != Some(&name.trim_end_matches(SPACE)) {
            return Err(XmlError::Syntax);
        }
        self.rest = rest;
        self.close();
        Ok(Event::End)
    }

    fn close(&mut self) {
        let depth = self.open.len();
        self.open.pop();
        self.spaces.retain(|(made, _, _)| *made < depth);
        self.done = self.open.is_empty();
    }

    fn start(&mut self) -> Result<Event<'x>, XmlError> {
        if self.done {
            return Err(XmlError::Syntax);
        }
        let (written, rest) = name(&self.rest[1..])?;
        self.rest = rest;
        self.attributes.clear();
        self.empty = self.attributes_until_end()?;
        if self.open.len() == DEPTH_MAX {
            return Err(XmlError::TooDeep);
        }
        self.open.push(written);
        for (attribute, value) in &self.attributes {
            let prefix = match attribute.split_once(':') {
                Some(("xmlns", prefix)) => prefix,
                None if *attribute == "xmlns" => "",
                _ => continue,
            };
            if self.spaces.len() == NAMESPACES_MAX {
                return Err(XmlError::TooMany);
            }
            self.spaces.push((self.open.len(), prefix, value));
        }
        let (prefix, name) = written.split_once(':').unwrap_or(("", written));
        let namespace = match self.bound(prefix) {
            Some(namespace) => namespace,
            None if prefix.is_empty() => "",
            None => return Err(XmlError::Syntax),
        };
        Ok(Event::Start { namespace, name })
    }

    /// Reads attributes up to the end of the tag; whether the tag ends in `/>`.
    fn attributes_until_end(&mut self) -> Result<bool, XmlError> {
        loop {
            let trimmed = self.rest.trim_start_matches(SPACE);
            let spaced = trimmed.len() < self.rest.len();
            self.rest = trimmed;
            if let Some(rest) = trimmed.strip_prefix('>') {
                self.rest = rest;
                return Ok(false);
            }
            if let Some(rest) = trimmed.strip_prefix("/>") {
                self.rest = rest;
                return Ok(true);
            }
            let (name, rest) = name(trimmed)?;
            let rest = rest.trim_start_matches(SPACE).strip_prefix('=').ok_or(XmlError::Syntax)?;
            let rest = rest.trim_start_matches(SPACE);
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(XmlError::Syntax)?;
            let (value, rest) = rest[1..].split_once(quote).ok_or(XmlError::Syntax)?;
            if !spaced || value.contains('<') || self.attributes.iter().any(|(known, _)| *known == name) {
                return Err(XmlError::Syntax);
            }
            if self.attributes.len() == ATTRIBUTES_MAX {
                return Err(XmlError::TooMany);
            }
            self.attributes.push((name, value));
            self.rest = rest;
        }
    }

    /// The namespace of a prefix; the innermost declaration counts.
    fn bound(&self, prefix: &str) -> Option<&'x str> {
        self.spaces.iter().rev().find(|(_, p, _)| *p == prefix).map(|(_, _, uri)| *uri)
    }
}

/// White space of XML.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// A name and what follows it. Looser than XML: anything that is not markup.
fn name(text: &str) -> Result<(&str, &str), XmlError> {
    let stop = |c: char| SPACE.contains(&c) || "/>=<\"'&!?".contains(c);
    let end = text.find(stop).ok_or(XmlError::Syntax)?;
    if end == 0 { Err(XmlError::Syntax) } else { Ok(text.split_at(end)) }
}

/// Decodes the five entities and character references (XML 1.0 §4.1, §4.6).
fn decode(text: &str) -> Result<Cow<'_, str>, XmlError> {
    if !text.contains('&') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';').ok_or(XmlError::Syntax)?;
        rest = after;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => reference(other.strip_prefix('#').ok_or(XmlError::Forbidden)?)?,
        });
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn reference(digits: &str) -> Result<char, XmlError> {
    let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |hex| (hex, 16));
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let code = u32::from_str_radix(digits, radix).ok().filter(|_| plain).ok_or(XmlError::Syntax)?;
    match char::from_u32(code) {
        Some('\t' | '\n' | '\r') | Some(' '..) => char::from_u32(code).ok_or(XmlError::Encoding),
        _ => Err(XmlError::Encoding),
    }
}
