//! The chat-room standard over real sockets, on two shards, with SIP over UDP and over TCP: one test for each
//! thing that a room can do.

use super::phone::{ABLE, Phone, Seat, header, target};
use super::{Server, settings};
use openmsrp::client::call::Transport;
use openmsrp::control::config::Raw;
use openmsrp::wire::digest::{Algorithm, Params, Question, secret};

const ROOM: &str = "sip:lobby@localhost";
pub(crate) const CONFERENCE: &str = "Event: conference\r\nAccept: application/conference-info+xml\r\n";

/// Runs a test on two shards with each driver there is, and for each over both transports.
pub(crate) async fn everywhere(raw: Raw, test: impl AsyncFn(&Server, Transport)) {
    for (shards, driver) in settings().into_iter().filter(|(shards, _)| *shards == 2) {
        for transport in [Transport::Udp, Transport::Tcp] {
            let server = Server::start_with(shards, driver, raw.clone()).await;
            // The server is told to stop and not waited for: it would wait for answers to its BYEs.
            test(&server, transport).await;
        }
    }
}

/// A phone that has entered the lobby.
async fn enter(server: &Server, transport: Transport, name: &str) -> (Phone, Seat) {
    let mut phone = Phone::new(server.sip, transport, name).await;
    let seat = phone.join(server.msrp, "lobby", "", ABLE).await;
    (phone, seat)
}

/// Asks for a nickname; the code of the answer.
async fn nickname(seat: &mut Seat, wished: &str) -> String {
    let answer = seat.ask("NICKNAME", &format!("Use-Nickname: \"{wished}\"\r\n")).await;
    answer.split(' ').nth(2).unwrap().trim().to_owned()
}

/// The code of an answer to a SEND.
fn code(answer: &str) -> &str {
    answer.split_whitespace().nth(2).unwrap()
}

/// Subscribes to the roster of a room.
pub(crate) async fn watch(phone: &mut Phone, room: &str) -> super::phone::Dialog {
    let mut dialog = phone.dialog(room);
    let ok = phone.ask(&mut dialog, "SUBSCRIBE", &format!("{CONFERENCE}Expires: 600\r\n"), "").await;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    header(&ok, "To").clone_into(&mut dialog.remote);
    dialog.target = target(&ok);
    dialog
}

#[tokio::test]
async fn nicknames_are_reserved_refused_changed_and_removed() {
    // CHAT-NICK-01 CHAT-NICK-03 CHAT-NICK-04 CHAT-NICK-06 CHAT-NICK-07 CHAT-NICK-08 CHAT-NICK-09 CHAT-ROST-01
    everywhere(Raw::default(), async |server, transport| {
        let (_alice_phone, mut alice) = enter(server, transport, "alice").await;
        let (mut bob_phone, mut bob) = enter(server, transport, "bob").await;
        let (_second_phone, mut second) = enter(server, transport, "alice").await;
        let _dialog = watch(&mut bob_phone, ROOM).await;
        assert_eq!(nickname(&mut alice, "Cheshire  Cat").await, "200");
        assert_eq!(nickname(&mut bob, "cheshire cat").await, "425", "it is the same name to people");
        assert_eq!(nickname(&mut second, "Cheshire Cat").await, "200", "it is her own");
        assert_eq!(nickname(&mut bob, "   ").await, "424");
        let without = bob.ask("NICKNAME", "").await;
        assert_eq!(code(&without), "424");
        assert_eq!(nickname(&mut bob, "Hatter").await, "200");
        let roster = bob_phone.notice("xcon:nickname=\"Hatter\"").await;
        assert!(roster.contains("sip:bob@localhost"), "{roster}");
        assert_eq!(nickname(&mut alice, "").await, "200");
        assert_eq!(nickname(&mut second, "").await, "200");
        assert_eq!(nickname(&mut bob, "Cheshire Cat").await, "425", "it is kept for its last holder");
        assert_eq!(nickname(&mut alice, "Cheshire Cat").await, "200", "who takes it back");
    })
    .await;
}

