//! What people are told whose clients know no rooms.

use super::*;
use crate::shard::message::Notice;

const PLAIN: &str = "a=accept-wrapped-types:*\r\n";

/// A call whose description has these lines about rooms; what its room is told besides the Join.
fn enters(w: &mut World, name: &'static str, lines: &str, extra: &str) -> (Phone, Option<Notice>) {
    let offer = OFFER.replace("a=chatroom\r\n", lines);
    let tx = w.request(&invite(name, 1, extra, &offer));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let tag = w.response().to_tag.unwrap().into();
    let caller = Phone { name, seq: 1, tag, endpoint };
    w.ack(&caller, tx, "");
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    let notice = w.told.pop().map(|told| match told {
        ToShard::Notice(notice) => *notice,
        other => panic!("{other:?}"),
    });
    assert!(w.told.is_empty());
    (caller, notice)
}

#[test]
fn a_client_that_knows_no_rooms_is_told_once_where_it_is_and_who_is_there() {
    // CHAT-JOIN-08
    let mut w = World::new();
    for (name, lines) in [("alice", "a=chatroom\r\n"), ("bob", "a=chatroom:nickname\r\n")] {
        assert!(enters(&mut w, name, lines, "").1.is_none(), "{name} knows rooms");
    }
    enters(&mut w, "secret", "a=chatroom\r\n", "Privacy: id\r\n");
    let (carol, notice) = enters(&mut w, "carol", "", "");
    let notice = notice.unwrap();
    assert_eq!((notice.endpoint, notice.room.as_str()), (carol.endpoint, ROOM));
    assert_eq!(
        notice.texts,
        [
            "This is the chat room lobby. Whatever you write, everybody in it reads.",
            "4 in the room:\r\nalice <sip:alice@example.com>\r\nAnonymous <sip:anonymous1@anonymous.invalid>\r\n\
             bob <sip:bob@example.com>\r\ncarol <sip:carol@example.com>"
        ]
    );
    // A new session of the same call, and a nickname, are no reason to say it again.
    let endpoint = carol.endpoint;
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::Closed }));
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.input(Input::Shard(FromShard::Renamed { endpoint, nickname: Some("Cat".into()) }));
    assert!(w.told.is_empty());
}

#[test]
fn the_notice_tells_too_what_moderators_see() {
    // CHAT-JOIN-08 CHAT-JOIN-11
    let mut w = World::new();
    let config = Config { moderators_see_identity: true, ..w.focus.core.config.clone() };
    w.focus = Focus::new(config, Entropy::from_seed(1));
    let (_, notice) = enters(&mut w, "carol", "", "");
    assert!(notice.unwrap().texts[0].ends_with(" Moderators see who anonymous participants are."));
}

#[test]
fn who_was_called_by_the_room_is_told_if_the_answer_knows_no_rooms() {
    // CHAT-JOIN-08
    for knows in [true, false] {
        let mut w = World::new();
        w.call("alice");
        let (endpoint, id, _) = w.ringing();
        let answer = if knows { OFFER.to_owned() } else { OFFER.replace("a=chatroom\r\n", "") };
        w.input(Input::Answer { id, reply: picked_up(&answer) });
        w.revise();
        w.input(Input::Shard(FromShard::Bound { endpoint }));
        assert_eq!(w.told.iter().any(|t| matches!(t, ToShard::Notice(_))), !knows);
    }
}

#[test]
fn of_a_large_roster_the_first_are_named_and_the_others_counted() {
    // CHAT-JOIN-08 SEC-09
    let mut w = World::new();
    let long: &'static str = "n".repeat(200).leak();
    enters(&mut w, long, "a=chatroom\r\n", "");
    for n in 0..30 {
        let name: &'static str = format!("{}{n}", "m".repeat(100)).leak();
        enters(&mut w, name, "a=chatroom\r\n", "");
    }
    let (_, notice) = enters(&mut w, "carol", PLAIN, "");
    let text = notice.unwrap().texts.remove(1);
    assert!(text.starts_with("32 in the room:\r\ncarol <sip:carol@example.com>\r\nmmm"), "{text}");
    let named = text.lines().filter(|l| l.contains("<sip:")).count();
    assert!(text.ends_with(&format!("\r\nand {} more", 32 - named)), "{text}");
    assert!(
        (5..32).contains(&named) && text.len() <= limits::NOTICE_BYTES_MAX + 20,
        "{named} {}",
        text.len()
    );
}
