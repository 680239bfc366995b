//! Several shards: connections move to their session's shard, messages cross once, one order for all.

use crate::world::{Person, ROOM, World, address, terms};
use openmsrp::base::limits;
use openmsrp::shard::message::ToShard;

#[test]
fn a_small_room_is_whole_wherever_its_people_connect() {
    // CHAT-MSG-07
    for shards in [1, 2, 4] {
        let mut w = World::new(shards);
        let people: Vec<Person> = (0..12)
            .map(|i| Person::enters_at(&mut w, i % usize::from(shards), ROOM, &format!("p{i}")))
            .collect();
        let home = w.home(ROOM);
        for who in &people {
            assert_eq!(w.ends[who.end].at.unwrap().0, home, "connections move home");
        }
        let crossed = w.crossed;
        people[3].says(&mut w, 1, "hello");
        assert_eq!(w.crossed, crossed, "a room on one shard never uses the mesh");
        for (i, who) in people.iter().enumerate() {
            assert_eq!(who.hears(&mut w).len(), usize::from(i != 3));
        }
    }
}

/// A room so large that it is spread over the shards.
fn big(shards: u16) -> (World, Vec<Person>) {
    let mut w = World::new(shards);
    let n = limits::ROOM_ONE_SHARD_ENDPOINTS * 2;
    let people = (0..n).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
    (w, people)
}

#[test]
fn a_big_room_has_one_order_and_crosses_each_border_once() {
    // CHAT-MSG-14 MSRP-TXN-01
    for shards in [2, 4] {
        let (mut w, people) = big(shards);
        let place = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
        let mut per_shard = vec![0; usize::from(shards)];
        people.iter().for_each(|p| per_shard[place(&w, p)] += 1);
        assert!(per_shard.iter().all(|n| *n > 50), "spread: {per_shard:?}");
        let home = w.home(ROOM);
        let local = people.iter().position(|p| place(&w, p) == home).unwrap();
        let remote = people.iter().position(|p| place(&w, p) != home).unwrap();

        let crossed = w.crossed;
        people[local].says(&mut w, 1, "from home");
        assert_eq!(w.crossed - crossed, usize::from(shards) - 1, "once to each other shard");
        let crossed = w.crossed;
        people[remote].says(&mut w, 1, "from afar");
        // There; back to the sender as the verdict; to every other shard once.
        assert_eq!(w.crossed - crossed, usize::from(shards) + 1);
        assert_eq!(people[remote].answers(&mut w).len(), 1);

        for n in 0..20 {
            people[[local, remote][n % 2]].says(&mut w, 10 + n as u32, &format!("{n}"));
        }
        let orders: Vec<Vec<String>> = people.iter().map(|p| p.hears(&mut w)).collect();
        let reader = (0..people.len()).find(|i| *i != local && *i != remote).unwrap();
        for (i, order) in orders.iter().enumerate() {
            if i != local && i != remote {
                assert_eq!(*order, orders[reader]);
                assert_eq!(order.len(), 22);
            }
        }
    }
}

#[test]
fn a_refusal_comes_back_across_the_border() {
    // CHAT-CHUNK-09 CHAT-REP-02
    let (mut w, people) = big(2);
    let home = w.home(ROOM);
    let remote = people.iter().find(|p| w.ends[p.end].at.unwrap().0 != home).unwrap().clone();
    let private = remote.wrapped("psst").replace(ROOM, "sip:nobody@example.com");
    w.write(remote.end, &remote.message(1, "", &private));
    assert_eq!(remote.answers(&mut w), [("t0000001".into(), "404".into())]);
    let (one, two) = private.as_bytes().split_at(private.len() - 2);
    w.write(remote.end, &remote.chunk("aaaa", "mmmm", "1-*/*", one, '+'));
    w.write(remote.end, &remote.chunk("bbbb", "mmmm", &format!("{}-*/*", one.len() + 1), two, '$'));
    assert_eq!(remote.answers(&mut w).iter().map(|a| a.1.as_str()).collect::<Vec<_>>(), ["404", "404"]);
    let body = remote.wrapped("please confirm");
    w.write(remote.end, &remote.message(2, "Success-Report: yes\r\nFailure-Report: no\r\n", &body));
    let frames = w.frames(remote.end);
    assert_eq!((frames.len(), frames[0].what.as_str()), (1, "REPORT"));
}

#[test]
fn a_great_body_crosses_borders_part_by_part() {
    // CHAT-CHUNK-01
    let (mut w, people) = big(2);
    let home = w.home(ROOM);
    let remote = people.iter().find(|p| w.ends[p.end].at.unwrap().0 != home).unwrap().clone();
    let text = remote.wrapped(&"0123456789abcdef".repeat(20_000));
    let request = remote.chunk("aaaa", "huge", "1-*/*", text.as_bytes(), '$');
    for part in request.chunks(limits::READ_BYTES) {
        w.write(remote.end, part);
    }
    assert_eq!(remote.answers(&mut w), [("aaaa".into(), "200".into())]);
    for who in people.iter().filter(|p| p.endpoint != remote.endpoint) {
        assert_eq!(who.hears(&mut w).concat(), text);
    }
}

