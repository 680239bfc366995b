//! Messages in several chunks: forwarded as they arrive, ended properly, bounded.

use crate::world::{Frame, Person, World};
use openmsrp::base::chunk::Flag;
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use openmsrp::shard::conns::CloseReason;
use openmsrp::shard::core::Flow;
use std::time::Duration;

fn three() -> (World, Person, Person, Person) {
    let mut w = World::new(1);
    let (a, b, c) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"), Person::enters(&mut w, "c"));
    (w, a, b, c)
}

/// The parts of one message put together; checks that they fit.
fn joined(frames: &[Frame]) -> (Vec<u8>, Flag) {
    let mut all = Vec::new();
    let mut flag = Flag::More;
    for f in frames {
        assert_eq!(flag, Flag::More, "nothing follows the end");
        assert_eq!(f.message_id, frames[0].message_id);
        let start: usize = f.range.split('-').next().unwrap().parse().unwrap();
        assert_eq!(start, all.len() + 1, "{:?}", f.range);
        all.extend_from_slice(f.body.as_deref().unwrap_or_default());
        flag = f.flag;
    }
    (all, flag)
}

#[test]
fn a_chunked_message_interrupted_by_another_one() {
    // CHAT-CHUNK-01 CHAT-CHUNK-02 CHAT-CHUNK-07 MSRP-CHUNK-14
    let (mut w, a, b, _) = three();
    let text = a.wrapped("The first half of a long text, and the second half of it.");
    let t = text.as_bytes();
    let n = t.len();
    w.write(a.end, &a.chunk("aaaa", "long", &format!("1-*/{n}"), &t[..40], '+'));
    assert_eq!(a.answers(&mut w), [("aaaa".into(), "200".into())], "every SEND is answered");
    assert!(b.hears(&mut w).is_empty(), "the wrapper is not readable yet");
    a.says(&mut w, 1, "one moment");
    assert_eq!(b.hears(&mut w), [a.wrapped("one moment")]);
    w.write(a.end, &a.chunk("bbbb", "long", &format!("41-*/{n}"), &t[40..n - 15], '+'));
    let first = w.frames(b.end);
    assert_eq!(first.len(), 1, "goes on before the last chunk came");
    assert!(first[0].range.ends_with(&format!("/{n}")), "the total is known: {}", first[0].range);
    w.write(a.end, &a.chunk("cccc", "long", &format!("{}-{n}/{n}", n - 14), &t[n - 15..], '$'));
    let mut frames = first;
    frames.extend(w.frames(b.end));
    assert_eq!(joined(&frames), (t.to_vec(), Flag::End));
}

#[test]
fn every_cut_of_every_size_arrives_whole() {
    // CHAT-CHUNK-02 MSRP-CHUNK-08 MSRP-FRAME-19
    let (mut w, a, b, _) = three();
    let text = a.wrapped("hello, room");
    let t = text.as_bytes();
    for cut in 1..t.len() {
        let id = format!("cut{cut}x");
        w.write(a.end, &a.chunk("aaaa", &id, &format!("1-*/{}", t.len()), &t[..cut], '+'));
        w.write(a.end, &a.chunk("bbbb", &id, &format!("{}-*/*", cut + 1), &t[cut..], '$'));
        assert_eq!(joined(&w.frames(b.end)), (t.to_vec(), Flag::End), "cut at {cut}");
    }
    w.frames(a.end);
    // The whole dialogue octet by octet.
    for octet in a.message(7, "", &text) {
        w.write(a.end, &[octet]);
    }
    assert_eq!(b.hears(&mut w), [text]);
}

