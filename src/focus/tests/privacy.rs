//! Participants who hide, and who tell later who they are.

use super::*;
use crate::shard::message::Disclosure;

const ANONYMOUS: &str = "sip:anonymous1@anonymous.invalid";

impl World {
    fn disclosed(&mut self) -> Disclosure {
        match self.told() {
            ToShard::Disclose(disclosure) => *disclosure,
            other => panic!("{other:?}"),
        }
    }

    /// A watcher who knows the roster so far.
    fn watched(&mut self) {
        self.request(&subscribe(""));
        self.responses.clear();
        self.notice();
        self.pass(Duration::from_secs(6));
    }

    /// What the watcher hears next: entities, those who are gone, display texts.
    fn change(&mut self) -> Vec<(String, bool, String)> {
        self.pass(Duration::from_secs(6));
        let (_, update) = self.notice();
        let text = |u: &conference::UserUpdate| u.display_text.clone().unwrap_or_default();
        let user = |u: &conference::UserUpdate| (u.entity.clone(), u.state == State::Deleted, text(u));
        let mut users: Vec<_> = update.users.iter().map(user).collect();
        users.sort();
        users
    }
}

fn asking(caller: &mut Phone, method: &str, privacy: &str, body: &str) -> String {
    caller.seq += 1;
    let sdp = if body.is_empty() { "" } else { SDP };
    caller.text(method, caller.seq, &format!("{sdp}Privacy: {privacy}\r\n"), body)
}

fn user(entity: &str, gone: bool, text: &str) -> (String, bool, String) {
    (entity.to_owned(), gone, text.to_owned())
}

#[test]
fn an_anonymous_participant_learns_its_address_from_every_200() {
    // CHAT-JOIN-11
    let mut w = World::new();
    let (mut alice, ok) = call_with(&mut w, "alice", "Privacy: id\r\n");
    assert_eq!(ok.headers.get("P-Associated-URI"), Some("<sip:anonymous1@anonymous.invalid>"));
    w.request(&alice.next("UPDATE"));
    assert_eq!(w.response().headers.get("P-Associated-URI"), Some("<sip:anonymous1@anonymous.invalid>"));
    let (_, ok) = call_with(&mut w, "bob", "");
    assert_eq!(ok.headers.get("P-Associated-URI"), None);
}

#[test]
fn who_discloses_takes_the_place_of_the_anonymous_one_with_its_nickname() {
    // CHAT-JOIN-11 CONF-08
    for method in ["UPDATE", "INVITE"] {
        let mut w = World::new();
        let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
        let endpoint = alice.endpoint;
        w.input(Input::Shard(FromShard::Bound { endpoint }));
        w.input(Input::Shard(FromShard::Renamed { endpoint, nickname: Some("Rabbit".into()) }));
        w.watched();
        let offer = if method == "INVITE" { OFFER } else { "" };
        w.request(&asking(&mut alice, method, "none", offer));
        let ok = w.response();
        assert_eq!((ok.code, ok.headers.get("Warning")), (200, None));
        assert_eq!(ok.headers.get("P-Associated-URI"), None, "it needs none any more");
        let told = w.disclosed();
        assert_eq!((told.endpoint, told.room.as_str()), (endpoint, ROOM));
        assert_eq!((told.participant.as_str(), told.aliases.len()), ("sip:alice@example.com", 0));
        let change = w.change();
        assert_eq!(change, [user("sip:alice@example.com", false, "Rabbit"), user(ANONYMOUS, true, "")]);
        // Once more changes nothing.
        w.request(&asking(&mut alice, "UPDATE", "none", ""));
        assert_eq!((w.response().code, w.told.len()), (200, 0));
        // A new session of hers is in the open, and may still use what was under way.
        w.reinvite_without_media(&mut alice);
        let join = w.join();
        assert_eq!(join.participant.as_str(), "sip:alice@example.com");
        assert!(join.aliases.iter().any(|a| a.as_str() == ANONYMOUS));
    }
}

