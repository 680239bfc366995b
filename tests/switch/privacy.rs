//! Participants who hide, and who tell later who they are.

use crate::world::{Person, ROOM, World, address, terms};
use openmsrp::base::id::EndpointId;
use openmsrp::base::limits;
use openmsrp::base::refusal::Refusal;
use openmsrp::shard::message::{Disclosure, FromShard, Join, ToShard};

/// Somebody who entered as `anonymous1`.
struct Hidden(Person);

const ANONYMOUS: &str = "sip:anonymous1@anonymous.invalid";
const REAL: &str = "sip:whistle@example.com";

impl Hidden {
    /// Asks for a place; nothing is bound yet.
    fn granted(w: &mut World, end: usize) -> Self {
        let endpoint = EndpointId(1_000_000);
        let join = Join {
            endpoint,
            room: address(ROOM),
            participant: address(ANONYMOUS),
            aliases: vec![address("sip:anonymous@anonymous.invalid")],
            display_name: "Anonymous".into(),
            contact: ANONYMOUS.into(),
            caller: Default::default(),
            password: None,
            terms: Some(terms("hidden")),
        };
        w.tell(w.home(ROOM), ToShard::Join(Box::new(join)));
        let session = w.granted(endpoint).unwrap();
        Self(Person { name: "hidden".into(), room: ROOM.into(), endpoint, session, end })
    }

    /// At a connection that stays on `shard`, wherever the room's home is.
    fn enters_and_stays(w: &mut World, shard: usize) -> Self {
        let end = w.connect(shard);
        w.write(end, b"MSRP stray1 SEND\r\nTo-Path: msrp://chat.example.com:2855/nobody;tcp\r\nFrom-Path: msrp://x:1/x;tcp\r\nMessage-ID: abcd\r\n-------stray1$\r\n");
        w.octets(end);
        let hidden = Self::granted(w, end);
        hidden.0.binds(w);
        assert_eq!(w.ends[end].at.unwrap().0, shard);
        hidden
    }

    fn discloses(&self, w: &mut World) {
        let (endpoint, room) = (self.0.endpoint, address(ROOM));
        let aliases = vec![address("tel:+4930123")];
        let disclosure = Disclosure { endpoint, room, participant: address(REAL), aliases };
        w.tell(w.home(ROOM), ToShard::Disclose(Box::new(disclosure)));
    }

    /// The answer to a message with this From.
    fn says_as(&self, w: &mut World, n: u32, from: &str, text: &str) -> String {
        let text = self.0.wrapped(text).replace("sip:hidden@example.com", from);
        w.write(self.0.end, &self.0.message(n, "", &text));
        self.0.answers(w).remove(0).1
    }
}

/// The answer to a private message.
fn writes_to(w: &mut World, who: &Person, n: u32, to: &str) -> String {
    w.write(who.end, &who.message(n, "", &who.wrapped("psst").replace(ROOM, to)));
    who.answers(w).remove(0).1
}

fn nickname(w: &mut World, who: &Person, name: &str) -> String {
    let header = format!("Use-Nickname: \"{name}\"\r\n");
    w.write(who.end, &who.request("nick", "NICKNAME", &header, None, '$'));
    who.answers(w).remove(0).1
}

#[test]
fn who_discloses_may_use_the_real_address_on_whatever_shard() {
    // CHAT-JOIN-07 CHAT-PRIV-06
    for (shards, far) in [(1, false), (2, false), (2, true)] {
        let mut w = World::new(shards);
        let bob = Person::enters(&mut w, "bob");
        let home = w.home(ROOM);
        let hidden = Hidden::enters_and_stays(&mut w, if far { 1 - home } else { home });
        assert_eq!(hidden.says_as(&mut w, 1, REAL, "a slip"), "403");
        assert_eq!(writes_to(&mut w, &bob, 1, REAL), "404", "nobody of that name is here");
        hidden.discloses(&mut w);
        for (n, from) in
            [REAL, ANONYMOUS, "sip:anonymous@anonymous.invalid", "tel:+49-30-123"].iter().enumerate()
        {
            assert_eq!(hidden.says_as(&mut w, 10 + n as u32, from, "it is me"), "200", "{from}");
            assert!(bob.hears(&mut w)[0].starts_with(&format!("From: <{from}>")));
        }
        assert_eq!(hidden.says_as(&mut w, 20, "sip:bob@example.com", "it is not me"), "403");
        for to in [REAL, ANONYMOUS] {
            assert_eq!(writes_to(&mut w, &bob, 30, to), "200", "{to}");
            assert_eq!(hidden.0.answers_copies(&mut w, "200 OK"), 1, "{to}");
        }
        hidden.0.leaves(&mut w);
        for to in [REAL, ANONYMOUS] {
            assert_eq!(writes_to(&mut w, &bob, 40, to), "404", "{to}");
        }
    }
}

