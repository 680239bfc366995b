//! The list of public rooms: who is told what, when, and how much of it.

use super::*;

const ROOMS: &str = "sip:rooms@chat.example";

/// Subscribes to the list; the first notice.
fn watch(w: &mut World, n: u32) -> conference::RosterUpdate {
    let text = subscribe("").replace(ROOM, ROOMS).replacen("z9hG4bK", &format!("z9hG4bK{n}"), 1);
    w.request(&text.replacen("Call-ID: ", &format!("Call-ID: n{n}"), 1));
    assert_eq!(w.response().code, 200);
    w.notice().1
}

fn rooms(update: &conference::RosterUpdate) -> Vec<(&str, Option<u32>)> {
    update.listed.iter().map(|room| (room.entity.as_str(), room.user_count)).collect()
}

#[test]
fn whoever_subscribes_is_told_the_public_rooms_and_what_becomes_of_them() {
    // CONF-02
    let mut w = World::new();
    let mut alice = w.call("alice");
    let first = watch(&mut w, 1);
    assert_eq!((first.entity.as_str(), first.display_text.as_deref()), (ROOMS, Some("Public rooms")));
    assert_eq!((rooms(&first), &first.note), (vec![(ROOM, Some(1))], &None));
    let mut bob = w.call("bob");
    w.pass(Duration::from_secs(10));
    assert_eq!(rooms(&w.notice().1), [(ROOM, Some(2))], "what changed is told without asking");
    for caller in [&mut alice, &mut bob] {
        w.request(&caller.next("BYE"));
        assert_eq!(w.response().code, 200);
    }
    w.pass(Duration::from_secs(10));
    let last = w.notice().1;
    assert_eq!((last.state, rooms(&last)), (State::Full, vec![]));
    assert!(w.focus.rosters.directory.changes(&Address::parse(ROOMS).unwrap()) == 0, "nothing is kept");
}

#[test]
fn a_room_that_is_not_public_is_not_listed() {
    // SEC-11
    let mut w = World::new();
    w.focus.core.config.rooms = Arc::new(Rooms::from(Policy { public: false, ..policy() }));
    let _alice = w.call("alice");
    assert_eq!(rooms(&watch(&mut w, 1)), []);
}

#[test]
fn a_room_whose_name_nobody_can_guess_is_not_listed() {
    // SEC-11 FOCUS-07
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER).replace("sip:lobby@", "sip:conference@"));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    assert_eq!(w.response().code, 200);
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.sent.clear();
    assert_eq!(rooms(&watch(&mut w, 1)), []);
    let _bob = w.call("bob");
    w.pass(Duration::from_secs(10));
    assert_eq!(rooms(&w.notice().1), [(ROOM, Some(1))], "others are");
}

#[test]
fn the_list_is_no_room() {
    // FOCUS-03
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER).replace(ROOM, ROOMS));
    let no = w.response();
    assert!(no.code == 403 && no.headers.get("Warning").unwrap().contains("subscribe to it"), "{no:?}");
    w.focus.core.config.directory = String::new();
    w.request(&invite("bob", 1, "", OFFER).replace(ROOM, ROOMS));
    assert_eq!(w.join().room.as_str(), ROOMS, "unless there is none");
}

#[test]
fn of_very_many_rooms_the_largest_are_told_and_how_many_there_are() {
    let mut directory = Directory::new("rooms");
    let at = Address::parse(ROOMS).unwrap();
    let subject: Arc<str> = "s".repeat(500).into();
    for n in 0..5000_usize {
        let room = Address::parse(&format!("sip:room{n}@chat.example")).unwrap();
        let news = directory.list(&room, n % 1000, &"".into());
        assert_eq!(news.as_ref(), Some(&at));
        assert_eq!(directory.list(&room, n % 1000, &"".into()), None, "no change is no news");
    }
    let elsewhere = Address::parse("sip:room@other.example").unwrap();
    assert_eq!(directory.list(&elsewhere, 9999, &subject).unwrap().as_str(), "sip:rooms@other.example");
    let read = |text: &str| {
        let mut whole = String::new();
        conference::begin(&mut whole, ROOMS, true, 1);
        conference::read((whole + text).as_bytes()).unwrap()
    };
    let told = read(&directory.tell(&at));
    assert_eq!(
        (told.listed.len(), told.note.as_deref()),
        (150, Some("The 150 largest of 5000 public rooms."))
    );
    assert_eq!(told.listed[0].user_count, Some(999));
    assert_eq!(told.listed[149].user_count, Some(970));
    for n in 0..5000_usize {
        let room = Address::parse(&format!("sip:room{n}@chat.example")).unwrap();
        directory.list(&room, n % 1000, &subject);
    }
    let text = directory.tell(&at);
    assert!(text.len() < limits::SIP_DATAGRAM_BYTES_MAX - 8192, "{}", text.len());
    let told = read(&text);
    let note = format!("The {} largest of 5000 public rooms.", told.listed.len());
    assert!(told.listed.len() > 50 && told.note == Some(note));
    assert_eq!(told.listed[0].subject.as_deref(), Some(&*subject));
}
