//! Calls of rooms that go through a proxy.

use super::*;

fn through(proxy: &str) -> World {
    let mut w = World::new();
    let config = Config { outbound_proxy: Some(proxy.into()), ..w.focus.core.config.clone() };
    w.focus = Focus::new(config, Entropy::from_seed(1));
    w.call("alice");
    w
}

#[test]
fn an_invite_of_a_room_goes_through_the_proxy_and_what_follows_where_the_answer_says() {
    let proxy = "sip:192.0.2.99:5070;transport=tcp;lr";
    let mut w = through(proxy);
    let (endpoint, id, invite) = w.ringing();
    assert_eq!((&*invite.uri, &*invite.hop), ("sip:carol@192.0.2.7:5070", proxy));
    assert_eq!(invite.headers.get("Route"), Some(&*format!("<{proxy}>")));
    assert_eq!(invite.flow.transport, Transport::Tcp, "as the proxy wants it");
    assert!(invite.headers.get("Contact").unwrap().contains(";transport=tcp>"));
    let mut reply = picked_up(OFFER);
    reply.headers.push("Record-Route", "<sip:192.0.2.98;lr>");
    w.input(Input::Answer { id, reply });
    w.revise();
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.request(&refer("mod", 1, "", "Refer-To: <sip:carol@192.0.2.7:5070;method=BYE>\r\n"));
    w.responses.clear();
    w.reports();
    let (_, bye) = w.sent();
    assert_eq!((bye.method, bye.headers.get("Route")), (Method::Bye, Some("<sip:192.0.2.98;lr>")));
    assert_eq!(&*bye.hop, "sip:192.0.2.98;lr");
}

#[test]
fn without_a_record_of_the_way_what_follows_goes_straight() {
    let mut w = through("sip:192.0.2.99;lr");
    let (endpoint, id, invite) = w.ringing();
    assert_eq!(invite.flow.transport, Transport::Udp);
    let mut reply = picked_up(OFFER);
    let recorded = std::mem::take(&mut reply.headers);
    let others = recorded.iter().filter(|(name, _)| *name != "Record-Route");
    others.for_each(|(name, value)| reply.headers.push(name, value));
    w.input(Input::Answer { id, reply });
    w.revise();
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    w.request(&refer("mod", 1, "", "Refer-To: <sip:carol@192.0.2.7:5070;method=BYE>\r\n"));
    w.responses.clear();
    w.reports();
    let (_, bye) = w.sent();
    assert_eq!((bye.method, bye.headers.get("Route")), (Method::Bye, None));
    assert!(!bye.hop.contains("192.0.2.99"), "{}", bye.hop);
}

#[test]
fn notices_and_calls_that_came_to_us_do_not_go_through_the_proxy() {
    let mut w = through("sip:192.0.2.99;lr");
    w.request(&subscribe(""));
    let (_, notify) = w.sent();
    assert_eq!((notify.headers.get("Route"), &*notify.hop), (None, "sip:watcher@pc.example"));
}
