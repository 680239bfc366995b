//! What lines ask for, and what is shown of what happens.

use super::*;
use crate::client::chat::Script;

mod moderators;

fn person(address: &str, name: &str) -> Person {
    Person { address: address.to_string(), name: name.to_string(), ..Person::default() }
}

fn among(people: &[(&str, &str)]) -> Talk {
    let mut talk = Talk::new("Me");
    talk.happened(Event::Here(people.iter().map(|(address, name)| person(address, name)).collect()));
    talk
}

fn status(text: &str) -> Option<Shown> {
    Some(Shown::Status(text.to_string()))
}

fn undelivered(text: &str) -> Shown {
    Shown::Undelivered(text.to_string())
}

/// What a line shows, and what the room hears of it.
fn typed(talk: &mut Talk, able: bool, line: &str) -> (Vec<Shown>, Vec<(u64, String)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (room, _events, mut script) = Script::room(able);
        let shown = talk.ask(&room, Wish::read(line)).await;
        drop(room);
        let mut heard = Vec::new();
        while let Some(next) = script.heard().await {
            heard.push(next);
        }
        (shown, heard)
    })
}

fn heard(all: &[&str]) -> Vec<(u64, String)> {
    (1..).zip(all.iter().map(|text| (*text).to_string())).collect()
}

#[test]
fn who_is_here_follows_what_happened() {
    let mut talk = among(&[("sip:a@x", "Al")]);
    talk.happened(Event::Joined(person("sip:b@x", "Bo")));
    let renamed = Event::Renamed { who: person("sip:b@x", "Bob"), before: "Bo".to_string() };
    assert_eq!(talk.happened(renamed), status("Bo is now Bob"));
    assert_eq!(talk.happened(Event::Left(person("sip:a@x", "Al"))), status("Al left"));
    assert_eq!(talk.here.as_deref().unwrap(), [person("sip:b@x", "Bob")]);
    let (shown, _) = typed(&mut talk, true, "/who");
    assert_eq!(shown, [Shown::Status("1 is here:\n    Bob <sip:b@x>".to_string())]);
}

#[test]
fn what_was_not_delivered_is_named() {
    let mut talk = Talk::new("Me");
    let (shown, _) = typed(&mut talk, true, "hello");
    assert_eq!(shown, [Shown::Own("Me: hello".to_string())]);
    let refused = || Event::Refused { message: 1, code: 403, comment: "No\u{1b}".to_string() };
    assert_eq!(
        talk.happened(refused()),
        Some(undelivered("not delivered: \"hello\": the room does not let you say this (403 No)"))
    );
    assert_eq!(talk.unanswered(), 0);
    let later =
        "not delivered to everybody: something said earlier: the room does not let you say this (403 No)";
    let later = undelivered(later);
    assert_eq!(talk.happened(refused()), Some(later));
    typed(&mut talk, true, "again");
    assert_eq!(talk.happened(Event::Accepted { message: 1 }), None);
    assert_eq!(talk.unanswered(), 0);
}

#[test]
fn several_are_told_one_by_one_and_each_has_a_result() {
    // CHAT-PRIV-07
    let mut talk = among(&[("sip:b@x", "Bob"), ("sip:c@x", "Carol C"), ("sip:d@x", "Dan")]);
    let (shown, all) = typed(&mut talk, true, "/msg bob,\"carol c\",eve@y,B@x,eve@y,Zoe psst");
    assert_eq!(
        all,
        heard(&["to sip:b@x: psst", "to sip:c@x: psst", "to sip:eve@y: psst", "to sip:B@x: psst"])
    );
    let own = "Me (to Bob, Carol C, sip:eve@y, sip:B@x): psst";
    let nobody = undelivered("nobody here is called Zoe; /who tells who is here");
    assert_eq!(shown, [Shown::Own(own.to_string()), nobody]);
    assert_eq!(talk.happened(Event::Accepted { message: 2 }), status("sent to Carol C"));
    let refused = Event::Refused { message: 3, code: 404, comment: String::new() };
    let text = "not delivered to sip:eve@y: \"psst\": sip:eve@y is not in the room (404)";
    let expected = undelivered(text);
    assert_eq!(talk.happened(refused), Some(expected));
    assert_eq!(talk.unanswered(), 2);
}

