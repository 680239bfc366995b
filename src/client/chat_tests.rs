//! Being in a room of a scripted server on loopback: SIP over UDP, MSRP over TCP.

use super::call::{CallError, Transport};
use super::chat::{Account, Client, Event, Events, Join, JoinError, Person, Room, Step, Unasked};
use super::sip::{Incoming, Line};
use crate::wire::nickname::BadNickname;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

mod moderation;
mod more;

const JOIN: Join<'_> =
    Join { room: "sip:lobby@example.com", from: "sip:alice@example.com", display_name: "Alice" };

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

/// The server's SIP side.
struct Focus {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    /// Requests that came while another was waited for.
    early: VecDeque<Incoming>,
}

impl Focus {
    async fn start() -> (Self, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        (Self { socket, peer: None, early: VecDeque::new() }, addr)
    }

    /// The next request of this method.
    async fn request(&mut self, method: &str) -> Incoming {
        let is = |m: &Incoming| matches!(&m.line, Line::Request(r) if r == method);
        if let Some(at) = self.early.iter().position(is) {
            return self.early.remove(at).unwrap();
        }
        loop {
            let mut buffer = vec![0; 65536];
            let (length, from) = self.socket.recv_from(&mut buffer).await.unwrap();
            self.peer = Some(from);
            let message = Incoming::read(&buffer[..length]).unwrap();
            if is(&message) {
                return message;
            }
            self.early.push_back(message);
        }
    }

    async fn send(&self, octets: &[u8]) {
        self.socket.send_to(octets, self.peer.unwrap()).await.unwrap();
    }

    async fn accept(&mut self, answer: &str) -> Incoming {
        self.accept_with("", answer).await
    }

    async fn accept_with(&mut self, headers: &str, answer: &str) -> Incoming {
        let invite = self.request("INVITE").await;
        let headers = format!("Contact: <sip:focus@127.0.0.1>;isfocus\r\n{headers}");
        let ok = invite.response(200, "OK", "srv", &headers);
        let ok = String::from_utf8(ok).unwrap();
        let length = format!("Content-Length: {}\r\n\r\n{answer}", answer.len());
        self.send(ok.replace("Content-Length: 0\r\n\r\n", &length).as_bytes()).await;
        invite
    }

    async fn within(&self, request: &Incoming, method: &str, cseq: u32, extra: &str, body: &str) {
        let text = format!(
            "{method} sip:alice@client SIP/2.0\r\nVia: SIP/2.0/UDP server;branch=z9hG4bK{method}{cseq}\r\n\
             From: <sip:lobby@example.com>;tag=srv\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             {extra}Content-Length: {}\r\n\r\n{body}",
            request.header("From").unwrap(),
            request.header("Call-ID").unwrap(),
            body.len()
        );
        self.send(text.as_bytes()).await;
    }

    async fn notify(&self, subscribe: &Incoming, version: u32, users: &str) {
        let xml = format!(
            "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='sip:lobby@example.com' \
             state='full' version='{version}'><users>{users}</users></conference-info>"
        );
        self.within(subscribe, "NOTIFY", version, "Subscription-State: active\r\n", &xml).await;
    }
}

/// The server's MSRP side of one session.
struct Switch {
    stream: TcpStream,
    unread: String,
}

impl Switch {
    /// The next message, whole.
    async fn next(&mut self) -> String {
        loop {
            let tid = self.unread.split([' ', '\r']).nth(1).unwrap_or("?");
            let end = format!("-------{tid}$\r\n");
            if let Some(at) = self.unread.find(&end) {
                let rest = self.unread.split_off(at + end.len());
                return std::mem::replace(&mut self.unread, rest);
            }
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "closed");
            self.unread.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
    }

    async fn answer(&mut self, request: &str, status: &str) {
        let tid = request.split(' ').nth(1).unwrap();
        let text = format!(
            "MSRP {tid} {status}\r\nTo-Path: {}\r\nFrom-Path: {}\r\n-------{tid}$\r\n",
            path_of(request, "From-Path"),
            path_of(request, "To-Path")
        );
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends a message along the paths of `bind`.
    async fn say(&mut self, bind: &str, tid: &str, wrapper: &str) {
        let text = format!(
            "MSRP {tid} SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: {tid}\r\n\
             Byte-Range: 1-*/*\r\nContent-Type: message/cpim\r\n\r\n{wrapper}\r\n-------{tid}$\r\n",
            path_of(bind, "From-Path"),
            path_of(bind, "To-Path")
        );
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }
}

fn path_of<'a>(message: &'a str, header: &str) -> &'a str {
    let line = message.lines().find(|l| l.starts_with(header)).unwrap();
    line.split_once(": ").unwrap().1
}

