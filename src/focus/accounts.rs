//! Who somebody really is: digest authentication (RFC 3261 §22, RFC 7616, RFC 8760) and what trusted proxies
//! assert (RFC 3325).
//!
//! Without users the house is open: From is believed. With users, everybody who asks for something outside a
//! dialog proves to be one of them, and From must be that user's address, or an anonymous one. A request from
//! a trusted proxy is believed what P-Asserted-Identity says; from anybody else that header means nothing.
//! BYE, ACK and CANCEL, and all else inside a dialog, belong to somebody who knows its tags.
//!
//! A nonce carries its own age and seal, so a challenge costs no memory; only nonces that somebody has answered
//! rightly are remembered, with the highest count seen, so that no answer counts twice.
//!
//! Bounds: [`NONCES_MAX`] nonces of at most [`NONCE_LIFE`]; beyond, the oldest are no longer good and their
//! owners are challenged again, without being asked for their password. Proof: the tests below and `tests.rs`.

use super::Core;
use super::identity::is_nobody;
use super::signalling::{NameAddr, Request, Response};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::limits::{NONCE_LIFE, NONCES_MAX};
use crate::wire::digest::{Algorithm, Params, Question, same};
use ahash::AHashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Hex digits of a nonce: its time, a random number, the seal.
const NONCE_DIGITS: usize = 16 + 16 + 64;

/// Users with their secrets, as the file of `openmsrp passwd` has them.
///
/// ```text
/// # user@domain  ALGORITHM:SECRET ...
/// alice@example.com SHA-256:4f1d… MD5:9a0b…
/// ```
#[derive(Clone, Debug, Default)]
pub struct Users(AHashMap<(String, String), Vec<(Algorithm, String)>>);

impl Users {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// The number of the first line that cannot be used, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users = AHashMap::new();
        for (n, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next().filter(|w| !w.starts_with('#')) else { continue };
            let wrong = |why: String| (n + 1, why);
            let (user, domain) = name
                .rsplit_once('@')
                .filter(|(u, d)| !u.is_empty() && !d.is_empty())
                .ok_or_else(|| wrong(format!("`{name}` is not like alice@example.com")))?;
            let mut secrets = Vec::new();
            for word in words {
                let (name, secret) = word.split_once(':').unwrap_or((word, ""));
                let algorithm = Algorithm::ALL.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(name));
                let algorithm =
                    algorithm.ok_or_else(|| wrong(format!("`{name}` is not one of SHA-256 and MD5")))?;
                if secret.len() != algorithm.digits() || !secret.bytes().all(|b| b.is_ascii_hexdigit()) {
                    let digits = algorithm.digits();
                    return Err(wrong(format!(
                        "a secret of {name} has {digits} hex digits; `openmsrp passwd` makes it"
                    )));
                }
                secrets.push((algorithm, secret.to_ascii_lowercase()));
            }
            if secrets.is_empty() {
                return Err(wrong(format!("{name} has no secret; `openmsrp passwd` makes it")));
            }
            let key = (user.to_owned(), domain.to_ascii_lowercase());
            if users.insert(key, secrets).is_some() {
                return Err(wrong(format!("{name} stands here for the second time")));
            }
        }
        Ok(Self(users))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, and so the house is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How identities come about.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// Everybody who may come in; nobody listed lets everybody in.
    pub users: Users,
    /// Whether clients that know nothing better may answer with MD5.
    pub md5: bool,
    /// Proxies whose P-Asserted-Identity counts.
    pub trusted: Vec<IpAddr>,
}

/// Checks who asks.
pub(super) struct Gate {
    accounts: Accounts,
    /// Seals nonces; drawn at the start, so that a nonce of an earlier run is old.
    key: String,
    /// Time and number of nonces in use, with the highest count of each.
    used: BTreeMap<(u64, u64), u32>,
    /// Nonces up to this time and number are no longer good.
    floor: (u64, u64),
}

/// Why credentials do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// Not for us, or not right: ask for a password.
    Wrong,
    /// Right, but the nonce is old or was used so often already.
    Stale,
    /// They say something that cannot be.
    Malformed,
}

