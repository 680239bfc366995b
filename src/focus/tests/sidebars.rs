//! Rooms that participants of a room open among themselves: who may, who is asked, who comes in, who is told.

use super::*;

/// Another call of somebody, to open a sidebar of the lobby with those on the list.
fn opening(name: &str, n: u32, entries: &str) -> String {
    let text = listing("Require: recipient-list-invite\r\nSidebar-Of: <sip:lobby@chat.example>\r\n", entries);
    anew(&text, name, n).replace("alice", name)
}

/// The same request in a dialog of its own.
fn anew(text: &str, name: &str, n: u32) -> String {
    let text = text.replacen("z9hG4bK", &format!("z9hG4bK{name}{n}"), 1);
    text.replacen("Call-ID: ", &format!("Call-ID: {name}{n}"), 1)
}

fn guest(name: &str) -> String {
    format!("<entry uri=\"sip:{name}@example.com\"/>")
}

/// A call to a sidebar.
fn calling(name: &str, n: u32, sidebar: &Address) -> String {
    anew(&invite(name, 1, "", OFFER), name, n).replace(ROOM, sidebar.as_str())
}

/// What was told to endpoints in private.
fn notices(w: &mut World) -> Vec<(EndpointId, String)> {
    let told = std::mem::take(&mut w.told).into_iter();
    let notices = told.filter_map(|m| if let ToShard::Notice(notice) = m { Some(notice) } else { None });
    notices.map(|n| (n.endpoint, n.texts.concat())).collect()
}

/// Alice, who is in the lobby, opens a sidebar; its address, and her endpoint there.
fn opened(w: &mut World, n: u32, entries: &str) -> (Address, EndpointId) {
    let tx = w.request(&opening("alice", n, entries));
    let join = w.join();
    w.grant(join.endpoint);
    assert_eq!(w.response().code, 200);
    let request = parse(&anew(&text("ACK", "alice", 1, "", "", ""), "alice", n));
    w.input(Input::Acked { tx, request, flow: flow() });
    w.input(Input::Shard(FromShard::Bound { endpoint: join.endpoint }));
    (join.room, join.endpoint)
}

/// Why a request was refused.
fn refusal(w: &mut World, text: &str) -> (u16, String, String) {
    w.request(text);
    let response = w.response();
    let header = |name| response.headers.get(name).unwrap_or("").to_owned();
    (response.code, header("Warning"), header("Room-Refusal"))
}

#[test]
fn a_sidebar_is_a_room_of_its_own_to_which_those_who_are_listed_are_asked() {
    // FOCUS-10
    let mut w = World::new();
    let (_alice, bob, carol) = (w.call("alice"), w.call("bob"), w.call("carol"));
    let (sidebar, _) = opened(&mut w, 1, &guest("bob"));
    assert_ne!(sidebar.as_str(), ROOM);
    let told = notices(&mut w);
    assert_eq!(told, [(bob.endpoint, format!("alice asks you to a sidebar of this room.\r\n<{sidebar}>"))]);
    assert_ne!(told[0].0, carol.endpoint);
    w.request(&calling("bob", 2, &sidebar));
    let join = w.join();
    assert_eq!((&join.room, join.caller.invited), (&sidebar, true));
    let lobby = Address::parse(ROOM).unwrap();
    assert!(w.focus.calls.has(&lobby, &Address::parse("sip:bob@example.com").unwrap()), "he is in both");
}

#[test]
fn everybody_in_the_room_is_told_of_its_sidebars_by_reference_as_long_as_there_are_any() {
    // FOCUS-10 CONF-05
    let mut w = World::new();
    let (_alice, _bob) = (w.call("alice"), w.call("bob"));
    w.request(&subscribe(""));
    assert_eq!(w.response().code, 200);
    assert_eq!(w.notice().1.sidebars, Vec::<String>::new());
    let (sidebar, _) = opened(&mut w, 1, &guest("bob"));
    w.pass(Duration::from_secs(10));
    let told = w.notice().1;
    assert_eq!((told.state, told.users.len()), (State::Full, 2));
    assert_eq!(told.sidebars, [sidebar.as_str()]);
    let in_it = w.focus.calls.calls_of(&sidebar).next().unwrap().dialog;
    w.focus.calls.end(&mut w.focus.core, in_it, "SIP;cause=200");
    w.focus.spread();
    w.drain_outputs();
    w.sent.retain(|(_, m)| m.method == Method::Notify);
    w.pass(Duration::from_secs(10));
    assert_eq!(w.notice().1.sidebars, Vec::<String>::new());
    assert!(!w.focus.calls.sidebars.has(&sidebar), "nothing is kept");
}

#[test]
fn who_was_not_asked_is_shut_out_of_a_sidebar_and_of_its_roster_but_moderators() {
    let mut w = World::new();
    let (_alice, _bob, _carol) = (w.call("alice"), w.call("bob"), w.call("carol"));
    let (sidebar, _) = opened(&mut w, 1, &guest("bob"));
    w.told.clear();
    let why = "\"Only members of this room may enter: it is a sidebar, for those who were asked to it\"";
    let (code, warning, token) = refusal(&mut w, &calling("carol", 2, &sidebar));
    assert_eq!((code, &*token), (403, "members-only"));
    assert!(warning.ends_with(why), "{warning}");
    let watching =
        |name| anew(&subscribe(""), name, 3).replace("watcher", name).replace(ROOM, sidebar.as_str());
    assert_eq!(refusal(&mut w, &watching("carol")).2, "members-only");
    w.request(&watching("bob"));
    assert_eq!(w.response().code, 200, "who may come in may look first");
    w.request(&calling("mod", 4, &sidebar));
    assert_eq!(w.join().room, sidebar);
}

