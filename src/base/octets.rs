//! Sets of octets, as tables (whether an octet belongs is one load); looks at text octet by octet.
//!
//! Touches: nothing. Proved by: the tests below.

/// A set of octets.
#[derive(Clone, Copy, Debug)]
pub struct Octets([bool; 256]);

impl Octets {
    /// These.
    #[must_use]
    pub const fn these(octets: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut i = 0;
        while i < octets.len() {
            table[octets[i] as usize] = true;
            i += 1;
        }
        Self(table)
    }

    /// Letters and digits of ASCII, and these.
    #[must_use]
    pub const fn alphanumeric_and(others: &[u8]) -> Self {
        let Self(mut table) = Self::these(others);
        let mut b = 0;
        while b < 128 {
            table[b] |= (b as u8).is_ascii_alphanumeric();
            b += 1;
        }
        Self(table)
    }

    /// Visible characters of ASCII but for these.
    #[must_use]
    pub const fn visible_but(others: &[u8]) -> Self {
        let Self(others) = Self::these(others);
        let mut table = [false; 256];
        let mut b = 0;
        while b < 128 {
            table[b] = (b as u8).is_ascii_graphic() && !others[b];
            b += 1;
        }
        Self(table)
    }

    /// Whether `octet` is one of them.
    #[must_use]
    #[inline]
    pub const fn has(&self, octet: u8) -> bool {
        self.0[octet as usize]
    }

    /// Whether all of `text` are.
    #[must_use]
    #[inline]
    pub fn have_all(&self, text: &[u8]) -> bool {
        text.iter().all(|octet| self.has(*octet))
    }

    /// Whether any of `text` is.
    #[must_use]
    #[inline]
    pub fn have_any(&self, text: &[u8]) -> bool {
        text.iter().any(|octet| self.has(*octet))
    }
}

/// Whether all of `text` are visible characters of ASCII and spaces. Without a way out, so that it is done in steps of
/// many octets.
#[must_use]
#[inline]
pub fn plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, octet| plain & matches!(octet, b' '..=b'~'))
}

/// What stands before and after the first `at`, an ASCII character.
#[must_use]
#[inline]
pub fn halves(text: &str, at: u8) -> Option<(&str, &str)> {
    let i = memchr::memchr(at, text.as_bytes())?;
    Some((&text[..i], &text[i + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of_and_nothing_else() {
        const NAMES: Octets = Octets::alphanumeric_and(b"-_\xff");
        const MARKS: Octets = Octets::these(b"<>");
        const VISIBLE: Octets = Octets::visible_but(b"<>");
        for octet in 0..=u8::MAX {
            assert_eq!(
                NAMES.has(octet),
                octet.is_ascii_alphanumeric() || b"-_\xff".contains(&octet),
                "{octet}"
            );
            assert_eq!(MARKS.has(octet), octet == b'<' || octet == b'>', "{octet}");
            assert_eq!(VISIBLE.has(octet), (b'!'..=b'~').contains(&octet) && !MARKS.has(octet), "{octet}");
        }
        assert!(NAMES.have_all(b"x-1") && NAMES.have_all(b"") && !NAMES.have_all(b"x.1"));
        assert!(MARKS.have_any(b"x>") && !MARKS.have_any(b"") && !MARKS.have_any(b"x"));
    }
    #[test]
    fn plain_text_has_no_controls_and_nothing_beyond_ascii() {
        assert!(plain(b"") && plain(b" ~Alice, 42"));
        for other in [&b"a\tb"[..], b"a\n", b"\x7f", b"\xc3\xa4", b"\0"] {
            assert!(!plain(other), "{other:?}");
        }
    }

    #[test]
    fn text_is_cut_at_the_first() {
        assert_eq!(halves("a:b:c", b':'), Some(("a", "b:c")));
        assert_eq!((halves("ä:", b':'), halves("abc", b':')), (Some(("ä", "")), None));
    }
}