#[test]
fn a_great_body_is_forwarded_as_it_arrives() {
    // CHAT-CHUNK-01 MSRP-CHUNK-04 CHAT-CHUNK-06
    let (mut w, a, b, c) = three();
    let text = a.wrapped(&"0123456789abcdef".repeat(65_536));
    let request = a.chunk("aaaa", "huge", &format!("1-*/{}", text.len()), text.as_bytes(), '$');
    let (mut got_b, mut got_c) = (Vec::new(), Vec::new());
    for part in request.chunks(limits::READ_BYTES) {
        w.write(a.end, part);
        got_b.extend(w.frames(b.end));
        got_c.extend(w.frames(c.end));
        assert!(!got_b.is_empty(), "nothing is gathered");
    }
    assert!(got_b.len() > 10);
    assert!(got_b.iter().all(|f| f.range.contains("-*/") || f.body.as_ref().unwrap().len() <= 2048));
    assert_eq!(joined(&got_b), (text.clone().into_bytes(), Flag::End));
    assert_eq!(joined(&got_c).0, text.as_bytes());
    assert_eq!(a.answers(&mut w), [("aaaa".into(), "200".into())], "one SEND, one answer");
}

#[test]
fn an_abandoned_message_ends_with_a_hash_for_all_who_got_a_part() {
    // CHAT-CHUNK-05 MSRP-CHUNK-10
    let (mut w, a, b, c) = three();
    let text = a.wrapped("beginning");
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '+'));
    w.write(a.end, &a.chunk("bbbb", "mmmm", &format!("{}-*/*", text.len() + 1), b"", '#'));
    assert_eq!(a.answers(&mut w).len(), 2);
    assert_eq!(joined(&w.frames(b.end)), (text.clone().into_bytes(), Flag::Abort));
    w.frames(c.end);
    // The same when the sender hangs up instead.
    w.write(a.end, &a.chunk("cccc", "nnnn", "1-*/*", text.as_bytes(), '+'));
    w.hang_up(a.end);
    assert_eq!(joined(&w.frames(b.end)), (text.clone().into_bytes(), Flag::Abort));
    assert_eq!(joined(&w.frames(c.end)), (text.into_bytes(), Flag::Abort));
}

#[test]
fn only_who_got_the_first_part_gets_the_rest() {
    // CHAT-CHUNK-03
    let (mut w, a, b, c) = three();
    let text = a.wrapped("beginning ");
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '+'));
    let late = Person::enters(&mut w, "late");
    c.leaves(&mut w);
    w.frames(c.end);
    w.write(a.end, &a.chunk("bbbb", "mmmm", &format!("{}-*/*", text.len() + 1), b"end", '$'));
    assert_eq!(joined(&w.frames(b.end)), (format!("{text}end").into_bytes(), Flag::End));
    assert!(late.hears(&mut w).is_empty());
    assert!(c.hears(&mut w).is_empty());
}

#[test]
fn an_unfinished_message_is_given_up_after_540_seconds() {
    // CHAT-CHUNK-04
    let (mut w, a, b, _) = three();
    let text = a.wrapped("beginning");
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '+'));
    w.later(limits::CHUNK_WAIT - std::time::Duration::from_secs(1));
    assert_eq!(joined(&w.frames(b.end)).1, Flag::More);
    w.later(std::time::Duration::from_secs(1));
    let frames = w.frames(b.end);
    assert_eq!((frames.len(), frames[0].flag), (1, Flag::Abort));
}

#[test]
fn chunks_out_of_order_leave_in_order() {
    // CHAT-CHUNK-08 MSRP-CHUNK-09
    let (mut w, a, b, _) = three();
    let text = a.wrapped("0123456789");
    let (one, two) = text.as_bytes().split_at(text.len() - 5);
    w.write(a.end, &a.chunk("aaaa", "mmmm", &format!("{}-*/99999", one.len() + 1), two, '$'));
    assert!(b.hears(&mut w).is_empty());
    w.write(a.end, &a.chunk("bbbb", "mmmm", "1-*/99999", one, '+'));
    assert_eq!(joined(&w.frames(b.end)), (text.into_bytes(), Flag::End));
    assert_eq!(a.answers(&mut w).len(), 2);
}

