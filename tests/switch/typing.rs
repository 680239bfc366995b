//! Signs of typing, and notifications of what became of a message: how they pass.

use crate::world::{Person, ROOM, World, terms};
use openmsrp::base::limits;
use openmsrp::shard::message::Terms;
use openmsrp::wire::sdp::TypeList;

const IMDN: &str = "From: <sip:p0@example.com>\r\nTo: <sip:p1@example.com>\r\nNS: x1 <urn:ietf:params:imdn>\r\nx1.Message-ID: 34jk324j\r\nx1.Original-To: <sip:p0@example.com>\r\n\r\nContent-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\"/>";

fn typing(who: &Person) -> String {
    who.wrapped("<isComposing/>").replace("text/plain", "Application/im-isComposing+xml")
}

fn room_of(n: usize) -> (World, Vec<Person>) {
    let mut w = World::new(1);
    let people = (0..n).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
    (w, people)
}

#[test]
fn typing_is_told_to_the_room_or_to_one_and_nobody_is_asked_about_it() {
    // COMP-01
    let (mut w, p) = room_of(3);
    let silent = Terms { accepts: TypeList::parse("text/plain"), ..terms("silent") };
    let silent = Person::enters_with(&mut w, 0, ROOM, "silent", silent);
    w.write(p[0].end, &p[0].message(1, "Success-Report: yes\r\n", &typing(&p[0])));
    for who in &p[1..] {
        let copy = w.frames(who.end).remove(0);
        assert_eq!(copy.text(), typing(&p[0]));
        assert_eq!(copy.header("Failure-Report").as_deref(), Some("no"));
        assert_eq!(copy.header("Success-Report"), None);
    }
    assert!(silent.octets_none(&mut w), "who does not list the type is spared");
    w.frames(p[0].end);
    let private = typing(&p[0]).replace(ROOM, "sip:p1@example.com");
    w.write(p[0].end, &p[0].message(2, "", &private));
    assert_eq!(p[0].answers(&mut w).remove(0).1, "200");
    let copy = w.frames(p[1].end).remove(0);
    assert_eq!((copy.text(), copy.header("Failure-Report").as_deref()), (private, Some("no")));
    assert!(p[2].octets_none(&mut w));
    w.later(limits::COPY_ANSWER_WAIT);
    assert!(p[0].octets_none(&mut w), "and if it is lost, nobody is told");
}

#[test]
fn typing_is_left_out_first_and_not_missed() {
    // COMP-01
    let (mut w, p) = room_of(2);
    w.ends[p[1].end].stalled = true;
    let text = "x".repeat(1000);
    // As much as begins to fill the queue, and less than words are left out for.
    let n = limits::QUEUE_BYTES_FILLING / 1000 + 1;
    for i in 0..n {
        p[0].says(&mut w, i as u32, &text);
        w.write(p[0].end, &p[0].message(1000 + i as u32, "", &typing(&p[0])));
    }
    p[0].says(&mut w, 5000, "the last word");
    w.recover(p[1].end);
    let heard = p[1].hears(&mut w);
    let typed = heard.iter().filter(|h| h.contains("isComposing")).count();
    assert!(typed > 10 && typed < n, "{typed} of {n}");
    assert_eq!(heard.len() - typed, n + 1, "every word, and no notice that something is missing");
    assert_eq!(*heard.last().unwrap(), p[0].wrapped("the last word"));
}

#[test]
fn who_types_at_length_is_not_held_back() {
    let (mut w, p) = room_of(2);
    w.ends[p[1].end].stalled = true;
    for i in 0..limits::QUEUE_BYTES_FILLING / 1000 {
        p[0].says(&mut w, i as u32, &"x".repeat(1000));
    }
    w.frames(p[0].end);
    let body = typing(&p[0]);
    let (one, two) = body.as_bytes().split_at(body.len() - 5);
    w.write(p[0].end, &p[0].chunk("aaaa", "type", "1-*/*", one, '+'));
    let range = format!("{}-*/*", one.len() + 1);
    w.write(p[0].end, &p[0].chunk("bbbb", "type", &range, two, '$'));
    assert_eq!(p[0].answers(&mut w).len(), 2, "both parts are answered at once");
}

#[test]
fn notifications_pass_untouched_to_the_room_and_to_one() {
    // IMDN-01
    let (mut w, p) = room_of(3);
    let to_all = IMDN.replace("sip:p1@example.com", ROOM);
    w.write(p[0].end, &p[0].message(1, "", &to_all));
    for who in &p[1..] {
        assert_eq!(who.hears(&mut w).concat(), to_all);
    }
    w.write(p[0].end, &p[0].message(2, "", IMDN));
    assert_eq!(p[1].hears(&mut w), [IMDN]);
    assert!(p[2].octets_none(&mut w));
}
