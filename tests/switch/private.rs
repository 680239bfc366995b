//! Private messages: who can take them, and what the sender hears when they do not arrive.

use crate::world::{Person, ROOM, World, terms};
use openmsrp::room::policy::Policy;
use openmsrp::shard::message::{Terms, ToShard};

/// Terms of an endpoint whose SDP says this of private messages.
fn declares(name: &str, private_messages: Option<bool>) -> Terms {
    Terms { private_messages, ..terms(name) }
}

/// Writes privately, and gives the code of the answer.
fn whispers(w: &mut World, from: &Person, n: u32, to: &str) -> String {
    let text = from.wrapped("psst").replace(ROOM, &format!("sip:{to}@example.com"));
    w.write(from.end, &from.message(n, "", &text));
    from.answers(w).remove(0).1
}

fn revised(w: &mut World, who: &Person, private_messages: Option<bool>) {
    let (endpoint, room) = (who.endpoint, crate::world::address(ROOM));
    let terms = Box::new(declares(&who.name, private_messages));
    w.tell(w.home(ROOM), ToShard::Revise { endpoint, room, terms, rebind: false });
}

#[test]
fn who_declares_nothing_gets_private_messages_and_who_declares_otherwise_does_not() {
    // CHAT-PRIV-03 CHAT-PRIV-05
    for (legacy, code, heard) in [(true, "200", 1), (false, "428", 0)] {
        let mut w = World::with(1, Policy { legacy_private_messages: legacy, ..Policy::default() });
        let alice = Person::enters(&mut w, "alice");
        let old = Person::enters_with(&mut w, 0, ROOM, "old", declares("old", None));
        let plain = Person::enters_with(&mut w, 0, ROOM, "plain", declares("plain", Some(false)));
        assert_eq!(whispers(&mut w, &alice, 1, "old"), code);
        assert_eq!(whispers(&mut w, &alice, 2, "plain"), "428");
        assert_eq!(whispers(&mut w, &alice, 3, "nobody"), "404");
        assert_eq!((old.hears(&mut w).len(), plain.hears(&mut w).len()), (heard, 0));
    }
}

#[test]
fn who_no_longer_declares_private_messages_has_switched_them_off() {
    // CHAT-JOIN-05
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let bob = Person::enters_with(&mut w, 0, ROOM, "bob", declares("bob", None));
    assert_eq!(whispers(&mut w, &alice, 1, "bob"), "200");
    revised(&mut w, &bob, Some(true));
    assert_eq!(whispers(&mut w, &alice, 2, "bob"), "200");
    revised(&mut w, &bob, None);
    assert_eq!(whispers(&mut w, &alice, 3, "bob"), "428");
    revised(&mut w, &bob, Some(true));
    assert_eq!(whispers(&mut w, &alice, 4, "bob"), "200");
    assert_eq!(bob.hears(&mut w).len(), 3);
}
