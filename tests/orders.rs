//! What the client library writes for moderators, the room reads as the same; and whatever else comes is answered.

use openmsrp::base::address::Address;
use openmsrp::base::rights::Role;
use openmsrp::client::command::RoomCommand;
use openmsrp::room::ban::Whom;
use openmsrp::room::order::Order;
use openmsrp::room::policy::Password;
use proptest::prelude::*;
use std::time::Duration;

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Outsider, Role::Visitor, Role::Participant, Role::Moderator, Role::Owner])
}

/// Text of one line that neither begins nor ends with a blank.
fn line(most: usize) -> impl Strategy<Value = String> {
    prop::string::string_regex(&format!("[a-zä:.!<>\"']([ a-zä:.!<>\"']{{0,{most}}}[a-zä:.!<>\"'])?"))
        .unwrap()
}

fn term() -> impl Strategy<Value = Option<Duration>> {
    prop::option::of((1_u64..100_000).prop_map(Duration::from_secs))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_room_reads_what_the_client_writes(
        user in "[a-z]{1,12}",
        whom in prop::sample::select(vec!["sip:bob@example.com", "@spam.example", "192.0.2.7", "2001:db8::/32"]),
        (term, reason, text) in (term(), prop::option::of(line(60)), line(60)),
        (role, on, count) in (role(), any::<bool>(), 1_u32..1000),
    ) {
        let who = format!("sip:{user}@example.com");
        let address = || Address::parse(&who).unwrap();
        let why = reason.clone().unwrap_or_default();
        let named = || Whom::parse(whom).unwrap();
        let reason = reason.as_deref();
        let time = Duration::from_secs(u64::from(count));
        let table = [
            (RoomCommand::Kick { whom: &who, reason }, Order::Kick(address(), why.clone())),
            (RoomCommand::Ban { whom, term, reason }, Order::Ban(named(), term, why.clone())),
            (RoomCommand::Unban { whom }, Order::Unban(named())),
            (RoomCommand::Mute { whom: &who, term, reason }, Order::Mute(address(), term, why.clone())),
            (RoomCommand::Unmute { whom: &who }, Order::Unmute(address())),
            (RoomCommand::Grant { whom: &who, role }, Order::Grant(address(), role)),
            (RoomCommand::Subject(&text), Order::Subject(text.clone())),
            (RoomCommand::Subject(""), Order::Subject(String::new())),
            (RoomCommand::Lock(on), Order::Lock(on)),
            (RoomCommand::Moderate(on), Order::Moderate(on)),
            (RoomCommand::MembersOnly(on), Order::MembersOnly(on)),
            (RoomCommand::Password(&text), Order::Password(Password::new(&text))),
            (RoomCommand::Password(""), Order::Password(None)),
            (RoomCommand::Occupants(count), Order::Occupants(count as usize)),
            (RoomCommand::SlowMode(time), Order::SlowMode(time)),
            (RoomCommand::Inspect, Order::Inspect),
        ];
        for (command, order) in table {
            let body = command.write().unwrap();
            prop_assert_eq!(Order::read(body.as_bytes()), Ok(order), "{}", body);
        }
    }

    #[test]
    fn whatever_octets_come_are_read_or_refused_with_a_reason(
        word in prop::sample::select(vec!["kick", "ban", "role", "subject", "password", "for:", "reason:", ""]),
        octets in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let text = [word.as_bytes(), b" ", &octets].concat();
        for outcome in [Order::read(&text), Order::read_control(&text)] {
            if let Err(why) = outcome {
                let (code, told) = why.msrp();
                prop_assert!(matches!(code, 400 | 413) && !told.is_empty());
            }
        }
    }
}