fn answer_sdp(port: u16, more: &str) -> String {
    let wrapped = if more.contains("wrapped") { "" } else { "a=accept-wrapped-types:*\r\n" };
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=message {port} TCP/MSRP *\r\na=accept-types:message/cpim\r\n{wrapped}\
         a=setup:passive\r\na=path:msrp://127.0.0.1:{port}/server01234567890123;tcp\r\n{more}"
    )
}

struct Joined {
    focus: Focus,
    switch: Switch,
    invite: Incoming,
    subscribe: Incoming,
    bind: String,
    room: Room,
    events: Events,
}

async fn joined(more: &str) -> Joined {
    joined_as(|client| client, "", more).await
}

/// Joined by such a client, with these headers in the 200 and these lines in its description.
async fn joined_as(such: impl FnOnce(Client) -> Client, headers: &str, more: &str) -> Joined {
    joined_by(&JOIN, such, headers, more).await
}

async fn joined_by(
    join: &Join<'_>,
    such: impl FnOnce(Client) -> Client,
    headers: &str,
    more: &str,
) -> Joined {
    let (mut focus, addr) = Focus::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = such(Client::new(addr, Transport::Udp).await.unwrap());
    let serve = async {
        let invite = focus.accept_with(headers, &answer_sdp(port, more)).await;
        let mut switch = Switch { stream: listener.accept().await.unwrap().0, unread: String::new() };
        let bind = switch.next().await;
        switch.answer(&bind, "200 OK").await;
        let subscribe = focus.request("SUBSCRIBE").await;
        focus.send(&subscribe.response(200, "OK", "srv", "Expires: 600\r\n")).await;
        (focus, switch, invite, subscribe, bind)
    };
    let ((focus, switch, invite, subscribe, bind), joined) = tokio::join!(serve, client.join(join));
    let (room, events) = joined.unwrap();
    Joined { focus, switch, invite, subscribe, bind, room, events }
}

async fn failed(answer: &str) -> JoinError {
    let (mut focus, addr) = Focus::start().await;
    let client = Client::new(addr, Transport::Udp).await.unwrap();
    let (_, joined) = tokio::join!(focus.accept(answer), client.join(&JOIN));
    // Whatever failed after the answer: the call does not stay behind.
    focus.request("BYE").await;
    joined.unwrap_err()
}

fn person(address: &str, name: &str) -> Person {
    Person { address: address.to_string(), name: name.to_string(), ..Person::default() }
}

#[test]
fn the_offer_is_that_of_an_active_client_who_takes_wrapped_messages() {
    // SDP-01, SDP-12, SDP-13
    run(async {
        let j = joined("").await;
        let offer = String::from_utf8(j.invite.body.clone()).unwrap();
        let path = path_of(&j.bind, "From-Path");
        assert!(path.starts_with("msrp://127.0.0.1:9/") && path.ends_with(";tcp"));
        for line in ["m=message 9 TCP/MSRP *", "a=setup:active", "a=accept-types:message/cpim"] {
            assert!(offer.contains(&format!("\r\n{line}\r\n")), "{offer}");
        }
        assert!(offer.contains(&format!("\r\na=path:{path}\r\n")));
    });
}

#[test]
fn what_is_said_is_wrapped_and_its_answer_told() {
    // CPIM-01, CPIM-09
    run(async {
        let mut j = joined("").await;
        assert_eq!(j.room.say("Hello\r\nroom").await, Ok(1));
        let request = j.switch.next().await;
        let (head, content) =
            request.split_once("\r\n\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\n").unwrap();
        assert!(content.starts_with("Hello\r\nroom\r\n-------"), "{request}");
        assert!(head.contains(
            "\r\n\r\nFrom: Alice <sip:alice@example.com>\r\nTo: <sip:lobby@example.com>\r\nDateTime: 2"
        ));
        j.switch.answer(&request, "403 No").await;
        let refused = Event::Refused { message: 1, code: 403, comment: "No".to_string() };
        assert_eq!(j.events.next().await, Some(refused));
        assert_eq!(j.room.say("again").await, Ok(2));
        let request = j.switch.next().await;
        j.switch.answer(&request, "200 OK").await;
        assert_eq!(j.events.next().await, Some(Event::Accepted { message: 2 }));
    });
}

