//! What Blink and its SDK (sipsimple) send and expect, as SylkServer and they have it on the wire.

use super::*;

/// What the SDK adds to its INVITE.
const AGENT: &str = "User-Agent: Blink Qt 5.9.1 (Linux)\r\n\
    Allow: SUBSCRIBE, NOTIFY, PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, MESSAGE, REFER\r\n\
    Supported: 100rel, replaces, norefersub, gruu\r\nSubject: A talk\r\n";

/// The lines of the SDK's description up to its media.
const START: &str =
    "v=0\r\no=- 3924670013 3924670013 IN IP4 192.0.2.1\r\ns=Blink Qt 5.9.1 (Linux)\r\nt=0 0\r\n";

const CHAT: &str = "m=message 2855 TCP/MSRP *\r\nc=IN IP4 192.0.2.1\r\n\
    a=path:msrp://192.0.2.1:2855/2d0a3e0f9b6c4a7f8e11;tcp\r\n\
    a=accept-types:message/cpim text/* image/* application/im-iscomposing+xml\r\n\
    a=accept-wrapped-types:text/* image/* application/im-iscomposing+xml\r\na=setup:active\r\n";

const AUDIO: &str =
    "m=audio 50004 RTP/AVP 9 0 101\r\nc=IN IP4 192.0.2.1\r\na=rtpmap:9 G722/8000\r\na=sendrecv\r\n";

fn offer(media: &[&str]) -> String {
    format!("{START}{}", media.concat())
}

/// A Blink that is in the room.
fn enters(w: &mut World, name: &'static str) -> (Phone, Response) {
    let tx = w.request(&invite(name, 1, AGENT, &offer(&[CHAT])));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let ok = w.response();
    let caller = Phone { name, seq: 1, tag: ok.to_tag.clone().unwrap().into(), endpoint };
    w.ack(&caller, tx, "");
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.told.clear();
    (caller, ok)
}

fn lines<'a>(body: &'a str, of: &str) -> Vec<&'a str> {
    body.split("\r\n").filter(|l| l.starts_with(of)).collect()
}

#[test]
fn the_room_is_who_the_request_uri_names_whatever_its_parameters() {
    // SIP-UAS-01
    for uri in ["sip:lobby@chat.example;transport=tcp", "sip:lobby@CHAT.example:5060", "sip:lobby@127.0.0.1"]
    {
        let mut w = World::new();
        w.request(&invite("alice", 1, AGENT, &offer(&[CHAT])).replacen(ROOM, uri, 1));
        let join = w.join();
        assert_eq!(join.room.user(), "lobby", "{uri}");
        assert_eq!(join.room.host(), if uri.contains("127") { "127.0.0.1" } else { "chat.example" });
    }
}

#[test]
fn the_answer_has_what_the_sdk_looks_for_in_the_order_it_knows() {
    // FOCUS-01 SDP-12 SDP-14 CHAT-JOIN-03
    let mut w = World::new();
    let rooms = Arc::new(Rooms::from(Policy { nicknames: true, private_messages: true, ..policy() }));
    let config = Config { rooms, ..w.focus.core.config.clone() };
    w.focus = Focus::new(config, Entropy::from_seed(1));
    let (_, ok) = enters(&mut w, "alice");
    // Without the transport it sends neither ACK nor BYE over TCP, without isfocus it knows no room.
    assert_eq!(ok.headers.get("Contact"), Some("<sip:lobby@chat.example:5060;transport=tcp>;isfocus"));
    let body = ok.body.clone();
    let places: Vec<usize> =
        ["a=path:", "a=accept-types:message/cpim\r\n", "a=accept-wrapped-types:*\r\n", "a=setup:passive\r\n"]
            .iter()
            .map(|l| body.find(l).unwrap_or_else(|| panic!("{l} in {body}")))
            .collect();
    assert!(places.is_sorted(), "{body}");
    assert_eq!(
        lines(&body, "a=chatroom"),
        ["a=chatroom:nickname private-messages org.openmsrp.commands com.ag-projects.sylkserver-control"],
        "only one is read"
    );
    assert_eq!(lines(&body, "m="), ["m=message 2855 TCP/MSRP *"]);
    assert!(lines(&body, "a=path:")[0].starts_with("a=path:msrp://chat.example:2855/"), "the same port");
}

