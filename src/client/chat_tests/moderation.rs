//! What moderators ask of a room, as it stands on the wire, and what comes back.

use super::*;
use crate::base::rights::Role;
use crate::client::command::BadCommand;

const COMMANDS: &str = "a=chatroom:nickname org.openmsrp.commands com.ag-projects.sylkserver-control\r\n";

impl Joined {
    /// What the switch hears, which is answered so.
    async fn heard(&mut self, status: &str) -> String {
        let request = self.switch.next().await;
        self.switch.answer(&request, status).await;
        request
    }
}

#[test]
fn a_command_is_a_message_to_the_room_in_one_chunk_and_its_answer_is_the_result() {
    run(async {
        let mut j = joined(COMMANDS).await;
        assert!(j.room.has_commands());
        let number = j.room.kick("sip:bob@example.com", Some("too loud")).await.unwrap();
        let request = j.heard("200 OK").await;
        assert!(
            request
                .contains("\r\n\r\nFrom: Alice <sip:alice@example.com>\r\nTo: <sip:lobby@example.com>\r\n")
        );
        let body = "\r\n\r\nContent-Type: application/vnd.openmsrp.command\r\n\r\n\
            kick sip:bob@example.com\nreason: too loud\n\r\n-------";
        assert!(request.contains(body), "{request}");
        assert_eq!(j.events.next().await, Some(Event::Accepted { message: number }));
        let number = j.room.grant("sip:bob@example.com", Role::Owner).await.unwrap();
        j.heard("403 Only owners of this room may give that role").await;
        let comment = "Only owners of this room may give that role".to_string();
        assert_eq!(j.events.next().await, Some(Event::Refused { message: number, code: 403, comment }));
    });
}

#[test]
fn every_call_of_a_moderator_is_its_command() {
    run(async {
        let mut j = joined(COMMANDS).await;
        let (bob, minute) = ("sip:bob@x", std::time::Duration::from_secs(60));
        for (number, body) in [
            (
                j.room.ban("@spam.example", Some(minute), Some("spam")).await,
                "ban @spam.example\nfor: 60\nreason: spam\n",
            ),
            (j.room.unban("192.0.2.0/24").await, "unban 192.0.2.0/24\n"),
            (j.room.mute(bob, Some(minute), None).await, "mute sip:bob@x\nfor: 60\n"),
            (j.room.unmute(bob).await, "unmute sip:bob@x\n"),
            (j.room.set_subject("Trains").await, "subject Trains\n"),
            (j.room.lock(true).await, "lock on\n"),
            (j.room.moderate(true).await, "moderate on\n"),
            (j.room.members_only(false).await, "members-only off\n"),
            (j.room.set_password("1234").await, "password 1234\n"),
            (j.room.set_occupants(30).await, "occupants 30\n"),
            (j.room.slow_mode(minute).await, "slow-mode 60\n"),
            (j.room.inspect().await, "inspect\n"),
        ] {
            let request = j.heard("200 OK").await;
            assert!(request.contains(&format!("\r\n\r\n{body}\r\n-------")), "{request}");
            assert_eq!(j.events.next().await, Some(Event::Accepted { message: number.unwrap() }));
        }
    });
}

#[test]
fn what_no_room_would_understand_or_take_whole_is_not_sent() {
    run(async {
        let mut j = joined(COMMANDS).await;
        let reason = Some("x\r\nfor: 1");
        let why = Unasked::BadCommand(BadCommand::NoLine("reason"));
        assert_eq!(j.room.kick("sip:bob@example.com", reason).await, Err(why));
        j.room.say("hello").await.unwrap();
        assert!(j.heard("200 OK").await.contains("\r\n\r\nhello\r\n"));
        let name = "A".repeat(2048);
        let mut j = joined_by(&Join { display_name: &name, ..JOIN }, |c| c, "", COMMANDS).await;
        let number = j.room.lock(true).await.unwrap();
        let refused = j.events.next().await;
        assert!(
            matches!(&refused, Some(Event::Refused { message, code: 413, .. }) if *message == number),
            "{refused:?}"
        );
    });
}