#[test]
fn a_name_that_means_several_means_nobody_and_no_name_is_an_address() {
    let mut talk = among(&[("sip:b@x", "Bob"), ("sip:e@y", "bob"), ("sip:f@y", "sip:d@x")]);
    let (shown, all) = typed(&mut talk, true, "/msg Bob psst");
    assert_eq!(all, []);
    assert_eq!(shown, [undelivered("several are called Bob, name an address: sip:b@x, sip:e@y")]);
    let (_, all) = typed(&mut talk, true, "/msg sip:d@x,d@x psst");
    assert_eq!(all, heard(&["to sip:d@x: psst"]));
}

#[test]
fn more_people_than_can_be_told_are_not_told() {
    let mut talk = Talk::new("Me");
    let many = vec!["a@x"; RECIPIENTS_MAX + 1].join(",");
    let (shown, all) = typed(&mut talk, true, &format!("/msg {many} psst"));
    assert_eq!((shown.len(), all.len(), talk.unanswered()), (1, 0, 0));
}

#[test]
fn a_nickname_is_ours_when_the_room_says_so_and_until_it_is_given_back() {
    // CHAT-NICK-08
    let mut talk = Talk::new("Me");
    let (shown, all) = typed(&mut talk, true, "/nick White Rabbit");
    assert_eq!((shown, all), (vec![], heard(&["nickname White Rabbit"])));
    assert_eq!(talk.own_name(), "Me");
    assert_eq!(talk.happened(Event::Accepted { message: 1 }), status("your nickname is White Rabbit"));
    assert_eq!(talk.own_name(), "White Rabbit");
    let (shown, all) = typed(&mut talk, true, "/nick");
    assert_eq!((shown, all), (vec![], heard(&["nickname "])));
    assert_eq!(talk.happened(Event::Accepted { message: 1 }), status("you have no nickname"));
    assert_eq!(talk.own_name(), "Me");
}

#[test]
fn a_refused_nickname_changes_nothing_and_is_explained() {
    let mut talk = Talk::new("Me");
    typed(&mut talk, true, "/nick Al");
    let taken = Event::Refused { message: 1, code: 425, comment: "Taken".to_string() };
    let text = "the nickname Al is somebody else's or reserved: you are still Me (425 Taken)";
    assert_eq!(talk.happened(taken), Some(Shown::Trouble(text.to_string())));
    typed(&mut talk, true, "/nick Al");
    let bad = Event::Refused { message: 1, code: 424, comment: "Bad".to_string() };
    let text = "the room refused the nickname: you are still Me (424 Bad)";
    assert_eq!(talk.happened(bad), Some(Shown::Trouble(text.to_string())));
    assert_eq!((talk.own_name(), talk.unanswered()), ("Me", 0));
}

#[test]
fn what_the_room_cannot_do_is_told_at_once() {
    // CHAT-NICK-02, CHAT-PRIV-07
    let mut talk = Talk::new("Me");
    let (shown, all) = typed(&mut talk, false, "/nick Al");
    let none = Shown::Trouble("this room has no nicknames".to_string());
    assert_eq!((shown, all), (vec![none], vec![]));
    let (shown, all) = typed(&mut talk, false, "/msg b@x psst");
    let none = undelivered("not sent to sip:b@x: this room has no private messages");
    assert_eq!((shown, all), (vec![none], vec![]));
    let (shown, _) = typed(&mut talk, true, "/nick a\u{202e}b");
    assert!(matches!(&shown[..], [Shown::Trouble(why)] if why.contains("not allowed")), "{shown:?}");
    assert_eq!(talk.unanswered(), 0);
}

