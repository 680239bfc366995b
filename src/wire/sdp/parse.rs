//! Reading a description: repair, parse, judge.

use super::{
    Chatroom, Description, Direction, Fingerprint, Media, MediaProblem, MessageMedia, Offered, Origin,
    SdpError, Setup, TypeList,
};
use crate::base::limits::{SDP_BYTES_MAX, SDP_MEDIA_MAX};
use crate::base::octets::Octets;
use sdp_types::{Attribute, Session};
use std::borrow::Cow;

impl Description {
    /// Reads a description. Unknown lines and attributes are ignored; a missing `t=`, `v=` or `o=`, bare
    /// line feeds and blanks after `s=` or an attribute's colon are tolerated (SDP-20).
    ///
    /// # Errors
    /// [`SdpError`] if it is out of bounds or cannot be understood. A media line that is readable but
    /// unusable is no error, see [`Media::Refused`].
    pub fn parse(text: &[u8]) -> Result<Self, SdpError> {
        let (repaired, origin_line) = repair(text)?;
        let session = Session::parse(repaired.as_bytes()).map_err(|_| SdpError::Syntax)?;
        let origin = if origin_line.is_empty() {
            Origin::default()
        } else {
            Origin {
                session: session.origin.sess_id,
                version: session.origin.sess_version,
                line: origin_line,
            }
        };
        let mut media = Vec::with_capacity(session.medias.len());
        let mut offered = Vec::with_capacity(session.medias.len());
        for (index, m) in session.medias.into_iter().enumerate() {
            let said = Attributes { media: &m.attributes, session: &session.attributes };
            media.push(judge(index, &m, &said));
            let mirrored = ["file-selector", "file-transfer-id"].into_iter().filter_map(|name| {
                said.of_media(name)
                    .map(|value| if value.is_empty() { name.to_owned() } else { format!("{name}:{value}") })
            });
            let mirrored = mirrored.collect();
            offered.push(Offered { media: m.media, proto: m.proto, fmt: m.fmt, mirrored });
        }
        Ok(Self { origin, media, offered })
    }
}

/// Keeps the lines we understand, one LF each, so that what nobody needs can break nothing; gives the
/// text and the value of `o=`.
fn repair(text: &[u8]) -> Result<(String, String), SdpError> {
    if text.len() > SDP_BYTES_MAX {
        return Err(SdpError::TooLong);
    }
    let text = str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed);
    // The samples of RFC 4975 and 4976 begin with c= or m=.
    let mut out = String::with_capacity(text.len() + 8);
    out.push_str("v=0\n");
    let mut origin = String::new();
    let mut media = 0;
    let mut left = Some(&*text);
    while let Some(rest) = left {
        let end = memchr::memchr(b'\n', rest.as_bytes());
        left = end.map(|at| &rest[at + 1..]);
        let line = &rest[..end.unwrap_or(rest.len())];
        let line = line.strip_suffix('\r').unwrap_or(line).trim_end_matches([' ', '\t']);
        if memchr::memchr2(b'\0', b'\r', line.as_bytes()).is_some() {
            return Err(SdpError::Control);
        }
        match line.as_bytes() {
            [b'v', b'=', rest @ ..] if rest != b"0" => return Err(SdpError::Syntax),
            [b'o', b'=', ..] => line[2..].trim().clone_into(&mut origin),
            // Its words are repeated in the answer, where a control could not stand (SEC-09).
            [b'm', b'=', ..] if line.contains(char::is_control) => return Err(SdpError::Control),
            [b'm', b'=', ..] => media += 1,
            // c= is read by nobody: the path tells where to connect (SDP-03).
            [b'a', b'=', ..] | [] => (),
            [_, b'=', ..] => continue,
            _ => return Err(SdpError::Syntax),
        }
        if !line.is_empty() {
            out.push_str(line);
            out.push('\n');
        }
    }
    match media {
        0 if out.len() == 4 => Err(SdpError::Empty),
        n if n > SDP_MEDIA_MAX => Err(SdpError::TooManyMedia),
        _ => Ok((out, origin)),
    }
}

/// The attributes of a media line and those of the session.
struct Attributes<'a> {
    media: &'a [Attribute],
    session: &'a [Attribute],
}

