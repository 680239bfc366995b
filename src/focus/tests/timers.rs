//! Session timers and UPDATE: who refreshes, and what an offer in an UPDATE does.

use super::*;

#[test]
fn the_200_says_who_refreshes_and_a_short_interval_is_refused() {
    // TIMER-01
    let mut w = World::new();
    w.request(&invite("alice", 1, "Supported: timer\r\nx: 60\r\n", OFFER));
    let short = w.response();
    assert_eq!((short.code, short.headers.get("Min-SE")), (422, Some("90")));
    assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty());
    let (_, ok) =
        call_with(&mut w, "alice", "Require: timer\r\nSupported: timer\r\nSession-Expires: 1800\r\n");
    assert_eq!(ok.headers.get("Session-Expires"), Some("1800;refresher=uac"));
    assert_eq!(ok.headers.get("Require"), Some("timer"));
    assert!(ok.headers.list("Supported").contains(&"timer"));
    let (_, ok) = call_with(&mut w, "bob", "Session-Expires: 1800\r\n");
    assert_eq!(ok.headers.get("Session-Expires"), Some("1800;refresher=uas"));
    assert_eq!(ok.headers.get("Require"), None, "whoever does not know it cannot be told to");
    let (_, ok) = call_with(&mut w, "carol", "Supported: timer\r\n");
    assert_eq!(ok.headers.get("Session-Expires"), None);
}

#[test]
fn without_refresh_a_call_ends_before_its_time_and_with_one_it_lives_on() {
    // TIMER-02
    let mut w = World::new();
    let (mut caller, _) = call_with(&mut w, "alice", "Supported: timer\r\nSession-Expires: 300\r\n");
    w.pass(Duration::from_secs(250));
    caller.seq += 1;
    w.request(&caller.text("UPDATE", 2, "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n", ""));
    let ok = w.response();
    assert_eq!((ok.code, ok.headers.get("Session-Expires")), (200, Some("300;refresher=uac")));
    assert!(ok.headers.get("Contact").is_some() && ok.body.is_empty());
    w.pass(Duration::from_secs(267));
    assert!(w.sent.is_empty());
    w.pass(Duration::from_secs(1));
    let (_, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=408;text=\"Session timer expired\""));
    assert_eq!(w.left(), caller.endpoint);
    assert_eq!(w.focus.deadline(), None);
}

#[test]
fn a_refresh_without_an_interval_ends_the_timer() {
    // TIMER-02
    let mut w = World::new();
    let (caller, _) = call_with(&mut w, "alice", "Supported: timer\r\nSession-Expires: 300\r\n");
    w.request(&caller.text("UPDATE", 2, "", ""));
    assert_eq!(w.response().headers.get("Session-Expires"), None);
    w.pass(Duration::from_secs(400));
    assert!(w.sent.is_empty() && w.focus.deadline().is_none());
}

#[test]
fn we_refresh_at_half_time_by_update_without_body() {
    // TIMER-02
    let mut w = World::new();
    let (caller, ok) = call_with(&mut w, "alice", TIMED);
    assert_eq!(ok.headers.get("Session-Expires"), Some("300;refresher=uas"));
    for _ in 0..3 {
        w.pass(Duration::from_secs(150));
        let (id, update) = w.sent();
        assert_eq!((update.method, update.body.as_str()), (Method::Update, ""));
        assert_eq!(update.headers.get("Session-Expires"), Some("300;refresher=uac"));
        assert!(update.headers.get("Contact").is_some() && update.headers.get("Content-Type").is_none());
        let reply = accepted(&[("Session-Expires", "300;refresher=uac"), ("Contact", "<sip:alice@new>")]);
        w.input(Input::Answer { id, reply });
    }
    // A 2xx moves the target; a 481 says that there is no call.
    w.pass(Duration::from_secs(150));
    let (id, update) = w.sent();
    assert_eq!(&*update.uri, "sip:alice@new");
    w.input(Input::Answer { id, reply: Reply::bare(481) });
    assert_eq!(w.sent().1.method, Method::Bye);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn we_refresh_by_repeating_our_description_where_update_is_not_allowed() {
    // TIMER-02
    let mut w = World::new();
    let (mut caller, ok) = call_with(&mut w, "alice", &TIMED.replace(", UPDATE", ""));
    w.pass(Duration::from_secs(150));
    let (id, again) = w.sent();
    assert_eq!((again.method, &again.body), (Method::Invite, &ok.body));
    // An offer of the peer meanwhile is glare.
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().code, 491);
    let mut reply = accepted(&[("Session-Expires", "300;refresher=uac")]);
    reply.body = OFFER.into();
    w.input(Input::Answer { id, reply });
    assert!(w.told.is_empty() && w.sent.is_empty());
    w.pass(Duration::from_secs(150));
    let (id, _) = w.sent();
    let mut reply = accepted(&[("Session-Expires", "300;refresher=uac")]);
    reply.body = OFFER.replace("o=- 1 1", "o=- 1 2").replace("a=chatroom\r\n", "").into();
    w.input(Input::Answer { id, reply });
    assert!(!w.revise().1);
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().code, 200);
}