impl Gate {
    pub(super) fn new(accounts: Accounts, entropy: &mut Entropy) -> Self {
        let key = String::from_utf8_lossy(&entropy.text::<43>()).into_owned();
        Self { accounts, key, used: BTreeMap::new(), floor: (0, 0) }
    }

    /// Nobody has to prove anything.
    pub(super) fn is_open(&self) -> bool {
        self.accounts.users.is_empty()
    }

    /// This is a proxy that has asked already.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.accounts.trusted.contains(&peer)
    }

    /// Who sends a request outside any dialog, if that is known better than by From.
    ///
    /// # Errors
    /// 401 with challenges, 403 if From is somebody else, 400.
    pub(super) fn check(
        &mut self,
        core: &mut Core,
        request: &Request,
        peer: IpAddr,
    ) -> Result<Option<Address>, Response> {
        if self.trusts(peer) {
            return Ok(asserted(request));
        }
        if self.is_open() {
            return Ok(None);
        }
        let from =
            request.headers.get("From").and_then(NameAddr::parse).and_then(|f| Address::parse(f.uri).ok());
        let from = from.ok_or_else(|| Response::new(400))?;
        let domains = &core.config.domains;
        let realm =
            domains.iter().find(|d| *d == from.host()).or(domains.first()).map_or("", |d| d).to_owned();
        match self.proved(core, request, &realm) {
            Ok(who) if who == from || is_nobody(&from) => Ok(Some(who)),
            Ok(_) => Err(Response::new(403)),
            Err(Fault::Malformed) => Err(Response::new(400)),
            Err(fault) => Err(self.challenge(core, &realm, fault == Fault::Stale)),
        }
    }

    fn proved(&mut self, core: &Core, request: &Request, realm: &str) -> Result<Address, Fault> {
        let mut outcome = Err(Fault::Wrong);
        for line in request.headers.all("Authorization") {
            // Other schemes, and answers for other realms, are somebody else's.
            let Some(params) = Params::parse(line).filter(|p| p.get("realm") == Some(realm)) else {
                continue;
            };
            outcome = self.answer(core, request, realm, &params);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn answer(
        &mut self,
        core: &Core,
        request: &Request,
        realm: &str,
        params: &Params<'_>,
    ) -> Result<Address, Fault> {
        let algorithm =
            Algorithm::parse(params.get("algorithm")).filter(|a| self.offers(*a)).ok_or(Fault::Wrong)?;
        let get = |name| params.get(name).ok_or(Fault::Malformed);
        let (nonce, nc, uri) = (get("nonce")?, get("nc")?, get("uri")?);
        if nc.len() != 8
            || get("qop")? != "auth"
            || !(uri == &*request.uri || core.config.host_of(uri).is_some())
        {
            return Err(Fault::Malformed);
        }
        let count = u32::from_str_radix(nc, 16).map_err(|_| Fault::Malformed)?;
        let name = get("username")?;
        let user = name.strip_suffix(realm).and_then(|n| n.strip_suffix('@')).unwrap_or(name);
        let question =
            Question { algorithm, nonce, nc, cnonce: get("cnonce")?, method: request.method.as_str(), uri };
        let secrets = self.accounts.users.0.get(&(user.to_owned(), realm.to_owned()));
        let secret = secrets.and_then(|s| s.iter().find(|(a, _)| *a == algorithm));
        // Whoever is unknown costs the same time as a wrong password.
        let expected = question.response(secret.map_or("", |(_, s)| s));
        if !same(&expected, &get("response")?.to_ascii_lowercase()) || secret.is_none() {
            return Err(Fault::Wrong);
        }
        self.spend(core.now, nonce, count)?;
        Address::parse(&format!("sip:{user}@{realm}")).map_err(|_| Fault::Wrong)
    }

    /// Takes note of a right answer; a count that was there before, or an old nonce, does not count.
    fn spend(&mut self, now: Now, nonce: &str, count: u32) -> Result<(), Fault> {
        let id = self.opened(nonce).ok_or(Fault::Stale)?;
        while let Some((&oldest, _)) = self.used.first_key_value() {
            let old = now.since(Now(oldest.0)) > NONCE_LIFE;
            if !old && self.used.len() < NONCES_MAX {
                break;
            }
            self.floor = self.floor.max(oldest);
            self.used.pop_first();
        }
        if id <= self.floor || now.since(Now(id.0)) > NONCE_LIFE {
            return Err(Fault::Stale);
        }
        let highest = self.used.entry(id).or_insert(0);
        if count <= *highest {
            return Err(Fault::Stale);
        }
        *highest = count;
        Ok(())
    }

    fn offers(&self, algorithm: Algorithm) -> bool {
        algorithm != Algorithm::Md5 || self.accounts.md5
    }

    /// A 401 with one challenge for each algorithm, best first (RFC 8760 §2.4).
    fn challenge(&self, core: &mut Core, realm: &str, stale: bool) -> Response {
        let id = format!("{:016x}{:016x}", core.now.0, core.entropy.bits());
        let nonce = format!("{id}{}", self.seal(&id));
        let stale = if stale { ", stale=true" } else { "" };
        Algorithm::ALL.into_iter().filter(|a| self.offers(*a)).fold(
            Response::new(401),
            |response, algorithm| {
                let name = algorithm.as_str();
                let value = format!(
                    "Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={name}{stale}"
                );
                response.with("WWW-Authenticate", value)
            },
        )
    }

    /// A keyed hash, twice so that nobody can lengthen what was hashed.
    fn seal(&self, id: &str) -> String {
        Algorithm::Sha256.hash(&[&self.key, &Algorithm::Sha256.hash(&[&self.key, id])])
    }

    /// The time and number of a nonce that is ours.
    fn opened(&self, nonce: &str) -> Option<(u64, u64)> {
        let (id, seal) = nonce.split_at_checked(32).filter(|_| nonce.len() == NONCE_DIGITS)?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        same(seal, &self.seal(id)).then_some(())?;
        Some((number(id.get(..16)?)?, number(id.get(16..)?)?))
    }
}

/// The first sip address that a proxy asserts (RFC 3325 §9.1).
fn asserted(request: &Request) -> Option<Address> {
    let values = request.headers.list("P-Asserted-Identity");
    let mut addresses = values.into_iter().filter_map(NameAddr::parse).filter(|n| n.uri.starts_with("sip:"));
    addresses.next().and_then(|n| Address::parse(n.uri).ok())
}

#[cfg(test)]
mod tests {
    use super::super::signalling::{Headers, Method};
    use super::super::{Config, Focus};
    use super::*;
    use crate::wire::digest::secret;
    use std::sync::Arc;
    use std::time::Duration;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    struct World {
        gate: Gate,
        core: Core,
    }

    impl World {
        fn new(md5: bool) -> Self {
            let secrets = |user| {
                let of = |a: Algorithm| format!("{}:{}", a.as_str(), secret(a, user, "example.com", "pw"));
                format!("{user}@example.com {} {}\n", of(Algorithm::Sha256), of(Algorithm::Md5))
            };
            let users = Users::parse(&format!("# all\n\n{}{}", secrets("alice"), secrets("bob"))).unwrap();
            assert_eq!(users.len(), 2);
            let accounts = Accounts { users, md5, trusted: vec!["192.0.2.1".parse().unwrap()] };
            let config = Config {
                roster_whole_max: 500,
                domains: vec!["example.com".into()],
                addresses: Vec::new(),
                msrp_host: String::new(),
                msrp_port: 0,
                rooms: Arc::default(),
                factory: String::new(),
                directory: "rooms".into(),
                moderators_see_identity: false,
                outbound_proxy: None,
                accounts,
                floods: crate::base::flood::Limits::default(),
                shards: 1,
            };
            let Focus { gate, mut core, .. } = Focus::new(config, Entropy::from_seed(1));
            core.now = Now(1_000_000_000);
            Self { gate, core }
        }

        fn check(
            &mut self,
            from: &str,
            lines: &[(&str, &str)],
            peer: IpAddr,
        ) -> Result<Option<Address>, Response> {
            let mut headers = Headers::default();
            headers.push("From", format!("<{from}>;tag=1"));
            lines.iter().for_each(|(n, v)| headers.push(n, *v));
            let request = Request {
                method: Method::Invite,
                uri: "sip:lobby@example.com".into(),
                headers,
                body: Vec::new(),
            };
            self.gate.check(&mut self.core, &request, peer)
        }

        /// A nonce, from a challenge.
        fn nonce(&mut self) -> String {
            let refusal = self.check("sip:alice@example.com", &[], PEER).unwrap_err();
            assert_eq!(refusal.code, 401);
            let challenge = refusal.headers.get("WWW-Authenticate").unwrap().to_owned();
            Params::parse(&challenge).unwrap().get("nonce").unwrap().to_owned()
        }

        /// The outcome for an answer: the user, or the code and whether it is stale.
        fn answers(
            &mut self,
            nonce: &str,
            nc: &str,
            change: impl Fn(String) -> String,
        ) -> Result<String, (u16, bool)> {
            self.answers_by(Algorithm::Sha256, nonce, nc, change)
        }

        fn answers_by(
            &mut self,
            algorithm: Algorithm,
            nonce: &str,
            nc: &str,
            change: impl Fn(String) -> String,
        ) -> Result<String, (u16, bool)> {
            let uri = "sip:lobby@example.com";
            let question = Question { algorithm, nonce, nc, cnonce: "c", method: "INVITE", uri };
            let response = question.response(&secret(algorithm, "alice", "example.com", "pw"));
            let line = change(format!(
                "Digest username=\"alice\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, nc={nc}, \
                 cnonce=\"c\", response=\"{response}\", algorithm={}",
                algorithm.as_str()
            ));
            self.check("sip:alice@example.com", &[("Authorization", &line)], PEER)
                .map(|who| who.unwrap().to_string())
                .map_err(|r| {
                    (r.code, r.headers.get("WWW-Authenticate").is_some_and(|v| v.contains("stale=true")))
                })
        }
    }

    fn plain(line: String) -> String {
        line
    }

    #[test]
    fn challenges_come_one_per_algorithm_and_the_best_first() {
        // SIP-AUTH-01
        for (md5, expected) in [(true, &["SHA-256", "MD5"][..]), (false, &["SHA-256"])] {
            let refusal = World::new(md5).check("sip:alice@example.com", &[], PEER).unwrap_err();
            let lines: Vec<&str> = refusal.headers.all("WWW-Authenticate").collect();
            let params: Vec<Params<'_>> = lines.iter().map(|l| Params::parse(l).unwrap()).collect();
            assert_eq!(params.iter().map(|p| p.get("algorithm").unwrap()).collect::<Vec<_>>(), expected);
            assert!(
                params.iter().all(|p| p.get("qop") == Some("auth") && p.get("realm") == Some("example.com"))
            );
        }
    }

    #[test]
    fn a_right_answer_counts_once_per_count_and_not_for_ever() {
        // SIP-AUTH-02
        let mut w = World::new(true);
        let nonce = w.nonce();
        let alice = Ok("sip:alice@example.com".to_owned());
        let stale = Err((401, true));
        assert_eq!(w.answers(&nonce, "00000001", plain), alice);
        assert_eq!(w.answers(&nonce, "00000001", plain), stale, "seen before");
        assert_eq!(w.answers(&nonce, "0000000a", plain), alice);
        assert_eq!(w.answers(&nonce, "00000009", plain), stale, "overtaken");
        let another = w.nonce();
        assert_eq!(w.answers_by(Algorithm::Md5, &another, "00000001", plain), alice);
        let other = w.nonce();
        w.core.now = w.core.now + NONCE_LIFE + Duration::from_secs(1);
        assert_eq!(w.answers(&nonce, "0000000b", plain), stale);
        assert_eq!(w.answers(&other, "00000001", plain), stale, "never used and too old");
        let (forged, fresh) = (other.replacen('0', "1", 1), w.nonce());
        assert_eq!(w.answers(&forged, "00000001", plain), stale, "not one of ours");
        assert_eq!(w.answers(&fresh, "00000001", plain), alice);
    }

    #[test]
    fn a_forgotten_nonce_cannot_be_used_again() {
        // SIP-AUTH-02
        let mut w = World::new(true);
        let first = w.nonce();
        assert!(w.answers(&first, "00000001", plain).is_ok());
        for n in 1..NONCES_MAX as u64 {
            w.gate.used.insert((w.core.now.0 + n, 0), 1);
        }
        w.core.now = w.core.now + Duration::from_millis(1);
        let last = w.nonce();
        assert!(w.answers(&last, "00000001", plain).is_ok());
        assert!(w.gate.used.len() <= NONCES_MAX);
        assert_eq!(w.answers(&first, "00000001", plain), Err((401, true)));
    }

    #[test]
    fn wrong_answers_are_challenged_and_impossible_ones_refused() {
        // SIP-AUTH-02
        let mut w = World::new(false);
        let nonce = w.nonce();
        let cases: [(&str, &str, u16); 9] = [
            ("username=\"alice\"", "username=\"mallory\"", 401),
            ("response=\"", "response=\"0", 401),
            ("realm=\"example.com\"", "realm=\"elsewhere\"", 401),
            ("Digest", "Basic", 401),
            ("SHA-256", "SHA-512", 401),
            ("SHA-256", "MD5", 401),
            ("uri=\"sip:lobby@example.com\"", "uri=\"sip:lobby@elsewhere\"", 400),
            ("nc=00000001", "nc=1", 400),
            ("qop=auth", "qop=auth-int", 400),
        ];
        for (from, to, code) in cases {
            let outcome = w.answers(&nonce, "00000001", |l| l.replace(from, to));
            assert_eq!(outcome.map_err(|e| e.0), Err(code), "{to}");
        }
        assert!(w.answers(&nonce, "00000001", plain).is_ok(), "none of them used it up");
    }

    #[test]
    fn from_is_the_user_or_nobody() {
        // CHAT-JOIN-07
        let mut w = World::new(false);
        for (from, expected) in [
            ("sip:alice@example.com;transport=tcp", Ok(Some("sip:alice@example.com".to_owned()))),
            ("sip:anonymous@anonymous.invalid", Ok(Some("sip:alice@example.com".to_owned()))),
            ("sip:bob@example.com", Err(403)),
        ] {
            let nonce = w.nonce();
            let uri = "sip:lobby@example.com";
            let question = Question {
                algorithm: Algorithm::Sha256,
                nonce: &nonce,
                nc: "00000001",
                cnonce: "c",
                method: "INVITE",
                uri,
            };
            let response = question.response(&secret(Algorithm::Sha256, "alice", "example.com", "pw"));
            let line = format!(
                "Digest username=\"alice@example.com\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, \
                 nc=00000001, cnonce=\"c\", response=\"{response}\", algorithm=SHA-256"
            );
            let outcome = w.check(from, &[("Authorization", &line)], PEER);
            assert_eq!(outcome.map(|who| who.map(|w| w.to_string())).map_err(|r| r.code), expected, "{from}");
        }
    }

    #[test]
    fn an_asserted_identity_counts_from_trusted_proxies_only() {
        // SIP-AUTH-04
        let mut w = World::new(false);
        let line = [("P-Asserted-Identity", "\"Al\" <sip:alice@example.com>, <tel:+123>")];
        let trusted = "192.0.2.1".parse().unwrap();
        let who = w.check("sip:anonymous@anonymous.invalid", &line, trusted).unwrap();
        assert_eq!(who.unwrap().as_str(), "sip:alice@example.com");
        assert_eq!(w.check("sip:carol@example.com", &[], trusted).unwrap(), None, "From is believed");
        assert_eq!(w.check("sip:alice@example.com", &line, PEER).unwrap_err().code, 401);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_the_line() {
        let sha = "a".repeat(64);
        for (text, line, why) in [
            ("# x\nalice SHA-256:00".to_owned(), 2, "alice@example.com"),
            ("alice@example.com SHA-1:00".to_owned(), 1, "SHA-256 and MD5"),
            ("alice@example.com SHA-256:00".to_owned(), 1, "64 hex digits"),
            ("alice@example.com".to_owned(), 1, "openmsrp passwd"),
            (format!("a@b SHA-256:{sha}\n\na@b SHA-256:{sha}"), 3, "second time"),
        ] {
            let (at, told) = Users::parse(&text).unwrap_err();
            assert!(at == line && told.contains(why), "{at}: {told}");
        }
    }
}
