//! The room by value: commands in, effects out.

use super::policy::Policy;
use super::*;
use crate::base::budget::Rate;

struct World(Room);

impl World {
    fn new(policy: Policy) -> Self {
        let address = Address::parse("sip:lobby@chat.example.com").unwrap();
        Self(Room::new(address, Rules::from(policy).into(), ShardId(0), 2))
    }

    fn does(&mut self, command: Command<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        self.0.apply(Now(0), command, &mut out);
        self.0.check();
        out
    }

    fn enter(&mut self, n: u64, name: &str) {
        let participant = Address::parse(&format!("sip:{name}@example.com")).unwrap();
        let caller = Caller::of(&participant);
        let endpoint = EndpointId(n);
        let able = Some(n != 9);
        self.does(Command::Join { endpoint, participant, able, caller, password: None });
        self.does(Command::Bind { endpoint: EndpointId(n), at: ShardId(0) });
    }

    fn says(&mut self, n: u64, no: u32, flag: Flag) -> Vec<Effect> {
        self.posts(n, no, flag, None, "text/plain", 10)
    }

    fn posts(
        &mut self,
        n: u64,
        no: u32,
        flag: Flag,
        to: Option<&str>,
        content_type: &str,
        size: u64,
    ) -> Vec<Effect> {
        let endpoint = EndpointId(n);
        self.does(Command::Post(Posting {
            endpoint,
            no: MessageNo(no),
            to,
            content_type,
            size,
            octets: size,
            flag,
            feedback: Feedback::default(),
        }))
    }
}

fn verdict(effects: &[Effect]) -> Result<(), Refusal> {
    let Effect::Verdict { verdict, .. } = effects[0] else { panic!("no verdict in {effects:?}") };
    verdict
}

#[test]
fn messages_get_rising_numbers_and_one_verdict_each() {
    // CHAT-MSG-14 CHAT-REP-01
    let mut w = World::new(Policy::default());
    w.enter(1, "alice");
    w.enter(2, "bob");
    for n in 1..=3 {
        let out = w.says(1 + n % 2, n as u32, Flag::End);
        assert_eq!(verdict(&out), Ok(()));
        assert_eq!(
            out[1],
            Effect::Broadcast {
                seq: Seq(n),
                from: EndpointId(1 + n % 2),
                ask: Ask::Errors,
                only: None,
                no: MessageNo(n as u32),
                feedback: Feedback::default()
            }
        );
    }
}

#[test]
fn a_large_room_asks_for_nothing() {
    // CHAT-REP-06
    let mut w = World::new(Policy { copy_report_endpoints_max: 2, ..Policy::default() });
    for n in 1..=3 {
        w.enter(n, &format!("p{n}"));
    }
    assert!(matches!(w.says(1, 1, Flag::End)[1], Effect::Broadcast { ask: Ask::Nothing, .. }));
}

#[test]
fn an_endpoint_is_admitted_after_what_was_said_before() {
    // CHAT-CHUNK-03
    let mut w = World::new(Policy::default());
    w.enter(1, "alice");
    w.says(1, 1, Flag::End);
    let participant = Address::parse("sip:bob@example.com").unwrap();
    let (endpoint, caller) = (EndpointId(2), Caller::of(&participant));
    let join = Command::Join { endpoint, participant, able: Some(true), caller, password: None };
    let out = w.does(join);
    assert_eq!(out, [Effect::Grant { endpoint: EndpointId(2), at: ShardId(0) }]);
    let out = w.does(Command::Bind { endpoint: EndpointId(2), at: ShardId(1) });
    assert_eq!(
        out,
        [
            Effect::Admit { endpoint: EndpointId(2), at: ShardId(1), number: 1, after: Seq(1) },
            Effect::Forget { endpoint: EndpointId(2), at: ShardId(0) },
        ]
    );
}

#[test]
fn later_parts_follow_the_first_and_a_leaver_ends_what_it_began() {
    // CHAT-CHUNK-05 CHAT-CHUNK-07
    let mut w = World::new(Policy::default());
    w.enter(1, "alice");
    w.enter(2, "bob");
    w.says(1, 1, Flag::More);
    w.says(1, 2, Flag::End);
    let go_on = |flag| Command::Continue { endpoint: EndpointId(1), no: MessageNo(1), flag, octets: 1 };
    assert_eq!(w.does(go_on(Flag::More)), [Effect::Continue { seq: Seq(1), only: None }]);
    w.says(1, 3, Flag::More);
    let out = w.does(Command::Leave { endpoint: EndpointId(1) });
    assert_eq!(out[..2], [Effect::Abort { seq: Seq(1) }, Effect::Abort { seq: Seq(3) }]);
    assert_eq!(out[2], Effect::Evict { endpoint: EndpointId(1), at: ShardId(0) });
    assert!(w.does(go_on(Flag::End)).is_empty(), "nothing follows the end");
}

