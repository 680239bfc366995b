//! Digest access authentication as SIP uses it (RFC 7616, RFC 8760): the parameter lists, the secrets, the
//! responses.
//!
//! Views borrow the header. Bounds: [`DIGEST_PARAMS_MAX`]. Proof: the tests below, with the worked examples of
//! RFC 7616 §3.9.

use crate::base::limits::DIGEST_PARAMS_MAX;
use md5::Md5;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::fmt::Write;

/// How secrets are hashed, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// SHA-256 (RFC 7616).
    Sha256,
    /// MD5, for clients that know nothing else.
    Md5,
}

impl Algorithm {
    /// All, best first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Md5];

    /// As the headers write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// Reads a name, in any case; none at all is MD5 (RFC 7616 §3.3).
    #[must_use]
    pub fn parse(name: Option<&str>) -> Option<Self> {
        let Some(name) = name else { return Some(Self::Md5) };
        Self::ALL.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(name))
    }

    /// Hex digits of a hash.
    #[must_use]
    pub fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Md5 => 32,
        }
    }

    /// The hash of the parts with colons between them, as hex digits.
    #[must_use]
    pub fn hash(self, parts: &[&str]) -> String {
        let mut text = parts.join(":");
        let hash: &[u8] = match self {
            Self::Sha256 => &Sha256::digest(text.as_bytes()),
            Self::Md5 => &Md5::digest(text.as_bytes()),
        };
        text.clear();
        for octet in hash {
            // Writing to a string never fails.
            let _ = write!(text, "{octet:02x}");
        }
        text
    }
}

/// A user name and password in the form in which they are hashed (RFC 8265 §3.3, §4.2).
///
/// # Errors
/// What is wrong with which of them.
pub fn prepare(user: &str, password: &str) -> Result<(String, String), &'static str> {
    let user =
        UsernameCaseMapped::enforce(user).map_err(|_| "the user name has characters that none may have")?;
    let password =
        OpaqueString::enforce(password).map_err(|_| "the password is empty or has control characters")?;
    Ok((user.into_owned(), password.into_owned()))
}

/// What is kept instead of a password: the hash of user, realm and password.
#[must_use]
pub fn secret(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[user, realm, password])
}

/// The parameters of a header whose scheme is Digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Reads the value of Authorization, WWW-Authenticate and their like; `None` if the scheme is another or
    /// the list cannot be read.
    #[must_use]
    pub fn parse(value: &'a str) -> Option<Self> {
        let (scheme, mut rest) = value.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut params = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Some(Self(params));
            }
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start_matches([' ', '\t']);
            let (text, next) = if let Some(quoted) = after.strip_prefix('"') {
                unquote(quoted)?
            } else {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim_end().into(), &after[end..])
            };
            if params.len() >= DIGEST_PARAMS_MAX {
                return None;
            }
            params.push((name.trim(), text));
            rest = next;
        }
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v)
    }
}

/// The text up to the closing quote, without escapes, and what follows.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((text[..end].into(), &text[end + 1..]));
    }
    let (mut plain, mut chars) = (String::new(), text.char_indices());
    loop {
        match chars.next()? {
            (at, '"') => return Some((plain.into(), &text[at + 1..])),
            (_, '\\') => plain.push(chars.next()?.1),
            (_, c) => plain.push(c),
        }
    }
}

/// What the response to a challenge is made of (RFC 7616 §3.4.1), with `qop=auth`.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The challenge's algorithm.
    pub algorithm: Algorithm,
    /// The challenge's nonce.
    pub nonce: &'a str,
    /// How often it was used, eight hex digits.
    pub nc: &'a str,
    /// The client's own random text.
    pub cnonce: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// The URI as the client says it.
    pub uri: &'a str,
}

impl Question<'_> {
    /// The response of whoever has the secret.
    #[must_use]
    pub fn response(&self, secret: &str) -> String {
        let what = self.algorithm.hash(&[self.method, self.uri]);
        self.algorithm.hash(&[secret, self.nonce, self.nc, self.cnonce, "auth", &what])
    }
}

/// Whether two texts are the same, in a time that depends on their lengths only.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_those_of_the_worked_examples() {
        // SIP-AUTH-01: RFC 7616 §3.9.1, both algorithms.
        let expected = [
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        ];
        for (algorithm, response) in expected {
            let secret = secret(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            let question = Question {
                algorithm,
                nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                nc: "00000001",
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                method: "GET",
                uri: "/dir/index.html",
            };
            assert_eq!(question.response(&secret), response);
            assert_eq!((secret.len(), response.len()), (algorithm.digits(), algorithm.digits()));
        }
    }

    #[test]
    fn parameter_lists_are_read_with_quotes_escapes_and_blanks() {
        let header =
            "digest  username=\"al \\\"ice\\\\\" , realm=\"a,b=c\",qop = auth ,NC=00000001, uri=\"sip:a@b\"";
        let params = Params::parse(header).unwrap();
        let expected = [
            ("username", "al \"ice\\"),
            ("realm", "a,b=c"),
            ("QOP", "auth"),
            ("nc", "00000001"),
            ("uri", "sip:a@b"),
        ];
        for (name, value) in expected {
            assert_eq!(params.get(name), Some(value), "{name}");
        }
        assert_eq!(params.get("nonce"), None);
        let many = format!("Digest {}", "a=b,".repeat(DIGEST_PARAMS_MAX + 1));
        for bad in ["Basic YWxpY2U6c2VjcmV0", "Digest", "Digest a=\"b", "Digest a=\"b\\", "Digest a", &many] {
            assert_eq!(Params::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_and_passwords_are_the_same_however_they_are_typed() {
        // SIP-AUTH-05
        assert_eq!(prepare("Jos\u{e9}", "cafe\u{301} x"), prepare("jose\u{301}", "caf\u{e9}\u{a0}x"));
        assert!(prepare("a b", "x").is_err() && prepare("al", "").is_err() && prepare("", "x").is_err());
        assert!(prepare("al", "a\u{7}b").is_err());
    }

    #[test]
    fn texts_are_compared_whole() {
        assert!(same("abc", "abc") && same("", ""));
        assert!(!same("abc", "abd") && !same("abc", "ab") && !same("", "a"));
    }
}
