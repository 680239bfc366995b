//! What else one can do in a room: hide, show oneself, bring in and take out, count, be seen typing.

use super::*;

const HIDDEN: &str = "P-Associated-URI: <sip:anonymous7@anonymous.invalid>\r\n";

fn known(client: Client) -> Client {
    client.with_account(Account::new("alice", "secret").unwrap())
}

impl Joined {
    /// Says something, and how it was wrapped.
    async fn wrapped(&mut self, text: &str) -> String {
        let number = self.room.say(text).await.unwrap();
        let request = self.switch.next().await;
        self.switch.answer(&request, "200 OK").await;
        assert_eq!(self.events.next().await, Some(Event::Accepted { message: number }));
        request
    }
}

#[test]
fn who_is_anonymous_speaks_as_the_one_the_room_made_up() {
    run(async {
        let mut j = joined_as(|c| c.anonymous(), HIDDEN, "").await;
        assert_eq!(j.room.address(), "sip:anonymous7@anonymous.invalid");
        let said = j.wrapped("hello").await;
        assert!(said.contains("\r\nFrom: Anonymous <sip:anonymous7@anonymous.invalid>\r\n"), "{said}");
        // A server that tells no address is given the general one.
        let mut j = joined_as(|c| c.anonymous(), "", "").await;
        let said = j.wrapped("hello").await;
        assert!(said.contains("\r\nFrom: Anonymous <sip:anonymous@anonymous.invalid>\r\n"), "{said}");
        assert!(!format!("{:?}", j.invite).contains("alice"));
    });
}

#[test]
fn who_shows_themselves_speaks_under_their_own_name_from_the_200_on() {
    run(async {
        let mut j = joined_as(|c| known(c).anonymous(), HIDDEN, "").await;
        let number = j.room.reveal().await.unwrap();
        let offer = j.invite.body.clone();
        let again = j.focus.accept_with("", "v=0\r\n").await;
        assert_eq!((again.header("Privacy"), &again.body), (Some("none"), &offer));
        let address = "sip:alice@example.com".to_string();
        let revealed = Event::Revealed { request: number, address, warning: None };
        assert_eq!(j.events.next().await, Some(revealed));
        let said = j.wrapped("hello").await;
        assert!(said.contains("\r\nFrom: Alice <sip:alice@example.com>\r\n"), "{said}");
    });
}

#[test]
fn who_is_not_shown_goes_on_as_before_and_hears_why() {
    run(async {
        let mut j = joined_as(|c| c.anonymous(), HIDDEN, "").await;
        let number = j.room.reveal().await.unwrap();
        let headers = format!("{HIDDEN}Warning: 399 x \"Nobody knows who you are\"\r\n");
        j.focus.accept_with(&headers, "v=0\r\n").await;
        let address = "sip:anonymous7@anonymous.invalid".to_string();
        let warning = Some("Nobody knows who you are".to_string());
        let revealed = Event::Revealed { request: number, address, warning };
        assert_eq!(j.events.next().await, Some(revealed));
        let number = j.room.reveal().await.unwrap();
        let again = j.focus.request("INVITE").await;
        j.focus.send(&again.response(488, "No", "srv", "")).await;
        let failed = j.events.next().await;
        assert!(
            matches!(&failed, Some(Event::Failed { request, error: CallError::Refused { code: 488, .. } }) if *request == number),
            "{failed:?}"
        );
        let said = j.wrapped("hello").await;
        assert!(said.contains("<sip:anonymous7@anonymous.invalid>"), "{said}");
        assert_eq!(joined("").await.room.reveal().await, Err(Unasked::NotAnonymous));
    });
}

