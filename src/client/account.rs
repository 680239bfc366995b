//! Proving who we are: answers to digest challenges (RFC 3261 §22, RFC 7616, RFC 8760); and saying the password of a
//! room ([`RoomPassword`]).
//!
//! Of several challenges the best that is understood is answered: SHA-256 before MD5, whatever their order, so
//! that nobody on the way makes us weaker by turning it round. The same password is never tried twice on one
//! request; only a nonce that is said to be stale is replaced, once.
//!
//! Touches: nothing. Bounds: [`REALMS_MAX`] for each request. Proved by: the tests below and `agent_tests.rs`.

use super::call::CallError;
use super::sip::{Incoming, quote};
use crate::wire::digest::{Algorithm, Params, Question, prepare, secret};
use std::fmt;
use std::sync::Arc;

/// Parties that one request proves itself to: the server, and proxies before it. Beyond: given up.
const REALMS_MAX: usize = 4;

/// A user and their password. It is shown to nobody, only hashes leave this process.
#[derive(Clone)]
pub struct Account(Arc<(String, String)>);

impl Account {
    /// The user as the server lists them (the part of the address before `@`), and the password.
    ///
    /// # Errors
    /// What is wrong with which of the two (RFC 8265).
    pub fn new(user: &str, password: &str) -> Result<Self, &'static str> {
        Ok(Self(Arc::new(prepare(user, password)?)))
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.0
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.user()).finish_non_exhaustive()
    }
}

/// The password of a room, or none, as it travels (docs/extensions.md). It is shown to nobody.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct RoomPassword(Option<Arc<str>>);

impl RoomPassword {
    /// With this password; with an empty one as with none.
    pub(super) fn new(password: &str) -> Self {
        Self((!password.is_empty()).then(|| format!("Room-Password: {}\r\n", escape(password)).into()))
    }

    /// The header line, or nothing.
    pub(super) fn line(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for RoomPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "RoomPassword(..)" } else { "RoomPassword" })
    }
}

/// A text in which all that is not unreserved in a URI is escaped (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// A challenge that was taken up.
#[derive(Clone)]
struct Proof {
    /// The header to answer with.
    header: &'static str,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// The challenge knows `auth`; without it the answer is that of RFC 2069.
    qop: bool,
    /// How often the nonce was used.
    used: u32,
    /// The nonce before was stale.
    renewed: bool,
}

/// What one request has to prove.
#[derive(Clone)]
pub(super) struct Proofs {
    account: Account,
    taken: Vec<Proof>,
}

impl Proofs {
    pub(super) fn new(account: Account) -> Self {
        Self { account, taken: Vec::new() }
    }

    /// Takes up the challenge of a 401 or 407.
    ///
    /// # Errors
    /// If there is no sense in asking again.
    pub(super) fn take_up(&mut self, code: u16, refusal: &Incoming) -> Result<(), CallError> {
        let (asked, header) = headers(code);
        let challenges = refusal.all(asked).filter_map(|line| Proof::read(line, header));
        let (proof, stale) =
            challenges.min_by_key(|(p, _)| p.algorithm).ok_or(CallError::UnknownChallenge)?;
        let known = self.taken.iter().position(|p| p.header == header && p.realm == proof.realm);
        match known {
            Some(at) if stale && !self.taken[at].renewed => {
                self.taken[at] = Proof { renewed: true, ..proof };
            }
            Some(_) => {
                let user = self.account.user().to_string();
                return Err(CallError::WrongPassword { user, realm: proof.realm });
            }
            None if self.taken.len() < REALMS_MAX => self.taken.push(proof),
            None => return Err(CallError::UnknownChallenge),
        }
        Ok(())
    }

    /// The header lines of the next attempt.
    pub(super) fn lines(&mut self, method: &str, uri: &str, cnonce: &str) -> String {
        let Self { account, taken } = self;
        taken.iter_mut().map(|proof| proof.line(account, method, uri, cnonce)).collect()
    }
}