#[test]
fn others_are_named_by_the_roster_and_private_messages_marked() {
    // CHAT-MSG-15
    run(async {
        let mut j = joined("").await;
        let bob = "<user entity='sip:bob@example.com' state='full'><display-text>Bob</display-text></user>";
        j.focus.notify(&j.subscribe, 1, bob).await;
        assert_eq!(j.events.next().await, Some(Event::Here(vec![person("sip:bob@example.com", "Bob")])));
        let wrapper = |from: &str, to: &str| {
            format!("From: {from}\r\nTo: <{to}>\r\n\r\nContent-Type: text/plain\r\n\r\nhi")
        };
        let table = [
            ("Alice <sip:BOB@example.com>".replace("BOB", "bob"), "sip:lobby@EXAMPLE.com", "Bob", false),
            ("Bob <sip:eve@example.com>".to_string(), "sip:alice@example.com", "Bob", true),
            ("<sip:eve@example.com>".to_string(), "sip:lobby@example.com", "sip:eve@example.com", false),
        ];
        for (n, (from, to, name, private)) in table.iter().enumerate() {
            let tid = format!("tid{n}");
            j.switch.say(&j.bind, &tid, &wrapper(from, to)).await;
            let Some(Event::Message(message)) = j.events.next().await else { panic!("no message") };
            assert_eq!((message.name.as_str(), message.to_me), (*name, *private), "{from} {to}");
            assert_eq!(message.text().unwrap(), "hi");
            assert!(j.switch.next().await.starts_with(&format!("MSRP {tid} 200 OK\r\n")));
        }
        j.focus.notify(&j.subscribe, 2, "").await;
        assert_eq!(j.events.next().await, Some(Event::Left(person("sip:bob@example.com", "Bob"))));
    });
}

#[test]
fn leaving_sends_what_was_said_and_ends_the_call() {
    run(async {
        let Joined { mut focus, mut switch, room, .. } = joined("").await;
        room.say("bye").await.unwrap();
        let serve = async {
            assert!(switch.next().await.contains("\r\n\r\nbye\r\n-------"));
            let bye = focus.request("BYE").await;
            focus.send(&bye.response(200, "OK", "srv", "")).await;
        };
        tokio::join!(serve, room.leave());
    });
}

#[test]
fn the_room_may_end_it_and_say_why() {
    run(async {
        let mut j = joined("").await;
        let reason = "Reason: SIP;cause=200;text=\"Removed\"\r\n";
        // As servers do: the connection first, then the BYE that tells why.
        drop(j.switch);
        j.focus.within(&j.invite, "BYE", 1, reason, "").await;
        assert_eq!(j.events.next().await, Some(Event::Closed { why: "Removed".to_string() }));
        assert_eq!(j.events.next().await, None);
        assert!(j.room.say("anybody?").await.is_err());
    });
}

#[test]
fn what_the_room_would_not_take_is_not_sent() {
    // SDP-10
    run(async {
        let mut j = joined("a=max-size:1000\r\n").await;
        j.room.say(&"x".repeat(1000)).await.unwrap();
        let event = j.events.next().await;
        assert!(matches!(&event, Some(Event::Refused { message: 1, code: 413, .. })), "{event:?}");
    });
}

#[test]
fn only_a_room_that_declares_them_has_private_messages() {
    // CHAT-PRIV-07
    run(async {
        assert!(!joined("a=chatroom:nickname\r\n").await.room.has_private_messages());
        assert!(joined("a=chatroom:private-messages\r\n").await.room.has_private_messages());
    });
}

#[test]
fn an_answer_that_cannot_be_used_ends_the_call() {
    // SDP-02
    run(async {
        let good = answer_sdp(1, "");
        for (bad, word) in [
            (good.replace("message 1", "message 0"), "port 0"),
            (good.replace("a=path", "a=x-path"), "a=path"),
            (good.replace("setup:passive", "setup:active"), "connect to us"),
            (good.replace("TCP/MSRP", "TCP/TLS/MSRP").replace("msrp:", "msrps:"), "TLS"),
        ] {
            let error = failed(&bad).await;
            assert!(matches!(error, JoinError::Answer(_)) && error.to_string().contains(word), "{error}");
        }
        assert!(matches!(failed(&good).await, JoinError::Connect(..)));
    });
}