#[test]
fn what_the_sdk_offers_besides_is_no_harm_and_its_wildcards_count() {
    // CHAT-MSG-12 CHAT-JOIN-04
    let mut w = World::new();
    let more =
        "a=blink-features:history-control icon\r\na=chatroom:com.ag-projects.screen-sharing nickname\r\n";
    w.request(&invite("alice", 1, AGENT, &offer(&[CHAT, more])));
    let terms = w.join().terms.unwrap();
    for (kind, takes) in [
        ("text/plain", true),
        ("text/html", true),
        ("image/png", true),
        ("application/im-iscomposing+xml", true),
        ("message/imdn+xml", false),
    ] {
        assert_eq!(terms.accepts.allows(kind), takes, "{kind}");
    }
}

#[test]
fn whatever_role_the_sdk_offers_it_dials() {
    // SDP-10
    for role in ["active", "actpass"] {
        let mut w = World::new();
        let media = CHAT.replace("setup:active", &format!("setup:{role}"));
        w.request(&invite("alice", 1, AGENT, &offer(&[&media])));
        let join = w.join();
        assert!(join.terms.unwrap().connect_to.is_none());
        w.grant(join.endpoint);
        assert!(w.response().body.contains("a=setup:passive\r\n"), "{role}");
    }
}

#[test]
fn sound_is_refused_in_its_place_and_the_chat_goes_on() {
    // SDP-02 SDP-07
    let mut w = World::new();
    for (media, answer) in [
        ([AUDIO, CHAT], ["m=audio 0 RTP/AVP 9 0 101", "m=message 2855 TCP/MSRP *"]),
        ([CHAT, AUDIO], ["m=message 2855 TCP/MSRP *", "m=audio 0 RTP/AVP 9 0 101"]),
    ] {
        w.request(&invite("alice", 1, AGENT, &offer(&media)).replace("calice", media[0].get(2..7).unwrap()));
        let endpoint = w.join().endpoint;
        w.grant(endpoint);
        assert_eq!(lines(&w.response().body, "m="), answer);
    }
    let (mut bob, _) = enters(&mut w, "bob");
    // Sound is added, then taken away; the session stays what it is.
    for (n, media) in [vec![CHAT, AUDIO], vec![CHAT, "m=audio 0 RTP/AVP 0\r\n"]].into_iter().enumerate() {
        let version = offer(&media).replace("3924670013 IN", &format!("392467001{} IN", n + 4));
        let tx = w.reinvite(&mut bob, &version);
        let ok = w.response();
        assert_eq!(ok.code, 200);
        assert_eq!(lines(&ok.body, "m=")[0], "m=message 2855 TCP/MSRP *");
        assert!(lines(&ok.body, "m=")[1].starts_with("m=audio 0 "), "{}", ok.body);
        assert!(!w.revise().1, "no new session");
        w.ack(&bob, tx, "");
    }
    let mut w = World::new();
    assert_eq!(w.code(&invite("alice", 1, AGENT, &offer(&[AUDIO]))), 488);
}

#[test]
fn a_subscription_is_taken_before_there_is_a_room_and_told_at_once() {
    // CONF-01 CONF-02: a client that is refused comes again only after a minute or more.
    let mut w = World::new();
    w.request(&invite("alice", 1, AGENT, &offer(&[CHAT])));
    w.join();
    for event in ["presence", "message-summary"] {
        let other = subscribe(AGENT).replace("Event: conference", &format!("Event: {event}"));
        assert_eq!(w.code(&other), 489, "{event}");
    }
    let accept = "Accept: application/conference-info+xml\r\nExpires: 600\r\n";
    w.request(&subscribe(&format!("{AGENT}{accept}")));
    let ok = w.response();
    assert_eq!((ok.code, ok.headers.get("Expires")), (200, Some("600")));
    let (state, document) = w.notice();
    assert_eq!((state.as_str(), document.users.len()), ("active;expires=600", 0));
}

