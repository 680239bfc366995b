//! Lines, header fields, names and identities of a wrapper, as views of its octets.

use super::{CpimError, PREFIXES_MAX};
use crate::base::octets::{Octets, halves};
use memchr::{memchr, memchr2};

/// The namespace of From, To and the other headers of RFC 3862 (§4).
pub(super) const CPIM_NAMESPACE: &str = "urn:ietf:params:cpim-headers:";

/// One line of a header block, without its end.
pub(super) enum Line<'b> {
    /// A line with something on it.
    Header(&'b str),
    /// The line that ends the block.
    Blank,
}

/// Steps through octets line by line.
pub(super) struct Lines<'b> {
    octets: &'b [u8],
    at: usize,
}

/// Starts at the first octet.
pub(super) fn lines(octets: &[u8]) -> Lines<'_> {
    Lines { octets, at: 0 }
}

impl<'b> Lines<'b> {
    /// Where the next line begins.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next line of the message headers, which ends in CRLF and holds no control (CPIM-01, CPIM-02).
    pub(super) fn message_line(&mut self) -> Result<Option<Line<'b>>, CpimError> {
        let Some(line) = self.cut() else { return Ok(None) };
        let line = line.strip_suffix(b"\r").ok_or(CpimError::BadLine)?;
        if any(line, |b| b < 0x20 || b == 0x7f) {
            return Err(CpimError::BadLine);
        }
        as_line(line).map(Some)
    }

    /// The next line of the MIME headers: a bare LF and tabs are taken (field experience with sipsimple).
    pub(super) fn mime_line(&mut self) -> Result<Option<Line<'b>>, CpimError> {
        let Some(line) = self.cut() else { return Ok(None) };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if any(line, |b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(CpimError::BadLine);
        }
        as_line(line).map(Some)
    }

    /// The octets up to the next LF, which is left out.
    fn cut(&mut self) -> Option<&'b [u8]> {
        let rest = &self.octets[self.at..];
        let end = memchr(b'\n', rest)?;
        self.at += end + 1;
        Some(&rest[..end])
    }
}

/// Whether any octet is such. Without a way out, so that it is done in steps of many octets.
#[inline]
fn any(line: &[u8], such: impl Fn(u8) -> bool) -> bool {
    line.iter().fold(false, |any, octet| any | such(*octet))
}

fn as_line(line: &[u8]) -> Result<Line<'_>, CpimError> {
    match std::str::from_utf8(line) {
        Err(_) => Err(CpimError::Encoding),
        Ok("") => Ok(Line::Blank),
        Ok(text) => Ok(Line::Header(text)),
    }
}

/// A header line taken apart.
pub(super) struct Fields<'b> {
    /// What stands before the dot of the name; empty if there is none.
    pub(super) prefix: &'b str,
    /// The name without prefix.
    pub(super) name: &'b str,
    /// The parameters as written, each after its semicolon.
    pub(super) params: &'b str,
    /// The value as written.
    pub(super) value: &'b str,
}

impl Fields<'_> {
    /// A MIME header that strayed into the first block (CPIM-11).
    pub(super) fn is_content_type(&self) -> bool {
        self.prefix.is_empty() && self.name.eq_ignore_ascii_case("Content-Type")
    }
}

/// What a name may hold (RFC 3862 §3.6, NAMECHAR); the dot separates the prefix.
pub(super) const NAME: Octets = Octets::alphanumeric_and(b"!#$%&'*+-^_`|~");

/// What a media type holds: the same and dots.
const TYPE: Octets = Octets::alphanumeric_and(b"!#$%&'*+-^_`|~.");

/// What no URI between angle brackets holds.
const NO_URI: Octets = Octets::these(b"<> \"\\");

/// Takes a header line apart: `Name:;params value` (RFC 3862 §3.6).
pub(super) fn field(line: &str) -> Result<Fields<'_>, CpimError> {
    let (full, rest) = halves(line, b':').ok_or(CpimError::BadHeader)?;
    let (prefix, name) = match halves(full, b'.') {
        Some(("", _)) => return Err(CpimError::BadHeader),
        Some(parts) => parts,
        None => ("", full),
    };
    if name.is_empty() || !NAME.have_all(prefix.as_bytes()) || !NAME.have_all(name.as_bytes()) {
        return Err(CpimError::BadHeader);
    }
    if full.eq_ignore_ascii_case("Content-Type") {
        // A MIME header among ours follows MIME's looser rules.
        return Ok(Fields { prefix, name, params: "", value: rest.trim() });
    }
    let params = params_len(rest)?;
    let (params, rest) = rest.split_at(params);
    let value = rest.strip_prefix(' ').ok_or(CpimError::BadHeader)?;
    if value.starts_with(' ') || value.ends_with(' ') {
        return Err(CpimError::BadHeader);
    }
    Ok(Fields { prefix, name, params, value })
}

/// Octets of the parameters: up to the first space that is not between quotes.
fn params_len(text: &str) -> Result<usize, CpimError> {
    if !text.starts_with(';') {
        return Ok(0);
    }
    let mut quoted = false;
    let mut escaped = false;
    for (at, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' if !quoted => return Ok(at),
            _ => (),
        }
    }
    Err(CpimError::BadHeader)
}

