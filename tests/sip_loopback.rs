//! The SIP side on real sockets of 127.0.0.1, with shards that grant everything.

use openmsrp::base::entropy::Entropy;
use openmsrp::base::id::{EndpointId, GrantNo, ShardId};
use openmsrp::control::shards::{ShardEnd, Shards};
use openmsrp::control::sip::{Counters, Sip, SipConfig};
use openmsrp::focus::accounts::Accounts;
use openmsrp::shard::io::Bell;
use openmsrp::shard::message::{FromShard, ToShard};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long a test waits for something that must come.
const WAIT: Duration = Duration::from_secs(5);

const ROOM: &str = "sip:lobby@chat.example";
const SDP_TYPE: &str = "Content-Type: application/sdp\r\n";

/// A running server.
struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<()>,
    /// What the shard was told, by name.
    told: mpsc::UnboundedReceiver<(&'static str, EndpointId)>,
    counters: Arc<Counters>,
}

async fn server() -> Server {
    let config = SipConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        domains: vec!["chat.example".into()],
        public_host: None,
        msrp_host: "127.0.0.1".into(),
        msrp_port: 2855,
        rooms: Default::default(),
        factory: "conference".into(),
        directory: "rooms".into(),
        moderators_see_identity: false,
        outbound_proxy: None,
        roster_whole_max: 500,
        accounts: Accounts::default(),
        floods: openmsrp::base::flood::Limits::none(),
    };
    let sip = Sip::bind(config).await.unwrap();
    let (address, counters) = (sip.local_addrs()[0], sip.counters());
    let (tell, told) = mpsc::unbounded_channel();
    let (mut shards, ends) = Shards::connect(&[Bell::new().unwrap()]).unwrap();
    for end in ends {
        tokio::spawn(shard(end, tell.clone()));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(async move {
        sip.run(&mut shards, async {
            let _ = stopped.await;
        })
        .await;
    });
    Server { address, stop: Some(stop), done, told, counters }
}