#[test]
fn a_private_message_goes_to_all_able_endpoints_of_one_participant() {
    // CHAT-PRIV-01 CHAT-PRIV-03 CHAT-PRIV-08
    let mut w = World::new(Policy::default());
    for (n, name) in [(1, "alice"), (2, "bob"), (3, "bob"), (9, "bob"), (4, "carol"), (5, "alice")] {
        w.enter(n, name);
    }
    let to = |w: &mut World, no, who| {
        let out = w.posts(1, no, Flag::End, Some(&format!("sip:{who}@example.com")), "text/plain", 10);
        let only = out.get(1).map(|e| match e {
            Effect::Broadcast { only: Some(only), .. } => only.iter().map(|e| e.0).collect::<Vec<_>>(),
            other => panic!("not private: {other:?}"),
        });
        (verdict(&out), only)
    };
    assert_eq!(to(&mut w, 1, "bob"), (Ok(()), Some(vec![2, 3])));
    assert_eq!(to(&mut w, 2, "alice"), (Ok(()), Some(vec![5])), "to oneself: the other device");
    assert_eq!(to(&mut w, 3, "nobody"), (Err(Refusal::UnknownRecipient), None));
    w.does(Command::Revise { endpoint: EndpointId(4), able: Some(false) });
    assert_eq!(to(&mut w, 4, "carol"), (Err(Refusal::NoPrivateMessages), None));
    w.does(Command::Leave { endpoint: EndpointId(5) });
    assert_eq!(to(&mut w, 5, "alice"), (Err(Refusal::UnknownRecipient), None));
}

#[test]
fn a_room_without_private_messages_refuses_them_all() {
    // CHAT-PRIV-02 CHAT-PRIV-04
    let mut w = World::new(Policy { private_messages: false, ..Policy::default() });
    w.enter(1, "alice");
    w.enter(2, "bob");
    let out = w.posts(1, 1, Flag::End, Some("sip:bob@example.com"), "text/plain", 10);
    assert_eq!((verdict(&out), out.len()), (Err(Refusal::NoPrivateMessages), 1));
    let policy = w.0.rules.policy();
    assert_eq!(policy.chatroom_tokens(), "nickname org.openmsrp.commands com.ag-projects.sylkserver-control");
    let policy = Policy { delivery_counts: true, ..policy.clone() };
    assert_eq!(
        policy.chatroom_tokens(),
        "nickname org.openmsrp.delivery-count org.openmsrp.commands com.ag-projects.sylkserver-control"
    );
}

#[test]
fn a_private_tail_never_reaches_the_room() {
    // CHAT-CHUNK-07
    let mut w = World::new(Policy::default());
    w.enter(1, "alice");
    w.enter(2, "bob");
    w.enter(3, "carol");
    w.posts(1, 1, Flag::More, Some("sip:bob@example.com"), "text/plain", 10);
    w.says(1, 2, Flag::More);
    let next =
        w.does(Command::Continue { endpoint: EndpointId(1), no: MessageNo(1), flag: Flag::End, octets: 1 });
    assert_eq!(next, [Effect::Continue { seq: Seq(1), only: Some([EndpointId(2)].into()) }]);
}

#[test]
fn a_nickname_follows_its_participant_to_another_device() {
    // FOCUS-09
    let mut w = World::new(Policy::default());
    let rabbit = || Some(Nickname { shown: "Rabbit".into(), key: "rabbit".into(), looks: "rabbit".into() });
    let (old, new) = (EndpointId(1), EndpointId(7));
    let ask = |endpoint| Command::Nickname { endpoint, no: MessageNo(1), wish: rabbit() };
    for endpoint in [old, EndpointId(2)] {
        w.enter(endpoint.0, &format!("p{}", endpoint.0));
    }
    w.does(ask(old));
    w.enter(7, "p1");
    assert_eq!(w.does(Command::Inherit { heir: EndpointId(2), from: old }), [], "another participant");
    let told = Effect::Renamed { endpoint: new, nickname: Some("Rabbit".into()) };
    assert_eq!(w.does(Command::Inherit { heir: new, from: old }), [told]);
    assert_eq!(w.does(Command::Inherit { heir: new, from: old }), [], "it has one");
    w.does(Command::Leave { endpoint: old });
    assert_eq!(verdict(&w.does(ask(EndpointId(2)))), Err(Refusal::NicknameTaken));
}