#[test]
fn a_connection_that_cannot_move_gets_the_session_instead() {
    // MSRP-CONN-01
    let mut w = World::new(2);
    // Two rooms with different homes, both entered over one connection.
    let (here, there) = (w.room_at(0), w.room_at(1));
    let a1 = Person::enters_at(&mut w, 0, &here, "a");
    let (endpoint, session) = w.invite_as(&there, "a", Some(terms("a")));
    let a2 =
        Person { name: "a".into(), room: there.clone(), endpoint, session: session.unwrap(), end: a1.end };
    a2.binds(&mut w);
    let b1 = Person::enters_at(&mut w, 1, &here, "b");
    let b2 = Person::enters_at(&mut w, 1, &there, "b");
    a2.says(&mut w, 1, "across");
    assert_eq!(a2.answers(&mut w), [("t0000001".into(), "200".into())]);
    assert_eq!(b2.hears(&mut w), [a2.wrapped("across")]);
    b2.says(&mut w, 1, "and back");
    b1.says(&mut w, 2, "from the first room");
    let frames = w.frames(a1.end);
    let texts: Vec<String> = frames.iter().map(|f| f.text()).collect();
    assert_eq!(texts, [b2.wrapped("and back"), b1.wrapped("from the first room")]);
    // A session that somebody else has, and one that nobody has, on the other shard.
    w.write(a1.end, &b2.request("thief", "SEND", "", None, '$'));
    assert_eq!(w.frames(a1.end)[0].what, "506");
    a2.leaves(&mut w);
    assert_eq!(w.cores[1].rooms(), 1);
    b1.says(&mut w, 3, "still there");
    assert_eq!(w.frames(a1.end).len(), 1);
}

#[test]
fn leaving_while_the_connection_is_being_bound_leaves_nothing_behind() {
    let mut w = World::new(2);
    let home = w.home(ROOM);
    let (endpoint, session) = w.invite_as(ROOM, "a", Some(terms("a")));
    w.tell(home, ToShard::Leave { endpoint, room: address(ROOM) });
    let end = w.connect(1 - home);
    let a = Person { name: "a".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end };
    w.write(end, &a.request("late", "SEND", "", None, '$'));
    assert_eq!(w.frames(end)[0].what, "481");
    assert!(w.cores.iter().all(|c| c.rooms() == 0 && c.sessions() == 0));
}

#[test]
fn many_messages_without_a_verdict_stop_the_reading_and_none_is_lost() {
    // SEC-05
    let (mut w, people) = big(2);
    let home = w.home(ROOM);
    let remote = people.iter().find(|p| w.ends[p.end].at.unwrap().0 != home).unwrap().clone();
    let burst: Vec<u8> =
        (0..200).flat_map(|n| remote.message(n, "", &remote.wrapped(&n.to_string()))).collect();
    w.write(remote.end, &burst);
    assert_eq!(remote.answers(&mut w).len(), 200);
    let reader = people.iter().find(|p| p.endpoint != remote.endpoint).unwrap();
    let heard = reader.hears(&mut w);
    let sent: Vec<String> = (0..200).map(|n: u32| remote.wrapped(&n.to_string())).collect();
    assert_eq!(heard, sent);
}

#[test]
fn a_sender_waits_for_recipients_on_other_shards_too() {
    // CHAT-CHUNK-10
    use openmsrp::base::chunk::Flag;
    use openmsrp::shard::core::Flow;
    let (mut w, people) = big(2);
    let home = w.home(ROOM);
    let place = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
    let local = people.iter().find(|p| place(&w, p) == home).unwrap().clone();
    let far: Vec<Person> = people.iter().filter(|p| place(&w, p) != home).cloned().collect();
    for sender in [&local, &far[0]] {
        let slow = &far[1];
        let text = sender.wrapped(&"x".repeat(1_000_000));
        let request = sender.chunk("aaaa", "huge", "1-*/*", text.as_bytes(), '$');
        w.ends[slow.end].stalled = true;
        let mut got = Vec::new();
        for part in request.chunks(limits::READ_BYTES) {
            w.write(sender.end, part);
            if w.ends[sender.end].flow == Some(Flow::Wait) {
                // Held: it stays so until the slow one takes what waits for it.
                w.recover(slow.end);
                got.extend(w.frames(slow.end));
                assert_ne!(w.ends[sender.end].flow, Some(Flow::Wait));
                w.ends[slow.end].stalled = true;
            }
        }
        w.recover(slow.end);
        got.extend(w.frames(slow.end));
        assert_eq!(got.last().unwrap().flag, Flag::End, "finished, because it took what it got");
        assert_eq!(got.iter().map(|f| f.text()).collect::<String>(), text);
        people.iter().for_each(|p| drop(w.octets(p.end)));
    }
}

#[test]
fn private_messages_and_nicknames_cross_borders() {
    // CHAT-PRIV-01 CHAT-NICK-01 CHAT-NICK-10
    let (mut w, people) = big(2);
    let home = w.home(ROOM);
    let place = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
    let local = people.iter().find(|p| place(&w, p) == home).unwrap().clone();
    let far: Vec<Person> = people.iter().filter(|p| place(&w, p) != home).cloned().collect();
    for (from, to) in [(&local, &far[0]), (&far[0], &local), (&far[0], &far[1])] {
        let text = from.wrapped("psst").replace(ROOM, &format!("sip:{}@example.com", to.name));
        w.write(from.end, &from.message(1, "", &text));
        assert_eq!(from.answers(&mut w), [("t0000001".into(), "200".into())]);
        assert_eq!(to.hears(&mut w), [text]);
        assert!(people.iter().all(|p| p.octets_none(&mut w)));
    }
    for (who, code) in [(&far[0], "200"), (&local, "425"), (&far[1], "425")] {
        w.write(who.end, &who.request("nick", "NICKNAME", "Use-Nickname: \"Rabbit\"\r\n", None, '$'));
        assert_eq!(who.answers(&mut w), [("nick".into(), code.into())]);
    }
}