impl World {
    /// The media is closed and opened again: the next thing told is a Join.
    fn reinvite_without_media(&mut self, caller: &mut Phone) {
        for offer in [OFFER.replace("m=message 9", "m=message 0"), OFFER.to_owned()] {
            let offer = offer.replace("o=- 1 1", &format!("o=- 1 {}", caller.seq + 5));
            let tx = self.reinvite(caller, &offer);
            if let Some(ToShard::Leave { .. }) = self.told.first() {
                self.left();
                self.responses.clear();
                self.ack(caller, tx, "");
            }
        }
    }
}

#[test]
fn nothing_is_told_before_the_200_and_nothing_if_there_is_none() {
    // SIP-DLG-03
    let mut w = World::new();
    let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
    let endpoint = alice.endpoint;
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.request(&asking(&mut alice, "INVITE", "none", "this is no description"));
    assert_eq!((w.response().code, w.told.len()), (400, 0));
    let moved = OFFER.replace("o=- 1 1", "o=- 1 2").replace("a1;", "a2;");
    w.request(&asking(&mut alice, "INVITE", "none", &moved));
    w.revise();
    w.input(Input::Shard(FromShard::Refused { endpoint, why: Refusal::Overloaded, words: None }));
    assert_eq!((w.response().code, w.told.len()), (503, 0));
    w.request(&alice.next("UPDATE"));
    assert!(w.response().headers.get("P-Associated-URI").is_some(), "she is anonymous still");
    let moved = moved.replace("o=- 1 2", "o=- 1 3").replace("a2;", "a3;");
    w.request(&asking(&mut alice, "INVITE", "none", &moved));
    w.revise();
    assert!(w.responses.is_empty());
    w.grant(endpoint);
    assert_eq!(w.response().code, 200);
    assert_eq!(w.disclosed().participant.as_str(), "sip:alice@example.com");
}

#[test]
fn other_privacy_in_a_later_request_discloses_nobody() {
    let mut w = World::new();
    let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
    for privacy in ["id", "none;id", "header", "session", ""] {
        w.request(&asking(&mut alice, "UPDATE", privacy, ""));
        let ok = w.response();
        assert_eq!((ok.code, ok.headers.get("Warning"), w.told.len()), (200, None, 0), "{privacy}");
    }
}

#[test]
fn who_never_said_who_it_is_cannot_disclose_it() {
    // SEC-11
    let mut w = World::new();
    let nameless =
        |text: String| text.replace("\"carol\" <sip:carol@example.com>", "<sip:anonymous@anonymous.invalid>");
    let tx = w.request(&nameless(invite("carol", 1, "", OFFER)));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let tag = w.response().to_tag.unwrap().into();
    let mut carol = Phone { name: "carol", seq: 1, tag, endpoint };
    w.ack(&carol, tx, "");
    w.request(&nameless(asking(&mut carol, "UPDATE", "none", "")));
    let ok = w.response();
    assert_eq!((ok.code, w.told.len()), (200, 0));
    assert!(ok.headers.get("Warning").unwrap().starts_with("399 chat.example"), "{ok:?}");
    assert!(ok.headers.get("P-Associated-URI").is_some());
}

#[test]
fn what_was_proved_at_the_beginning_is_what_is_disclosed() {
    // SIP-AUTH-01
    let mut w = World::new();
    let accounts = accounts::Accounts { trusted: vec![flow().peer.ip()], ..Default::default() };
    let config = Config { accounts, ..w.focus.core.config.clone() };
    w.focus = Focus::new(config, Entropy::from_seed(1));
    let asserted = "P-Asserted-Identity: <sip:carol@example.net>\r\n";
    let cases = [("sip:anonymous@anonymous.invalid", 0), ("sip:c@example.com", 1)];
    for (n, (from, aliases)) in cases.into_iter().enumerate() {
        let name = ["carol", "dora"][n];
        let real = format!("sip:{name}@example.com");
        let lines = format!("{asserted}Privacy: id\r\n");
        let tx = w.request(&invite(name, 1, &lines, OFFER).replace(&real, from));
        let join = w.join();
        // Who it is, is for the door only.
        let shown = (&join.participant, &join.aliases, &join.display_name, &join.contact);
        assert!(!format!("{shown:?}").contains("carol@"), "{shown:?}");
        assert!(join.caller.hides && join.caller.known.is_some());
        w.grant(join.endpoint);
        let tag = w.response().to_tag.unwrap().into();
        let mut caller = Phone { name, seq: 1, tag, endpoint: join.endpoint };
        w.ack(&caller, tx, "");
        w.request(&asking(&mut caller, "UPDATE", "none", ""));
        assert_eq!(w.response().headers.get("Warning"), None);
        let told = w.disclosed();
        assert_eq!((told.participant.as_str(), told.aliases.len()), ("sip:carol@example.net", aliases));
    }
}