#[test]
fn a_nickname_is_answered_and_told() {
    // CHAT-NICK-02 CHAT-NICK-04 CHAT-NICK-10
    let nickname = |text: &str| {
        let key: std::sync::Arc<str> = text.to_lowercase().into();
        Some(Nickname { shown: text.into(), key: key.clone(), looks: key })
    };
    let ask = |w: &mut World, n, wish| {
        w.does(Command::Nickname { endpoint: EndpointId(n), no: MessageNo(1), wish })
    };
    let mut w = World::new(Policy::default());
    w.enter(1, "alice");
    w.enter(2, "bob");
    let out = ask(&mut w, 1, nickname("Rabbit"));
    assert_eq!(verdict(&out), Ok(()));
    assert_eq!(out[1], Effect::Renamed { endpoint: EndpointId(1), nickname: Some("Rabbit".into()) });
    let out = ask(&mut w, 2, nickname("RABBIT"));
    assert_eq!((verdict(&out), out.len()), (Err(Refusal::NicknameTaken), 1));
    assert_eq!(ask(&mut w, 1, None)[1], Effect::Renamed { endpoint: EndpointId(1), nickname: None });
    let mut w = World::new(Policy { nicknames: false, ..Policy::default() });
    w.enter(1, "alice");
    assert_eq!(verdict(&ask(&mut w, 1, nickname("Rabbit"))), Err(Refusal::NoNicknames));
}

#[test]
fn changing_nicknames_without_end_is_paced_and_taken_with_one_to_no_other_device() {
    // SEC-07
    let wish = |n: u64| {
        let text: std::sync::Arc<str> = format!("name{n}").into();
        Some(Nickname { shown: text.clone(), key: text.clone(), looks: text })
    };
    let mut policy = Policy::default();
    policy.floods.set(Flood::Nicknames, Rate::parse("1/10s burst 3").ok());
    let mut w = World::new(policy);
    for (n, name) in [(1, "alice"), (2, "alice"), (3, "bob")] {
        w.enter(n, name);
    }
    let mut ask = |seconds: u64, n: u64, name: u64| {
        let mut out = Vec::new();
        let command = Command::Nickname { endpoint: EndpointId(n), no: MessageNo(1), wish: wish(name) };
        w.0.apply(Now(0) + std::time::Duration::from_secs(seconds), command, &mut out);
        verdict(&out)
    };
    let results: Vec<_> = (0..5).map(|n| ask(0, 1 + n % 2, n)).collect();
    let refused = Err(Refusal::Flood { of: Flood::Nicknames, wait: 10 });
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), refused, refused]);
    assert_eq!((ask(0, 3, 9), ask(10, 1, 6)), (Ok(()), Ok(())));
}

#[test]
fn a_crowd_comes_in_no_faster_than_the_room_says() {
    // SEC-07
    let mut policy = Policy::default();
    policy.floods.set(Flood::RoomJoins, Rate::parse("2/s").ok());
    let mut w = World::new(policy);
    let mut join = |n| {
        let participant = Address::parse(&format!("sip:p{n}@example.com")).unwrap();
        let (endpoint, caller) = (EndpointId(n), Caller::of(&participant));
        w.does(Command::Join { endpoint, participant, able: None, caller, password: None }).remove(0)
    };
    assert!(matches!((join(1), join(2)), (Effect::Grant { .. }, Effect::Grant { .. })));
    let why = Refusal::Flood { of: Flood::RoomJoins, wait: 1 };
    assert_eq!(join(3), Effect::Refuse { endpoint: EndpointId(3), why, words: None });
}

#[test]
fn type_size_and_absence_are_refused() {
    // CHAT-MSG-13 MSRP-CHUNK-16
    let types = crate::room::policy::Types::only(&["text/*"]);
    let mut w = World::new(Policy { types, message_bytes_max: 100, ..Policy::default() });
    w.enter(1, "alice");
    assert_eq!(verdict(&w.posts(1, 1, Flag::End, None, "image/png", 10)), Err(Refusal::BadType));
    assert_eq!(verdict(&w.posts(1, 2, Flag::End, None, "Text/HTML", 10)), Ok(()));
    assert_eq!(verdict(&w.posts(1, 3, Flag::End, None, "text/plain", 101)), Err(Refusal::TooLarge));
    w.does(Command::Unbind { endpoint: EndpointId(1) });
    assert_eq!(verdict(&w.says(1, 4, Flag::End)), Err(Refusal::NoSession));
    assert!(w.says(9, 1, Flag::End).is_empty(), "a stranger is not even answered");
}