impl<'a> Attributes<'a> {
    /// The first value at media level, blanks around it removed; empty for an attribute without value.
    fn of_media(&self, name: &'a str) -> Option<&'a str> {
        values(self.media, name).next()
    }

    /// The same, or else at session level.
    fn of_either(&self, name: &'a str) -> Option<&'a str> {
        self.of_media(name).or_else(|| values(self.session, name).next())
    }
}

/// Names are compared without case: peers write `Accept-Types` as well.
fn values<'a>(attributes: &'a [Attribute], name: &'a str) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |a| a.attribute.trim_ascii().eq_ignore_ascii_case(name))
        .map(|a| a.value.as_deref().unwrap_or("").trim_ascii())
}

/// What a media line is to us.
fn judge(index: usize, m: &sdp_types::Media, said: &Attributes<'_>) -> Media {
    if !m.media.eq_ignore_ascii_case("message") {
        return Media::Other;
    }
    match message(index, m, said) {
        Ok(message) => Media::Message(message),
        Err(why) => Media::Refused(why),
    }
}

fn message(index: usize, m: &sdp_types::Media, said: &Attributes<'_>) -> Result<MessageMedia, MediaProblem> {
    if m.port == 0 {
        return Err(MediaProblem::Closed);
    }
    let secure = match m.proto.as_str() {
        p if p.eq_ignore_ascii_case("TCP/MSRP") => false,
        p if p.eq_ignore_ascii_case("TCP/TLS/MSRP") => true,
        _ => return Err(MediaProblem::Transport),
    };
    let path = path(said.of_media("path").ok_or(MediaProblem::NoPath)?, secure)?;
    let accept_types = said.of_media("accept-types").ok_or(MediaProblem::NoAcceptTypes)?;
    let wrapped = said.of_media("accept-wrapped-types").map(TypeList::parse);
    Ok(MessageMedia {
        index,
        port: m.port,
        secure,
        path,
        accept_types: TypeList::parse(accept_types),
        accept_wrapped_types: wrapped.filter(|list| !list.is_empty()),
        setup: said.of_either("setup").and_then(Setup::parse),
        direction: direction(said),
        max_size: said.of_media("max-size").and_then(max_size),
        chatroom: said.of_media("chatroom").map(Chatroom::parse),
        file_transfer: said.of_media("file-selector").is_some()
            || said.of_media("file-transfer-id").is_some(),
        cema: said.of_media("msrp-cema").is_some(),
        fingerprints: fingerprints(said),
    })
}

/// A number too large for us is no limit; what is no number is ignored.
fn max_size(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The first of the four attributes, at media level or else at session level.
fn direction(said: &Attributes<'_>) -> Direction {
    let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    let find = |attributes: &[Attribute]| {
        attributes.iter().find_map(|a| {
            all.into_iter()
                .find(|d| a.value.is_none() && a.attribute.trim_ascii().eq_ignore_ascii_case(d.as_str()))
        })
    };
    find(said.media).or_else(|| find(said.session)).unwrap_or_default()
}

/// Media level wins as a whole (RFC 8122 §5).
fn fingerprints(said: &Attributes<'_>) -> Vec<Fingerprint> {
    let read = |attributes| values(attributes, "fingerprint").filter_map(fingerprint).collect::<Vec<_>>();
    if said.of_media("fingerprint").is_some() { read(said.media) } else { read(said.session) }
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let (hash, digits) = text.split_once(' ')?;
    let hash = hash.to_ascii_lowercase();
    if matches!(hash.as_str(), "md2" | "md5") {
        return None;
    }
    let octet = |pair: &str| {
        let two = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        two.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    let octets: Option<Vec<u8>> = digits.trim().split(':').map(octet).collect();
    octets.map(|octets| Fingerprint { hash, octets })
}

/// Checks the path and gives its URIs separated by single spaces.
fn path(text: &str, secure: bool) -> Result<String, MediaProblem> {
    let uris: Vec<&str> = text.split([' ', '\t']).filter(|uri| !uri.is_empty()).collect();
    let first = uris.first().ok_or(MediaProblem::NoPath)?;
    let mut schemes = uris.iter().map(|uri| scheme_of(uri).ok_or(MediaProblem::BadPath));
    let leftmost = scheme_of(first).ok_or(MediaProblem::BadPath)?;
    schemes.try_for_each(|scheme| scheme.map(|_| ()))?;
    if leftmost != secure {
        return Err(MediaProblem::SchemeMismatch);
    }
    Ok(uris.join(" "))
}

/// What a URI in a path holds.
const URI: Octets = Octets::visible_but(b"<>\"\\");

/// Whether an MSRP URI is `msrps`, or nothing if it is no MSRP URI with host, port and transport.
/// Only its outline is checked here (MSRP-URI-02): `wire::msrp` reads it when a connection is made.
fn scheme_of(uri: &str) -> Option<bool> {
    let (scheme, rest) = uri.split_once("://")?;
    let secure = match scheme {
        s if s.eq_ignore_ascii_case("msrp") => false,
        s if s.eq_ignore_ascii_case("msrps") => true,
        _ => return None,
    };
    let (location, params) = rest.split_once(';')?;
    let authority = location.split('/').next()?;
    let (userinfo, hostport) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = hostport.rsplit_once(':')?;
    let whole_v6 =
        host.starts_with('[') == host.ends_with(']') && (host.starts_with('[') || !host.contains(':'));
    let port_fits =
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let clean = URI.have_all(uri.as_bytes());
    let good =
        clean && !host.is_empty() && whole_v6 && port_fits && !params.is_empty() && !userinfo.contains(':');
    good.then_some(secure)
}
