//! The answer that nearly every copy gets, known without reading it: a `200 OK` with its two paths and nothing
//! else. Whoever waits for nothing that an answer could say need not know more than where it ends.
//!
//! ```text
//! MSRP tid 200 OK          To-Path: …          From-Path: …          -------tid$
//! ```
//!
//! Touches only the caller's buffer. Bounds: `PATH_BYTES_MAX` a line; what is longer, or different in any way,
//! is left to the framer. Proved by `tests/twins_msrp.rs`: what is known here the framer reads as the same.

use super::head::is_ident;
use memchr::memchr;

/// Octets of a path line that is looked at here: a path through a few relays.
const PATH_BYTES_MAX: usize = 512;

/// Octets of the plain answer at the front of `buf`; `None`: it is not whole, or something else.
#[must_use]
pub fn plain_ok(buf: &[u8]) -> Option<usize> {
    let rest = buf.strip_prefix(b"MSRP ")?;
    let space = memchr(b' ', &rest[..rest.len().min(33)])?;
    let (tid, rest) = rest.split_at(space);
    let rest = rest.strip_prefix(b" 200 OK\r\nTo-Path: ")?;
    let rest = after_line(rest)?.strip_prefix(b"From-Path: ")?;
    let rest = after_line(rest)?.strip_prefix(b"-------")?;
    let rest = rest.strip_prefix(tid)?.strip_prefix(b"$\r\n")?;
    is_ident(tid).then_some(buf.len() - rest.len())
}

/// What follows the line at the front, if that is plain text.
fn after_line(buf: &[u8]) -> Option<&[u8]> {
    let end = memchr(b'\r', &buf[..buf.len().min(PATH_BYTES_MAX)])?;
    // Without a way out, so that it is done in steps of many octets.
    let plain = buf[..end].iter().fold(true, |plain, octet| plain & matches!(octet, b' '..=b'~'));
    buf[end..].strip_prefix(b"\r\n").filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"MSRP d93kswow 200 OK\r\nTo-Path: msrp://a.example.com:7654/jshA7we;tcp\r\n\
        From-Path: msrp://b.example.com:8888/9di4ea;tcp msrp://r.example.com:1/x;tcp\r\n-------d93kswow$\r\n";

    #[test]
    fn a_plain_answer_is_known_when_it_is_whole() {
        let two = [OK, OK].concat();
        assert_eq!((plain_ok(OK), plain_ok(&two)), (Some(OK.len()), Some(OK.len())));
        for cut in 0..OK.len() {
            assert_eq!(plain_ok(&OK[..cut]), None, "{cut} octets");
        }
    }

    #[test]
    fn what_differs_in_any_way_is_left_to_the_framer() {
        let text = std::str::from_utf8(OK).unwrap();
        for (old, new) in [
            ("MSRP d", "MSRP -"),
            ("d93kswow 200", "d93 200"),
            ("200 OK", "200 Okay"),
            ("200 OK", "201 OK"),
            ("200 OK", "481 OK"),
            ("To-Path", "To-path"),
            ("jshA7we", "jsh\u{1}7we"),
            ("jshA7we", "jshä7we"),
            ("9di4ea;tcp", "9di4ea;tcp\r\nByte-Range: 1-5/5"),
            ("-------d93", "\r\n-------d93"),
            ("wow$", "wow+"),
            ("wow$", "wox$"),
        ] {
            let other = text.replace(old, new);
            assert_eq!(plain_ok(other.as_bytes()), None, "{other}");
        }
        let long = text.replace("jshA7we", &"x".repeat(PATH_BYTES_MAX));
        assert_eq!(plain_ok(long.as_bytes()), None);
    }
}
