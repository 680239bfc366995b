//! SUBSCRIBE and NOTIFY: what is refused, what a subscriber sees, and when.

use super::*;

#[test]
fn each_fault_of_a_subscription_has_its_code() {
    // CONF-01, CONF-02
    let mut w = World::new();
    let cases = [
        (subscribe("").replace("Event: conference\r\n", ""), 489),
        (subscribe("").replace("Event: conference", "Event: presence"), 489),
        (subscribe("Accept: text/plain\r\n"), 406),
        (subscribe("Expires: 5\r\n"), 423),
        (subscribe("").replacen("chat.example", "elsewhere", 1), 404),
        (subscribe("").replace("Contact: <sip:watcher@pc.example>\r\n", ""), 400),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    assert!(w.sent.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn a_subscriber_sees_everything_then_only_changes_at_their_pace() {
    // CONF-02, CONF-04, CONF-05, CONF-07
    let mut w = World::new();
    let mut alice = w.call("alice");
    w.request(&subscribe("Accept: application/conference-info+xml\r\nExpires: 600\r\n"));
    let ok = w.response();
    assert_eq!((ok.code, ok.headers.get("Expires")), (200, Some("600")));
    let (state, document) = w.notice();
    assert_eq!(state, "active;expires=600");
    assert_eq!((document.state, document.version, document.users.len()), (State::Full, 1, 1));
    // Three changes within the pace are one notice.
    w.pass(Duration::from_millis(100));
    w.call("bob");
    w.call("carol");
    w.request(&alice.next("BYE"));
    w.responses.clear();
    w.pass(Duration::from_millis(4_899));
    assert!(w.sent.is_empty());
    w.pass(Duration::from_millis(1));
    let (_, document) = w.notice();
    assert_eq!((document.state, document.version, document.users.len()), (State::Partial, 2, 3));
    let gone: Vec<_> = document.users.iter().filter(|u| u.state == State::Deleted).collect();
    assert_eq!((gone.len(), &*gone[0].entity), (1, "sip:alice@example.com"));
    w.pass(Duration::from_secs(60));
    assert!(w.sent.is_empty());
}

#[test]
fn an_unanswered_notice_holds_the_next_one_back() {
    // CONF-07
    let mut w = World::new();
    w.request(&subscribe(""));
    w.responses.clear();
    let (id, _) = w.sent();
    w.call("alice");
    w.pass(Duration::from_secs(5));
    assert!(w.sent.is_empty());
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    w.pass(limits::NOTICE_TURN);
    assert_eq!(w.notice().1.users.len(), 1);
}

#[test]
fn a_refresh_repeats_the_whole_roster_with_its_number() {
    // CONF-02, CONF-04
    let mut w = World::new();
    w.request(&subscribe(""));
    let tag = w.response().to_tag.unwrap();
    assert_eq!(w.notice().1.version, 1);
    let refresh =
        text("SUBSCRIBE", "watcher", 2, &format!(";tag={tag}"), "Event: conference\r\nExpires: 99\r\n", "");
    w.request(&refresh);
    assert_eq!(w.response().headers.get("Expires"), Some("99"));
    let (state, document) = w.notice();
    assert_eq!((state.as_str(), document.state, document.version), ("active;expires=99", State::Full, 1));
    w.pass(Duration::from_secs(99));
    assert_eq!(w.notice().0, "terminated;reason=timeout");
    assert!(w.focus.core.dialogs.is_empty());
}

#[test]
fn asking_once_gets_one_notice_and_no_subscription() {
    // CONF-03
    let mut w = World::new();
    w.call("alice");
    w.request(&subscribe("Expires: 0\r\n"));
    assert_eq!(w.response().headers.get("Expires"), Some("0"));
    let (state, document) = w.notice();
    assert_eq!((state.as_str(), document.users.len()), ("terminated;reason=timeout", 1));
    w.call("bob");
    w.pass(Duration::from_secs(9));
    assert!(w.sent.is_empty());
}

#[test]
fn the_end_of_a_room_ends_its_subscriptions() {
    // CHAT-JOIN-10, CONF-03
    let mut w = World::new();
    w.request(&subscribe(""));
    w.responses.clear();
    w.notice();
    let mut alice = w.call("alice");
    w.pass(Duration::from_secs(5));
    w.notice();
    w.request(&alice.next("BYE"));
    let (state, document) = w.notice();
    assert_eq!((state.as_str(), document.users.len()), ("terminated;reason=noresource", 0));
    assert!(w.focus.core.dialogs.is_empty());
}

#[test]
fn a_subscription_in_the_dialog_of_a_call_outlives_the_call() {
    // CONF-09
    let mut w = World::new();
    let mut alice = w.call("alice");
    w.call("bob");
    alice.seq += 1;
    w.request(&alice.text("SUBSCRIBE", alice.seq, "Event: conference;id=7\r\n", ""));
    assert_eq!(w.response().code, 200);
    let (id, first) = w.sent();
    assert_eq!(first.headers.get("Event"), Some("conference;id=7"));
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    assert_eq!(w.code(&alice.next("BYE")), 200);
    w.pass(Duration::from_secs(5));
    let (id, next) = w.sent();
    assert!(next.whole_body().contains("state=\"deleted\""));
    // Who answers 481 knows nothing of the subscription any more.
    w.input(Input::Answer { id, reply: Reply::bare(481) });
    assert_eq!(w.focus.core.dialogs.len(), 1);
}

#[test]
fn whoever_was_given_up_unheard_and_asks_again_in_the_dialog_of_its_call_takes_the_roster_for_a_newer_one() {
    // CONF-04, CONF-09
    let mut w = World::new();
    let mut alice = w.call("alice");
    let mut versions = Vec::new();
    for (other, code) in [("bob", 200), ("carol", 408), ("dora", 200)] {
        w.call(other);
        w.pass(Duration::from_secs(5));
        if code == 200 {
            alice.seq += 1;
            w.request(&alice.text("SUBSCRIBE", alice.seq, "Event: conference\r\n", ""));
            assert_eq!(w.response().code, 200);
        }
        let (id, notify) = w.sent();
        versions.push(conference::read(notify.whole_body().as_bytes()).unwrap().version);
        w.input(Input::Answer { id, reply: Reply::bare(code) });
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[test]
fn clients_of_the_sdk_get_whole_rosters_only() {
    // CONF-05
    let mut w = World::new();
    w.request(&subscribe("User-Agent: Blink 5.9.1 (Linux)\r\n"));
    w.responses.clear();
    w.notice();
    w.call("alice");
    w.pass(Duration::from_secs(5));
    let document = w.notice().1;
    assert_eq!((document.state, document.version, document.users.len()), (State::Full, 2, 1));
}