/// The realm of a 401 or 407, for people.
pub(super) fn realm(code: u16, refusal: &Incoming) -> String {
    let (asked, _) = headers(code);
    let realm =
        refusal.header(asked).and_then(Params::parse).and_then(|p| p.get("realm").map(str::to_string));
    realm.unwrap_or_default()
}

/// The header that asks, and the one that answers.
fn headers(code: u16) -> (&'static str, &'static str) {
    match code {
        407 => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => ("WWW-Authenticate", "Authorization"),
    }
}

impl Proof {
    /// Reads a challenge, and whether it says that only the nonce was old; `None` if it is not understood.
    fn read(line: &str, header: &'static str) -> Option<(Self, bool)> {
        let params = Params::parse(line)?;
        let text = |name| params.get(name).map(str::to_string);
        let qop = params.get("qop").map(|q| q.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")));
        let proof = Self {
            header,
            realm: text("realm")?,
            nonce: text("nonce")?,
            opaque: text("opaque"),
            algorithm: Algorithm::parse(params.get("algorithm"))?,
            // A list without `auth` wants the body hashed, which nobody does.
            qop: qop.is_none_or(|auth| auth).then_some(qop.is_some())?,
            used: 0,
            renewed: false,
        };
        Some((proof, params.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true"))))
    }

    fn line(&mut self, account: &Account, method: &str, uri: &str, cnonce: &str) -> String {
        self.used += 1;
        let (user, password) = &*account.0;
        let nc = format!("{:08x}", self.used);
        let secret = secret(self.algorithm, user, &self.realm, password);
        let (response, qop) = if self.qop {
            let question =
                Question { algorithm: self.algorithm, nonce: &self.nonce, nc: &nc, cnonce, method, uri };
            (question.response(&secret), format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""))
        } else {
            let what = self.algorithm.hash(&[method, uri]);
            (self.algorithm.hash(&[&secret, &self.nonce, &what]), String::new())
        };
        let opaque = self.opaque.as_ref().map_or(String::new(), |o| format!(", opaque={}", quote(o)));
        format!(
            "{}: Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", \
             algorithm={}{qop}{opaque}\r\n",
            self.header,
            quote(user),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
            self.algorithm.as_str(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, challenges: &[&str]) -> Incoming {
        let header = headers(code).0;
        let lines: String = challenges.iter().map(|c| format!("{header}: {c}\r\n")).collect();
        let text = format!(
            "SIP/2.0 {code} No\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:r@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Incoming::read(text.as_bytes()).unwrap()
    }

    fn proofs() -> Proofs {
        Proofs::new(Account::new("Mufasa", "Circle of Life").unwrap())
    }

    #[test]
    fn the_best_challenge_that_is_understood_is_answered() {
        // SIP-AUTH-03
        let table: [(&[&str], Option<&str>); 5] = [
            (
                &[
                    "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256, qop=\"auth\"",
                    "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"",
                    "Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"",
                ],
                Some("algorithm=SHA-256"),
            ),
            (
                &[
                    "Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"",
                    "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth,auth-int\"",
                ],
                Some("algorithm=SHA-256"),
            ),
            (&["Basic realm=\"r\"", "Digest realm=\"r\", nonce=\"n\""], Some("algorithm=MD5")),
            (&["Basic realm=\"r\""], None),
            (&["Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"", "Digest realm=\"r\""], None),
        ];
        for (challenges, expected) in table {
            let mut proofs = proofs();
            let taken = proofs.take_up(401, &refusal(401, challenges));
            assert_eq!(taken.is_ok(), expected.is_some(), "{challenges:?}");
            let lines = proofs.lines("INVITE", "sip:r@b", "c");
            assert!(lines.contains(expected.unwrap_or_default()), "{lines}");
            assert_eq!(lines.matches("Digest").count(), usize::from(expected.is_some()), "{lines}");
        }
    }

    #[test]
    fn an_answer_has_what_the_challenge_asked_for() {
        // SIP-AUTH-03: the second has no qop, the numbers are those of RFC 7616 §3.4.1 without it.
        let mut proofs = proofs();
        let challenge = "Digest realm=\"a \\\"b\\\"\", nonce=\"n1\", qop=\"auth\", opaque=\"o\"";
        proofs.take_up(407, &refusal(407, &[challenge])).unwrap();
        let line = proofs.lines("INVITE", "sip:r@b", "cn");
        let start = "Proxy-Authorization: Digest username=\"mufasa\", realm=\"a \\\"b\\\"\", nonce=\"n1\", \
             uri=\"sip:r@b\", response=\"";
        assert!(line.starts_with(start), "{line}");
        let end = "algorithm=MD5, qop=auth, nc=00000001, cnonce=\"cn\", opaque=\"o\"\r\n";
        assert!(line.ends_with(end), "{line}");
        let params = Params::parse(line.split_once(": ").unwrap().1).unwrap();
        let question = Question {
            algorithm: Algorithm::Md5,
            nonce: "n1",
            nc: "00000001",
            cnonce: "cn",
            method: "INVITE",
            uri: "sip:r@b",
        };
        let expected = question.response(&secret(Algorithm::Md5, "mufasa", "a \"b\"", "Circle of Life"));
        assert_eq!(params.get("response"), Some(&*expected));

        let mut proofs = self::proofs();
        proofs.take_up(401, &refusal(401, &["Digest realm=\"r\", nonce=\"n\""])).unwrap();
        let line = proofs.lines("INVITE", "sip:r@b", "cn");
        let md5 = |parts: &[&str]| Algorithm::Md5.hash(parts);
        let expected = md5(&[&md5(&["mufasa", "r", "Circle of Life"]), "n", &md5(&["INVITE", "sip:r@b"])]);
        assert!(line.contains(&format!("response=\"{expected}\"")) && !line.contains("qop"), "{line}");
    }

    #[test]
    fn a_password_is_tried_once_and_a_stale_nonce_replaced_once() {
        // SIP-AUTH-03
        let mut proofs = proofs();
        let ask = |nonce: &str, stale: &str| {
            refusal(401, &[&format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}")])
        };
        proofs.take_up(401, &ask("n1", "")).unwrap();
        assert!(proofs.lines("INVITE", "sip:r@b", "c").contains("nonce=\"n1\""));
        proofs.take_up(401, &ask("n2", ", stale=TRUE")).unwrap();
        assert!(proofs.lines("INVITE", "sip:r@b", "c").contains("nonce=\"n2\""));
        let wrong = CallError::WrongPassword { user: "mufasa".to_string(), realm: "r".to_string() };
        assert_eq!(proofs.take_up(401, &ask("n3", ", stale=true")), Err(wrong.clone()));
        assert_eq!(proofs.take_up(401, &ask("n3", "")), Err(wrong));
        // Another realm is another question, but there is an end to that too.
        for n in 1..=REALMS_MAX {
            let other = refusal(401, &[&format!("Digest realm=\"r{n}\", nonce=\"n\"")]);
            assert_eq!(proofs.take_up(401, &other).is_ok(), n < REALMS_MAX, "{n}");
        }
    }

    #[test]
    fn nobody_sees_a_password() {
        let account = Account::new("alice", "secret").unwrap();
        assert_eq!(format!("{account:?}"), "Account(\"alice\", ..)");
        assert!(Account::new("alice", "").is_err() && Account::new("a b", "x").is_err());
        assert_eq!(
            format!("{:?} {:?}", RoomPassword::new("secret"), RoomPassword::new("")),
            "RoomPassword(..) RoomPassword"
        );
    }

    #[test]
    fn the_password_of_a_room_is_one_line_whatever_it_holds() {
        let table = [
            ("1234", "Room-Password: 1234\r\n"),
            ("se same\r\nX: y", "Room-Password: se%20same%0D%0AX%3A%20y\r\n"),
            ("50%;é~", "Room-Password: 50%25%3B%C3%A9~\r\n"),
            ("", ""),
        ];
        for (password, line) in table {
            assert_eq!(RoomPassword::new(password).line(), line);
        }
    }
}