/// Which names mean what, as NS headers changed it so far (RFC 3862 §3.4).
#[derive(Default)]
pub(super) struct Names<'b> {
    /// Prefixes bound to the namespace of CPIM.
    ours: [&'b str; PREFIXES_MAX],
    /// Names without prefix belong to another namespace.
    bare_is_foreign: bool,
}

impl<'b> Names<'b> {
    /// Takes `prefix <uri>` or `<uri>`, the value of an NS header (RFC 3862 §4.6).
    pub(super) fn declare(&mut self, value: &'b str) -> Result<(), CpimError> {
        let (prefix, uri) = binding(value)?;
        let ours = uri == CPIM_NAMESPACE;
        if prefix.is_empty() {
            self.bare_is_foreign = !ours;
            return Ok(());
        }
        let known = self.ours.iter().position(|p| *p == prefix);
        match (known, ours) {
            (Some(slot), false) => self.ours[slot] = "",
            (None, true) => {
                let free = self.ours.iter().position(|p| p.is_empty());
                self.ours[free.ok_or(CpimError::ManyPrefixes)?] = prefix;
            }
            (Some(_), true) | (None, false) => (),
        }
        Ok(())
    }

    /// The name of a header of RFC 3862, or nothing if the header belongs to another namespace.
    ///
    /// A bare From or To that is not one is refused: a recipient that knows nothing of namespaces or of
    /// case would take it for one (SEC-03).
    pub(super) fn resolve(&self, fields: &Fields<'b>) -> Result<&'b str, CpimError> {
        let ours = if fields.prefix.is_empty() { !self.bare_is_foreign } else { self.is_ours(fields.prefix) };
        let looks = |name: &str| fields.name.eq_ignore_ascii_case(name);
        let addresses = looks("From") || looks("To");
        let exact = matches!(fields.name, "From" | "To");
        if addresses && (ours || fields.prefix.is_empty()) && !(ours && exact) {
            return Err(CpimError::Disguised);
        }
        Ok(if ours { fields.name } else { "" })
    }

    /// Whether a prefix is bound to the namespace of CPIM.
    pub(super) fn is_ours(&self, prefix: &str) -> bool {
        !prefix.is_empty() && self.ours.contains(&prefix)
    }
}

/// Prefix and URI of an NS header.
pub(super) fn binding(value: &str) -> Result<(&str, &str), CpimError> {
    let (prefix, uri) = value.split_once('<').ok_or(CpimError::BadAddress)?;
    let uri = uri.strip_suffix('>').ok_or(CpimError::BadAddress)?;
    let prefix = prefix.strip_suffix(' ').unwrap_or(prefix);
    if uri.is_empty() || NO_URI.have_any(uri.as_bytes()) || !NAME.have_all(prefix.as_bytes()) {
        return Err(CpimError::BadAddress);
    }
    Ok((prefix, uri))
}

/// Formal name as written and URI of From or To (RFC 3862 §4.1, §4.2), which take no parameters.
pub(super) fn identity<'b>(fields: &Fields<'b>) -> Result<(&'b str, &'b str), CpimError> {
    if !fields.params.is_empty() {
        return Err(CpimError::BadHeader);
    }
    name_and_uri(fields.value)
}

/// `words <URI>` or `"string" <URI>`. Words may hold what clients put there without quotes, but nothing
/// that could make two addresses of one line.
pub(super) fn name_and_uri(value: &str) -> Result<(&str, &str), CpimError> {
    let open = if value.starts_with('"') {
        let quoted = string_len(value)?;
        let rest = &value[quoted..];
        quoted + (rest.len() - rest.trim_start_matches(' ').len())
    } else {
        memchr(b'<', value.as_bytes()).ok_or(CpimError::BadAddress)?
    };
    let (name, rest) = value.split_at(open);
    if !name.starts_with('"') && memchr2(b'>', b'"', name.as_bytes()).is_some() {
        return Err(CpimError::BadAddress);
    }
    let uri = rest.strip_prefix('<').and_then(|r| r.strip_suffix('>')).ok_or(CpimError::BadAddress)?;
    if uri.is_empty() || NO_URI.have_any(uri.as_bytes()) {
        return Err(CpimError::BadAddress);
    }
    Ok((name.trim_end_matches(' '), uri))
}

/// Octets of the quoted string at the beginning, quotes included.
fn string_len(text: &str) -> Result<usize, CpimError> {
    let mut escaped = false;
    for (at, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(at + 1),
            _ => (),
        }
    }
    Err(CpimError::BadAddress)
}

/// A media type without its parameters (RFC 2045 §5.1).
pub(super) fn media_type(written: &str) -> Result<&str, CpimError> {
    let bare = halves(written, b';').map_or(written, |(bare, _)| bare).trim();
    let (kind, subtype) = halves(bare, b'/').ok_or(CpimError::BadType)?;
    let token = |t: &str| !t.is_empty() && TYPE.have_all(t.as_bytes());
    if token(kind) && token(subtype) { Ok(bare) } else { Err(CpimError::BadType) }
}