#[test]
fn a_refused_session_ends_the_call() {
    // MSRP-CONN-04
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = answer_sdp(listener.local_addr().unwrap().port(), "");
        let serve = async {
            let mut switch = Switch { stream: listener.accept().await.unwrap().0, unread: String::new() };
            let bind = switch.next().await;
            switch.answer(&bind, "481 No such session").await;
        };
        let ((), error) = tokio::join!(serve, failed(&answer));
        assert_eq!(error.to_string(), "the switch refused the session: 481 No such session");
    });
}

#[test]
fn a_refused_call_is_told_as_such() {
    run(async {
        let (mut focus, addr) = Focus::start().await;
        let client = Client::new(addr, Transport::Udp).await.unwrap();
        let serve = async {
            let invite = focus.request("INVITE").await;
            focus.send(&invite.response(486, "Busy Here", "srv", "")).await;
        };
        let ((), joined) = tokio::join!(serve, client.join(&JOIN));
        let error = joined.unwrap_err();
        assert!(matches!(&error, JoinError::Call(CallError::Refused { code: 486, .. })), "{error}");
    });
}

#[test]
fn a_nickname_is_asked_for_and_its_answer_told() {
    // CHAT-NICK-01, CHAT-NICK-08
    run(async {
        let mut j = joined("a=chatroom:nickname\r\n").await;
        assert!(j.room.has_nicknames());
        assert_eq!(j.room.nickname(Some(" White  Rabbit ")).await, Ok(1));
        let request = j.switch.next().await;
        let (line, rest) = request.split_once("\r\n").unwrap();
        assert!(line.ends_with(" NICKNAME"), "{line}");
        let headers: Vec<&str> = rest.lines().map(|l| l.split(':').next().unwrap()).collect();
        assert_eq!(headers[..3], ["To-Path", "From-Path", "Use-Nickname"]);
        assert!(headers[3].starts_with("-------") && headers.len() == 4, "{request}");
        assert!(rest.contains("\r\nUse-Nickname: \"White Rabbit\"\r\n"), "{rest}");
        j.switch.answer(&request, "425 Taken").await;
        let refused = Event::Refused { message: 1, code: 425, comment: "Taken".to_string() };
        assert_eq!(j.events.next().await, Some(refused));
        assert_eq!(j.room.nickname(None).await, Ok(2));
        let request = j.switch.next().await;
        assert!(request.contains("\r\nUse-Nickname: \"\"\r\n"), "{request}");
        j.switch.answer(&request, "200 OK").await;
        assert_eq!(j.events.next().await, Some(Event::Accepted { message: 2 }));
        // What would remove the nickname, though a name was wished for, is not sent.
        for empty in ["", "  "] {
            assert_eq!(j.room.nickname(Some(empty)).await, Err(Unasked::BadNickname(BadNickname::Empty)));
        }
    });
}

#[test]
fn what_the_room_does_not_declare_is_not_asked_of_it() {
    // CHAT-NICK-02, CHAT-PRIV-07
    run(async {
        let mut j = joined("a=chatroom\r\n").await;
        assert!(!j.room.has_nicknames());
        assert_eq!(j.room.nickname(Some("Al")).await, Err(Unasked::NoNicknames));
        assert_eq!(j.room.nickname(None).await, Err(Unasked::NoNicknames));
        assert_eq!(j.room.say_to("sip:bob@example.com", "psst").await, Err(Unasked::NoPrivateMessages));
        j.room.say("hello").await.unwrap();
        assert!(j.switch.next().await.contains("\r\n\r\nhello\r\n"));
    });
}

#[test]
fn a_private_message_names_its_one_recipient() {
    // CHAT-PRIV-07
    run(async {
        let mut j = joined("a=chatroom:private-messages\r\n").await;
        j.room.say_to("sip:bob@example.com", "psst").await.unwrap();
        let request = j.switch.next().await;
        assert_eq!(request.matches("\r\nTo: ").count(), 1);
        assert!(request.contains("\r\nTo: <sip:bob@example.com>\r\n"), "{request}");
    });
}
