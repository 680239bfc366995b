//! The answer that nearly every copy gets, known without reading it: a `200 OK` with a transaction id as long as ours
//! are, its two paths and nothing else. Whoever waits for nothing that an answer could say need not know more than where it ends.
//!
//! ```text
//! MSRP tid 200 OK          To-Path: …          From-Path: …          -------tid$
//! ```
//!
//! Touches only the caller's buffer. Bounds: `PATH_BYTES_MAX` a line; what is longer, or different in any way,
//! is left to the framer. Proved by `tests/twins_msrp.rs`: what is known here the framer reads as the same.

use super::head::is_ident;
use crate::base::id::Token;
use crate::base::octets::plain;
use memchr::memchr;

/// Octets of a path line that is looked at here: a path through a few relays.
const PATH_BYTES_MAX: usize = 512;

/// Octets of the plain answer to a request of ours at the front of `buf`; `None`: it is not whole, or something else.
#[must_use]
#[inline]
pub fn plain_ok(buf: &[u8]) -> Option<usize> {
    let rest = after(buf, b"MSRP ")?;
    let (tid, rest) = rest.split_first_chunk::<{ Token::LEN }>()?;
    let rest = after(rest, b" 200 OK\r\nTo-Path: ")?;
    let rest = after(after_line(rest)?, b"From-Path: ")?;
    let rest = after(after_line(rest)?, b"-------")?;
    let rest = after(after(rest, tid)?, b"$\r\n")?;
    is_ident(tid).then_some(buf.len() - rest.len())
}

/// What follows `what` at the front. All lengths are known to the compiler, so it is a few loads.
#[inline]
fn after<'b, const N: usize>(buf: &'b [u8], what: &[u8; N]) -> Option<&'b [u8]> {
    let (front, rest) = buf.split_first_chunk::<N>()?;
    (front == what).then_some(rest)
}

/// What follows the line at the front, if that is plain text.
#[inline]
fn after_line(buf: &[u8]) -> Option<&[u8]> {
    let end = memchr(b'\r', &buf[..buf.len().min(PATH_BYTES_MAX)])?;
    after(&buf[end..], b"\r\n").filter(|_| plain(&buf[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"MSRP d93kswowX1Yz 200 OK\r\nTo-Path: msrp://a.example.com:7654/jshA7we;tcp\r\n\
        From-Path: msrp://b.example.com:8888/9di4ea;tcp msrp://r.example.com:1/x;tcp\r\n-------d93kswowX1Yz$\r\n";

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
            ("d93kswow", "d93"),
            ("kswowX1Yz 200", "kswow-1=z 200"),
            ("200 OK", "200 Okay"),
            ("200 OK", "201 OK"),
            ("200 OK", "481 OK"),
            ("To-Path", "To-path"),
            ("jshA7we", "jsh\u{1}7we"),
            ("jshA7we", "jshä7we"),
            ("9di4ea;tcp", "9di4ea;tcp\r\nByte-Range: 1-5/5"),
            ("-------d93", "\r\n-------d93"),
            ("Yz$", "Yz+"),
            ("Yz$", "YZ$"),
        ] {
            let other = text.replace(old, new);
            assert_eq!(plain_ok(other.as_bytes()), None, "{other}");
        }
        let long = text.replace("jshA7we", &"x".repeat(PATH_BYTES_MAX));
        assert_eq!(plain_ok(long.as_bytes()), None);
    }
}