#[test]
fn people_are_brought_in_and_taken_out_by_the_room() {
    run(async {
        let mut j = joined("").await;
        let first = j.room.bring_in("sip:dave@example.com").await.unwrap();
        let refer = j.focus.request("REFER").await;
        assert_eq!(refer.header("Refer-To"), Some("<sip:dave@example.com;method=INVITE>"));
        j.focus.send(&refer.response(202, "Accepted", "srv", "")).await;
        let report = |state: &str| format!("Event: refer;id=2\r\nSubscription-State: {state}\r\n");
        j.focus.within(&j.invite, "NOTIFY", 1, &report("active"), "SIP/2.0 180 Ringing\r\n").await;
        j.focus.within(&j.invite, "NOTIFY", 2, &report("terminated"), "SIP/2.0 200 OK\r\n").await;
        for (code, phrase, last) in [(180, "Ringing", false), (200, "OK", true)] {
            let step = Step { code, phrase: phrase.to_string(), last };
            assert_eq!(j.events.next().await, Some(Event::Step { request: first, step }));
        }
        let second = j.room.take_out("sip:bob@example.com").await.unwrap();
        let refer = j.focus.request("REFER").await;
        assert_eq!(refer.header("Refer-To"), Some("<sip:bob@example.com;method=BYE>"));
        j.focus.send(&refer.response(403, "Forbidden", "srv", "")).await;
        let failed = j.events.next().await;
        assert!(matches!(&failed, Some(Event::Failed { request, .. }) if *request == second), "{failed:?}");
        let third = j.room.bring_in("dave").await.unwrap();
        let error = CallError::BadAddress("dave".to_string());
        assert_eq!(j.events.next().await, Some(Event::Failed { request: third, error }));
    });
}

#[test]
fn deliveries_are_counted_where_the_room_offers_it() {
    run(async {
        let mut j = joined("a=chatroom:nickname org.openmsrp.delivery-count\r\n").await;
        assert!(!j.wrapped("hello").await.contains("Delivery-Count"));
        j.room.count_deliveries(true).unwrap();
        let request = j.wrapped("hello").await;
        assert!(request.contains("\r\nDelivery-Count: yes\r\n"), "{request}");
        let report = format!(
            "MSRP rep1 REPORT\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: {}\r\nByte-Range: 1-9/9\r\n\
             Status: 000 200 received by 2 of 3\r\nDelivery-Count: 2/3\r\n-------rep1$\r\n",
            path_of(&request, "From-Path"),
            path_of(&request, "To-Path"),
            path_of(&request, "Message-ID"),
        );
        j.switch.stream.write_all(report.as_bytes()).await.unwrap();
        assert_eq!(j.events.next().await, Some(Event::Received { message: 2, count: Some((2, 3)) }));
        j.room.count_deliveries(false).unwrap();
        assert!(!j.wrapped("hello").await.contains("Delivery-Count"));
        let none = joined("a=chatroom:nickname\r\n").await.room;
        assert_eq!(none.count_deliveries(true), Err(Unasked::NoDeliveryCounts));
        assert_eq!(none.count_deliveries(false), Ok(()));
    });
}

#[test]
fn who_is_typing_is_told_to_the_room_and_by_it() {
    // COMP-01, COMP-03
    run(async {
        let mut j = joined("").await;
        j.room.typing(true);
        j.room.typing(true);
        let told = j.switch.next().await;
        assert!(told.contains("\r\nTo: <sip:lobby@example.com>\r\n") && told.contains("Failure-Report: no"));
        assert!(told.contains("\r\nContent-Type: application/im-iscomposing+xml\r\n\r\n"));
        assert!(told.contains("<state>active</state>"), "{told}");
        j.wrapped("what I was typing").await;
        let wrapper = |kind: &str, content: &str| {
            format!(
                "From: Bob <sip:bob@EXAMPLE.com>\r\nTo: <sip:lobby@example.com>\r\n\r\nContent-Type: {kind}\r\n\r\n{content}"
            )
        };
        let composing = |state: &str| {
            wrapper(
                "application/im-iscomposing+xml",
                &format!(
                    "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>{state}</state></isComposing>"
                ),
            )
        };
        let typing = |writing| Event::Typing { who: person("sip:bob@example.com", "Bob"), writing };
        for (n, state) in ["active", "active", "idle", "idle", "active"].into_iter().enumerate() {
            j.switch.say(&j.bind, &format!("tid{n}"), &composing(state)).await;
        }
        j.switch.say(&j.bind, "tid9", &wrapper("text/plain", "hello")).await;
        for expected in [typing(true), typing(false), typing(true), typing(false)] {
            assert_eq!(j.events.next().await, Some(expected));
        }
        let message = j.events.next().await;
        assert!(matches!(&message, Some(Event::Message(m)) if m.text().unwrap() == "hello"), "{message:?}");
        // A room that passes only plain text on is told nothing.
        let mut j = joined("a=accept-wrapped-types:text/plain\r\n").await;
        j.room.typing(true);
        assert!(!j.wrapped("hello").await.contains("iscomposing"));
    });
}