#[test]
fn what_fails_after_it_was_accepted_is_named() {
    // MSRP-REP-07: it is told, and nothing of it is sent again by itself.
    let mut talk = Talk::new("Me");
    typed(&mut talk, true, "hello");
    talk.happened(Event::Accepted { message: 1 });
    let late = || Event::Refused { message: 1, code: 408, comment: String::new() };
    let text = "not delivered to everybody: \"hello\": no answer, so it may have arrived or not (408)";
    assert_eq!(talk.happened(late()), Some(undelivered(text)));
    typed(&mut talk, true, "/msg b@x psst");
    talk.happened(Event::Accepted { message: 1 });
    let text = "not delivered to sip:b@x: \"psst\": no answer, so it may have arrived or not (408)";
    assert_eq!(talk.happened(late()), Some(undelivered(text)));
    for n in 2..1000 {
        talk.asked.insert(n, Asked::Said("x".to_string()));
        talk.happened(Event::Accepted { message: n });
    }
    assert_eq!(talk.earlier.len(), EARLIER_MAX);
}

#[test]
fn what_was_received_is_counted_with_its_text() {
    let mut talk = Talk::new("Me");
    let (shown, _) = typed(&mut talk, true, "/counts on");
    assert!(matches!(&shown[..], [Shown::Status(_)]));
    let (shown, _) = typed(&mut talk, false, "/counts on");
    let none =
        "this room does not count who receives a message; of private ones their recipients tell".to_string();
    assert_eq!(shown, [Shown::Trouble(none)]);
    typed(&mut talk, true, "hello");
    let received = |by| Event::Received { message: 1, count: Some((by, 3)) };
    assert_eq!(talk.happened(received(1)), status("\u{2713} received by 1 of 3: \"hello\""));
    talk.happened(Event::Accepted { message: 1 });
    assert_eq!(talk.happened(received(3)), status("\u{2713} received by 3 of 3: \"hello\""));
    assert_eq!(talk.happened(Event::Received { message: 7, count: Some((1, 1)) }), None);
    let text = "nobody could count who received \"hello\": the room has too much to do";
    assert_eq!(talk.happened(Event::Received { message: 1, count: None }), status(text));
    typed(&mut talk, true, "/msg b@x psst");
    talk.happened(Event::Accepted { message: 1 });
    let notified = |message, delivered| {
        let who = person("sip:b@x", "Bob");
        Event::Notified { message, who, delivered }
    };
    assert_eq!(talk.happened(notified(1, true)), status("\u{2713} received by Bob: \"psst\""));
    let not = undelivered("the program of Bob could not take it: \"psst\"");
    assert_eq!(talk.happened(notified(1, false)), Some(not));
    assert_eq!(talk.happened(notified(9, true)), status("\u{2713} received by Bob"));
    let counted = Event::Received { message: 1, count: Some((1, 1)) };
    assert_eq!(talk.happened(counted), status("\u{2713} received by sip:b@x: \"psst\""));
}

#[test]
fn who_is_typing_is_told_until_they_stop() {
    // COMP-03
    let mut talk = Talk::new("Me");
    let mut typing = |name: &str, writing| {
        talk.happened(Event::Typing { who: person(&format!("sip:{name}@x"), name), writing });
        talk.writing()
    };
    assert_eq!(typing("Bob\u{1b}", true), "Bob is typing");
    assert_eq!(typing("Bob\u{1b}", true), "Bob is typing");
    assert_eq!(typing("Al", true), "Bob and Al are typing");
    assert_eq!(typing("Eve", true), "3 people are typing");
    assert_eq!(typing("Al", false), "Bob and Eve are typing");
    typing("Eve", false);
    assert_eq!(typing("Bob\u{1b}", false), "");
}

