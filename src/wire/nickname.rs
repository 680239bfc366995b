//! The value of Use-Nickname (RFC 7701 §7.1), and nicknames made ready to show and to compare (RFC 8266).
//!
//! ```text
//!  "Al  \"of\" W"  ──unquote──▶  Al  "of" W  ──enforce──▶  shown: Al "of" W  ──fold──▶  key: al "of" w
//! ```
//!
//! Touches: nothing. Bounds: [`NICKNAME_BYTES_MAX`] octets go in and are shown; what is not stable after
//! four rounds is refused. Writing a value is `msrp::encode::nickname`'s. Proved by: the tests
//! below.

use crate::base::nickname::Nickname;
use precis_profiles::precis_core::profile::{Profile, Rules};
use std::fmt;

/// Octets of a nickname, counted after unescaping (RFC 7701 §7.1), and again as it is shown: preparation
/// makes some characters eleven times as long, and what is shown must be able to go into a request.
pub const NICKNAME_BYTES_MAX: usize = 1023;

/// The first application of the rules and three more (RFC 8266 §2.1).
const ROUNDS_MAX: usize = 4;

/// What a NICKNAME request asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// To be called so.
    Reserve(Nickname),
    /// To have no nickname (RFC 7701 §7.3).
    Remove,
}

/// Why a nickname is refused, always with 424.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadNickname {
    /// There is no Use-Nickname.
    Missing,
    /// A quotation mark is missing, or stands inside without backslash.
    BadQuotes,
    /// A backslash stands before something else than a backslash or quotation mark.
    BadEscape,
    /// More than [`NICKNAME_BYTES_MAX`] octets.
    TooLong,
    /// Not UTF-8.
    NotUtf8,
    /// A character that no nickname may hold, or one that the rules do not bring to rest.
    NotAllowed,
    /// Nothing, or nothing but spaces.
    Empty,
}

impl fmt::Display for BadNickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no Use-Nickname",
            Self::BadQuotes => "the quotation marks of the nickname do not match",
            Self::BadEscape => "a backslash in the nickname escapes nothing",
            Self::TooLong => "the nickname is longer than 1023 octets",
            Self::NotUtf8 => "the nickname is not UTF-8",
            Self::NotAllowed => "the nickname holds a character that is not allowed",
            Self::Empty => "the nickname is empty",
        })
    }
}

impl std::error::Error for BadNickname {}

/// Reads the value of Use-Nickname (RFC 7701 §7.1); `None` is a request without it. Exactly `""` removes.
/// A value without quotation marks that is valid otherwise is taken: there are clients that forget them.
///
/// # Errors
/// Why the value cannot be used.
pub fn parse(value: Option<&[u8]>) -> Result<Wish, BadNickname> {
    let value = value.ok_or(BadNickname::Missing)?;
    if value == b"\"\"" {
        return Ok(Wish::Remove);
    }
    let inner = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"").ok_or(BadNickname::BadQuotes)?,
        None => value,
    };
    let text = String::from_utf8(unescaped(inner)?).map_err(|_| BadNickname::NotUtf8)?;
    prepare(&text).map(Wish::Reserve)
}

/// What stands between the quotation marks, without its escapes (RFC 4975 §9: `qdtext`, `qd-esc`).
fn unescaped(inner: &[u8]) -> Result<Vec<u8>, BadNickname> {
    let mut out = Vec::with_capacity(inner.len().min(NICKNAME_BYTES_MAX));
    let mut octets = inner.iter();
    while let Some(&octet) = octets.next() {
        if out.len() == NICKNAME_BYTES_MAX {
            return Err(BadNickname::TooLong);
        }
        out.push(match octet {
            b'"' => return Err(BadNickname::BadQuotes),
            b'\\' => match octets.next() {
                Some(&escaped @ (b'"' | b'\\')) => escaped,
                // The last backslash stands before the quotation mark that was to end the value.
                None => return Err(BadNickname::BadQuotes),
                Some(_) => return Err(BadNickname::BadEscape),
            },
            octet => octet,
        });
    }
    Ok(out)
}

/// Makes a nickname ready to show and to compare (RFC 8266 §2.3, §2.4).
///
/// # Errors
/// Why it cannot be a nickname.
pub fn prepare(text: &str) -> Result<Nickname, BadNickname> {
    if text.len() > NICKNAME_BYTES_MAX {
        return Err(BadNickname::TooLong);
    }
    let shown = stable(text, str::to_string)?;
    if shown.len() > NICKNAME_BYTES_MAX {
        return Err(BadNickname::TooLong);
    }
    // Not the crate's own case mapping: it leaves title-case letters be where nothing before them is
    // upper-case.
    let key = stable(&shown, str::to_lowercase)?;
    let looks = skeleton(&shown);
    Ok(Nickname { shown: shown.into(), key: key.into(), looks: looks.into() })
}