#[test]
fn who_is_in_the_room_already_is_joined_by_the_device_that_discloses() {
    // CONF-06
    let mut w = World::new();
    w.call("alice");
    let hidden = |n: usize| {
        let text = invite("alice", 1, "Privacy: id\r\n", OFFER);
        text.replace("calice", &format!("c{n}")).replace("pc.example", &format!("pc{n}.example"))
    };
    let mut callers = Vec::new();
    for n in 1..=limits::PARTICIPANT_ENDPOINTS_MAX {
        let tx = w.request(&hidden(n));
        let endpoint = w.join().endpoint;
        w.grant(endpoint);
        let tag = w.response().to_tag.unwrap().into();
        let caller = Phone { name: "alice", seq: 1, tag, endpoint };
        let ack = caller.text("ACK", 1, "", "").replace("calice", &format!("c{n}"));
        w.input(Input::Acked { tx, request: parse(&ack), flow: flow() });
        w.input(Input::Shard(FromShard::Bound { endpoint }));
        callers.push((n, caller));
    }
    w.watched();
    let mut discloses = |w: &mut World, i: usize| {
        let (n, caller) = &mut callers[i];
        let text = asking(caller, "UPDATE", "none", "");
        w.request(&text.replace("calice", &format!("c{n}")).replace("pc.example", &format!("pc{n}.example")));
        w.response()
    };
    assert_eq!(discloses(&mut w, 0).headers.get("Warning"), None);
    w.disclosed();
    w.pass(Duration::from_secs(6));
    let (_, mut update) = w.notice();
    update.users.sort_by(|a, b| a.entity.cmp(&b.entity));
    assert_eq!(update.users.len(), 2);
    let devices: Vec<&str> = update.users[0].endpoints.iter().map(|e| e.entity.as_str()).collect();
    assert_eq!(devices, ["sip:alice@pc.example", "sip:alice@pc1.example"]);
    assert_eq!((&*update.users[1].entity, update.users[1].state), (ANONYMOUS, State::Deleted));
    for i in 1..limits::PARTICIPANT_ENDPOINTS_MAX - 1 {
        assert_eq!(discloses(&mut w, i).headers.get("Warning"), None);
        w.disclosed();
    }
    let last = discloses(&mut w, limits::PARTICIPANT_ENDPOINTS_MAX - 1);
    assert!(last.headers.get("Warning").is_some(), "one more than a participant may have");
    assert_eq!(w.told.len(), 0);
}

#[test]
fn a_disclosure_that_finds_a_full_inbox_is_tried_again() {
    // FOCUS-03
    let mut w = World::new();
    let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
    w.request(&asking(&mut alice, "UPDATE", "none", ""));
    let message = w.told();
    w.input(Input::Undelivered { shard: ShardId(0), message });
    assert!(w.told.is_empty());
    w.pass(LEAVE_RETRY);
    assert_eq!(w.disclosed().endpoint, alice.endpoint);
}

/// A world where moderators may see who somebody is, and what a trusted proxy says counts.
fn seeing(moderators_see_identity: bool) -> World {
    let mut w = World::new();
    let accounts = accounts::Accounts { trusted: vec![flow().peer.ip()], ..Default::default() };
    let config = Config { accounts, moderators_see_identity, ..w.focus.core.config.clone() };
    w.focus = Focus::new(config, Entropy::from_seed(1));
    w
}

/// Subscribes as somebody of this name, who is proved to be the one in `proof`.
fn watches(w: &mut World, name: &str, proof: &str) {
    let proof = if proof.is_empty() { String::new() } else { format!("P-Asserted-Identity: <{proof}>\r\n") };
    w.request(&text("SUBSCRIBE", name, 1, "", &format!("Event: conference\r\n{proof}"), ""));
    assert_eq!(w.response().code, 200);
}