#[test]
fn a_refused_message_is_refused_to_its_end() {
    // CHAT-CHUNK-09
    let (mut w, a, b, _) = three();
    let forged = a.wrapped("x").replace("sip:a@", "sip:b@");
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", forged.as_bytes(), '+'));
    w.write(a.end, &a.chunk("bbbb", "mmmm", "100-*/*", b"more", '+'));
    w.write(a.end, &a.chunk("cccc", "mmmm", "104-*/*", b"end", '$'));
    assert!(a.answers(&mut w).iter().all(|(_, code)| code == "403"));
    assert!(b.hears(&mut w).is_empty());
}

#[test]
fn too_large_is_said_before_the_end_and_the_rest_is_swallowed() {
    // MSRP-CHUNK-16 MSRP-TXN-10
    let mut w = World::with(1, Policy { message_bytes_max: 100_000, ..Policy::default() });
    let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
    let text = a.wrapped(&"x".repeat(300_000));
    let request = a.chunk("aaaa", "huge", "1-*/*", text.as_bytes(), '$');
    let (early, late) = request.split_at(request.len() - 40_000);
    for part in early.chunks(limits::READ_BYTES) {
        w.write(a.end, part);
    }
    assert_eq!(a.answers(&mut w), [("aaaa".into(), "413".into())], "before the end-line");
    w.write(a.end, late);
    assert!(a.answers(&mut w).is_empty(), "once");
    assert_eq!(joined(&w.frames(b.end)).1, Flag::Abort);
    a.says(&mut w, 1, "small");
    assert_eq!(b.hears(&mut w).len(), 1, "framing goes on");
    let claim = a.chunk("bbbb", "cccc", "1-*/100001", a.wrapped("x").as_bytes(), '+');
    w.write(a.end, &claim);
    assert_eq!(a.answers(&mut w).last().unwrap().1, "413", "by the claim alone");
}

#[test]
fn unfinished_messages_are_few() {
    // SEC-05
    let (mut w, a, b, _) = three();
    let text = a.wrapped("beginning");
    for n in 0..20 {
        w.write(a.end, &a.chunk(&format!("tid{n:04}"), &format!("id{n:04}"), "1-*/*", text.as_bytes(), '+'));
    }
    let codes: Vec<String> = a.answers(&mut w).into_iter().map(|x| x.1).collect();
    assert_eq!(codes.iter().filter(|c| *c == "200").count(), limits::OPEN_MESSAGES_MAX);
    assert_eq!(codes.iter().filter(|c| *c == "413").count(), 20 - limits::OPEN_MESSAGES_MAX);
    assert_eq!(b.hears(&mut w).len(), limits::OPEN_MESSAGES_MAX);
}

#[test]
fn a_stuck_reader_delays_nobody_is_told_once_and_is_cut_if_it_stays_stuck() {
    // CHAT-CONG-01 SEC-06
    let (mut w, a, b, c) = three();
    w.ends[c.end].stalled = true;
    let text = "x".repeat(1000);
    let mut heard = 0;
    for n in 0..400 {
        a.says(&mut w, n, &text);
        w.frames(a.end);
        heard += b.hears(&mut w).len();
    }
    assert_eq!(heard, 400, "the others miss nothing");
    assert_eq!(w.ends[c.end].closed, None, "whole messages are left out instead");
    w.recover(c.end);
    let frames = w.frames(c.end);
    let last = frames.last().unwrap().text();
    assert!(last.contains("messages were left out"), "{last}");
    assert!(last.starts_with("From: <sip:lobby@chat.example.com>"), "{last}");
    assert!(frames.len() > 100 && frames.len() < 400);
    a.says(&mut w, 999, "after");
    assert_eq!(c.hears(&mut w), [a.wrapped("after")]);
    w.ends[c.end].stalled = true;
    a.says(&mut w, 1000, "stuck again");
    w.later(limits::QUEUE_STALL);
    assert_eq!(w.ends[c.end].closed, Some(CloseReason::TooSlow));
    assert_eq!((w.ends[a.end].closed, w.ends[b.end].closed), (None, None));
}