#[test]
fn only_who_is_in_a_room_opens_a_sidebar_of_it_and_only_with_those_who_are() {
    let mut w = World::new();
    let _alice = w.call("alice");
    let (code, warning, token) = refusal(&mut w, &opening("bob", 1, ""));
    assert_eq!((code, &*token), (403, "not-present"));
    assert!(warning.ends_with("\"You are not in this room\""), "{warning}");
    let (code, warning, token) = refusal(&mut w, &opening("alice", 2, &guest("bob")));
    assert_eq!((code, &*token), (403, "not-present"));
    assert!(warning.ends_with("\"sip:bob@example.com is not in the room\""), "{warning}");
    let elsewhere =
        opening("alice", 3, "").replace("<sip:lobby@chat.example>", "<sip:lobby@elsewhere.example>");
    assert_eq!(refusal(&mut w, &elsewhere).0, 404);
    assert!(w.told.is_empty() && w.focus.calls.sidebars.of(&Address::parse(ROOM).unwrap()).is_empty());
}

#[test]
fn a_room_may_leave_sidebars_to_moderators_and_a_sidebar_has_none() {
    let mut w = World::new();
    let (_alice, _bob) = (w.call("alice"), w.call("bob"));
    let (sidebar, _) = opened(&mut w, 1, "");
    let lobby = "<sip:lobby@chat.example>";
    let nested = opening("alice", 2, "").replace(lobby, &format!("<{sidebar}>"));
    let (code, warning, _) = refusal(&mut w, &nested);
    assert!(code == 403 && warning.ends_with("\"A sidebar has no sidebars of its own\""), "{warning}");
    w.focus.core.config.rooms = Arc::new(Rooms::from(Policy { sidebars: Role::Moderator, ..policy() }));
    assert_eq!(refusal(&mut w, &opening("alice", 3, "")).2, "below-moderator");
}

#[test]
fn the_sidebars_of_one_participant_are_bounded() {
    let mut w = World::new();
    let _alice = w.call("alice");
    for n in 0..limits::PARTICIPANT_SIDEBARS_MAX as u32 {
        opened(&mut w, n, "");
    }
    let (code, warning, _) = refusal(&mut w, &opening("alice", 99, ""));
    assert!(code == 403 && warning.contains("too many sidebars"), "{warning}");
}

#[test]
fn who_is_in_a_sidebar_asks_others_who_are_in_its_room() {
    let mut w = World::new();
    let (_alice, _bob, carol) = (w.call("alice"), w.call("bob"), w.call("carol"));
    let (sidebar, _) = opened(&mut w, 1, "");
    w.told.clear();
    let asks = refer("alice", 9, "", "Refer-To: <sip:carol@example.com>\r\n").replace(ROOM, sidebar.as_str());
    w.request(&asks);
    assert_eq!(w.response().code, 202);
    assert_eq!(w.reports().last().map(|(code, ..)| code.clone()), Some("200 OK".to_owned()));
    assert_eq!(
        notices(&mut w),
        [(carol.endpoint, format!("alice asks you to a sidebar of this room.\r\n<{sidebar}>"))]
    );
    w.request(&calling("carol", 2, &sidebar));
    assert_eq!(w.join().room, sidebar);
}

#[test]
fn who_is_taken_out_of_a_room_is_taken_out_of_its_sidebars() {
    let mut w = World::new();
    let (_alice, _bob) = (w.call("alice"), w.call("bob"));
    let (sidebar, _) = opened(&mut w, 1, &guest("bob"));
    w.request(&calling("bob", 2, &sidebar));
    w.told.clear();
    let endpoint =
        w.focus.calls.calls_of(&sidebar).find_map(|c| c.endpoint.filter(|_| !c.confirmed)).unwrap();
    w.grant(endpoint);
    w.responses.clear();
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.request(&refer("mod", 9, "", "Refer-To: <sip:bob@example.com;method=BYE>\r\n"));
    assert_eq!(w.response().code, 202);
    let bob = Address::parse("sip:bob@example.com").unwrap();
    let mut ending = w.focus.calls.calls_of(&sidebar).filter(|c| c.who.participant == bob);
    assert!(ending.all(|c| c.ending.is_some()), "it ends as soon as it is acknowledged");
    assert!(!w.focus.calls.has(&Address::parse(ROOM).unwrap(), &bob));
}

#[test]
fn an_anonymous_participant_is_asked_as_whom_the_room_shows_and_comes_in_as_whom_the_server_knows() {
    let mut w = World::new();
    let _alice = w.call("alice");
    w.request(&invite("carol", 1, "Privacy: id\r\n", OFFER));
    let join = w.join();
    w.grant(join.endpoint);
    assert_eq!(w.response().code, 200);
    w.input(Input::Shard(FromShard::Bound { endpoint: join.endpoint }));
    let (sidebar, _) = opened(&mut w, 1, &format!("<entry uri=\"{}\"/>", join.participant));
    assert_eq!(notices(&mut w).first().map(|(endpoint, _)| *endpoint), Some(join.endpoint));
    w.request(&calling("carol", 2, &sidebar).replacen("Max-Forwards", "Privacy: id\r\nMax-Forwards", 1));
    let inside = w.join();
    assert!(inside.participant.as_str().contains("anonymous.invalid") && inside.room == sidebar);
}