#[test]
fn the_sdk_gets_whole_documents_with_all_that_it_reads_unguarded() {
    // CONF-04 CONF-05 CONF-06
    for agent in
        ["Blink 5.9.1 (MacOSX)", "Blink Qt 5.9.1 (Linux)", "blink", "python-sipsimple 5.3", "sipsimple"]
    {
        let mut w = World::new();
        w.request(&subscribe(&format!("User-Agent: {agent}\r\n")));
        w.responses.clear();
        let mut versions = Vec::new();
        let mut see = |w: &mut World| {
            w.pass(Duration::from_secs(6));
            let (id, notify) = w.sent();
            w.input(Input::Answer { id, reply: Reply::bare(200) });
            let body = privacy::whole(&notify);
            for part in [
                "<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\"",
                "entity=\"sip:lobby@chat.example\" state=\"full\"",
                "<conference-description>\r\n    <display-text>lobby</display-text>\r\n    <subject></subject>",
                "<uri>sip:lobby@chat.example</uri>\r\n        <purpose>participation</purpose>",
                "<active>true</active>",
                "<users state=\"full\">",
            ] {
                assert!(body.contains(part), "{agent}: {part} in {body}");
            }
            let document = conference::read(body.as_bytes()).unwrap();
            assert!(document.users.iter().all(|u| u.display_text.as_ref().is_some_and(|t| !t.is_empty())));
            versions.push(document.version);
            document
        };
        assert_eq!(see(&mut w).users.len(), 0);
        let (alice, _) = enters(&mut w, "alice");
        let whole = see(&mut w);
        assert_eq!((whole.user_count, &*whole.users[0].entity), (Some(1), "sip:alice@example.com"));
        let endpoint = &whole.users[0].endpoints[0];
        assert_eq!(
            (&*endpoint.entity, endpoint.status.as_deref()),
            ("sip:alice@pc.example", Some("connected"))
        );
        assert!(endpoint.message_media);
        // Who has neither name nor nickname is shown by address.
        let nameless = invite("bob", 1, AGENT, &offer(&[CHAT])).replace("\"bob\" <", "<");
        w.request(&nameless);
        let bob = w.join().endpoint;
        w.grant(bob);
        w.input(Input::Shard(FromShard::Bound { endpoint: bob }));
        w.told.clear();
        w.responses.clear();
        assert_eq!(see(&mut w).users[1].display_text.as_deref(), Some("sip:bob@example.com"));
        w.input(Input::Shard(FromShard::Renamed { endpoint: bob, nickname: Some("Bobby".into()) }));
        assert_eq!(see(&mut w).users[1].display_text.as_deref(), Some("Bobby"));
        w.input(Input::Shard(FromShard::Lost { endpoint: alice.endpoint, why: Ended::Closed }));
        assert_eq!(see(&mut w).users.len(), 1, "who is gone is not listed");
        assert_eq!(versions, [1, 2, 3, 4, 5]);
    }
}

#[test]
fn who_asks_for_the_roster_with_another_client_gets_partial_documents() {
    // CONF-05
    let mut w = World::new();
    w.request(&subscribe("User-Agent: somebody's phone, not blinking\r\n"));
    w.responses.clear();
    w.notice();
    w.call("alice");
    w.pass(Duration::from_secs(6));
    assert_eq!(w.notice().1.state, State::Partial);
}

#[test]
fn the_sdk_asks_out_of_dialog_with_the_method_beside_the_uri() {
    // REFER-01 REFER-02
    let mut w = World::new();
    enters(&mut w, "alice");
    for method in ["", ";method=INVITE"] {
        let n = 2 + u32::from(!method.is_empty());
        let line = format!(
            "{AGENT}Refer-To: <sip:carol@192.0.2.7>{method}\r\nReferred-By: \"alice\" <sip:alice@example.com>\r\n"
        );
        w.request(&refer("alice", n, "", &line));
        assert_eq!(w.response().code, 202, "{method}");
        let endpoint = w.join().endpoint;
        w.reports();
        w.grant(endpoint);
        let (id, call) = w.sent();
        assert_eq!(call.method, Method::Invite);
        assert!(call.headers.get("From").unwrap().contains("<sip:lobby@chat.example>;tag="), "{call:?}");
        assert!(call.headers.get("Contact").unwrap().ends_with(";isfocus"), "{call:?}");
        assert_eq!(call.headers.get("Referred-By"), Some("<sip:alice@example.com>"));
        assert!(call.body.contains("a=chatroom") && call.body.contains("a=accept-wrapped-types:*"));
        w.input(Input::Answer { id, reply: Reply::bare(486) });
        assert_eq!(w.reports()[0].0, "486 Busy Here");
        w.told.clear();
    }
    let out = "Refer-To: <sip:alice@example.com>;method=BYE\r\n";
    w.request(&refer("alice", 9, "", &format!("{AGENT}{out}")));
    assert_eq!(w.response().code, 202);
    assert_eq!(w.reports().last().unwrap().0, "200 OK");
    assert_eq!((w.sent().1.method, w.told.len()), (Method::Bye, 1));
}

#[test]
fn messages_outside_sessions_are_not_taken() {
    // SIP-UAS-01
    let mut w = World::new();
    let (mut alice, _) = enters(&mut w, "alice");
    assert_eq!(w.code(&text("MESSAGE", "bob", 1, "", AGENT, "")), 405);
    assert_eq!(w.code(&alice.next("MESSAGE")), 405);
    assert_eq!(w.code(&alice.next("BYE")), 200);
    assert_eq!(w.left(), alice.endpoint);
}