#[test]
fn a_sender_waits_little_longer_for_one_that_is_stuck_than_it_takes_to_be_stuck() {
    // CHAT-CHUNK-10
    let (mut w, a, _b, c) = three();
    let text = a.wrapped(&"x".repeat(1_000_000));
    let request = a.chunk("aaaa", "huge", "1-*/*", text.as_bytes(), '$');
    w.ends[c.end].stalled = true;
    for part in request.chunks(limits::READ_BYTES) {
        if w.ends[a.end].flow != Some(Flow::Wait) {
            w.write(a.end, part);
        }
    }
    // The last octets that it takes, a little after the sender was stopped.
    w.later(Duration::from_millis(50));
    w.sip(c.end, 1);
    w.later(limits::COPY_STALL - Duration::from_millis(10));
    assert_eq!(w.ends[a.end].flow, Some(Flow::Wait), "not stuck yet");
    for _ in 0..2 {
        w.later(Duration::from_millis(60));
    }
    assert_ne!(w.ends[a.end].flow, Some(Flow::Wait));
}

#[test]
fn a_sender_faster_than_its_recipients_waits_for_them_but_not_for_one_that_is_stuck() {
    // CHAT-CHUNK-10
    let (mut w, a, b, c) = three();
    let text = a.wrapped(&"x".repeat(1_000_000));
    let request = a.chunk("aaaa", "huge", "1-*/*", text.as_bytes(), '$');
    w.ends[c.end].stalled = true;
    let mut parts = request.chunks(limits::READ_BYTES);
    let (mut got_b, mut sent) = (Vec::new(), 0);
    while w.ends[a.end].flow != Some(Flow::Wait) {
        w.write(a.end, parts.next().expect("the sender is stopped before the end"));
        sent += 1;
        got_b.extend(w.frames(b.end));
    }
    assert!(sent < 5, "stopped early: {sent}");
    assert_eq!(w.ends[c.end].closed, None);
    // Caught up: the sender goes on. Stopped again, and stuck for a second: it goes on without that one.
    w.recover(c.end);
    assert_ne!(w.ends[a.end].flow, Some(Flow::Wait), "at once, not when some timer comes");
    let got_c = w.frames(c.end);
    w.ends[c.end].stalled = true;
    for part in parts {
        if w.ends[a.end].flow == Some(Flow::Wait) {
            w.later(limits::COPY_STALL);
        }
        w.write(a.end, part);
        got_b.extend(w.frames(b.end));
    }
    assert_eq!(joined(&got_b), (text.into_bytes(), Flag::End));
    w.recover(c.end);
    let mut all = got_c;
    all.extend(w.frames(c.end));
    assert_eq!(joined(&all).1, Flag::Abort, "started, so ended");
    a.says(&mut w, 1, "next");
    assert_eq!(c.hears(&mut w).len(), 1);
}

#[test]
fn who_asks_and_does_not_take_the_answers_is_cut() {
    // SEC-06
    let (mut w, a, b, _) = three();
    w.ends[a.end].stalled = true;
    let ask = a.request("aaaa", "PONDER", "", None, '$').repeat(50);
    for _ in 0..200 {
        w.write(a.end, &ask);
    }
    assert_eq!(w.ends[a.end].closed, Some(CloseReason::TooSlow));
    assert_eq!(w.ends[b.end].closed, None);
}

#[test]
fn a_total_that_is_too_small_is_not_passed_on() {
    let (mut w, a, b, _) = three();
    let text = a.wrapped("longer than it claims");
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/7", text.as_bytes(), '+'));
    w.write(a.end, &a.chunk("bbbb", "mmmm", &format!("{}-*/*", text.len() + 1), b"", '#'));
    // `frames` asserts that every head is without fault.
    let ranges: Vec<String> = w.frames(b.end).into_iter().map(|f| f.range).collect();
    let len = text.len();
    assert_eq!(ranges, [format!("1-{len}/*"), format!("{}-{len}/*", len + 1)]);
}