const MOD: &str = "sip:mod@example.com";

/// The body of a request.
pub(super) fn whole(out: &Outgoing) -> String {
    out.whole_body()
}

/// Everything that left the focus since the last look; its notices are answered. To whom, and what.
fn said(w: &mut World) -> Vec<(String, String)> {
    w.pass(Duration::from_secs(6));
    let mut all = Vec::new();
    for (id, out) in std::mem::take(&mut w.sent) {
        all.push((
            out.headers.get("To").unwrap_or("").to_owned(),
            format!("{:?} {}", out.headers, whole(&out)),
        ));
        w.input(Input::Answer { id, reply: Reply::bare(200) });
    }
    all.extend(w.responses.drain(..).map(|(_, r)| (String::new(), format!("{r:?}"))));
    all.extend(w.told.drain(..).map(|t| (String::new(), format!("{t:?}"))));
    all
}

#[test]
fn a_proved_moderator_is_shown_who_an_anonymous_participant_is_and_nobody_else() {
    // CHAT-JOIN-11 SEC-11
    let mut w = seeing(true);
    watches(&mut w, "mod", MOD);
    watches(&mut w, "bob", "sip:bob@example.com");
    // From alone proves nothing.
    w.request(&text("SUBSCRIBE", "mod", 1, "", "Event: conference\r\n", "").replace("cmod", "cliar"));
    w.responses.clear();
    assert_eq!(w.sent.len(), 3);
    let mut all = said(&mut w);
    assert!(
        all.iter().all(|(_, t)| t.contains("<free-text>Moderators see who")),
        "everybody is told: {all:?}"
    );
    let (mut secret, ok) = call_with(&mut w, "secret", "Privacy: id\r\n");
    all.push((String::new(), format!("{ok:?}")));
    all.extend(said(&mut w));
    // A nickname, an error, a report, an invitation of hers.
    let endpoint = secret.endpoint;
    w.input(Input::Shard(FromShard::Renamed { endpoint, nickname: Some("Rabbit".into()) }));
    w.request(&secret.next("MESSAGE"));
    w.request(&secret.text("INVITE", 9, SDP, "nonsense"));
    secret.seq = 9;
    w.request(&secret.text("REFER", 10, "Refer-To: <sip:carol@192.0.2.7>\r\n", ""));
    secret.seq = 10;
    all.extend(said(&mut w));
    // Her own answers go to her own Contact; what others get does not hold it.
    let own = |(to, t): &(String, String)| to.contains("secret") || t.contains("tsecret");
    let others: Vec<_> = all.iter().filter(|s| !own(s)).collect();
    let told: Vec<_> = others.iter().filter(|(_, t)| t.contains("secret")).collect();
    assert!(
        !told.is_empty() && told.iter().all(|(to, t)| to.contains("tmod") && t.contains("cmod")),
        "{told:?}"
    );
    let aors = "<associated-aors>\r\n        <entry>\r\n          <uri>sip:secret@example.com</uri>";
    assert!(told.iter().all(|(_, t)| t.contains(aors)), "{told:?}");
    // Whoever discloses needs it no more, and whoever leaves is gone.
    w.request(&asking(&mut secret, "UPDATE", "none", ""));
    let last = said(&mut w);
    assert!(
        last.iter().any(|(to, t)| to.contains("tbob") && t.contains("sip:secret@example.com")),
        "{last:?}"
    );
    assert!(last.iter().all(|(_, t)| !t.contains("associated-aors")), "{last:?}");
}

#[test]
fn unless_the_rooms_say_so_moderators_are_shown_nobody() {
    // CHAT-JOIN-11 CONF-08
    let mut w = seeing(false);
    watches(&mut w, "mod", MOD);
    call_with(&mut w, "secret", "Privacy: id\r\n");
    let all = said(&mut w);
    assert_eq!(all.iter().filter(|(to, _)| to.contains("tmod")).count(), 1);
    assert!(all.iter().all(|(_, t)| !t.contains("secret@") && !t.contains("free-text")), "{all:?}");
}