/// A shard that grants everything, and binds it at once.
async fn shard(mut end: ShardEnd, tell: mpsc::UnboundedSender<(&'static str, EndpointId)>) {
    let mut entropy = Entropy::from_seed(1);
    loop {
        let Some(order) = end.inbox.pop() else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let slow = matches!(&order, ToShard::Join(join) if join.room.user() == "slow");
        let (name, endpoint) = match order {
            ToShard::Join(join) => ("join", join.endpoint),
            ToShard::Revise { endpoint, .. } => ("revise", endpoint),
            ToShard::Leave { endpoint, .. } => ("leave", endpoint),
            ToShard::Inherit { .. } | ToShard::Disclose(_) | ToShard::Notice(_) | ToShard::Drain => continue,
        };
        let _ = tell.send((name, endpoint));
        // Whoever wants in to this room waits for ever.
        if name == "join" && !slow {
            let session = entropy.session_id(ShardId(0));
            end.outbox.push(FromShard::Granted { endpoint, session, no: GrantNo(0) });
            end.outbox.push(FromShard::Bound { endpoint });
            end.outbox.flush();
        }
    }
}

/// A client on either transport.
enum Client {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Client {
    async fn udp(server: &Server) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server.address).await.unwrap();
        Self::Udp(socket)
    }

    async fn tcp(server: &Server) -> Self {
        Self::Tcp(TcpStream::connect(server.address).await.unwrap(), Vec::new())
    }

    async fn both(server: &Server) -> [Self; 2] {
        [Self::udp(server).await, Self::tcp(server).await]
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(s) => s.local_addr().unwrap(),
            Self::Tcp(s, _) => s.local_addr().unwrap(),
        }
    }

    fn transport(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Tcp(..) => "TCP",
        }
    }

    async fn send(&mut self, text: &str) {
        match self {
            Self::Udp(s) => assert_eq!(s.send(text.as_bytes()).await.unwrap(), text.len()),
            Self::Tcp(s, _) => s.write_all(text.as_bytes()).await.unwrap(),
        }
    }

    /// The next whole message.
    async fn receive(&mut self) -> String {
        self.next().await.expect("the connection was closed")
    }

    /// The next whole message; `None` at the end of a stream.
    async fn next(&mut self) -> Option<String> {
        tokio::time::timeout(WAIT, self.read()).await.expect("nothing came")
    }

    async fn read(&mut self) -> Option<String> {
        match self {
            Self::Udp(s) => {
                let mut buffer = vec![0; 65536];
                let n = s.recv(&mut buffer).await.unwrap();
                Some(String::from_utf8_lossy(&buffer[..n]).into_owned())
            }
            Self::Tcp(s, buffer) => loop {
                let text = String::from_utf8_lossy(buffer).into_owned();
                if let Some((head, _)) = text.split_once("\r\n\r\n") {
                    let length: usize = header(head, "Content-Length").parse().unwrap();
                    let whole = head.len() + 4 + length;
                    if text.len() >= whole {
                        buffer.drain(..whole);
                        return Some(text[..whole].to_owned());
                    }
                }
                if s.read_buf(buffer).await.unwrap() == 0 {
                    return None;
                }
            },
        }
    }

    /// A request with the usual headers; `extra` are whole lines.
    fn request(&self, method: &str, uri: &str, seq: u32, to: &str, extra: &str, body: &str) -> String {
        let (me, transport) = (self.address(), self.transport());
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} 10.9.8.7:1111;branch=z9hG4bK{transport}{method}{seq};rport\r\n\
             Max-Forwards: 70\r\nFrom: \"Al\" <sip:alice@example.com>;tag=al{transport}\r\nTo: {to}\r\n\
             Call-ID: call-{transport}\r\nCSeq: {seq} {method}\r\n\
             Contact: <sip:alice@{me};transport={}>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            transport.to_lowercase(),
            body.len()
        )
    }

    fn options(&self, seq: u32) -> String {
        self.request("OPTIONS", ROOM, seq, &format!("<{ROOM}>"), "", "").replace("call-", "options-")
    }

    fn invite(&self) -> String {
        self.request("INVITE", ROOM, 1, &format!("<{ROOM}>"), SDP_TYPE, OFFER)
    }

    /// INVITE, 200, ACK; returns the 200.
    async fn join(&mut self) -> String {
        let invite = self.invite();
        self.send(&invite).await;
        let ok = self.receive().await;
        assert!(ok.starts_with("SIP/2.0 200 OK\r\n"), "{ok}");
        let ack = self.request("ACK", &target(&ok), 1, header(&ok, "To"), "", "");
        self.send(&ack).await;
        ok
    }

    /// Answers a request of the server.
    async fn accept(&mut self, request: &str) {
        let copied =
            ["Via", "From", "To", "Call-ID", "CSeq"].map(|n| format!("{n}: {}\r\n", header(request, n)));
        self.send(&format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", copied.concat())).await;
    }
}

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=message 9 TCP/MSRP *\r\na=path:msrp://127.0.0.1:9/a1;tcp\r\na=setup:active\r\n\
    a=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\na=chatroom\r\n";

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let head = message.split("\r\n\r\n").next().unwrap();
    let mut lines = head.lines().filter_map(|l| l.split_once(':'));
    lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v.trim())
}

fn target(ok: &str) -> String {
    let contact = header(ok, "Contact");
    contact[1..contact.find('>').unwrap()].to_owned()
}