#[test]
fn contents_in_parts_are_told_with_their_text() {
    // MSRP-TYPE-02
    run(async {
        let mut j = joined("").await;
        let inner = "From: <sip:eve@x>\r\nTo: <sip:r@x>\r\n\r\nContent-Type: text/plain\r\n\r\nhi";
        let parts = "--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n\
            Content-Type: application/pkcs7-signature\r\n\r\nx\r\n--b--";
        for (n, (kind, content, expected)) in [
            ("message/cpim", inner, "[said to be of sip:eve@x] hi"),
            ("multipart/mixed; boundary=b", parts, "hi\n[application/pkcs7-signature, 1 octets]"),
            ("Multipart/Alternative;boundary=\"b\"", parts, "hi"),
            ("multipart/signed; protocol=\"x\"; boundary=b", parts, "hi"),
        ]
        .into_iter()
        .enumerate()
        {
            let wrapper = format!(
                "From: <sip:bob@example.com>\r\nTo: <sip:lobby@example.com>\r\n\r\nContent-Type: {kind}\r\n\r\n{content}"
            );
            j.switch.say(&j.bind, &format!("tid{n}"), &wrapper).await;
            let Some(Event::Message(message)) = j.events.next().await else { panic!("no message") };
            assert_eq!(message.text().as_deref(), Some(expected), "{kind}");
        }
    });
}

#[test]
fn receipts_are_asked_for_and_given_in_private_only() {
    // IMDN-02, IMDN-03
    run(async {
        let mut j = joined("a=chatroom:private-messages\r\n").await;
        assert_eq!(j.room.count_deliveries(true), Err(Unasked::NoDeliveryCounts));
        let said = j.wrapped("to everybody").await;
        assert!(!said.contains("imdn") && !said.contains("Delivery-Count"), "{said}");
        let number = j.room.say_to("sip:bob@example.com", "psst").await.unwrap();
        let request = j.switch.next().await;
        j.switch.answer(&request, "200 OK").await;
        assert_eq!(j.events.next().await, Some(Event::Accepted { message: number }));
        assert!(
            request.contains("\r\nNS: imdn <urn:ietf:params:imdn>\r\n") && request.contains("\r\nDateTime: ")
        );
        assert!(
            request.contains("\r\nimdn.Disposition-Notification: positive-delivery, negative-delivery\r\n")
        );
        let id = path_of(&request, "imdn.Message-ID").to_string();
        let notice = format!(
            "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>{id}</message-id><delivery-notification>\
             <status><delivered/></status></delivery-notification></imdn>"
        );
        let from_bob = |to: &str, more: &str, kind: &str, content: &str| {
            format!(
                "From: Bob <sip:bob@example.com>\r\nTo: <{to}>\r\nDateTime: 2024-01-01T00:00:00Z\r\n{more}\r\nContent-Type: {kind}\r\n\r\n{content}"
            )
        };
        // One that was sent to everybody is not looked at.
        for (tid, to) in [("tid1", "sip:lobby@example.com"), ("tid2", "sip:alice@example.com")] {
            j.switch.say(&j.bind, tid, &from_bob(to, "", "message/imdn+xml", &notice)).await;
            assert!(j.switch.next().await.starts_with(&format!("MSRP {tid} 200 OK\r\n")));
        }
        let who = person("sip:bob@example.com", "Bob");
        assert_eq!(j.events.next().await, Some(Event::Notified { message: number, who, delivered: true }));
        // What everybody was told is confirmed to its sender alone.
        let asks = "NS: x <urn:ietf:params:imdn>\r\nx.Message-ID: abc\r\nx.Disposition-Notification: positive-delivery\r\n";
        let message = from_bob("sip:lobby@example.com", asks, "text/plain", "hi");
        j.switch.say(&j.bind, "tid3", &message).await;
        assert!(j.switch.next().await.starts_with("MSRP tid3 200 OK\r\n"));
        let given = j.switch.next().await;
        assert!(given.contains("\r\nTo: <sip:bob@example.com>\r\n") && given.contains("Failure-Report: no"));
        let head = "\r\n\r\nContent-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n<?xml";
        assert!(given.contains(head) && given.contains("<message-id>abc</message-id>"), "{given}");
        assert!(given.contains("\r\nimdn.Message-ID: ") && !given.contains("Disposition-Notification"));
        // Where private messages are off there are no receipts.
        let mut j = joined("").await;
        j.switch.say(&j.bind, "tid4", &message).await;
        assert!(j.switch.next().await.starts_with("MSRP tid4 200 OK\r\n"));
        assert!(matches!(j.events.next().await, Some(Event::Message(_))));
        assert!(!j.wrapped("hello").await.contains("imdn"));
    });
}