#[test]
fn people_are_brought_in_and_taken_out_step_by_step() {
    let mut talk = among(&[("sip:b@x", "Bob")]);
    let (shown, all) = typed(&mut talk, true, "/invite sip:d@x e@y,zoe");
    assert_eq!(all, heard(&["bring in sip:d@x", "bring in sip:e@y"]));
    assert_eq!(shown, [undelivered("zoe is not invited: write an address, sip:USER@DOMAIN")]);
    let step =
        |request, code, last| Event::Step { request, step: Step { code, phrase: "P".to_string(), last } };
    assert_eq!(talk.happened(step(1, 100, false)), status("calling sip:d@x"));
    assert_eq!(talk.happened(step(1, 200, true)), status("sip:d@x accepted the invitation"));
    assert_eq!(talk.happened(step(1, 200, true)), None);
    let busy = undelivered("sip:e@y does not come: busy (486 P)");
    assert_eq!(talk.happened(step(2, 486, true)), Some(busy));
    assert_eq!(talk.unanswered(), 0);
    let (shown, all) = typed(&mut talk, true, "/remove bob,zoe");
    assert_eq!(all, heard(&["take out sip:b@x"]));
    assert_eq!(shown, [undelivered("nobody here is called zoe; /who tells who is here")]);
    let error = CallError::Refused { code: 403, phrase: "Forbidden".to_string(), warning: None, rule: None };
    let text = "Bob is not taken out: only moderators may take others out (403 Forbidden)";
    assert_eq!(talk.happened(Event::Failed { request: 1, error }), Some(undelivered(text)));
    assert_eq!(talk.unanswered(), 0);
    let many = vec!["a@x"; RECIPIENTS_MAX + 1].join(",");
    for line in [format!("/invite {many}"), format!("/remove {many}")] {
        let (shown, all) = typed(&mut talk, true, &line);
        assert_eq!((shown.len(), all.len()), (1, 0));
    }
}

#[test]
fn who_came_anonymously_can_be_seen_when_the_room_says_so() {
    let mut talk = Talk::hidden("Alice");
    let (shown, all) = typed(&mut talk, true, "/reveal");
    assert_eq!((shown, all), (vec![], heard(&["reveal"])));
    assert_eq!(talk.own_name(), "Anonymous");
    let told = |address: &str, warning: Option<&str>| Event::Revealed {
        request: 1,
        address: address.to_string(),
        warning: warning.map(str::to_string),
    };
    let seen = "everybody can see now that you are sip:alice@x";
    assert_eq!(talk.happened(told("sip:alice@x", None)), status(seen));
    assert_eq!((talk.unanswered(), talk.own_name()), (0, "Alice"));
    let text = "you are still anonymous, as sip:anonymous7@anonymous.invalid; the room says: Nobody knows";
    let hidden = told("sip:anonymous7@anonymous.invalid", Some("Nobody knows"));
    assert_eq!(talk.happened(hidden), Some(Shown::Trouble(text.to_string())));
    typed(&mut talk, true, "/reveal");
    let failed = talk.happened(Event::Failed { request: 1, error: CallError::Busy });
    assert!(matches!(&failed, Some(Shown::Undelivered(t)) if t.starts_with("you are still anonymous: ")));
    // Who is seen already has nothing to reveal.
    let (shown, _) = typed(&mut talk, false, "/reveal");
    assert_eq!(shown, [Shown::Trouble("everybody here can see who you are already".to_string())]);
}

#[test]
fn names_wait_for_the_list_of_people_and_addresses_do_not() {
    let mut talk = Talk::new("Me");
    assert!(talk.is_too_early("/remove bob") && !talk.is_too_early("/remove b@x"));
    assert!(talk.is_too_early("/msg bob psst") && talk.is_too_early("/msg b@x,bob psst"));
    assert!(["hello", "/msg b@x psst", "/nick bob"].iter().all(|line| !talk.is_too_early(line)));
    talk.happened(Event::Here(Vec::new()));
    assert!(!talk.is_too_early("/msg bob psst"));
}
