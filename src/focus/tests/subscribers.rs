//! What subscribers are told: the state of every document, its number and pace, and what a crowd costs.

use super::*;
use crate::base::limits::{NOTICE_PACE, NOTICE_TURN, NOTICES_TURN_BYTES_MAX, NOTICES_TURN_MAX};
use crate::wire::digest::{Algorithm, Params, Question, secret};
use conference::RosterUpdate;
use std::collections::{BTreeMap, BTreeSet};

const CONFERENCE: &str = "Event: conference\r\n";

/// How often a notice is tried again.
const REFUSALS: u32 = 3;

/// Who must follow a room by its notices alone.
#[derive(Default)]
struct Follower {
    version: u32,
    /// The endpoints of each user.
    users: BTreeMap<String, BTreeSet<String>>,
    count: Option<u32>,
    /// Documents that told everything.
    full: usize,
}

impl Follower {
    /// Takes a document as RFC 4575 §4.6 has it, and looks at its state on the way (CONF-05, CONF-06).
    fn take(&mut self, text: &str) {
        let update = conference::read(text.as_bytes()).unwrap();
        assert!(text.contains("<conference-info") && text.ends_with("</conference-info>\r\n"), "{text}");
        consistent(&update, text);
        if update.version <= self.version {
            return;
        }
        assert!(update.state == State::Full || update.version == self.version + 1, "a gap: {text}");
        self.version = update.version;
        self.count = update.user_count.or(self.count);
        if update.state == State::Full {
            self.full += 1;
            self.users.clear();
        }
        for user in update.users {
            if user.state == State::Deleted {
                self.users.remove(&user.entity);
            } else {
                self.users.insert(user.entity, user.endpoints.into_iter().map(|e| e.entity).collect());
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.users.keys().map(String::as_str).collect()
    }
}

fn consistent(update: &RosterUpdate, text: &str) {
    assert_eq!(update.entity, ROOM);
    if update.state == State::Full {
        assert!(update.display_text.is_some() && update.users_state == Some(State::Full), "{text}");
        assert!(!text.contains("\"partial\"") && !text.contains("\"deleted\""), "{text}");
    }
    let entities: BTreeSet<&str> = update.users.iter().map(|u| &*u.entity).collect();
    assert_eq!(entities.len(), update.users.len(), "each user once: {text}");
    for user in &update.users {
        let keys: BTreeSet<&str> = user.endpoints.iter().map(|e| &*e.entity).collect();
        assert_eq!(keys.len(), user.endpoints.len(), "each endpoint once: {text}");
        if user.state == State::Deleted {
            assert!(user.endpoints.is_empty() && user.display_text.is_none(), "{text}");
            continue;
        }
        assert!(user.display_text.is_some() && !user.endpoints.is_empty(), "{text}");
        for endpoint in &user.endpoints {
            assert_eq!(endpoint.status.as_deref(), Some("connected"), "{text}");
            let joining = endpoint.joining_method.as_deref().unwrap();
            assert!(["dialed-in", "dialed-out"].contains(&joining), "{text}");
            assert!(endpoint.message_media && endpoint.state == State::Full, "{text}");
        }
    }
}

/// A world whose rooms are told whole up to so many participants.
fn world(whole_max: usize) -> World {
    let mut w = World::new();
    w.focus.rosters = Rosters::new(whole_max, false);
    w
}

impl World {
    /// Somebody came with a device, or went.
    fn presence(&mut self, name: &str, endpoint: u64, present: bool) {
        self.focus.core.now = self.now;
        self.focus.core.news.push(News::Presence(Presence {
            room: Address::parse(ROOM).unwrap(),
            participant: Address::parse(&format!("sip:{name}@example.com")).unwrap(),
            display_name: name.into(),
            nickname: None,
            endpoint: EndpointId(endpoint),
            contact: format!("sip:{name}@pc{endpoint}.example").into(),
            real: None,
            joining: "dialed-in",
            role: if name == "mod" { Role::Moderator } else { Role::Participant },
            muted: false,
            present,
        }));
        self.focus.spread();
        self.drain_outputs();
    }

    /// Subscribes; the tag of the dialog. The first notice is still to be answered.
    fn watch(&mut self, name: &str, extra: &str) -> String {
        self.request(&text("SUBSCRIBE", name, 1, "", &format!("{CONFERENCE}{extra}"), ""));
        let ok = self.response();
        assert_eq!(ok.code, 200);
        ok.to_tag.unwrap().into()
    }

    /// Answers all notices that were sent; to whom they went, and their documents.
    fn notices(&mut self) -> Vec<(String, String)> {
        let sent = std::mem::take(&mut self.sent);
        let mut out = Vec::new();
        for (id, notify) in sent {
            assert_eq!(notify.method, Method::Notify);
            out.push((notify.uri.to_string(), notify.whole_body()));
            self.input(Input::Answer { id, reply: Reply::bare(200) });
        }
        out
    }
}

#[test]
fn a_hundred_joins_in_a_second_are_one_notice() {
    // CONF-04, CONF-07
    let mut w = world(500);
    w.watch("early", "");
    let mut early = Follower::default();
    early.take(&w.notices()[0].1);
    for n in 0..100 {
        w.presence(&format!("p{n}"), n, true);
        w.pass(Duration::from_millis(10));
    }
    assert!(w.sent.is_empty());
    // Who comes later counts from one, and knows all.
    w.watch("late", "");
    let mut late = Follower::default();
    late.take(&w.notices()[0].1);
    assert_eq!((late.version, late.users.len()), (1, 100));
    w.pass(NOTICE_PACE);
    let told = w.notices();
    assert_eq!(told.len(), 1, "the late one has nothing to learn");
    early.take(&told[0].1);
    assert_eq!((early.version, early.full, early.users.len()), (2, 1, 100));
    // A user that goes is one change to both, each with a number of their own.
    w.presence("p7", 7, false);
    w.pass(NOTICE_PACE);
    for (to, document) in w.notices() {
        (if to.contains("early") { &mut early } else { &mut late }).take(&document);
    }
    assert_eq!((early.version, late.version), (3, 2));
    assert!(early.users == late.users && early.users.len() == 99);
}

#[test]
fn a_notice_that_is_refused_is_followed_by_a_whole_document() {
    // CONF-06, CONF-09
    let mut w = world(500);
    w.watch("watcher", "");
    let mut follower = Follower::default();
    follower.take(&w.notices()[0].1);
    w.presence("alice", 1, true);
    w.pass(NOTICE_PACE);
    follower.take(&w.notices()[0].1);
    assert_eq!(follower.full, 1);
    let refuse = |w: &mut World| {
        w.pass(NOTICE_PACE);
        let (id, notify) = w.sent();
        w.input(Input::Answer { id, reply: Reply::bare(500) });
        conference::read(notify.whole_body().as_bytes()).unwrap().state
    };
    // Nothing else changes: what was missed comes of itself.
    w.presence("bob", 2, true);
    assert_eq!(refuse(&mut w), State::Partial);
    w.pass(NOTICE_PACE);
    follower.take(&w.notices()[0].1);
    assert_eq!((follower.full, follower.users.len()), (2, 2));
    // Once it is there, changes follow again.
    w.presence("carol", 3, true);
    w.pass(NOTICE_PACE);
    follower.take(&w.notices()[0].1);
    assert_eq!((follower.full, follower.users.len()), (2, 3));
    // Who refuses everything is left alone until something changes, and then told everything.
    w.presence("bob", 2, false);
    let states: Vec<State> = (0..=REFUSALS).map(|_| refuse(&mut w)).collect();
    assert_eq!(states, [State::Partial, State::Full, State::Full, State::Full]);
    w.pass(10 * NOTICE_PACE);
    assert!(w.sent.is_empty());
    w.presence("carol", 3, false);
    w.pass(NOTICE_PACE);
    follower.take(&w.notices()[0].1);
    assert_eq!((follower.full, follower.names()), (3, vec!["sip:alice@example.com"]));
}

#[test]
fn a_change_after_a_quiet_time_is_told_at_once_and_the_next_after_the_pace() {
    // CONF-07
    let mut w = world(500);
    w.watch("watcher", "");
    w.notices();
    w.pass(NOTICE_PACE);
    w.presence("alice", 1, true);
    w.pass(Duration::ZERO);
    assert_eq!(w.notices().len(), 1);
    w.presence("bob", 2, true);
    w.presence("alice", 1, false);
    w.pass(NOTICE_PACE - Duration::from_nanos(1));
    assert!(w.sent.is_empty());
    w.pass(Duration::from_nanos(1));
    assert_eq!(w.notices().len(), 1);
    // One who waits for the pace keeps nobody waiting who has heard nothing for long.
    w.pass(Duration::from_secs(60));
    w.watch("new", "");
    w.notices();
    w.presence("carol", 3, true);
    w.pass(NOTICE_TURN);
    let told = w.notices();
    assert_eq!((told.len(), told[0].0.contains("watcher")), (1, true));
    w.pass(NOTICE_PACE);
    assert!(w.notices()[0].0.contains("new"));
}

#[test]
fn whoever_comes_and_goes_with_whatever_devices_the_documents_add_up() {
    // CONF-04, CONF-05, CONF-06
    for seed in 0..20 {
        let mut entropy = Entropy::from_seed(seed);
        let mut w = world(8);
        let mut truth: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut followers: BTreeMap<String, Follower> = BTreeMap::new();
        for step in 0..400 {
            let (user, device) = (entropy.below(14), entropy.below(3));
            let name = format!("p{user}");
            let (entity, contact) =
                (format!("sip:{name}@example.com"), format!("sip:{name}@pc{device}.example"));
            let devices = truth.entry(entity.clone()).or_default();
            let present = !devices.remove(&contact);
            if present {
                devices.insert(contact);
            } else if devices.is_empty() {
                truth.remove(&entity);
            }
            w.presence(&name, device, present);
            if step % 100 == 3 {
                let agent = if step == 103 { "User-Agent: Blink 5.9.1\r\n" } else { "" };
                w.watch(&format!("w{step}"), agent);
            }
            w.pass(Duration::from_millis(entropy.below(700)));
            for (to, document) in w.notices() {
                followers.entry(to).or_default().take(&document);
            }
        }
        w.pass(2 * NOTICE_PACE);
        for (to, document) in w.notices() {
            followers.entry(to).or_default().take(&document);
        }
        let whole = truth.len() <= 6;
        for (who, follower) in &followers {
            assert_eq!(follower.count, u32::try_from(truth.len()).ok(), "{who}");
            assert!(follower.users == truth || !whole && follower.users.is_empty(), "{who} {seed}");
        }
        assert_eq!(followers.len(), 4);
    }
}

#[test]
fn all_who_have_seen_the_same_share_one_text() {
    let mut w = world(500);
    for name in ["a", "b", "c"] {
        w.presence(name, 1, true);
    }
    for name in ["x", "y"] {
        w.watch(name, "");
    }
    let same = |w: &mut World| {
        let sent = std::mem::take(&mut w.sent);
        let [(_, x), (_, y)] = &sent[..] else { panic!("{sent:?}") };
        let shared = Arc::ptr_eq(x.rest.as_ref().unwrap(), y.rest.as_ref().unwrap());
        sent.iter().for_each(|(id, _)| w.input(Input::Answer { id: *id, reply: Reply::bare(200) }));
        shared
    };
    assert!(same(&mut w), "the whole roster");
    w.presence("d", 1, true);
    w.pass(NOTICE_PACE);
    assert!(same(&mut w), "a change");
}

#[test]
fn a_crowd_is_told_as_a_summary_with_moderators_and_oneself() {
    // CONF-05
    let mut w = world(3);
    let mut follower = Follower::default();
    let take = |w: &mut World, follower: &mut Follower| {
        w.pass(NOTICE_PACE);
        let told = w.notices();
        told.iter().for_each(|(_, document)| follower.take(document));
        told.into_iter().map(|(_, document)| document).collect::<String>()
    };
    w.presence("p0", 0, true);
    w.presence("p1", 1, true);
    w.watch("p1", "");
    take(&mut w, &mut follower);
    w.presence("p2", 2, true);
    take(&mut w, &mut follower);
    assert_eq!((follower.full, follower.users.len()), (1, 3));
    // One more, and everything is told anew, once.
    w.presence("p3", 3, true);
    w.presence("mod", 4, true);
    let document = take(&mut w, &mut follower);
    assert!(document.contains("<free-text>More than 3 participants: only their number, "), "{document}");
    assert_eq!((follower.full, follower.count), (2, Some(5)));
    assert_eq!(follower.names(), ["sip:mod@example.com", "sip:p1@example.com"]);
    // Others change the number only; moderators and oneself are told of.
    w.presence("p4", 5, true);
    let document = take(&mut w, &mut follower);
    assert!(!document.contains("<users") && document.len() < 500, "{document}");
    assert_eq!((follower.full, follower.count, follower.users.len()), (2, Some(6), 2));
    w.presence("p1", 6, true);
    w.presence("mod", 4, false);
    take(&mut w, &mut follower);
    assert_eq!((follower.full, follower.count, follower.names()), (2, Some(5), vec!["sip:p1@example.com"]));
    assert_eq!(follower.users["sip:p1@example.com"].len(), 2);
    w.presence("p1", 1, false);
    w.presence("p1", 6, false);
    take(&mut w, &mut follower);
    assert_eq!((follower.count, follower.users.len()), (Some(4), 0));
    // One below the size is still too close to it.
    w.presence("p0", 0, false);
    take(&mut w, &mut follower);
    assert_eq!((follower.full, follower.count, follower.users.len()), (2, Some(3), 0));
    w.presence("p2", 2, false);
    take(&mut w, &mut follower);
    assert_eq!((follower.full, follower.count), (3, Some(2)));
    assert_eq!(follower.names(), ["sip:p3@example.com", "sip:p4@example.com"]);
}

#[test]
fn a_participant_who_subscribes_in_the_dialog_of_a_call_is_known_by_that_call() {
    // CONF-08
    let mut w = world(0);
    let request = invite("alice", 1, "Privacy: id\r\n", OFFER);
    let tx = w.request(&request);
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let tag = w.response().to_tag.unwrap().into();
    let mut alice = Phone { name: "alice", seq: 1, tag, endpoint };
    w.ack(&alice, tx, "");
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.call("bob");
    alice.seq += 1;
    w.request(&alice.text("SUBSCRIBE", alice.seq, CONFERENCE, ""));
    w.responses.clear();
    let document = &w.notices()[0].1;
    assert!(document.contains("<user entity=\"sip:anonymous1@anonymous.invalid\""), "{document}");
    assert!(document.contains("<user-count>2<") && !document.contains("alice"), "{document}");
}

#[test]
fn a_room_at_the_edge_of_the_size_does_not_turn_with_everybody_who_comes_and_goes() {
    let mut w = world(20);
    (0..20).for_each(|n| w.presence(&format!("p{n}"), n, true));
    w.watch("watcher", "");
    let mut follower = Follower::default();
    for _ in 0..50 {
        for present in [true, false] {
            w.presence("p20", 20, present);
            w.pass(NOTICE_PACE + NOTICE_TURN);
            w.notices().iter().for_each(|(_, document)| follower.take(document));
        }
    }
    assert_eq!((follower.full, follower.count), (2, Some(20)));
}

#[test]
fn whom_a_document_does_not_reach_because_of_its_size_gets_summaries() {
    // SIP-TRANS-01
    let mut w = world(500);
    (0..400).for_each(|n| w.presence(&format!("p{n}"), n, true));
    let tag = w.watch("p7", "");
    let (id, first) = w.sent();
    assert!(first.body_len() > 65_535);
    w.input(Input::Answer { id, reply: Reply::bare(513) });
    let mut follower = Follower::default();
    let document = &w.notices()[0].1;
    assert!(document.contains("<free-text>"), "{document}");
    follower.take(document);
    assert_eq!((follower.version, follower.count), (1, Some(400)));
    assert_eq!(follower.names(), ["sip:p7@example.com"]);
    // So it stays, also when asked anew.
    w.presence("p400", 400, true);
    w.pass(NOTICE_PACE);
    follower.take(&w.notices()[0].1);
    let refresh = text("SUBSCRIBE", "p7", 2, &format!(";tag={tag}"), CONFERENCE, "");
    assert_eq!(w.code(&refresh), 200);
    let document = &w.notices()[0].1;
    assert!(document.contains("state=\"full\" version=\"2\"") && document.len() < 2000, "{document}");
    // Who does not take that either gets nothing more.
    w.presence("p401", 401, true);
    w.pass(NOTICE_PACE);
    let (id, _) = w.sent();
    w.input(Input::Answer { id, reply: Reply::bare(513) });
    assert!(w.sent.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn also_the_last_notice_is_repeated_shorter() {
    // CONF-03
    let mut w = world(500);
    (0..400).for_each(|n| w.presence(&format!("p{n}"), n, true));
    w.watch("watcher", "Expires: 0\r\n");
    let (id, _) = w.sent();
    w.input(Input::Answer { id, reply: Reply::bare(513) });
    let (id, last) = w.sent();
    assert_eq!(last.headers.get("Subscription-State"), Some("terminated;reason=timeout"));
    assert!(last.body_len() < 2000 && last.whole_body().contains("<user-count>400<"));
    assert_eq!(w.focus.core.dialogs.len(), 1);
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    assert!(w.focus.core.dialogs.is_empty());
}

#[test]
fn what_an_answer_to_a_notice_says_of_the_subscription() {
    // CONF-09
    let ends = [404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 503, 604];
    for code in
        [200, 202, 400, 403, 406, 413, 423, 486, 487, 488, 491, 500, 502, 600, 603].iter().chain(&ends)
    {
        let mut w = world(500);
        w.watch("watcher", "");
        let (id, _) = w.sent();
        w.input(Input::Answer { id, reply: Reply::bare(*code) });
        assert_eq!(w.focus.core.dialogs.is_empty(), ends.contains(code), "{code}");
        w.presence("alice", 1, true);
        w.pass(NOTICE_PACE);
        assert_eq!(w.sent.is_empty(), ends.contains(code), "{code}");
    }
}

#[test]
fn a_notice_that_was_lost_before_the_subscriber_asked_anew_ends_nothing() {
    // CONF-09
    let mut w = world(500);
    let tag = w.watch("watcher", "");
    let (id, _) = w.sent();
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    w.presence("alice", 1, true);
    w.pass(NOTICE_PACE);
    let (lost, _) = w.sent();
    assert_eq!(w.code(&text("SUBSCRIBE", "watcher", 2, &format!(";tag={tag}"), CONFERENCE, "")), 200);
    let (id, whole) = w.sent();
    assert!(whole.body.contains("state=\"full\""), "{}", whole.body);
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    // The lost one keeps nothing back, and when it is given up the subscription goes on.
    w.presence("bob", 2, true);
    w.pass(NOTICE_PACE);
    let (id, partial) = w.sent();
    assert!(
        partial.body.contains("state=\"partial\"") && partial.whole_body().contains("sip:bob@"),
        "{}",
        partial.body
    );
    w.input(Input::Answer { id: lost, reply: Reply::bare(408) });
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    w.presence("carol", 3, true);
    w.pass(NOTICE_PACE);
    assert!(w.sent().1.whole_body().contains("sip:carol@"));
}

#[test]
fn the_old_media_type_is_the_one_that_is_spoken() {
    // CONF-01, CONF-11
    let (old, new) = ("application/conference-info+xml", "application/xcon-conference-info+xml");
    for accept in [
        String::new(),
        format!("Accept: {old}\r\n"),
        format!("Accept: {new}, {old};q=0.1\r\n"),
        format!("Accept: {new}\r\nAccept: {old}\r\n"),
        "Accept: application/*\r\n".to_owned(),
    ] {
        let mut w = world(500);
        w.watch("watcher", &accept);
        let (_, notify) = w.sent();
        assert_eq!(notify.headers.get("Content-Type"), Some(old), "{accept}");
    }
    let mut w = world(500);
    let only = format!("{CONFERENCE}Accept: {new}\r\n");
    w.request(&text("SUBSCRIBE", "watcher", 1, "", &only, ""));
    let refused = w.response();
    assert_eq!((refused.code, refused.headers.get("Accept")), (406, Some(old)));
}

#[test]
fn a_subscription_lasts_as_long_as_asked_for_and_an_hour_at_most() {
    // CONF-02, CONF-03
    for (asked, granted) in [
        ("", "3600"),
        ("Expires: 99999\r\n", "3600"),
        ("Expires: 3600\r\n", "3600"),
        ("Expires: 60\r\n", "60"),
        ("Expires: 59\r\n", ""),
        ("Expires: 1\r\n", ""),
    ] {
        let mut w = world(500);
        let request = parse(&text("SUBSCRIBE", "watcher", 1, "", &format!("{CONFERENCE}{asked}"), ""));
        w.focus.handle(w.now, Input::Request { tx: TxId(7), request, flow: flow() });
        // First the answer, then the notice.
        let Some(Output::Respond { response, .. }) = w.focus.poll() else { panic!("no answer") };
        let Some(Output::Send { id, request }) = w.focus.poll() else {
            assert_eq!((response.code, response.headers.get("Min-Expires")), (423, Some("60")), "{asked}");
            assert!(granted.is_empty());
            continue;
        };
        assert_eq!((response.code, response.headers.get("Expires")), (200, Some(granted)), "{asked}");
        assert_eq!(request.headers.get("Subscription-State"), Some(&*format!("active;expires={granted}")));
        assert!(request.body.contains("state=\"full\" version=\"1\""), "{}", request.body);
        w.input(Input::Answer { id, reply: Reply::bare(200) });
        // A later one says what is left.
        w.pass(Duration::from_secs(20));
        w.presence("alice", 1, true);
        w.pass(Duration::ZERO);
        let left = granted.parse::<u32>().unwrap() - 20;
        let (id, notify) = w.sent();
        assert_eq!(notify.headers.get("Subscription-State"), Some(&*format!("active;expires={left}")));
        w.input(Input::Answer { id, reply: Reply::bare(200) });
        w.pass(Duration::from_secs(left.into()));
        let (_, last) = w.sent();
        assert_eq!(last.headers.get("Subscription-State"), Some("terminated;reason=timeout"));
    }
}

#[test]
fn who_pretends_to_be_somebody_else_is_told_nothing() {
    // CONF-01
    let mut w = world(500);
    let mut config = w.focus.core.config.clone();
    let hash = secret(Algorithm::Sha256, "alice", "chat.example", "pw");
    config.accounts.users = accounts::Users::parse(&format!("alice@chat.example SHA-256:{hash}")).unwrap();
    w.focus = Focus::new(config, Entropy::from_seed(2));
    for (name, code) in [("alice", 200), ("mallory", 403)] {
        let subscribe = |seq, lines: &str| {
            let lines = format!("{CONFERENCE}{lines}");
            text("SUBSCRIBE", name, seq, "", &lines, "").replace("@example.com", "@chat.example")
        };
        w.request(&subscribe(1, ""));
        let refused = w.response();
        assert_eq!(refused.code, 401);
        let challenge = Params::parse(refused.headers.get("WWW-Authenticate").unwrap()).unwrap();
        let nonce = challenge.get("nonce").unwrap();
        let question = Question {
            algorithm: Algorithm::Sha256,
            nonce,
            nc: "00000001",
            cnonce: "c",
            method: "SUBSCRIBE",
            uri: ROOM,
        };
        let response = question.response(&hash);
        let answer = format!(
            "Authorization: Digest username=\"alice\", realm=\"chat.example\", nonce=\"{nonce}\", uri=\"{ROOM}\", \
             qop=auth, nc=00000001, cnonce=\"c\", response=\"{response}\", algorithm=SHA-256\r\n"
        );
        assert_eq!(w.code(&subscribe(2, &answer)), code, "{name}");
        assert_eq!(w.notices().len(), usize::from(code == 200));
    }
}

#[test]
fn devices_calls_of_the_room_and_removals_keep_the_documents_sound() {
    // CONF-06
    let mut w = world(500);
    let mut follower = Follower::default();
    w.watch("watcher", "");
    let mut told = |w: &mut World| {
        w.pass(NOTICE_PACE);
        let about = |r: &Outgoing| r.headers.get("Event") == Some("conference");
        let (notices, others) = std::mem::take(&mut w.sent).into_iter().partition(|(_, r)| about(r));
        w.sent = notices;
        w.notices().iter().for_each(|(_, document)| follower.take(document));
        w.sent = others;
        follower.users.clone()
    };
    told(&mut w);
    w.call("alice");
    // Her second device, at another address.
    let second = invite("alice", 1, "", OFFER).replace("calice", "second").replace("talice", "t2");
    let tx = w.request(&second.replace("alice@pc.example", "alice@phone.example"));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let tag = w.response().to_tag.unwrap().into();
    w.ack(&Phone { name: "alice", seq: 1, tag, endpoint }, tx, "");
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    let users = told(&mut w);
    assert_eq!((users.len(), users["sip:alice@example.com"].len()), (1, 2));
    // A call of the room that is not taken tells nobody of carol; one that is taken does.
    let (_, id, _) = w.ringing();
    w.input(Input::Answer { id, reply: Reply::bare(486) });
    w.left();
    w.reports();
    assert_eq!(told(&mut w), users);
    let (endpoint, id, _) = w.ringing();
    w.input(Input::Answer { id, reply: picked_up(OFFER) });
    w.revise();
    w.reports();
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    assert_eq!(told(&mut w).len(), 2);
    // Taken out, alice is gone with both devices.
    w.request(&refer("mod", 1, "", "Refer-To: <sip:alice@example.com;method=BYE>\r\n"));
    w.responses.clear();
    let users = told(&mut w);
    assert_eq!(users.keys().map(String::as_str).collect::<Vec<_>>(), ["sip:carol@192.0.2.7:5070"]);
}

#[test]
fn the_subscribers_of_a_crowd_are_told_in_portions_and_the_longest_waiting_first() {
    // CONF-07
    let mut w = world(20);
    for n in 0..=NOTICES_TURN_MAX {
        w.watch(&format!("w{n}"), "");
    }
    w.notices();
    w.pass(NOTICE_PACE);
    (0..30).for_each(|n| w.presence(&format!("p{n}"), n, true));
    w.pass(Duration::ZERO);
    let told = w.notices();
    assert_eq!(told.len(), NOTICES_TURN_MAX);
    let last = format!("sip:w{NOTICES_TURN_MAX}@pc.example");
    assert!(told.iter().all(|(to, _)| *to != last));
    w.presence("p30", 30, true);
    w.pass(NOTICE_TURN);
    let told = w.notices();
    assert_eq!((told.len(), &told[0].0), (1, &last));
    assert!(told[0].1.contains("<user-count>31<"));
}

#[test]
fn long_documents_are_told_to_a_few_in_one_turn() {
    let mut w = world(500);
    (0..400).for_each(|n| w.presence(&format!("p{n}"), n, true));
    for n in 0..100 {
        w.watch(&format!("w{n}"), "User-Agent: Blink 5.9.1\r\n");
        w.notices();
    }
    w.pass(2 * NOTICE_PACE);
    w.presence("p400", 400, true);
    let (mut turns, mut told) = (0, 0);
    while told < 100 {
        w.pass(if turns == 0 { Duration::ZERO } else { NOTICE_TURN });
        let notices = w.notices();
        let octets: usize = notices.iter().map(|(_, document)| document.len()).sum();
        let longest = notices.iter().map(|(_, document)| document.len()).max().unwrap();
        assert!(octets < NOTICES_TURN_BYTES_MAX + longest, "{octets}");
        told += notices.len();
        turns += 1;
    }
    assert_eq!((told, turns), (100, 4));
}

/// Octets of documents.
struct Bill {
    notices: usize,
    octets: usize,
}

/// So many people come, a thousand a second, each with a subscription; then all but one go. What the coming
/// and the going cost.
fn storm(people: u64) -> [Bill; 2] {
    let mut w = world(20);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut bills = Vec::new();
    for coming in [true, false] {
        let mut bill = Bill { notices: 0, octets: 0 };
        let mut read = |w: &mut World, counts: &mut BTreeMap<String, u32>| {
            for (to, document) in w.notices() {
                bill.notices += 1;
                bill.octets += document.len();
                let from = document.find("<user-count>").unwrap() + "<user-count>".len();
                let digits = document[from..].split('<').next().unwrap();
                counts.insert(to, digits.parse().unwrap());
            }
        };
        for n in 0..people {
            let name = format!("p{n}");
            if coming {
                w.presence(&name, n, true);
                w.watch(&name, "");
            } else if n > 0 {
                w.presence(&name, n, false);
            }
            w.pass(Duration::from_millis(1));
            read(&mut w, &mut counts);
        }
        let end = w.now + Duration::from_secs(people / NOTICES_TURN_MAX as u64) + 4 * NOTICE_PACE;
        while w.now < end {
            w.pass(NOTICE_TURN);
            read(&mut w, &mut counts);
        }
        assert_eq!(counts.len() as u64, people);
        let left = if coming { u32::try_from(people).unwrap() } else { 1 };
        assert!(counts.values().all(|n| *n == left), "everybody knows in the end");
        bills.push(bill);
    }
    let [coming, going] = <[Bill; 2]>::try_from(bills).ok().unwrap();
    [coming, going]
}

#[test]
fn ten_times_the_crowd_costs_ten_times_the_octets() {
    // CONF-07
    let (few, many) = (storm(2_000), storm(20_000));
    for (few, many) in few.iter().zip(&many) {
        assert!(many.octets < 11 * few.octets, "{} and {} octets", few.octets, many.octets);
        // The smaller storm is over before it is time for a second notice.
        assert!(many.notices < 13 * few.notices, "{} and {} notices", few.notices, many.notices);
    }
}