#[test]
fn without_commands_a_kick_goes_by_sip_and_has_the_same_result() {
    run(async {
        let mut j = joined("a=chatroom:nickname\r\n").await;
        assert!(!j.room.has_commands());
        let bob = "sip:bob@example.com";
        let number = j.room.kick(bob, Some("too loud")).await.unwrap();
        let refer = j.focus.request("REFER").await;
        assert_eq!(refer.header("Refer-To"), Some("<sip:bob@example.com;method=BYE>"));
        j.focus.send(&refer.response(202, "Accepted", "srv", "")).await;
        let report = |state: &str| format!("Event: refer;id=2\r\nSubscription-State: {state}\r\n");
        j.focus.within(&j.invite, "NOTIFY", 1, &report("active"), "SIP/2.0 100 Trying\r\n").await;
        j.focus.within(&j.invite, "NOTIFY", 2, &report("terminated"), "SIP/2.0 200 OK\r\n").await;
        assert_eq!(j.events.next().await, Some(Event::Accepted { message: number }));
        let number = j.room.kick(bob, None).await.unwrap();
        let refer = j.focus.request("REFER").await;
        let warning = "Warning: 399 x \"Only moderators of this room may do that\"\r\n";
        j.focus.send(&refer.response(403, "Forbidden", "srv", warning)).await;
        let comment = "Only moderators of this room may do that".to_string();
        assert_eq!(j.events.next().await, Some(Event::Refused { message: number, code: 403, comment }));
        // Nothing else can be asked for.
        assert_eq!(j.room.set_subject("x").await, Err(Unasked::NoCommands));
        assert_eq!(j.room.mute(bob, None, None).await, Err(Unasked::NoCommands));
        assert_eq!(j.room.inspect().await, Err(Unasked::NoCommands));
    });
}

#[test]
fn the_subject_is_set_as_blink_does_where_only_that_is_understood() {
    run(async {
        let mut j = joined("a=chatroom:nickname com.ag-projects.sylkserver-control\r\n").await;
        let number = j.room.set_subject("Trains and boats").await.unwrap();
        let request = j.heard("200 OK").await;
        let body = "\r\n\r\nContent-Type: sylkserver/control\r\n\r\nSUBJECT Trains and boats\r\n-------";
        assert!(request.contains(body), "{request}");
        assert_eq!(j.events.next().await, Some(Event::Accepted { message: number }));
        assert_eq!(j.room.lock(true).await, Err(Unasked::NoCommands));
    });
}

#[test]
fn the_password_behind_the_address_of_a_room_is_shown_to_nobody_in_it() {
    run(async {
        let join = Join { room: "sip:lobby@example.com;room-password=1234", ..JOIN };
        let mut j = joined_by(&join, |c| c, "", COMMANDS).await;
        assert!(format!("{:?}", j.invite.header("To")).contains("room-password=1234"));
        j.room.say("hello").await.unwrap();
        let said = j.heard("200 OK").await;
        assert!(said.contains("\r\nTo: <sip:lobby@example.com>\r\n"), "{said}");
    });
}

#[test]
fn notices_of_the_room_are_told_from_what_people_say() {
    run(async {
        let mut j = joined("").await;
        for (n, (from, of_room)) in
            [("\"Bob\" <sip:lobby@EXAMPLE.com>", true), ("\"lobby\" <sip:bob@example.com>", false)]
                .into_iter()
                .enumerate()
        {
            let wrapper = format!(
                "From: {from}\r\nTo: <sip:alice@example.com>\r\n\r\nContent-Type: text/plain\r\n\r\nYou are muted"
            );
            j.switch.say(&j.bind, &format!("tid{n}"), &wrapper).await;
            let Some(Event::Message(message)) = j.events.next().await else { panic!("no message") };
            assert_eq!((message.of_room, message.to_me), (of_room, true), "{from}");
        }
    });
}

#[test]
fn what_moderators_change_is_told_as_the_roster_says() {
    run(async {
        let mut j = joined("").await;
        let bob = |role: &str, status: &str| {
            format!(
                "<user entity='sip:bob@example.com' state='full'><display-text>Bob</display-text>\
                 <roles><entry>{role}</entry></roles><endpoint entity='sip:bob@pc'><status>connected</status>\
                 <media id='1'><type>message</type><status>{status}</status></media></endpoint></user>"
            )
        };
        let such = |role, muted| Person { role: Some(role), muted, ..person("sip:bob@example.com", "Bob") };
        j.focus.notify(&j.subscribe, 1, &bob("visitor", "sendrecv")).await;
        assert_eq!(j.events.next().await, Some(Event::Here(vec![such(Role::Visitor, false)])));
        j.focus.notify(&j.subscribe, 2, &bob("moderator", "recvonly")).await;
        let who = vec![such(Role::Moderator, false)];
        let role = Event::Role { who, role: Some(Role::Moderator), before: Some(Role::Visitor) };
        assert_eq!(j.events.next().await, Some(role));
        assert_eq!(j.events.next().await, Some(Event::Muted(such(Role::Moderator, true))));
    });
}