#[test]
fn a_disclosure_that_crosses_a_claim_arrives() {
    let mut w = World::new(2);
    let bob = Person::enters(&mut w, "bob");
    let home = w.home(ROOM);
    let end = w.connect(1 - home);
    w.write(end, b"MSRP dull1 SEND\r\nTo-Path: msrp://x:1/x;tcp\r\nFrom-Path: msrp://y:1/y;tcp\r\nByte-Range: x\r\nMessage-ID: abcd\r\n-------dull1$\r\n");
    w.octets(end);
    let hidden = Hidden::granted(&mut w, end);
    w.delayed = true;
    w.write(end, &hidden.0.binding("bind0001"));
    w.cross((1 - home, home));
    hidden.discloses(&mut w);
    w.cross_all();
    w.delayed = false;
    w.octets(end);
    assert_eq!(hidden.says_as(&mut w, 1, REAL, "it is me"), "200");
    assert_eq!(bob.hears(&mut w).len(), 1);
}

#[test]
fn the_nickname_stays_and_belongs_to_the_real_participant() {
    // CHAT-NICK-06 CHAT-NICK-09
    let mut w = World::new(2);
    let bob = Person::enters(&mut w, "bob");
    let tablet = Person::enters(&mut w, "whistle");
    let far = 1 - w.home(ROOM);
    let hidden = Hidden::enters_and_stays(&mut w, far);
    assert_eq!(nickname(&mut w, &hidden.0, "Cat"), "200");
    assert_eq!(nickname(&mut w, &hidden.0, "Rabbit"), "200");
    assert_eq!(nickname(&mut w, &tablet, "rabbit"), "425", "nobody knows yet that it is her own");
    w.control.clear();
    hidden.discloses(&mut w);
    assert!(!w.control.iter().any(|e| matches!(e, FromShard::Renamed { .. })), "nothing changed");
    for name in ["Rabbit", "Cat"] {
        assert_eq!(nickname(&mut w, &bob, name), "425", "{name}");
    }
    assert_eq!(nickname(&mut w, &tablet, "rabbit"), "200");
    assert_eq!(nickname(&mut w, &tablet, "Cat"), "200", "what was given up before is hers too");
}

#[test]
fn private_messages_reach_all_devices_of_who_disclosed() {
    // CHAT-PRIV-01
    let mut w = World::new(2);
    let bob = Person::enters(&mut w, "bob");
    let tablet = Person::enters(&mut w, "whistle");
    let far = 1 - w.home(ROOM);
    let hidden = Hidden::enters_and_stays(&mut w, far);
    assert_eq!(writes_to(&mut w, &bob, 1, REAL), "200");
    assert_eq!((tablet.hears(&mut w).len(), hidden.0.hears(&mut w).len()), (1, 0));
    hidden.discloses(&mut w);
    for (n, to) in [REAL, ANONYMOUS].into_iter().enumerate() {
        assert_eq!(writes_to(&mut w, &bob, 2 + n as u32, to), "200");
        assert_eq!((tablet.hears(&mut w).len(), hidden.0.hears(&mut w).len()), (1, 1), "{to}");
    }
}

#[test]
fn the_room_keeps_its_rule_how_many_devices_one_may_have() {
    let mut w = World::new(2);
    for _ in 0..limits::PARTICIPANT_ENDPOINTS_MAX {
        Person::enters(&mut w, "whistle");
    }
    let far = 1 - w.home(ROOM);
    let hidden = Hidden::enters_and_stays(&mut w, far);
    w.control.clear();
    hidden.discloses(&mut w);
    let refused = |e: &FromShard| matches!(e, FromShard::Refused { endpoint, why: Refusal::ManyEndpoints, .. } if *endpoint == hidden.0.endpoint);
    assert!(w.control.iter().any(refused), "{:?}", w.control);
    assert_eq!(hidden.says_as(&mut w, 1, REAL, "a slip"), "403");
    assert_eq!(hidden.says_as(&mut w, 2, ANONYMOUS, "hidden still"), "200");
}