#[test]
fn moderators_are_shown_nobody_who_never_said_who_it_is() {
    let mut w = seeing(true);
    watches(&mut w, "mod", MOD);
    said(&mut w);
    let text =
        invite("carol", 1, "", OFFER).replace("sip:carol@example.com", "sip:anonymous@anonymous.invalid");
    w.request(&text);
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    let all = said(&mut w);
    assert!(all.iter().any(|(to, t)| to.contains("tmod") && t.contains(ANONYMOUS)));
    assert!(all.iter().all(|(_, t)| !t.contains("associated-aors")), "{all:?}");
}

#[test]
fn the_200_waits_until_the_shard_knows_who_speaks() {
    // CHAT-JOIN-07
    for shard_says_so in [true, false] {
        let mut w = World::new();
        w.silent = true;
        let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
        let endpoint = alice.endpoint;
        w.input(Input::Shard(FromShard::Bound { endpoint }));
        w.request(&asking(&mut alice, "UPDATE", "none", ""));
        assert_eq!((w.disclosed().endpoint, w.responses.len()), (endpoint, 0));
        if shard_says_so {
            w.input(Input::Shard(FromShard::Disclosed { endpoint }));
        } else {
            w.pass(limits::DISCLOSURE_WAIT);
        }
        assert_eq!(w.response().code, 200);
        w.input(Input::Shard(FromShard::Disclosed { endpoint }));
        w.pass(limits::DISCLOSURE_WAIT);
        assert!(w.responses.is_empty(), "once");
    }
}

#[test]
fn who_hangs_up_meanwhile_has_both_answers() {
    let mut w = World::new();
    w.silent = true;
    let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
    w.input(Input::Shard(FromShard::Bound { endpoint: alice.endpoint }));
    w.request(&asking(&mut alice, "UPDATE", "none", ""));
    w.request(&alice.next("BYE"));
    let codes: Vec<u16> = w.responses.drain(..).map(|(_, response)| response.code).collect();
    assert_eq!(codes, [200, 200]);
}

#[test]
fn who_asks_for_privacy_is_known_by_an_anonymous_address_only() {
    // CONF-08, CHAT-JOIN-11
    let mut w = World::new();
    w.request(&subscribe(""));
    w.responses.clear();
    let mut said = vec![w.sent()];
    let nobody =
        invite("carol", 1, "", OFFER).replace("sip:carol@example.com", "sip:anonymous7@Anonymous.invalid");
    let asked = [
        invite("alice", 1, "Privacy: id\r\n", OFFER),
        invite("bob", 1, "Privacy: header;User ; critical\r\n", OFFER),
        nobody,
    ];
    for (n, request) in asked.iter().enumerate() {
        w.request(request);
        let join = w.join();
        let own = format!("sip:anonymous{}@anonymous.invalid", n + 1);
        assert_eq!(
            (join.participant.as_str(), &*join.contact, &*join.display_name),
            (&*own, &*own, "Anonymous")
        );
        // The general address may stand in CPIM From, the real one may not.
        assert!(join.aliases.iter().map(Address::as_str).eq(["sip:anonymous@anonymous.invalid"]));
        w.grant(join.endpoint);
        w.input(Input::Shard(FromShard::Bound { endpoint: join.endpoint }));
    }
    let (id, _) = said[0];
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    w.pass(Duration::from_secs(5));
    said.append(&mut w.sent);
    w.request(&subscribe("").replace("cwatcher", "another"));
    said.append(&mut w.sent);
    assert_eq!(said.len(), 3);
    for (_, notify) in &said {
        let text = format!("{:?} {}", notify.headers, notify.whole_body()).to_lowercase();
        for secret in ["alice", "bob", "carol", "anonymous7"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let whole = conference::read(said[2].1.whole_body().as_bytes()).unwrap();
    assert_eq!(
        (whole.users.len(), &*whole.users[0].endpoints[0].entity),
        (3, "sip:anonymous1@anonymous.invalid")
    );
}

#[test]
fn who_asks_for_no_privacy_has_none() {
    let mut w = World::new();
    for privacy in ["none", "header", "session;critical"] {
        let request = invite("alice", 1, &format!("Privacy: {privacy}\r\n"), OFFER);
        w.request(&request.replace("calice", privacy));
        assert_eq!(w.join().participant.as_str(), "sip:alice@example.com");
    }
}