#[test]
fn a_refresh_that_fails_is_tried_otherwise_or_ends_the_call() {
    // TIMER-02
    let mut w = World::new();
    let (caller, _) = call_with(&mut w, "alice", TIMED);
    w.pass(Duration::from_secs(150));
    let (id, _) = w.sent();
    let mut reply = Reply::bare(422);
    reply.headers.push("Min-SE", "600");
    w.input(Input::Answer { id, reply });
    let (id, longer) = w.sent();
    assert_eq!(longer.headers.get("Session-Expires"), Some("600;refresher=uac"));
    assert_eq!(longer.headers.get("Min-SE"), Some("600"));
    w.input(Input::Answer { id, reply: Reply::bare(491) });
    w.pass(Duration::from_secs(2));
    let (id, _) = w.sent();
    w.input(Input::Answer { id, reply: Reply::bare(405) });
    let (id, invite) = w.sent();
    assert_eq!(invite.method, Method::Invite);
    // No answer that helps: the call ends 32 s before its time.
    w.input(Input::Answer { id, reply: Reply::bare(500) });
    w.pass(Duration::from_secs(116));
    assert_eq!(w.sent().1.method, Method::Bye);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn an_update_with_an_offer_changes_terms_like_a_reinvite_without_ack() {
    // SDP-06, SIP-DLG-02, SIP-DLG-03
    let mut w = World::new();
    let caller = w.call("alice");
    let offer = |version: &str, path: &str| {
        OFFER.replace("o=- 1 1", &format!("o=- 1 {version}")).replace("a1;", path)
    };
    w.request(&caller.text("UPDATE", 2, SDP, &format!("{}a=recvonly\r\n", offer("2", "a1;"))));
    assert!(!w.revise().1);
    assert!(w.response().body.contains("a=sendonly\r\n"));
    w.request(&caller.text("UPDATE", 3, SDP, &offer("3", "a2;")));
    assert!(w.revise().1);
    w.request(&caller.text("UPDATE", 4, SDP, &offer("4", "a3;")));
    let early = w.response();
    assert_eq!((early.code, early.headers.get("Retry-After").is_some()), (500, true));
    w.grant(caller.endpoint);
    assert_eq!(w.response().code, 200);
    // No ACK is waited for: the next is served, and the end comes with BYE at once.
    w.request(&caller.text("UPDATE", 5, SDP, &OFFER.replace("message/cpim", "text/plain")));
    assert_eq!(w.response().code, 488);
    w.input(Input::Drain);
    assert_eq!(w.sent().1.method, Method::Bye);
}

#[test]
fn an_update_with_an_offer_is_glare_while_ours_is_open() {
    // SIP-DLG-03
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", ""));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let tag = w.response().to_tag.unwrap().into();
    let caller = Phone { name: "alice", seq: 1, tag, endpoint };
    assert_eq!(w.code(&caller.text("UPDATE", 2, SDP, OFFER)), 491);
    assert_eq!(w.code(&caller.text("UPDATE", 3, "", "")), 200);
    w.ack(&caller, tx, OFFER);
    w.revise();
}
