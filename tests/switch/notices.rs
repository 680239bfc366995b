//! What the switch says to one endpoint, in the room's name.

use crate::world::{Person, ROOM, World, address, terms};
use openmsrp::base::id::EndpointId;
use openmsrp::shard::message::{Notice, Terms, ToShard};
use openmsrp::wire::sdp::TypeList;

fn told(w: &mut World, endpoint: EndpointId, texts: &[&str]) {
    let texts = texts.iter().map(|t| (*t).to_owned()).collect();
    w.tell(
        w.home(ROOM),
        ToShard::Notice(Box::new(Notice { endpoint, room: address(ROOM), private: false, texts })),
    );
}

#[test]
fn a_notice_reaches_one_endpoint_as_status_messages_of_the_room() {
    // CHAT-JOIN-08
    for (shards, far) in [(1, false), (2, false), (2, true)] {
        let mut w = World::new(shards);
        let home = w.home(ROOM);
        let others: Vec<Person> = (0..3).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
        let end = w.connect(if far { 1 - home } else { home });
        w.write(end, b"MSRP stray1 SEND\r\nTo-Path: msrp://chat.example.com:2855/nobody;tcp\r\nFrom-Path: msrp://x:1/x;tcp\r\nMessage-ID: abcd\r\n-------stray1$\r\n");
        w.octets(end);
        let (endpoint, session) = w.invite_as(ROOM, "a", Some(terms("a")));
        let a = Person { name: "a".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end };
        a.binds(&mut w);
        assert_eq!(w.ends[end].at.unwrap().0, if far { 1 - home } else { home });
        told(&mut w, endpoint, &["This is a room.", "Two lines\r\nof text"]);
        let frames = w.frames(end);
        assert_eq!(frames.len(), 2);
        let head = format!(
            "From: <{ROOM}>\r\nTo: <{ROOM}>\r\nNS: agp <urn:ag-projects:xml:ns:cpim>\r\n\
             agp.Message-Type: status\r\n\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\n"
        );
        assert_eq!(frames[0].text(), format!("{head}This is a room."));
        assert_eq!(frames[1].text(), format!("{head}Two lines\r\nof text"));
        assert_eq!(frames[0].header("Failure-Report").as_deref(), Some("no"));
        assert_eq!(frames[0].header("Content-Type").as_deref(), Some("message/cpim"));
        assert!(others.iter().all(|p| p.octets_none(&mut w)));
        a.says(&mut w, 1, "well");
        assert_eq!(a.answers(&mut w).len(), 1, "the session goes on");
    }
}

#[test]
fn who_takes_no_text_or_is_gone_is_told_nothing() {
    // CHAT-MSG-12
    let limited = [
        Terms { may_receive: false, ..terms("a") },
        Terms { accepts: TypeList::parse("image/png"), ..terms("a") },
        Terms { max_size: Some(100), ..terms("a") },
    ];
    for terms in limited {
        let mut w = World::new(1);
        let a = Person::enters_with(&mut w, 0, ROOM, "a", terms);
        told(&mut w, a.endpoint, &["This is a room."]);
        assert!(a.octets_none(&mut w));
    }
    let mut w = World::new(1);
    let (endpoint, _) = w.invite_as(ROOM, "a", Some(terms("a")));
    told(&mut w, endpoint, &["too early"]);
    let b = Person::enters(&mut w, "b");
    b.leaves(&mut w);
    told(&mut w, b.endpoint, &["too late"]);
    assert!(b.octets_none(&mut w));
}

#[test]
fn whose_queue_is_long_is_told_that_something_was_left_out() {
    // CHAT-CONG-01
    let mut w = World::new(1);
    let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
    w.ends[a.end].stalled = true;
    let text = "x".repeat(8_000);
    for n in 0..60 {
        b.says(&mut w, n, &text);
    }
    told(&mut w, a.endpoint, &["This is a room."]);
    w.recover(a.end);
    let heard = a.hears(&mut w);
    assert!(heard.iter().all(|t| !t.contains("This is a room.")));
    assert!(heard.last().unwrap().contains("messages were left out"), "{}", heard.len());
}