#[tokio::test]
async fn an_anonymous_participant_is_known_by_an_anonymous_address_only() {
    // CHAT-JOIN-11 CHAT-PRIV-06 CONF-08
    everywhere(Raw::default(), async |server, transport| {
        let (mut bob_phone, mut bob) = enter(server, transport, "bob").await;
        let _dialog = watch(&mut bob_phone, ROOM).await;
        let mut hidden_phone = Phone::new(server.sip, transport, "whistle").await;
        let mut hidden = hidden_phone.join(server.msrp, "lobby", "Privacy: id\r\n", ABLE).await;
        let roster = bob_phone.notice("@anonymous.invalid").await;
        let from = roster.find("sip:anonymous").unwrap();
        let address = &roster[from..from + roster[from..].find('"').unwrap()];
        assert_eq!(code(&hidden.text("sip:anonymous@anonymous.invalid", ROOM, "to all").await), "200");
        bob.hear("to all").await;
        assert_eq!(code(&hidden.text("sip:whistle@localhost", ROOM, "a slip").await), "403");
        assert_eq!(code(&bob.text("sip:bob@localhost", address, "for you alone").await), "200");
        hidden.hear("for you alone").await;
        assert_eq!(code(&hidden.text(address, "sip:bob@localhost", "for bob alone").await), "200");
        bob.hear("for bob alone").await;
        assert!(!bob.wire.contains("whistle") && !roster.contains("whistle"), "{}{roster}", bob.wire);
    })
    .await;
}

