//! Byte-Range: `start "-" ( end / "*" ) "/" ( total / "*" )` (RFC 4975 §7.1.1, §9).
//!
//! A claim, never a length: a body ends at its end-line whatever stands here (MSRP-FRAME-11).
//! Bound: no value above [`OCTETS_MAX`], so sums of two values cannot overflow.

use super::encode::put_number;

/// The largest position or length that is believed (SEC-04 rules 2^63).
pub const OCTETS_MAX: u64 = 1 << 63;

/// Where the octets of a chunk belong in their message, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ByteRange {
    /// Position of the first octet.
    pub start: u64,
    /// Position of the last octet, `start - 1` for none; `None` is `*`: not promised.
    pub end: Option<u64>,
    /// Octets of the whole message; `None` is `*`: not known yet.
    pub total: Option<u64>,
}

impl ByteRange {
    /// Reads a header value. `None` for anything that cannot be true (SEC-04): start 0, an end before
    /// `start - 1` or beyond the total, a start beyond the octet after the last, values above 2^63.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (start, rest) = number(text)?;
        let (end, rest) = number_or_star(rest.strip_prefix(b"-")?)?;
        let (total, rest) = number_or_star(rest.strip_prefix(b"/")?)?;
        let before = start.checked_sub(1)?;
        let in_order = end.is_none_or(|end| end >= before && total.is_none_or(|total| end <= total));
        (rest.is_empty() && in_order && total.is_none_or(|total| before <= total)).then_some(Self {
            start,
            end,
            total,
        })
    }

    /// Appends the header value.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.start);
        for (mark, value) in [(b'-', self.end), (b'/', self.total)] {
            out.push(mark);
            match value {
                Some(value) => put_number(out, value),
                None => out.push(b'*'),
            }
        }
    }
}

/// One or more digits up to [`OCTETS_MAX`], and what follows them.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut rest) = (0_u64, text);
    while let [digit @ b'0'..=b'9', more @ ..] = rest {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = more;
    }
    (rest.len() < text.len() && value <= OCTETS_MAX).then_some((value, rest))
}

fn number_or_star(text: &[u8]) -> Option<(Option<u64>, &[u8])> {
    match text.strip_prefix(b"*") {
        Some(rest) => Some((None, rest)),
        None => number(text).map(|(value, rest)| (Some(value), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(range: ByteRange) -> String {
        let mut out = Vec::new();
        range.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ranges_that_can_be_true_are_read_and_written_alike() {
        // MSRP-CHUNK-02, MSRP-CHUNK-03
        for text in [
            "1-0/0",
            "1-5/5",
            "1-*/*",
            "1-*/198",
            "41-183/198",
            "6-5/5",
            "6-*/5",
            "1-5/*",
            "1-0/*",
            "1-0/7",
            "9223372036854775808-*/9223372036854775808",
        ] {
            let range = ByteRange::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(written(range), text);
        }
        let padded = ByteRange { start: 1, end: Some(10), total: Some(10) };
        assert_eq!(ByteRange::parse(b"0001-010/10"), Some(padded));
    }

    #[test]
    fn ranges_that_cannot_be_true_are_refused() {
        // SEC-04
        for text in [
            "0-0/0",
            "0-*/*",
            "5-3/9",
            "2-0/5",
            "1-6/5",
            "7-*/5",
            "9-8/5",
            "9223372036854775809-*/*",
            "1-9223372036854775809/*",
            "1-*/9223372036854775809",
            "1-*/18446744073709551616",
            "99999999999999999999999999-*/*",
        ] {
            assert_eq!(ByteRange::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn anything_but_the_grammar_is_refused() {
        for text in [
            "",
            "1",
            "1-",
            "1-5",
            "1-5/",
            "1-5/5 ",
            " 1-5/5",
            "1 -5/5",
            "*-5/5",
            "-1-5/5",
            "1-5/5/5",
            "1--5/5",
            "1-**/5",
            "+1-5/5",
            "1-5/5;",
            "a-b/c",
            "1-0x5/9",
            "\u{661}-5/5",
        ] {
            assert_eq!(ByteRange::parse(text.as_bytes()), None, "{text}");
        }
    }
}