#[tokio::test]
async fn a_call_comes_and_goes_over_udp_and_tcp() {
    // FOCUS-01, FOCUS-04, SIP-TRANS-01
    let mut server = server().await;
    for mut client in Client::both(&server).await {
        let ok = client.join().await;
        let parameter = if client.transport() == "TCP" { ";transport=tcp" } else { "" };
        assert_eq!(header(&ok, "Contact"), format!("<sip:lobby@{}{parameter}>;isfocus", server.address));
        assert_eq!(header(&ok, "Allow-Events"), "conference");
        assert!(ok.contains("m=message 2855 TCP/MSRP *\r\n") && ok.contains("a=setup:passive\r\n"), "{ok}");
        assert!(
            ok.contains("a=path:msrp://127.0.0.1:2855/") && ok.contains("a=accept-types:message/cpim\r\n")
        );
        let (joined, endpoint) = server.told.recv().await.unwrap();
        assert_eq!(joined, "join");
        let bye = client.request("BYE", &target(&ok), 2, header(&ok, "To"), "", "");
        client.send(&bye).await;
        let answer = client.receive().await;
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && header(&answer, "CSeq") == "2 BYE", "{answer}");
        assert_eq!(server.told.recv().await.unwrap(), ("leave", endpoint));
    }
}

#[tokio::test]
async fn answers_go_where_the_request_came_from() {
    // SIP-TRANS-02
    let server = server().await;
    let mut client = Client::udp(&server).await;
    client.send(&client.options(1)).await;
    let answer = client.receive().await;
    let port = client.address().port();
    assert!(header(&answer, "Via").ends_with(&format!(";received=127.0.0.1;rport={port}")), "{answer}");
    assert!(header(&answer, "Contact").ends_with(";isfocus"));
}