#[tokio::test]
async fn who_discloses_is_known_by_the_real_address_from_then_on() {
    // CHAT-JOIN-07 CHAT-JOIN-11 CHAT-PRIV-06
    let raw = Raw {
        moderators_see_identity: Some(true),
        moderator: vec!["sip:mod@localhost".parse().unwrap()],
        trusted_proxy: vec!["127.0.0.1".parse().unwrap()],
        ..Raw::default()
    };
    everywhere(raw, async |server, transport| {
        let (mut bob_phone, mut bob) = enter(server, transport, "bob").await;
        let _dialog = watch(&mut bob_phone, ROOM).await;
        let mut mod_phone = Phone::new(server.sip, transport, "mod").await;
        let mut dialog = mod_phone.dialog(ROOM);
        let proof = format!("{CONFERENCE}Expires: 600\r\nP-Asserted-Identity: <sip:mod@localhost>\r\n");
        mod_phone.ask(&mut dialog, "SUBSCRIBE", &proof, "").await;
        let mut phone = Phone::new(server.sip, transport, "whistle").await;
        let mut hidden = phone.join(server.msrp, "lobby", "Privacy: id\r\n", ABLE).await;
        let own = header(&hidden.ok, "P-Associated-URI").trim_matches(['<', '>']).to_owned();
        let before = bob_phone.notice(&own).await;
        mod_phone.notice("<uri>sip:whistle@localhost</uri>").await;
        assert_eq!(code(&hidden.text(&own, ROOM, "guess who").await), "200");
        bob.hear("guess who").await;
        assert_eq!(code(&bob.text("sip:bob@localhost", "sip:whistle@localhost", "you?").await), "404");
        let so_far = before + &bob_phone.heard();
        assert!(!bob.wire.contains("whistle") && !so_far.contains("whistle"), "{}{so_far}", bob.wire);
        let ok = phone.ask(&mut hidden.dialog, "UPDATE", "Privacy: none\r\n", "").await;
        assert!(ok.starts_with("SIP/2.0 200 ") && !ok.contains("anonymous"), "{ok}");
        let roster = bob_phone.notice("state=\"deleted\"").await;
        assert!(roster.contains(&format!("<user entity=\"{own}\" state=\"deleted\"/>")), "{roster}");
        assert!(roster.contains("<user entity=\"sip:whistle@localhost\""), "{roster}");
        assert_eq!(code(&hidden.text("sip:whistle@localhost", ROOM, "it is me").await), "200");
        bob.hear("it is me").await;
        for to in ["sip:whistle@localhost", &own] {
            assert_eq!(code(&bob.text("sip:bob@localhost", to, "I knew").await), "200", "{to}");
            hidden.hear("I knew").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_phone_that_knows_no_rooms_is_told_where_it_is_and_who_is_there() {
    // CHAT-JOIN-08
    everywhere(Raw::default(), async |server, transport| {
        let (_alice_phone, mut alice) = enter(server, transport, "alice").await;
        let mut plain_phone = Phone::new(server.sip, transport, "plain").await;
        let mut plain = plain_phone.join(server.msrp, "lobby", "", "").await;
        plain.hear("This is the chat room lobby").await;
        plain.hear("<sip:alice@localhost>").await;
        assert_eq!(plain.wire.matches("agp.Message-Type: status\r\n").count(), 2, "{}", plain.wire);
        assert!(plain.wire.contains("2 in the room:"), "{}", plain.wire);
        assert_eq!(code(&plain.text("sip:plain@localhost", ROOM, "I see").await), "200");
        alice.hear("I see").await;
        assert!(!alice.wire.contains("in the room"), "{}", alice.wire);
    })
    .await;
}

#[tokio::test]
async fn a_private_message_reaches_all_devices_of_one_participant_and_nobody_else() {
    // CHAT-PRIV-01 CHAT-PRIV-02 CHAT-PRIV-03
    everywhere(Raw::default(), async |server, transport| {
        let (_alice_phone, mut alice) = enter(server, transport, "alice").await;
        let (_bob_phone, mut bob) = enter(server, transport, "bob").await;
        let (_tablet_phone, mut tablet) = enter(server, transport, "bob").await;
        let (_carol_phone, mut carol) = enter(server, transport, "carol").await;
        let mut old_phone = Phone::new(server.sip, transport, "old").await;
        let mut old = old_phone.join(server.msrp, "lobby", "", "a=chatroom:nickname\r\n").await;
        let me = "sip:alice@localhost";
        assert_eq!(code(&alice.text(me, "sip:bob@localhost", "a secret").await), "200");
        bob.hear("a secret").await;
        tablet.hear("a secret").await;
        assert_eq!(code(&alice.text(me, "sip:nobody@localhost", "a secret").await), "404");
        assert_eq!(code(&alice.text(me, "sip:old@localhost", "a secret").await), "428");
        let two = "sip:bob@localhost>\r\nTo: <sip:carol@localhost";
        assert_eq!(code(&alice.text(me, two, "a secret").await), "403");
        assert_eq!(code(&alice.text(me, ROOM, "to all").await), "200");
        for other in [&mut carol, &mut old] {
            other.hear("to all").await;
            assert!(!other.wire.contains("a secret"), "{}", other.wire);
        }
    })
    .await;
}

#[tokio::test]
async fn the_roster_tells_of_people_with_their_devices() {
    // CONF-02 CONF-04 CONF-05 CONF-06
    everywhere(Raw::default(), async |server, transport| {
        let (mut alice_phone, _alice) = enter(server, transport, "alice").await;
        let mut dialog = watch(&mut alice_phone, ROOM).await;
        let first = alice_phone.notice("state=\"full\"").await;
        assert!(header(&first, "Subscription-State").starts_with("active"), "{first}");
        let (phone, _bob) = enter(server, transport, "bob").await;
        let (mut tablet, second) = enter(server, transport, "bob").await;
        let partial = alice_phone.notice(&tablet.contact()[1..20]).await;
        assert!(partial.contains("<users state=\"partial\">"), "{partial}");
        // Asked anew, the roster comes whole: one user with two endpoints, each with a name.
        let ok =
            alice_phone.ask(&mut dialog, "SUBSCRIBE", &format!("{CONFERENCE}Expires: 600\r\n"), "").await;
        assert!(ok.starts_with("SIP/2.0 200 "));
        let three = |m: &str| m.starts_with("NOTIFY ") && m.matches("<endpoint ").count() == 3;
        let whole = alice_phone.until(three).await;
        assert_eq!(whole.matches("<user ").count(), 2);
        assert_eq!(whole.matches("entity=\"sip:bob@localhost\"").count(), 1);
        assert_eq!(
            whole.matches("<display-text>").count(),
            1 + 2,
            "the room and each user have one: {whole}"
        );
        let mut gone = second.dialog.clone();
        let bye = tablet.ask(&mut gone, "BYE", "", "").await;
        assert!(bye.starts_with("SIP/2.0 200 "));
        let left = alice_phone.notice(&phone.contact()[1..20]).await;
        assert!(left.contains("sip:bob@localhost"), "{left}");
        let ended =
            alice_phone.ask(&mut dialog, "SUBSCRIBE", &format!("{CONFERENCE}Expires: 0\r\n"), "").await;
        assert!(ended.starts_with("SIP/2.0 200 "));
        let last = alice_phone.until(|m| header(m, "Subscription-State").starts_with("terminated")).await;
        assert!(last.contains("<users"), "{last}");
    })
    .await;
}

#[tokio::test]
async fn a_participant_has_another_called_and_a_moderator_takes_him_out() {
    // REFER-01 REFER-02 FOCUS-08
    let raw = Raw { moderator: vec!["sip:alice@localhost".parse().unwrap()], ..Raw::default() };
    everywhere(raw, async |server, transport| {
        let (mut alice_phone, mut alice) = enter(server, transport, "alice").await;
        let (waiting, at) = Phone::at_home(transport, "dave").await;
        let mut dialog = alice_phone.dialog(ROOM);
        let accepted = alice_phone.ask(&mut dialog, "REFER", &format!("Refer-To: <{at}>\r\n"), "").await;
        assert!(accepted.starts_with("SIP/2.0 202 "), "{accepted}");
        let (mut dave_phone, invite) = waiting.called().await;
        let mine = format!("msrp://127.0.0.1:9/dave{};tcp", dave_phone.contact().len());
        let offered = invite.replacen("INVITE ", "SIP/2.0 200 ", 1);
        assert!(header(&invite, "Contact").ends_with(";isfocus"), "{invite}");
        let answer = super::phone::description(&mine, ABLE);
        dave_phone.answer(&invite, "200 OK", "Content-Type: application/sdp\r\n", &answer).await;
        dave_phone.until(|m| m.starts_with("ACK ")).await;
        let from = dave_phone.dialog(ROOM);
        let mut dave = Seat::bind(from, offered, server.msrp, mine).await;
        alice_phone.notice("SIP/2.0 200 OK").await;
        alice.text("sip:alice@localhost", ROOM, "welcome").await;
        dave.hear("welcome").await;
        // Blink says the method beside the URI.
        let user = at.split(";transport").next().unwrap();
        let mut dialog = alice_phone.dialog(ROOM);
        let lines = format!("Refer-To: <{user}>;method=BYE\r\n");
        let accepted = alice_phone.ask(&mut dialog, "REFER", &lines, "").await;
        assert!(accepted.starts_with("SIP/2.0 202 "), "{accepted}");
        dave_phone.until(|m| m.starts_with("BYE ")).await;
        alice_phone.notice("SIP/2.0 200 OK").await;
    })
    .await;
}

#[tokio::test]
async fn the_factory_makes_a_room_and_calls_a_list_into_it() {
    // FOCUS-07 LIST-01
    everywhere(Raw::default(), async |server, transport| {
        let mut alice_phone = Phone::new(server.sip, transport, "alice").await;
        let (waiting, at) = Phone::at_home(transport, "dave").await;
        let mut dialog = alice_phone.dialog("sip:conference@localhost");
        let mine = "msrp://127.0.0.1:9/factory;tcp".to_owned();
        let (list_type, ns) = ("application/resource-lists+xml", "urn:ietf:params:xml:ns:resource-lists");
        let body = format!(
            "--b1\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b1\r\nContent-Type: {list_type}\r\n\
             Content-Disposition: recipient-list\r\n\r\n<resource-lists xmlns=\"{ns}\"><list>\
             <entry uri=\"{at}\"/></list></resource-lists>\r\n--b1--\r\n",
            super::phone::description(&mine, ABLE)
        );
        let lines = "Content-Type: multipart/mixed;boundary=b1\r\nRequire: recipient-list-invite\r\n";
        let ok = alice_phone.ask(&mut dialog, "INVITE", lines, &body).await;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        header(&ok, "To").clone_into(&mut dialog.remote);
        dialog.target = target(&ok);
        alice_phone.send(&mut dialog, "ACK", "", "").await;
        let room = target(&ok).split(';').next().unwrap().to_owned();
        assert!(!room.starts_with("sip:conference@"), "{room}");
        let _alice = Seat::bind(dialog, ok, server.msrp, mine).await;
        let (mut dave_phone, invite) = waiting.called().await;
        assert!(header(&invite, "From").contains(room.split('@').next().unwrap()), "{invite}");
        dave_phone.answer(&invite, "486 Busy Here", "", "").await;
        dave_phone.until(|m| m.starts_with("ACK ")).await;
    })
    .await;
}

#[tokio::test]
async fn a_call_is_replaced_refreshed_and_updated() {
    // FOCUS-09 TIMER-01 TIMER-02
    everywhere(Raw::default(), async |server, transport| {
        let (mut bob_phone, mut bob) = enter(server, transport, "bob").await;
        let (mut old_phone, mut old) = enter(server, transport, "alice").await;
        assert_eq!(nickname(&mut old, "Al").await, "200");
        let tag = |line: &str| line.split(";tag=").nth(1).unwrap().to_owned();
        let replaces = format!(
            "Require: replaces\r\nReplaces: {};to-tag={};from-tag={}\r\nSupported: timer\r\nSession-Expires: 300;refresher=uac\r\n",
            old.dialog.call_id,
            tag(&old.dialog.remote),
            tag(&old.dialog.local)
        );
        let mut new_phone = Phone::new(server.sip, transport, "alice").await;
        let mut new = new_phone.join(server.msrp, "lobby", &replaces, ABLE).await;
        old_phone.until(|m| m.starts_with("BYE ")).await;
        assert!(header(&new.ok, "Session-Expires").starts_with("300"), "{}", new.ok);
        let lines = "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n";
        let updated = new_phone.ask(&mut new.dialog, "UPDATE", lines, "").await;
        assert!(updated.starts_with("SIP/2.0 200 ") && updated.contains("Session-Expires: 300"), "{updated}");
        let short = new_phone.ask(&mut new.dialog, "UPDATE", "Supported: timer\r\nSession-Expires: 30\r\n", "").await;
        assert!(short.starts_with("SIP/2.0 422 ") && short.contains("Min-SE:"), "{short}");
        assert_eq!(nickname(&mut bob, "al").await, "425", "the nickname went with its holder");
        new.text("sip:alice@localhost", ROOM, "from my other device").await;
        bob.hear("from my other device").await;
        let _dialog = watch(&mut bob_phone, ROOM).await;
        let roster = bob_phone.notice("sip:alice@localhost").await;
        assert!(roster.contains("xcon:nickname=\"Al\""), "{roster}");
    })
    .await;
}

#[tokio::test]
async fn with_users_only_they_come_in_and_as_nobody_else() {
    // SIP-AUTH-01 SIP-AUTH-02 CHAT-JOIN-07
    let file = std::env::temp_dir().join(format!("openmsrp-users-{}", std::process::id()));
    let kept = secret(Algorithm::Sha256, "alice", "localhost", "looking glass");
    std::fs::write(&file, format!("alice@localhost SHA-256:{kept}\n")).unwrap();
    let raw = Raw { users: Some(file.clone()), ..Raw::default() };
    everywhere(raw, async |server, transport| {
        let mut alice_phone = Phone::new(server.sip, transport, "alice").await;
        let answer = async |phone: &mut Phone, password: &str| {
            let mut dialog = phone.dialog(ROOM);
            let mine = format!("msrp://127.0.0.1:9/{};tcp", dialog.call_id);
            let refused = phone.invite(&mut dialog, "", &mine, ABLE).await;
            assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
            dialog.remote = format!("<{ROOM}>");
            let challenge = Params::parse(header(&refused, "WWW-Authenticate")).unwrap();
            let question = Question {
                algorithm: Algorithm::Sha256,
                nonce: challenge.get("nonce").unwrap(),
                nc: "00000001",
                cnonce: "0a4f113b",
                method: "INVITE",
                uri: ROOM,
            };
            let response = question.response(&secret(Algorithm::Sha256, "alice", "localhost", password));
            let line = format!(
                "Authorization: Digest username=\"alice\", realm=\"localhost\", nonce=\"{}\", uri=\"{ROOM}\", \
                 qop=auth, nc=00000001, cnonce=\"0a4f113b\", algorithm=SHA-256, response=\"{response}\"\r\n",
                question.nonce
            );
            let outcome = phone.invite(&mut dialog, &line, &mine, ABLE).await;
            (dialog, outcome, mine)
        };
        let (_, refused, _) = answer(&mut alice_phone, "through the looking glass").await;
        assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
        let (dialog, ok, mine) = answer(&mut alice_phone, "looking glass").await;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        let mut alice = Seat::bind(dialog, ok, server.msrp, mine).await;
        assert_eq!(code(&alice.text("sip:alice@localhost", ROOM, "it is me").await), "200");
        let mut mallory_phone = Phone::new(server.sip, transport, "mallory").await;
        let (_, refused, _) = answer(&mut mallory_phone, "looking glass").await;
        assert!(refused.starts_with("SIP/2.0 403 "), "alice's password, mallory's name: {refused}");
    })
    .await;
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn typing_and_notifications_pass_untouched_and_a_success_report_means_the_room_has_it() {
    // COMP-01 IMDN-01 CHAT-REP-03
    everywhere(Raw::default(), async |server, transport| {
        let (_alice_phone, mut alice) = enter(server, transport, "alice").await;
        let (_bob_phone, mut bob) = enter(server, transport, "bob").await;
        let (_carol_phone, mut carol) = enter(server, transport, "carol").await;
        let me = "sip:alice@localhost";
        let typing = "Content-Type: application/im-iscomposing+xml\r\n\r\n\
             <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>active</state></isComposing>";
        assert_eq!(code(&alice.say(me, ROOM, "", typing).await), "200");
        for other in [&mut bob, &mut carol] {
            other.hear(typing).await;
        }
        let headers = "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n\
             imdn.Disposition-Notification: positive-delivery\r\n";
        let rest = format!(
            "Message-ID: imdn1234\r\nByte-Range: 1-*/*\r\nSuccess-Report: yes\r\nContent-Type: message/cpim\r\n\r\n\
             From: <{me}>\r\nTo: <{ROOM}>\r\n{headers}\r\nContent-Type: text/plain\r\n\r\nseen?\r\n"
        );
        assert_eq!(code(&alice.ask("SEND", &rest).await), "200");
        let report = alice.hear(" REPORT\r\n").await + &alice.hear("$\r\n").await;
        assert!(report.contains("Message-ID: imdn1234") && report.contains("Status: 000 200"), "{report}");
        for other in [&mut bob, &mut carol] {
            let copy = other.hear("seen?").await;
            assert!(copy.contains(headers), "{copy}");
        }
        let notification = "Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n\
             <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\"><message-id>34jk324j</message-id></imdn>";
        assert_eq!(code(&bob.say("sip:bob@localhost", me, "", notification).await), "200");
        alice.hear(notification).await;
        alice.text(me, ROOM, "end").await;
        carol.hear("end").await;
        assert!(!carol.wire.contains("message/imdn+xml"), "it went to one person: {}", carol.wire);
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_asks_is_told_how_many_have_its_message() {
    let raw = Raw { delivery_counts: Some(true), ..Raw::default() };
    everywhere(raw, async |server, transport| {
        let (_alice_phone, mut alice) = enter(server, transport, "alice").await;
        let (_bob_phone, mut bob) = enter(server, transport, "bob").await;
        let (_carol_phone, carol) = enter(server, transport, "carol").await;
        assert!(alice.ok.contains("a=chatroom:nickname private-messages org.openmsrp.delivery-count org.openmsrp.commands com.ag-projects.sylkserver-control\r\n"));
        let text = "Content-Type: text/plain\r\n\r\nwho has this?";
        assert_eq!(
            code(&alice.say("sip:alice@localhost", ROOM, "Delivery-Count: yes\r\n", text).await),
            "200"
        );
        let copy = bob.hear("who has this?").await;
        bob.takes(&copy).await;
        drop(carol);
        let report = alice.hear(" REPORT\r\n").await + &alice.hear("$\r\n").await;
        assert!(report.contains("Status: 000 200 received by 1 of 2\r\nDelivery-Count: 1/2\r\n"), "{report}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_declares_nothing_has_a_nickname_and_private_messages() {
    // CHAT-PRIV-03
    everywhere(Raw::default(), async |server, transport| {
        let (_alice_phone, mut alice) = enter(server, transport, "alice").await;
        let mut blink_phone = Phone::new(server.sip, transport, "blink").await;
        let mut blink = blink_phone.join(server.msrp, "lobby", "", "").await;
        let answer = blink.ask("NICKNAME", "Use-Nickname: Blinky\r\n").await;
        assert_eq!(code(&answer), "200", "without quotation marks");
        assert_eq!(nickname(&mut alice, "blinky").await, "425");
        assert_eq!(code(&alice.text("sip:alice@localhost", "sip:blink@localhost", "a secret").await), "200");
        blink.hear("a secret").await;
    })
    .await;
}
