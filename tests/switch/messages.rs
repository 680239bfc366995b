//! Regular messages, answers, reports, refusals.

use crate::world::{Person, ROOM, World, address, terms};
use openmsrp::base::chunk::Flag;
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use openmsrp::shard::message::ToShard;
use openmsrp::wire::sdp::TypeList;

fn room_of(n: usize) -> (World, Vec<Person>) {
    let mut w = World::new(1);
    let people = (0..n).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
    (w, people)
}

#[test]
fn a_message_reaches_everybody_else_octet_for_octet() {
    // CHAT-MSG-07 CHAT-MSG-09 CHAT-MSG-10 MSRP-TXN-01 CHAT-REP-01
    let (mut w, p) = room_of(5);
    let odd = "From: \"P \\\"0\\\"\" <sip:p0@example.com;transport=tcp>\r\nTo: Room <sip:lobby@chat.example.com>\r\n\
               X-Odd: \u{fc}ber  two blanks\r\nNS: my <urn:x>\r\nmy.Thing: a\r\n\r\nContent-type: text/plain\r\n\r\nHi \u{1f600}\r\n";
    w.write(p[0].end, &p[0].message(1, "", odd));
    assert_eq!(p[0].answers(&mut w), [("t0000001".into(), "200".into())]);
    let mut ids = Vec::new();
    for who in &p[1..] {
        let frames = w.frames(who.end);
        assert_eq!(frames.len(), 1);
        let f = &frames[0];
        assert_eq!((f.what.as_str(), f.text().as_str(), f.flag), ("SEND", odd, Flag::End));
        assert_eq!(f.to_path, crate::world::peer_path(&who.name), "to the recipient's own path");
        assert_eq!(f.from_path, who.our_uri(), "from the recipient's own session");
        assert_eq!(f.range, format!("1-{0}/{0}", odd.len()));
        assert_ne!(f.message_id, "m1abc", "the sender's Message-ID is not reused");
        assert!(f.tid.len() >= 11);
        ids.push(f.message_id.clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn everybody_sees_one_order() {
    // CHAT-MSG-14
    let (mut w, p) = room_of(4);
    for n in 0..50 {
        p[n as usize % 4].says(&mut w, n, &format!("message {n}"));
    }
    let heard: Vec<Vec<String>> = p.iter().map(|who| who.hears(&mut w)).collect();
    for (i, mine) in heard.iter().enumerate() {
        let expected: Vec<String> =
            (0..50).filter(|n| n % 4 != i).map(|n| p[n % 4].wrapped(&format!("message {n}"))).collect();
        assert_eq!(*mine, expected);
    }
}

#[test]
fn what_is_not_wrapped_is_refused_and_goes_nowhere() {
    // CHAT-MSG-01 MSRP-TYPE-01
    let (mut w, p) = room_of(2);
    let headers = "Message-ID: m1ab\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n";
    w.write(p[0].end, &p[0].request("aaaa", "SEND", headers, Some(b"hello"), '$'));
    assert_eq!(p[0].answers(&mut w), [("aaaa".into(), "415".into())]);
    assert!(p[1].hears(&mut w).is_empty());
    p[0].says(&mut w, 2, "still here");
    assert_eq!(p[1].hears(&mut w).len(), 1, "the connection stays usable");
}

#[test]
fn nobody_speaks_as_somebody_else() {
    // CHAT-MSG-03 SEC-03
    let (mut w, p) = room_of(3);
    let forged = p[1].wrapped("I am p1, honestly");
    w.write(p[0].end, &p[0].message(1, "", &forged));
    assert_eq!(p[0].answers(&mut w), [("t0000001".into(), "403".into())]);
    w.write(p[0].end, &p[0].message(2, "Failure-Report: no\r\n", &forged));
    assert!(p[0].answers(&mut w).is_empty(), "nothing at all is said");
    assert!(p[1].hears(&mut w).is_empty() && p[2].hears(&mut w).is_empty());
}

#[test]
fn a_wrapper_that_cannot_be_read_is_refused() {
    // CHAT-MSG-06 CHAT-PRIV-05
    let (mut w, p) = room_of(2);
    let bad = ["no wrapper", "To: <sip:lobby@chat.example.com>\r\n\r\nContent-Type: text/plain\r\n\r\nx", ""];
    for (n, body) in bad.iter().enumerate() {
        w.write(p[0].end, &p[0].message(n as u32, "", body));
        assert_eq!(p[0].answers(&mut w)[0].1, "400", "{body:?}");
    }
    let two = p[0].wrapped("x").replace("To:", "To: <sip:p1@example.com>\r\nTo:");
    w.write(p[0].end, &p[0].message(9, "", &two));
    assert_eq!(p[0].answers(&mut w)[0].1, "403");
    assert!(p[1].hears(&mut w).is_empty());
}

#[test]
fn a_private_message_reaches_one_participant_on_all_able_devices_and_nobody_else() {
    // CHAT-PRIV-01 CHAT-PRIV-02 CHAT-PRIV-03
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let (phone, desk) = (Person::enters(&mut w, "bob"), Person::enters(&mut w, "bob"));
    let mut plain = terms("bob");
    plain.private_messages = Some(false);
    let old = Person::enters_with(&mut w, 0, ROOM, "bob", plain.clone());
    let carol = Person::enters(&mut w, "carol");
    let dave = Person::enters_with(&mut w, 0, ROOM, "dave", plain);
    let to = |who: &str| alice.wrapped("psst").replace(ROOM, &format!("sip:{who}@example.com"));
    for (n, (who, code)) in [("bob", "200"), ("bod", "404"), ("dave", "428")].into_iter().enumerate() {
        w.write(alice.end, &alice.message(n as u32, "", &to(who)));
        assert_eq!(alice.answers(&mut w)[0].1, code, "{who}");
    }
    assert_eq!((phone.hears(&mut w), desk.hears(&mut w)), (vec![to("bob")], vec![to("bob")]));
    for nobody in [&old, &carol, &dave, &alice] {
        assert!(nobody.hears(&mut w).is_empty());
    }
}

#[test]
fn a_long_private_message_stays_private_to_its_end() {
    // CHAT-CHUNK-07 CHAT-PRIV-01
    let (mut w, p) = room_of(3);
    let text = p[0].wrapped(&"secret ".repeat(30_000)).replace(ROOM, "sip:p1@example.com");
    let request = p[0].chunk("aaaa", "long", "1-*/*", text.as_bytes(), '$');
    for part in request.chunks(65_536) {
        w.write(p[0].end, part);
    }
    assert_eq!(p[1].hears(&mut w).concat(), text);
    assert!(p[2].octets_none(&mut w));
    // Left unfinished, it ends with a hash for its recipient alone.
    w.write(p[0].end, &p[0].chunk("bbbb", "more", "1-*/*", &text.as_bytes()[..500], '+'));
    w.hang_up(p[0].end);
    assert_eq!(w.frames(p[1].end).last().unwrap().flag, Flag::Abort);
    assert!(p[2].octets_none(&mut w));
}

#[test]
fn the_report_about_a_private_message_says_between_whom_it_was() {
    // CHAT-REP-05
    let (mut w, p) = room_of(2);
    let private = p[0].wrapped("only for you").replace(ROOM, "sip:p1@example.com");
    w.write(p[0].end, &p[0].message(1, "Success-Report: yes\r\nFailure-Report: no\r\n", &private));
    let (one, two) = private.as_bytes().split_at(90);
    let chunk = |tid, range: &str, body, flag| {
        let m = p[0].chunk(tid, "cut1", range, body, flag);
        String::from_utf8(m).unwrap().replace("Content-Type: m", "Success-Report: yes\r\nContent-Type: m")
    };
    w.write(p[0].end, chunk("aaaa", "1-*/*", one, '+').as_bytes());
    w.write(p[0].end, chunk("bbbb", "91-*/*", two, '$').as_bytes());
    let reports: Vec<_> = w.frames(p[0].end).into_iter().filter(|f| f.what == "REPORT").collect();
    assert_eq!(reports.len(), 2);
    for report in reports {
        let about = report.text();
        assert!(
            about.starts_with("From: <sip:p0@example.com>\r\nTo: <sip:p1@example.com>\r\n\r\n"),
            "{about}"
        );
        assert!(about.ends_with("Content-Type: text/plain\r\n\r\n"), "{about}");
        assert_eq!(report.header("Content-Type").as_deref(), Some("message/cpim"));
    }
}

#[test]
fn nicknames_are_reserved_refused_changed_and_removed() {
    // CHAT-NICK-01 CHAT-NICK-03 CHAT-NICK-04 CHAT-NICK-07 CHAT-NICK-08
    use openmsrp::shard::message::FromShard;
    let (mut w, p) = room_of(2);
    let mut ask = |who: &Person, value: &str| {
        let header = format!("Use-Nickname: {value}\r\nFailure-Report: no\r\n");
        w.write(who.end, &who.request("nick", "NICKNAME", &header, None, '$'));
        let code = who.answers(&mut w).remove(0).1;
        let told = w.control.iter().rev().find_map(|e| match e {
            FromShard::Renamed { nickname, .. } => Some(nickname.as_deref().map(str::to_owned)),
            _ => None,
        });
        w.control.clear();
        (code, told)
    };
    assert_eq!(ask(&p[0], "\"White  Rabbit\""), ("200".into(), Some(Some("White Rabbit".into()))));
    assert_eq!(ask(&p[1], "\"white rabbit\""), ("425".into(), None));
    assert_eq!(ask(&p[1], "\"broken"), ("424".into(), None));
    assert_eq!(ask(&p[1], "\"   \""), ("424".into(), None));
    assert_eq!(ask(&p[1], "Alice"), ("200".into(), Some(Some("Alice".into()))));
    assert_eq!(ask(&p[0], "\"\""), ("200".into(), Some(None)));
    assert_eq!(ask(&p[1], "\"White Rabbit\""), ("425".into(), None), "kept for a while");
}

#[test]
fn failure_report_decides_who_is_answered() {
    // MSRP-TXN-03 MSRP-TXN-04 CHAT-REP-02
    let (mut w, p) = room_of(2);
    let good = p[0].wrapped("hello");
    w.write(p[0].end, &p[0].message(1, "Failure-Report: no\r\n", &good));
    w.write(p[0].end, &p[0].message(2, "Failure-Report: partial\r\n", &good));
    assert!(p[0].answers(&mut w).is_empty());
    assert_eq!(p[1].hears(&mut w).len(), 2, "both were distributed");
    w.write(p[0].end, &p[0].message(3, "Failure-Report: partial\r\n", "rubbish"));
    assert_eq!(p[0].answers(&mut w), [("t0000003".into(), "400".into())]);
}

#[test]
fn the_switch_reports_its_own_reception() {
    // CHAT-REP-03 MSRP-REP-01 MSRP-REP-02 MSRP-REP-03
    let (mut w, p) = room_of(2);
    let body = p[0].wrapped("please confirm");
    w.write(p[0].end, &p[0].message(1, "Success-Report: yes\r\nFailure-Report: no\r\n", &body));
    let frames = w.frames(p[0].end);
    assert_eq!(frames.len(), 1, "a REPORT but no 200");
    let report = &frames[0];
    assert_eq!((report.what.as_str(), report.message_id.as_str()), ("REPORT", "m1abc"));
    assert_eq!(report.range, format!("1-{0}/{0}", body.len()));
    assert_eq!(report.header("Status").as_deref(), Some("000 200 OK"));
    assert_eq!((report.body.clone(), report.flag), (None, Flag::End));
    w.write(p[0].end, &p[0].message(2, "Success-Report: yes\r\n", "rubbish"));
    let whats: Vec<String> = w.frames(p[0].end).into_iter().map(|f| f.what).collect();
    assert_eq!(whats, ["400"], "what is refused is not reported as received");
}

#[test]
fn a_report_goes_back_along_the_whole_path_and_an_answer_one_hop() {
    // MSRP-TXN-02 MSRP-REP-02
    let (mut w, p) = room_of(2);
    let path = "msrp://relay.example.com:9000/T2g;tcp msrp://p0.example.com:2855/p00123456789;tcp";
    let body = p[0].wrapped("via a relay");
    let m = p[0].message(1, "Success-Report: yes\r\n", &body);
    let m = String::from_utf8(m).unwrap().replace(&crate::world::peer_path("p0"), path);
    w.write(p[0].end, m.as_bytes());
    let frames = w.frames(p[0].end);
    assert_eq!(frames[0].to_path, "msrp://relay.example.com:9000/T2g;tcp");
    assert_eq!(frames[1].to_path, path);
    let nickname = p[0].request("bbbb", "NICKNAME", "Use-Nickname: \"x\"\r\n", None, '$');
    w.write(
        p[0].end,
        String::from_utf8(nickname).unwrap().replace(&crate::world::peer_path("p0"), path).as_bytes(),
    );
    assert_eq!(w.frames(p[0].end)[0].to_path, path, "others go back the whole way");
}

#[test]
fn reports_are_silent_and_end_here() {
    // CHAT-REP-04 MSRP-TXN-05 MSRP-REP-05
    let (mut w, p) = room_of(2);
    let report = "Message-ID: xxxx\r\nByte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n";
    w.write(p[0].end, &p[0].request("aaaa", "REPORT", report, None, '$'));
    w.write(p[0].end, &p[0].request("bbbb", "REPORT", "Status: nonsense\r\n", None, '$'));
    assert!(w.frames(p[0].end).is_empty() && w.frames(p[1].end).is_empty());
}

#[test]
fn unknown_methods_and_unwanted_nicknames_are_refused_and_the_connection_lives() {
    // MSRP-TXN-08 CHAT-NICK-02
    let mut w = World::with(1, Policy { nicknames: false, ..Policy::default() });
    let p = [Person::enters(&mut w, "p0"), Person::enters(&mut w, "p1")];
    w.write(p[0].end, &p[0].request("aaaa", "PONDER", "", None, '$'));
    w.write(p[0].end, &p[0].request("bbbb", "NICKNAME", "Use-Nickname: \"Rabbit\"\r\n", None, '$'));
    w.write(p[0].end, &p[0].request("cccc", "PONDER", "Failure-Report: no\r\n", None, '$'));
    let answers = p[0].answers(&mut w);
    assert_eq!(answers, [("aaaa".into(), "501".into()), ("bbbb".into(), "403".into())]);
    p[0].says(&mut w, 1, "x");
    assert_eq!(p[1].hears(&mut w).len(), 1);
}

#[test]
fn other_requests_than_send_have_small_bodies() {
    // MSRP-FRAME-18
    let (mut w, p) = room_of(1);
    for (size, code) in [(10_240, "200"), (10_241, "413")] {
        let body = vec![b'x'; size];
        let headers = "Use-Nickname: \"x\"\r\nContent-Type: text/plain\r\n";
        w.write(p[0].end, &p[0].request("aaaa", "NICKNAME", headers, Some(&body), '$'));
        assert_eq!(p[0].answers(&mut w)[0].1, code, "{size} octets");
    }
}

#[test]
fn a_malformed_request_is_answered_and_the_next_one_is_framed() {
    // MSRP-FRAME-17 MSRP-CHUNK-01
    let (mut w, p) = room_of(2);
    let bad = [
        "Byte-Range: 0-5/5\r\nMessage-ID: m1ab\r\nContent-Type: message/cpim\r\n",
        "Byte-Range: 1-5/5\r\nContent-Type: message/cpim\r\n",
        " folded: x\r\nMessage-ID: m1ab\r\nContent-Type: message/cpim\r\n",
    ];
    for headers in bad {
        w.write(p[0].end, &p[0].request("aaaa", "SEND", headers, Some(b"hello"), '$'));
        assert_eq!(p[0].answers(&mut w), [("aaaa".into(), "400".into())], "{headers:?}");
    }
    p[0].says(&mut w, 1, "fine again");
    assert_eq!(p[1].hears(&mut w).len(), 1);
}

#[test]
fn who_does_not_take_a_type_or_size_gets_no_copy() {
    // CHAT-MSG-11 MSRP-TYPE-03 SDP-10 SDP-11
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let mut picky = terms("picky");
    picky.accepts = TypeList::parse("text/html image/*");
    let picky = Person::enters_with(&mut w, 0, ROOM, "picky", picky);
    let mut small = terms("small");
    small.max_size = Some(150);
    let small = Person::enters_with(&mut w, 0, ROOM, "small", small);
    let mut deaf = terms("deaf");
    deaf.may_receive = false;
    let deaf = Person::enters_with(&mut w, 0, ROOM, "deaf", deaf);
    alice.says(&mut w, 1, "short");
    alice.says(&mut w, 2, &"long".repeat(50));
    assert_eq!(alice.answers(&mut w).len(), 2, "the sender is not told");
    assert_eq!(picky.hears(&mut w).len(), 0);
    assert_eq!(small.hears(&mut w).len(), 1);
    assert_eq!(deaf.hears(&mut w).len(), 0);
    let image = alice.wrapped("x").replace("text/plain", "IMAGE/png;a=b");
    w.write(alice.end, &alice.message(3, "", &image));
    assert_eq!(picky.hears(&mut w).len(), 1);
}

#[test]
fn who_may_only_listen_cannot_speak_but_may_type_and_confirm() {
    // SDP-11
    let mut w = World::new(1);
    let mut mute = terms("mute");
    mute.may_send = false;
    let mute = Person::enters_with(&mut w, 0, ROOM, "mute", mute);
    let other = Person::enters(&mut w, "other");
    mute.says(&mut w, 1, "x");
    assert_eq!(mute.answers(&mut w)[0].1, "403");
    let typing = mute.wrapped("x").replace("text/plain", "application/im-iscomposing+xml");
    w.write(mute.end, &mute.message(2, "", &typing));
    assert_eq!(mute.answers(&mut w)[0].1, "200");
    assert_eq!(other.hears(&mut w).len(), 1);
}

#[test]
fn a_recipients_refusal_touches_only_that_recipient() {
    // CHAT-REP-07 CHAT-REP-08
    let (mut w, p) = room_of(4);
    p[0].says(&mut w, 1, "hello");
    let copy = w.frames(p[1].end).remove(0);
    let answer = |f: &crate::world::Frame, code: &str| {
        format!(
            "MSRP {} {code}\r\nTo-Path: {}\r\nFrom-Path: {}\r\n-------{}$\r\n",
            f.tid, f.from_path, f.to_path, f.tid
        )
    };
    w.write(p[1].end, answer(&copy, "415 no plain text").as_bytes());
    let copy = w.frames(p[2].end).remove(0);
    w.write(p[2].end, answer(&copy, "481 gone").as_bytes());
    assert_eq!(w.frames(p[0].end).len(), 1, "the sender hears nothing but its 200");
    p[3].hears(&mut w);
    p[0].says(&mut w, 2, "again");
    assert_eq!(p[1].hears(&mut w).len(), 0, "refused the type");
    assert_eq!(p[2].hears(&mut w).len(), 0, "has no session");
    assert_eq!(p[3].hears(&mut w).len(), 1);
    let lost = w.control.iter().any(|e| format!("{e:?}").contains("Disowned"));
    assert!(lost, "the focus learns that the session is gone");
}

#[test]
fn copies_ask_for_errors_in_small_rooms_and_for_nothing_in_large_ones() {
    // CHAT-REP-06
    let mut w = World::with(1, Policy { copy_report_endpoints_max: 2, ..Policy::default() });
    let a = Person::enters(&mut w, "a");
    let b = Person::enters(&mut w, "b");
    a.says(&mut w, 1, "x");
    let copy = w.frames(b.end).remove(0);
    assert_eq!(copy.header("Failure-Report").as_deref(), Some("partial"));
    assert_eq!(copy.header("Success-Report"), None);
    let _c = Person::enters(&mut w, "c");
    a.says(&mut w, 2, "x");
    let copy = w.frames(b.end).remove(0);
    assert_eq!(copy.header("Failure-Report").as_deref(), Some("no"));
    assert_eq!(copy.header("Success-Report"), None);
}

#[test]
fn the_senders_other_device_hears_it_and_the_sending_one_does_not() {
    // CHAT-MSG-08
    let mut w = World::new(1);
    let phone = Person::enters(&mut w, "alice");
    let desk = Person::enters(&mut w, "alice");
    phone.says(&mut w, 1, "from the phone");
    assert!(phone.hears(&mut w).is_empty());
    assert_eq!(desk.hears(&mut w).len(), 1);
}

#[test]
fn a_body_may_hold_anything_but_its_own_end_line() {
    // MSRP-FRAME-10 MSRP-CHUNK-13
    let (mut w, p) = room_of(2);
    let mut text = String::from("-------abcd1234$\r\n-------\r\n");
    text.extend((0..128_u8).map(char::from));
    p[0].says(&mut w, 1, &text);
    assert_eq!(p[1].hears(&mut w), [p[0].wrapped(&text)]);
}

#[test]
fn empty_bodies_are_messages_and_bodiless_requests_are_not() {
    // CHAT-MSG-02 MSRP-FRAME-07
    let (mut w, p) = room_of(2);
    w.write(p[0].end, &p[0].request("aaaa", "SEND", "Message-ID: keep\r\n", None, '$'));
    w.write(p[0].end, &p[0].request("bbbb", "SEND", "", None, '$'));
    w.write(p[0].end, &p[0].request("cccc", "SEND", "Failure-Report: no\r\n", None, '$'));
    let answers = p[0].answers(&mut w);
    assert_eq!(answers, [("aaaa".into(), "200".into()), ("bbbb".into(), "200".into())]);
    let headers = "Message-ID: mmmm\r\nContent-Type: message/cpim\r\n";
    w.write(p[0].end, &p[0].request("dddd", "SEND", headers, Some(b""), '$'));
    assert_eq!(p[0].answers(&mut w), [("dddd".into(), "400".into())], "an empty body is no wrapper");
    assert!(p[1].hears(&mut w).is_empty());
}

#[test]
fn who_left_gets_nothing_and_who_comes_later_gets_what_follows() {
    // CHAT-MSG-07 FOCUS-04
    let (mut w, p) = room_of(3);
    p[0].says(&mut w, 1, "before");
    p[2].hears(&mut w);
    p[2].leaves(&mut w);
    let late = Person::enters(&mut w, "late");
    p[0].says(&mut w, 2, "after");
    assert!(p[2].hears(&mut w).is_empty());
    assert_eq!(late.hears(&mut w), [p[0].wrapped("after")]);
    assert_eq!(p[1].hears(&mut w).len(), 2);
    p[2].says(&mut w, 1, "am I still here?");
    assert_eq!(p[2].answers(&mut w)[0].1, "481");
}

#[test]
fn a_room_is_gone_with_its_last_participant() {
    let (mut w, p) = room_of(2);
    assert_eq!(w.cores[0].rooms(), 1);
    p.iter().for_each(|who| who.leaves(&mut w));
    assert_eq!((w.cores[0].rooms(), w.cores[0].sessions()), (0, 0));
    w.tell(0, ToShard::Leave { endpoint: p[0].endpoint, room: address(ROOM) });
    let again = Person::enters(&mut w, "again");
    assert!(again.hears(&mut w).is_empty());
}

#[test]
fn what_is_sent_again_after_a_new_session_is_answered_and_not_passed_on() {
    // MSRP-CHUNK-15
    let (mut w, p) = room_of(2);
    let said = p[0].wrapped("once");
    w.write(p[0].end, &p[0].message(1, "", &said));
    w.write(p[0].end, &p[0].message(2, "", "rubbish"));
    assert_eq!(p[1].hears(&mut w).len(), 1);
    w.write(p[0].end, &p[0].message(1, "", &said));
    assert_eq!(p[1].hears(&mut w).len(), 1, "in one session a name is the sender's own affair");

    w.hang_up(p[0].end);
    let again = crate::conns::renegotiated(&mut w, &p[0]);
    again.binds(&mut w);
    w.write(again.end, &again.message(1, "Success-Report: yes\r\n", &said));
    let frames = w.frames(again.end);
    assert_eq!((frames[0].what.as_str(), frames[1].what.as_str()), ("200", "REPORT"));
    assert_eq!(frames[1].range, format!("1-{0}/{0}", said.len()));
    assert!(p[1].hears(&mut w).is_empty(), "nobody hears it twice");
    w.write(again.end, &again.message(1, "", &again.wrapped("two of one name")));
    assert_eq!(p[1].hears(&mut w).len(), 1, "another message, whatever its name");
    w.write(again.end, &again.message(2, "", &again.wrapped("well formed now")));
    assert_eq!(p[1].hears(&mut w).len(), 1, "what was refused may come again");
    w.write(again.end, &again.message(3, "", &again.wrapped("new")));
    assert_eq!(p[1].hears(&mut w).len(), 1);
}

#[test]
fn only_so_many_messages_are_known_again() {
    let (mut w, p) = room_of(2);
    let n = limits::RECENT_MESSAGES_MAX as u32;
    for n in 0..=n {
        p[0].says(&mut w, n, "x");
    }
    let again = crate::conns::renegotiated(&mut w, &p[0]);
    again.binds(&mut w);
    p[1].hears(&mut w);
    for n in 0..=n {
        again.says(&mut w, n, "x");
    }
    assert_eq!(p[1].hears(&mut w).len(), 1, "the oldest was forgotten");
}