#[test]
fn what_is_refused_after_all_takes_nothing_from_the_limits_of_the_room() {
    // SEC-07
    let mut policy = Policy { participant_endpoints_max: 1, ..Policy::default() };
    policy.floods.set(Flood::RoomJoins, Rate::parse("2/s").ok());
    policy.floods.set(Flood::Nicknames, Rate::parse("1/s").ok());
    let mut w = World::new(policy);
    let mut join = |n, name: &str| {
        let participant = Address::parse(&format!("sip:{name}@example.com")).unwrap();
        let (endpoint, caller) = (EndpointId(n), Caller::of(&participant));
        let join = Command::Join { endpoint, participant, able: None, caller, password: None };
        matches!(w.does(join).remove(0), Effect::Grant { .. })
    };
    assert!(join(1, "alice"));
    assert!((2..9).all(|n| !join(n, "alice")), "one device too many, each");
    assert!(join(9, "bob"));
    for n in [1, 9] {
        w.does(Command::Bind { endpoint: EndpointId(n), at: ShardId(0) });
    }
    let mut rename = |n, to: &str| {
        let to: std::sync::Arc<str> = to.into();
        let wish = Some(Nickname { shown: to.clone(), key: to.clone(), looks: to });
        verdict(&w.does(Command::Nickname { endpoint: EndpointId(n), no: MessageNo(1), wish }))
    };
    assert_eq!(rename(1, "rabbit"), Ok(()));
    assert!((0..9).all(|_| rename(9, "rabbit") == Err(Refusal::NicknameTaken)));
    assert_eq!(rename(9, "hatter"), Ok(()));
}

fn role(role: Role) -> std::collections::BTreeMap<Address, Role> {
    [(Address::parse("sip:alice@example.com").unwrap(), role)].into()
}

#[test]
fn in_a_moderated_room_those_are_heard_who_have_a_voice() {
    let mut w = World::new(Policy { moderated: true, roles: role(Role::Moderator), ..Policy::default() });
    w.enter(1, "alice");
    w.enter(2, "bob");
    assert_eq!(verdict(&w.says(1, 1, Flag::End)), Ok(()));
    let out = w.says(2, 1, Flag::End);
    assert_eq!((verdict(&out), out.len()), (Err(Refusal::Denied(Rule::NoVoice)), 1));
    let out = w.posts(2, 2, Flag::End, Some("sip:alice@example.com"), "text/plain", 10);
    assert_eq!(verdict(&out), Ok(()), "a moderator can be asked for a voice");
}

#[test]
fn slow_mode_holds_back_who_has_just_spoken_and_no_moderator() {
    let slow_mode = std::time::Duration::from_secs(30);
    let mut w = World::new(Policy { slow_mode, roles: role(Role::Owner), ..Policy::default() });
    w.enter(1, "alice");
    w.enter(2, "bob");
    let says = |w: &mut World, n, no| verdict(&w.says(n, no, Flag::End));
    assert_eq!((says(&mut w, 1, 1), says(&mut w, 1, 2)), (Ok(()), Ok(())));
    let hasty = Err(Refusal::Denied(Rule::SlowMode));
    assert_eq!((says(&mut w, 2, 1), says(&mut w, 2, 2)), (Ok(()), hasty));
    let typing = w.posts(2, 3, Flag::End, None, "application/im-iscomposing+xml", 10);
    assert_eq!(verdict(&typing), Ok(()));
}

#[test]
fn a_persistent_room_stays_when_nobody_is_there() {
    let mut w = World::new(Policy { persistent: true, ..Policy::default() });
    w.enter(1, "alice");
    let out = w.does(Command::Leave { endpoint: EndpointId(1) });
    assert_eq!(out, [Effect::Evict { endpoint: EndpointId(1), at: ShardId(0) }]);
}

#[test]
fn the_room_closes_with_its_last_endpoint_and_only_then() {
    let mut w = World::new(Policy { participants_max: 1, ..Policy::default() });
    w.enter(1, "alice");
    let participant = Address::parse("sip:bob@example.com").unwrap();
    let (endpoint, caller) = (EndpointId(2), Caller::of(&participant));
    let join = Command::Join { endpoint, participant, able: Some(true), caller, password: None };
    let out = w.does(join);
    assert_eq!(
        out,
        [Effect::Refuse { endpoint: EndpointId(2), why: Refusal::Denied(Rule::Full), words: None }]
    );
    let out = w.does(Command::Leave { endpoint: EndpointId(1) });
    assert_eq!(out[1], Effect::Close);
}