#[tokio::test]
async fn two_messages_in_one_segment_and_pings_are_all_answered() {
    // SIP-TRANS-01, SIP-TRANS-03
    let server = server().await;
    let mut client = Client::tcp(&server).await;
    let both = format!("\r\n{}{}", client.options(1), client.options(2));
    client.send(&both).await;
    let mut seen = [client.receive().await, client.receive().await].map(|m| header(&m, "CSeq").to_owned());
    seen.sort();
    assert_eq!(seen, ["1 OPTIONS", "2 OPTIONS"]);
    client.send("\r\n\r\n").await;
    let Client::Tcp(stream, _) = &mut client else { unreachable!() };
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn a_repeated_invite_joins_once_and_gets_the_same_200() {
    // SIP-TXN-01, SIP-TXN-02
    let mut server = server().await;
    let mut client = Client::udp(&server).await;
    let invite = client.invite();
    client.send(&invite).await;
    let first = client.receive().await;
    client.send(&invite).await;
    // Without ACK the 200 is repeated.
    assert_eq!(client.receive().await, first);
    assert_eq!(server.told.recv().await.unwrap().0, "join");
    assert!(server.told.try_recv().is_err());
}

#[tokio::test]
async fn garbage_is_dropped_on_datagrams_and_ends_streams() {
    // SIP-PARSE-02
    let server = server().await;
    let [mut udp, mut tcp] = Client::both(&server).await;
    udp.send("this is no SIP at all\r\n\r\n").await;
    udp.send(&udp.options(1)).await;
    assert!(udp.receive().await.starts_with("SIP/2.0 200 "));
    assert_eq!(server.counters.dropped.load(Ordering::Relaxed), 1);
    tcp.send("this is no SIP at all\r\n\r\n").await;
    assert_eq!(tcp.next().await, None);
    assert_eq!(server.counters.broken.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_wrong_version_and_unknown_methods_are_answered() {
    // SIP-PARSE-02 (badvers), SIP-UAS-01
    let server = server().await;
    for mut client in Client::both(&server).await {
        let good = client.options(1);
        client.send(&good.replacen("SIP/2.0\r\n", "SIP/7.0\r\n", 1)).await;
        assert!(client.receive().await.starts_with("SIP/2.0 505 "));
        client.send(&good.replace("OPTIONS", "NEWMETHOD")).await;
        assert!(client.receive().await.starts_with("SIP/2.0 501 "));
        client.send(&good.replace("OPTIONS", "REGISTER")).await;
        let answer = client.receive().await;
        assert!(
            answer.starts_with("SIP/2.0 405 ") && header(&answer, "Allow").contains("INVITE"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_subscriber_is_notified_at_once_and_when_somebody_comes() {
    // CONF-02, CONF-05
    let server = server().await;
    for mut client in Client::both(&server).await {
        let room = format!("sip:{}@chat.example", client.transport());
        let extra = "Event: conference\r\nExpires: 300\r\n";
        let subscribe = client.request("SUBSCRIBE", &room, 1, &format!("<{room}>"), extra, "");
        client.send(&subscribe.replace("call-", "watch-")).await;
        let [first, second] = [client.receive().await, client.receive().await];
        let (ok, notify) = if first.starts_with("SIP/2.0") { (first, second) } else { (second, first) };
        assert!(ok.starts_with("SIP/2.0 200 ") && header(&ok, "Expires") == "300", "{ok}");
        assert!(notify.starts_with("NOTIFY sip:alice@") && notify.contains("version=\"1\""), "{notify}");
        client.accept(&notify).await;
        let invite = client.request("INVITE", &room, 1, &format!("<{room}>"), SDP_TYPE, OFFER);
        client.send(&invite).await;
        let notify = loop {
            let message = client.receive().await;
            if message.starts_with("NOTIFY") {
                break message;
            }
            let ack = client.request("ACK", &target(&message), 1, header(&message, "To"), "", "");
            client.send(&ack).await;
        };
        client.accept(&notify).await;
        assert!(
            notify.contains("state=\"partial\" version=\"2\"") && notify.contains("sip:alice@example.com")
        );
        assert!(header(&notify, "Subscription-State").starts_with("active;expires="), "{notify}");
    }
}

#[tokio::test]
async fn stopping_ends_calls_with_bye() {
    // FOCUS-04
    let mut server = server().await;
    let mut clients = Client::both(&server).await;
    for client in &mut clients {
        client.join().await;
        // Answered behind the ACK, so that the call is up.
        client.send(&client.options(7)).await;
        assert!(client.receive().await.contains("OPTIONS"));
    }
    server.stop.take().unwrap().send(()).unwrap();
    for client in &mut clients {
        let bye = client.receive().await;
        assert!(bye.starts_with("BYE sip:alice@") && header(&bye, "Reason").contains("cause=503"), "{bye}");
        client.accept(&bye).await;
    }
    tokio::time::timeout(WAIT, server.done).await.unwrap().unwrap();
}

#[tokio::test]
async fn no_message_of_the_torture_test_stops_the_server() {
    // SIP-PARSE-02, SIP-PARSE-03
    let server = server().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/sip");
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut sent = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let octets = std::fs::read(file.unwrap().path()).unwrap();
        udp.send_to(&octets, server.address).await.unwrap();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&octets).await.unwrap();
        stream.shutdown().await.unwrap();
        // Whatever the server says, it closes in the end.
        tokio::time::timeout(WAIT, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        sent += 1;
    }
    assert_eq!(sent, 50);
    for mut client in Client::both(&server).await {
        client.send(&client.options(1)).await;
        assert!(client.receive().await.starts_with("SIP/2.0 200 "));
    }
}

#[tokio::test]
async fn many_dialogs_share_one_connection() {
    // SIP-TRANS-01, CHAT-JOIN-06
    const CALLS: usize = 300;
    let server = server().await;
    let mut client = Client::tcp(&server).await;
    let own = |text: String, n: usize| {
        text.replace("call-TCP", &format!("call-{n}")).replace("z9hG4bK", &format!("z9hG4bK{n}-"))
    };
    for n in 0..CALLS {
        client.send(&own(client.invite(), n)).await;
    }
    let mut done = 0;
    while done < CALLS {
        let message = client.receive().await;
        assert!(message.starts_with("SIP/2.0 200 "), "{message}");
        let n: usize = header(&message, "Call-ID").strip_prefix("call-").unwrap().parse().unwrap();
        if header(&message, "CSeq") == "2 BYE" {
            done += 1;
            continue;
        }
        let (to, target) = (header(&message, "To"), target(&message));
        client.send(&own(client.request("ACK", &target, 1, to, "", ""), n)).await;
        client.send(&own(client.request("BYE", &target, 2, to, "", ""), n)).await;
    }
}

#[tokio::test]
async fn a_cancelled_invite_gets_487_and_leaves_nobody_behind() {
    // SIP-TXN-03
    let mut server = server().await;
    for mut client in Client::both(&server).await {
        let room = "sip:slow@chat.example";
        let invite = client.request("INVITE", room, 1, &format!("<{room}>"), SDP_TYPE, OFFER);
        client.send(&invite).await;
        let (_, endpoint) = server.told.recv().await.unwrap();
        let cancel = client.request("CANCEL", room, 1, &format!("<{room}>"), "", "");
        client.send(&cancel.replace("CANCEL1;", "INVITE1;")).await;
        let ok = client.receive().await;
        assert!(ok.starts_with("SIP/2.0 200 ") && header(&ok, "CSeq") == "1 CANCEL", "{ok}");
        let end = client.receive().await;
        assert!(end.starts_with("SIP/2.0 487 ") && header(&end, "CSeq") == "1 INVITE", "{end}");
        let ack = client.request("ACK", room, 1, header(&end, "To"), "", "");
        client.send(&ack.replace("ACK1;", "INVITE1;")).await;
        assert_eq!(server.told.recv().await.unwrap(), ("leave", endpoint));
    }
}

#[tokio::test]
async fn a_bye_counts_even_if_its_connection_closes_at_once() {
    // FOCUS-04
    let mut server = server().await;
    let mut client = Client::tcp(&server).await;
    let ok = client.join().await;
    let (_, endpoint) = server.told.recv().await.unwrap();
    let bye = client.request("BYE", &target(&ok), 2, header(&ok, "To"), "", "");
    client.send(&bye).await;
    drop(client);
    assert_eq!(server.told.recv().await.unwrap(), ("leave", endpoint));
}

#[tokio::test]
async fn a_closed_connection_is_opened_again_for_our_requests() {
    // SIP-TRANS-02, SIP-DLG-02
    let mut server = server().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::tcp(&server).await;
    let own = format!("sip:alice@{};transport=tcp", listener.local_addr().unwrap());
    let invite = client.invite().replace(&format!("sip:alice@{};transport=tcp", client.address()), &own);
    client.send(&invite).await;
    let ok = client.receive().await;
    let ack = client.request("ACK", &target(&ok), 1, header(&ok, "To"), "", "");
    client.send(&ack).await;
    client.send(&client.options(9)).await;
    client.receive().await;
    drop(client);
    server.stop.take().unwrap().send(()).unwrap();
    let (stream, _) = tokio::time::timeout(WAIT, listener.accept()).await.unwrap().unwrap();
    let mut client = Client::Tcp(stream, Vec::new());
    let bye = client.receive().await;
    let start = format!("BYE {own} SIP/2.0\r\n");
    assert!(bye.to_lowercase().starts_with(&start.to_lowercase()), "{bye}");
    client.accept(&bye).await;
    tokio::time::timeout(WAIT, server.done).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_notice_too_long_for_a_datagram_travels_over_tcp() {
    // SIP-TRANS-01
    let server = server().await;
    // A port that is free for UDP need not be free for TCP.
    let (mut client, listener) = loop {
        let client = Client::udp(&server).await;
        if let Ok(listener) = tokio::net::TcpListener::bind(client.address()).await {
            break (client, listener);
        }
    };
    for n in 0..4 {
        let own = |text: String| {
            text.replace("alice@example", &format!("user{n}@example"))
                .replace("call-", &format!("call{n}-"))
                .replace("z9hG4bK", &format!("z9hG4bK{n}-"))
        };
        client.send(&own(client.invite())).await;
        let ok = client.receive().await;
        client.send(&own(client.request("ACK", &target(&ok), 1, header(&ok, "To"), "", ""))).await;
    }
    let extra = "Event: conference\r\n";
    let subscribe = client.request("SUBSCRIBE", ROOM, 1, &format!("<{ROOM}>"), extra, "");
    // The Contact names the host and no transport.
    let own = format!("sip:alice@localhost:{}", client.address().port());
    let contact = format!("sip:alice@{};transport=udp", client.address());
    client.send(&subscribe.replace(&contact, &own).replace("call-", "watch-")).await;
    assert!(client.receive().await.starts_with("SIP/2.0 200 "));
    let (stream, _) = tokio::time::timeout(WAIT, listener.accept()).await.unwrap().unwrap();
    let mut stream = Client::Tcp(stream, Vec::new());
    let notify = stream.receive().await;
    assert!(
        notify.len() > 1300 && notify.starts_with(&format!("NOTIFY {own} SIP/2.0\r\nVia: SIP/2.0/TCP ")),
        "{notify}"
    );
    stream.accept(&notify).await;
}

/// So many people enter whose names are so many ampersands, each of which is escaped to five octets.
async fn crowd(client: &mut Client, people: usize, ampersands: usize) {
    let name = "&".repeat(ampersands);
    for n in 0..people {
        let own = |text: String| {
            text.replace("\"Al\" <sip:alice@example", &format!("\"{name}\" <sip:user{n}@example"))
                .replace("call-", &format!("call{n}-"))
                .replace("z9hG4bK", &format!("z9hG4bK{n}-"))
        };
        client.send(&own(client.invite())).await;
        let ok = client.receive().await;
        client.send(&own(client.request("ACK", &target(&ok), 1, header(&ok, "To"), "", ""))).await;
    }
}

#[tokio::test]
async fn a_roster_too_long_for_any_datagram_comes_as_a_summary_to_whom_tcp_does_not_reach() {
    // SIP-TRANS-01, CONF-02, CONF-03
    let server = server().await;
    let mut client = Client::udp(&server).await;
    crowd(&mut client, 15, 1000).await;
    for (watch, expires, state) in
        [("watch", 600, "active;expires="), ("fetch", 0, "terminated;reason=timeout")]
    {
        let extra = format!("Event: conference\r\nExpires: {expires}\r\n");
        let subscribe = client.request("SUBSCRIBE", ROOM, 1, &format!("<{ROOM}>"), &extra, "");
        let subscribe = subscribe.replace("call-", watch).replace("z9hG4bK", &format!("z9hG4bK{watch}"));
        client.send(&subscribe).await;
        assert!(client.receive().await.starts_with("SIP/2.0 200 "));
        let notify = client.receive().await;
        assert!(
            notify.starts_with("NOTIFY sip:alice@") && header(&notify, "Via").contains("UDP"),
            "{notify}"
        );
        assert!(header(&notify, "Subscription-State").starts_with(state), "{notify}");
        assert!(notify.contains("<free-text>") && notify.contains("<user-count>15</user-count>"), "{notify}");
        assert!(notify.contains(" state=\"full\" version=\"1\">") && notify.len() < 2500, "{notify}");
        client.accept(&notify).await;
    }
    assert_eq!(server.counters.too_long.load(Ordering::Relaxed), 2);
    // A change is told of, in as few octets.
    client.join().await;
    let notify = client.receive().await;
    assert!(
        notify.contains("state=\"partial\" version=\"2\"") && notify.contains("<user-count>16<"),
        "{notify}"
    );
    assert!(notify.contains("<user entity=\"sip:alice@example.com\""), "{notify}");
}

#[tokio::test]
async fn a_notice_goes_in_a_datagram_where_tcp_reaches_somebody_else() {
    // SIP-TRANS-01
    let server = server().await;
    let (mut client, listener) = loop {
        let client = Client::udp(&server).await;
        if let Ok(listener) = tokio::net::TcpListener::bind(client.address()).await {
            break (client, listener);
        }
    };
    crowd(&mut client, 4, 10).await;
    let subscribe = client.request("SUBSCRIBE", ROOM, 1, &format!("<{ROOM}>"), "Event: conference\r\n", "");
    client.send(&subscribe.replace("call-", "watch")).await;
    assert!(client.receive().await.starts_with("SIP/2.0 200 "));
    // Whoever listens there speaks no SIP.
    drop(tokio::time::timeout(WAIT, listener.accept()).await.unwrap().unwrap());
    let notify = client.receive().await;
    assert!(notify.len() > 1300 && notify.contains("<user-count>4<"), "{notify}");
    client.accept(&notify).await;
}

#[tokio::test]
async fn a_roster_in_a_datagram_that_nobody_answers_is_followed_by_a_summary() {
    // SIP-TRANS-01, CONF-09
    let server = server().await;
    let mut client = Client::udp(&server).await;
    crowd(&mut client, 15, 100).await;
    let extra = "Event: conference\r\n";
    let subscribe = client.request("SUBSCRIBE", ROOM, 1, &format!("<{ROOM}>"), extra, "");
    client.send(&subscribe.replace("call-", "watch")).await;
    assert!(client.receive().await.starts_with("SIP/2.0 200 "));
    // Like a phone that takes no more than 4,000 octets.
    let mut lost = 0;
    let notify = loop {
        let notify = client.receive().await;
        if notify.len() <= 4000 {
            break notify;
        }
        lost += 1;
    };
    assert!(lost > 5 && notify.contains("<free-text>") && notify.contains("<user-count>15<"), "{notify}");
    client.accept(&notify).await;
    client.join().await;
    let notify = client.receive().await;
    assert!(notify.contains("state=\"partial\"") && notify.contains("<user-count>16<"), "{notify}");
}

#[tokio::test]
async fn a_session_timer_is_agreed_and_refreshed_by_update() {
    // TIMER-01, TIMER-02
    let server = server().await;
    for mut client in Client::both(&server).await {
        let timer = |seconds: u32| format!("Supported: timer\r\nSession-Expires: {seconds}\r\n");
        let short = format!("{SDP_TYPE}{}", timer(30));
        let invite = client.request("INVITE", ROOM, 1, &format!("<{ROOM}>"), &short, OFFER);
        client.send(&invite).await;
        let refusal = client.receive().await;
        assert!(refusal.starts_with("SIP/2.0 422 ") && header(&refusal, "Min-SE") == "90", "{refusal}");
        let ack = client.request("ACK", ROOM, 1, header(&refusal, "To"), "", "");
        client.send(&ack.replace("ACK1;", "INVITE1;")).await;
        let enough = format!("{SDP_TYPE}{}", timer(90));
        let invite = client.request("INVITE", ROOM, 2, &format!("<{ROOM}>"), &enough, OFFER);
        client.send(&invite).await;
        let ok = client.receive().await;
        assert_eq!(header(&ok, "Session-Expires"), "90;refresher=uac", "{ok}");
        let to = header(&ok, "To");
        client.send(&client.request("ACK", &target(&ok), 2, to, "", "")).await;
        client.send(&client.request("UPDATE", &target(&ok), 3, to, &timer(120), "")).await;
        let ok = client.receive().await;
        assert!(ok.starts_with("SIP/2.0 200 ") && header(&ok, "CSeq") == "3 UPDATE", "{ok}");
        assert_eq!(header(&ok, "Session-Expires"), "120;refresher=uac", "{ok}");
    }
}

#[tokio::test]
async fn a_room_calls_whom_a_participant_refers_to() {
    // REFER-01, REFER-02
    let mut server = server().await;
    let mut alice = Client::udp(&server).await;
    alice.join().await;
    assert_eq!(server.told.recv().await.unwrap().0, "join");
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let targets = [
        format!("sip:carol@{}", udp.local_addr().unwrap()),
        format!("sip:dave@{};transport=tcp", tcp.local_addr().unwrap()),
    ];
    let (mut waiting, mut seq) = (Some(udp), 20);
    for target in targets {
        seq += 1;
        let lines = format!("Refer-To: <{target}>\r\n");
        let refer = alice.request("REFER", ROOM, seq, &format!("<{ROOM}>"), &lines, "");
        alice.send(&refer.replace("call-UDP", &format!("refer{seq}"))).await;
        let mut callee = if let Some(socket) = waiting.take() {
            let mut buffer = vec![0; 65536];
            let (_, from) = socket.peek_from(&mut buffer).await.unwrap();
            socket.connect(from).await.unwrap();
            Client::Udp(socket)
        } else {
            Client::Tcp(tcp.accept().await.unwrap().0, Vec::new())
        };
        let invite = callee.receive().await;
        assert!(
            invite.starts_with("INVITE sip:") && header(&invite, "Contact").ends_with(";isfocus"),
            "{invite}"
        );
        assert!(invite.contains("a=setup:actpass\r\n"), "{invite}");
        let copied = ["Via", "From", "Call-ID", "CSeq"].map(|n| format!("{n}: {}\r\n", header(&invite, n)));
        let contact = format!("Contact: <{target}>\r\nTo: {};tag=callee\r\n", header(&invite, "To"));
        let start = |code: &str| format!("SIP/2.0 {code}\r\n{}{contact}", copied.concat());
        callee.send(&format!("{}Content-Length: 0\r\n\r\n", start("180 Ringing"))).await;
        let length = OFFER.len();
        let ok = format!("{}{SDP_TYPE}Content-Length: {length}\r\n\r\n{OFFER}", start("200 OK"));
        callee.send(&ok).await;
        let ack = callee.receive().await;
        assert!(ack.starts_with("ACK sip:") && header(&ack, "To").ends_with(";tag=callee"), "{ack}");
        let (joined, endpoint) = server.told.recv().await.unwrap();
        assert_eq!((joined, server.told.recv().await.unwrap()), ("join", ("revise", endpoint)));
        let mut lines = Vec::new();
        while lines.len() < 2 {
            let message = alice.receive().await;
            if message.starts_with("NOTIFY") {
                alice.accept(&message).await;
                let body = message.split("\r\n\r\n").nth(1).unwrap().trim().to_owned();
                if lines.last() != Some(&body) {
                    lines.push(body);
                }
            }
        }
        lines.sort();
        assert_eq!(lines, ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]);
        // She goes as she came.
        let bye = format!(
            "BYE {ROOM} SIP/2.0\r\nVia: SIP/2.0/{} pc;branch=z9hG4bKbye{seq};rport\r\nMax-Forwards: 70\r\n\
             From: {};tag=callee\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            callee.transport(),
            header(&invite, "To"),
            header(&invite, "From"),
            header(&invite, "Call-ID"),
        );
        callee.send(&bye).await;
        assert!(callee.receive().await.starts_with("SIP/2.0 200 OK\r\n"));
        assert_eq!(server.told.recv().await.unwrap(), ("leave", endpoint));
    }
}

#[tokio::test]
async fn the_factory_gives_each_call_a_room_of_its_own() {
    // FOCUS-07
    let mut server = server().await;
    let factory = "sip:conference@chat.example";
    let mut rooms = Vec::new();
    for mut client in Client::both(&server).await {
        let invite = client.request("INVITE", factory, 1, &format!("<{factory}>"), SDP_TYPE, OFFER);
        client.send(&invite).await;
        let ok = client.receive().await;
        assert!(ok.starts_with("SIP/2.0 200 ") && header(&ok, "Contact").ends_with(";isfocus"), "{ok}");
        client.send(&client.request("ACK", &target(&ok), 1, header(&ok, "To"), "", "")).await;
        client.send(&client.request("BYE", &target(&ok), 2, header(&ok, "To"), "", "")).await;
        assert!(client.receive().await.starts_with("SIP/2.0 200 "));
        let (_, endpoint) = server.told.recv().await.unwrap();
        assert_eq!(server.told.recv().await.unwrap(), ("leave", endpoint));
        rooms.push(target(&ok).split('@').next().unwrap().to_owned());
    }
    assert!(rooms[0] != rooms[1] && !rooms.contains(&"sip:conference".to_owned()), "{rooms:?}");
}