/// Applies the rules until they change nothing: spaces, case as `fold` has it, NFKC.
fn stable(text: &str, fold: fn(&str) -> String) -> Result<String, BadNickname> {
    let profile = precis_profiles::Nickname::new();
    let mut before = text.to_string();
    for _ in 0..ROUNDS_MAX {
        if before.is_empty() {
            return Err(BadNickname::Empty);
        }
        profile.prepare(before.as_str()).map_err(|_| BadNickname::NotAllowed)?;
        let mapped = profile.additional_mapping_rule(before.as_str()).map_err(|_| BadNickname::NotAllowed)?;
        let after = profile.normalization_rule(fold(&mapped)).map_err(|_| BadNickname::NotAllowed)?;
        if after == before {
            return Ok(before);
        }
        before = after.into_owned();
    }
    Err(BadNickname::NotAllowed)
}

/// What a nickname can be mistaken for: two with the same skeleton look alike, in one case or another
/// (UTS 39 §4). Made of the form that is shown, since `I` is mistaken for `l` where `i` is not.
fn skeleton(shown: &str) -> String {
    let seen: String = unicode_security::confusable_detection::skeleton(shown).collect();
    seen.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::msrp::encode;

    fn reserved(value: &[u8]) -> Result<String, BadNickname> {
        parse(Some(value)).map(|wish| match wish {
            Wish::Reserve(nickname) => nickname.shown.to_string(),
            Wish::Remove => "(removed)".to_string(),
        })
    }

    fn key(text: &str) -> String {
        prepare(text).unwrap().key.to_string()
    }

    fn shown(text: &str) -> String {
        prepare(text).unwrap().shown.to_string()
    }

    #[test]
    fn a_quoted_value_is_read_and_unescaped() {
        // CHAT-NICK-01
        assert_eq!(reserved(br#""White Rabbit""#).unwrap(), "White Rabbit");
        assert_eq!(reserved(br#""Alice \"of\" Wonderland""#).unwrap(), "Alice \"of\" Wonderland");
        assert_eq!(reserved(br#""a\\b""#).unwrap(), "a\\b");
        assert_eq!(reserved("\"Zoë 🐇\"".as_bytes()).unwrap(), "Zoë 🐇");
    }

    #[test]
    fn malformed_values_are_told_apart() {
        // CHAT-NICK-03
        assert_eq!(parse(None), Err(BadNickname::Missing));
        let table: &[(&[u8], BadNickname)] = &[
            (b"\"", BadNickname::BadQuotes),
            (b"\"Al", BadNickname::BadQuotes),
            (b"Al\"", BadNickname::BadQuotes),
            (b"\"A\"l\"", BadNickname::BadQuotes),
            (b"\"Al\\\"", BadNickname::BadQuotes),
            (b"\"Al\" x", BadNickname::BadQuotes),
            (b"\"A\\l\"", BadNickname::BadEscape),
            (b"\"\xff\"", BadNickname::NotUtf8),
            (b"\"\xed\xa0\x80\"", BadNickname::NotUtf8),
            (b"\"a\tb\"", BadNickname::NotAllowed),
            (b"\"a\x7f\"", BadNickname::NotAllowed),
            ("\"a\u{202e}b\"".as_bytes(), BadNickname::NotAllowed),
            ("\"a\u{200b}b\"".as_bytes(), BadNickname::NotAllowed),
            ("\"a\u{e000}\"".as_bytes(), BadNickname::NotAllowed),
            ("\"a\u{378}\"".as_bytes(), BadNickname::NotAllowed),
            (b"", BadNickname::Empty),
        ];
        for (value, why) in table {
            assert_eq!(reserved(value), Err(*why), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn octets_are_counted_after_unescaping() {
        // CHAT-NICK-03
        let quoted = |inner: &str, times: usize| format!("\"{}\"", inner.repeat(times)).into_bytes();
        for inner in ["a", r"\\", r#"\""#] {
            assert!(reserved(&quoted(inner, 1)).is_ok());
            assert_eq!(reserved(&quoted(inner, 1023)).unwrap().len(), 1023);
            assert_eq!(reserved(&quoted(inner, 1024)), Err(BadNickname::TooLong));
        }
        assert_eq!(reserved(&quoted("ä", 512)), Err(BadNickname::TooLong));
        assert_eq!(prepare(&"a".repeat(1024)), Err(BadNickname::TooLong));
        // One character of three octets, shown as 18 of 33.
        assert_eq!(reserved(&quoted("\u{fdfa}", 32)), Err(BadNickname::TooLong));
        assert!(reserved(&quoted("\u{fdfa}", 31)).is_ok());
    }

    #[test]
    fn exactly_two_quotation_marks_remove() {
        // CHAT-NICK-08
        assert_eq!(parse(Some(b"\"\"")), Ok(Wish::Remove));
        for spaces in ["\" \"", "\"   \"", "\"\u{a0}\u{3000}\""] {
            assert_eq!(parse(Some(spaces.as_bytes())), Err(BadNickname::Empty), "{spaces}");
        }
    }

    #[test]
    fn a_value_without_quotation_marks_is_taken() {
        // CHAT-NICK-03: tolerance
        assert_eq!(reserved(b"White  Rabbit").unwrap(), "White Rabbit");
        assert_eq!(reserved(br#"a\"b"#).unwrap(), "a\"b");
        assert_eq!(reserved(b"a\\"), Err(BadNickname::BadQuotes));
    }

    #[test]
    fn the_samples_of_the_profile_compare_as_it_says() {
        // CHAT-NICK-05
        let samples = [
            ("Foo", "foo"),
            ("foo", "foo"),
            ("Foo Bar", "foo bar"),
            ("foo bar", "foo bar"),
            ("\u{3a3}", "\u{3c3}"),
            ("\u{3c3}", "\u{3c3}"),
            ("\u{3c2}", "\u{3c2}"),
            ("\u{3d4}", "\u{3cb}"),
            ("\u{221e}", "\u{221e}"),
            ("Richard \u{2163}", "richard iv"),
        ];
        for (nickname, expected) in samples {
            assert_eq!(key(nickname), expected, "{nickname}");
        }
    }

    #[test]
    fn spaces_widths_and_title_case_make_no_difference() {
        // CHAT-NICK-05
        assert_eq!(shown("  White \u{a0}\u{3000} Rabbit "), "White Rabbit");
        assert_eq!(shown("Ａｌｉｃｅ"), "Alice");
        assert_eq!(shown("e\u{301}"), "\u{e9}");
        assert_eq!(shown("Richard \u{2163}"), "Richard IV");
        assert_eq!(key("Ａｌｉｃｅ"), key("aLICE"));
        assert_eq!(key("\u{1f88}"), key("\u{1f80}"));
        assert_eq!(key("a \u{a8}"), "a \u{308}");
        assert_ne!(key("Alice"), key("Alicia"));
    }

    #[test]
    fn what_looks_alike_has_the_same_skeleton() {
        let skeleton = |text: &str| prepare(text).unwrap().looks;
        let cyrillic = "\u{430}l\u{456}ce";
        for (one, other) in
            [("BOY", "B0Y"), ("boy", "b0y"), ("boy", "B0Y"), ("Alice", "AIice"), ("alice", cyrillic)]
        {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        assert_ne!(skeleton("Alice"), skeleton("Bob"));
    }

    #[test]
    fn what_we_write_is_what_we_read() {
        // CHAT-NICK-01
        for name in ["Alice \"of\" Wonderland", "a\\", "\\\"", "Zoë 🐇"] {
            let mut out = Vec::new();
            encode::nickname(&mut out, b"abcd", b"msrp://a:1/s;tcp", b"msrp://b:1/s;tcp", name);
            let text = String::from_utf8(out).unwrap();
            let (_, value) = text.split_once("Use-Nickname: ").unwrap();
            let (value, _) = value.split_once("\r\n").unwrap();
            assert_eq!(reserved(value.as_bytes()).unwrap(), name);
        }
    }

    /// Characters on which profiles stumble: spaces, compatibility forms, marks, jamo, joiners, cases.
    const ODD: &str = "[a-zA-Z0 \u{a0}\u{a8}\u{3000}\u{3d4}\u{3a3}\u{130}\u{fdfa}\u{fb01}\u{301}\u{1100}\u{1161}\u{200d}\u{1f88}\u{2163}\\\\\"]{0,12}";

    proptest::proptest! {
        #[test]
        fn no_octets_make_the_reader_panic(value: Vec<u8>, odd in ODD) {
            let quoted = [b"\"", &value[..], b"\""].concat();
            for value in [&value[..], &quoted, odd.as_bytes()] {
                if let Ok(Wish::Reserve(nickname)) = parse(Some(value)) {
                    assert!((1..=NICKNAME_BYTES_MAX).contains(&nickname.shown.len()));
                    assert!(!nickname.key.is_empty() && !nickname.looks.contains('\0'));
                }
            }
        }

        #[test]
        fn a_prepared_nickname_is_prepared(any: String, odd in ODD) {
            // CHAT-NICK-05
            for text in [any, odd] {
                if let Ok(nickname) = prepare(&text) {
                    assert_eq!(prepare(&nickname.shown), Ok(nickname.clone()));
                    assert_eq!(prepare(&nickname.key).unwrap().key, nickname.key);
                }
            }
        }
    }
}
