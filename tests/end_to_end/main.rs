//! The whole server over loopback: real SIP, real MSRP, 1, 2 and 4 shards, both drivers.

mod directory;
mod doors;
mod floods;
mod library;
mod phone;
mod slow;
mod standard;
mod storm;

use openmsrp::client::call::{Call, Caller, Invite, Transport};
use openmsrp::client::chat::{Client, Event, Events, Join, Room};
use openmsrp::control::config::Raw;
use openmsrp::control::values::{At, Shards};
use openmsrp::server::{self, Listening};
use openmsrp::shard::run::probe_uring;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a test waits for something that must come.
const WAIT: Duration = Duration::from_secs(60);

struct Server {
    sip: SocketAddr,
    msrp: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    async fn start(shards: u16, driver: &str) -> Self {
        Self::start_with(shards, driver, Raw::default()).await
    }

    /// A server with further settings.
    async fn start_with(shards: u16, driver: &str, settings: Raw) -> Self {
        let raw = Raw {
            sip: vec![At(SocketAddr::from(([127, 0, 0, 1], 0)))],
            msrp: vec![At(SocketAddr::from(([127, 0, 0, 1], 0)))],
            shards: Some(Shards(shards)),
            driver: Some(driver.parse().unwrap()),
            ..settings
        };
        let config = raw.check(1).unwrap();
        let (tell, ready) = oneshot::channel::<Listening>();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let ready = |l: &Listening| tell.send(l.clone()).unwrap();
            server::run(&config, ready, async {
                let _ = stopped.await;
            })
            .unwrap();
        });
        let listening = timeout(WAIT, ready).await.unwrap().unwrap();
        let (sip, msrp) = (listening.sip[0], listening.msrp[0]);
        Self { sip, msrp, stop: Some(stop), thread: Some(thread) }
    }

    /// Stops the server and waits for its end, which must come within the time it promises.
    async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        let thread = self.thread.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || thread.join());
        timeout(Duration::from_secs(6), ended).await.expect("stops in time").unwrap().unwrap();
    }

    async fn join(&self, transport: Transport, room: &str, name: &str) -> (Room, Events) {
        let client = Client::new(self.sip, transport).await.unwrap();
        self.join_by(&client, room, name).await
    }

    async fn join_by(&self, client: &Client, room: &str, name: &str) -> (Room, Events) {
        let (room, from) = (format!("sip:{room}@localhost"), format!("sip:{name}@localhost"));
        let join = Join { room: &room, from: &from, display_name: name };
        timeout(WAIT, client.join(&join)).await.expect("in time").expect("joins")
    }
}

/// Every setting that a behaviour must hold in.
fn settings() -> Vec<(u16, &'static str)> {
    let mut all = vec![(1, "epoll"), (2, "epoll"), (4, "epoll")];
    match probe_uring() {
        Ok(()) => all.extend([(1, "io_uring"), (2, "io_uring"), (4, "io_uring")]),
        // Said, not hidden: on such a machine half of the settings do not exist.
        Err(e) => eprintln!("io_uring is not available here ({e}); testing on epoll only"),
    }
    all
}

/// The next `n` texts that reach somebody.
async fn hear(events: &mut Events, n: usize) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.len() < n {
        match timeout(WAIT, events.next()).await.expect("in time").expect("still in the room") {
            Event::Message(m) => heard.push(m.text().expect("text").into_owned()),
            Event::Refused { .. } | Event::Closed { .. } => panic!("refused or closed after {heard:?}"),
            _ => {}
        }
    }
    heard
}

#[tokio::test]
async fn people_in_two_rooms_hear_their_own_room_in_one_order() {
    // CHAT-MSG-07 CHAT-MSG-14 CHAT-JOIN-06 FOCUS-01
    const EACH: usize = 20;
    for (shards, driver) in settings() {
        let server = Server::start(shards, driver).await;
        for room in ["red", "blue"] {
            let mut people = Vec::new();
            for i in 0..5 {
                let transport = [Transport::Udp, Transport::Tcp][i % 2];
                people.push(server.join(transport, room, &format!("p{i}")).await);
            }
            for n in 0..EACH {
                for (i, (handle, _)) in people.iter().enumerate() {
                    handle.say(&format!("{room} {i} {n}")).await.unwrap();
                }
            }
            let mut orders = Vec::new();
            for (_, events) in &mut people {
                orders.push(hear(events, 4 * EACH).await);
            }
            check_orders(room, &orders, EACH);
            for (handle, _) in people {
                handle.leave().await;
            }
        }
        server.stop().await;
    }
}

/// Everybody heard everybody else's messages, each once, and any two agree on the order of what both heard.
fn check_orders(room: &str, orders: &[Vec<String>], each: usize) {
    for (i, order) in orders.iter().enumerate() {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for text in order {
            assert!(text.starts_with(room), "{text} belongs elsewhere");
            *seen.entry(text).or_default() += 1;
        }
        assert_eq!(seen.len(), (orders.len() - 1) * each, "p{i} misses something");
        assert!(seen.values().all(|n| *n == 1), "p{i} heard something twice");
        assert!(!seen.keys().any(|t| t.starts_with(&format!("{room} {i} "))), "p{i} heard itself");
    }
    for a in orders {
        for b in orders {
            let common = |x: &[String], y: &[String]| -> Vec<String> {
                x.iter().filter(|t| y.contains(t)).cloned().collect()
            };
            assert_eq!(common(a, b), common(b, a), "one order for all");
        }
    }
}

#[tokio::test]
async fn a_long_text_arrives_whole() {
    // CHAT-CHUNK-01 MSRP-CHUNK-04
    for (shards, driver) in settings() {
        let server = Server::start(shards, driver).await;
        let (alice, _events) = server.join(Transport::Tcp, "long", "alice").await;
        let (_bob, mut heard_by_bob) = server.join(Transport::Tcp, "long", "bob").await;
        let (_carol, mut heard_by_carol) = server.join(Transport::Tcp, "long", "carol").await;
        let text = "0123456789 -------abcd1234$ ".repeat(100_000);
        alice.say(&text).await.unwrap();
        for events in [&mut heard_by_bob, &mut heard_by_carol] {
            assert!(hear(events, 1).await[0] == text, "octet for octet");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn stopping_says_goodbye_to_everybody() {
    // FOCUS-04
    for (shards, driver) in settings() {
        let server = Server::start(shards, driver).await;
        let mut people = Vec::new();
        for i in 0..4 {
            let transport = [Transport::Udp, Transport::Tcp][i % 2];
            people.push(server.join(transport, "lobby", &format!("p{i}")).await);
        }
        server.stop().await;
        for (_, mut events) in people {
            let closed = async {
                while let Some(event) = events.next().await {
                    if matches!(event, Event::Closed { .. }) {
                        break;
                    }
                }
            };
            timeout(WAIT, closed).await.expect("everybody is told");
        }
    }
}

/// A call whose MSRP side is done by hand; the path in the answer.
async fn call(caller: &Caller, room: &str, name: &str, path: &str, setup: &str) -> (Call, String) {
    let port = path.split(':').nth(2).unwrap().split('/').next().unwrap();
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message {port} TCP/MSRP *\r\n\
         a=path:{path}\r\na=setup:{setup}\r\na=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\na=chatroom\r\n"
    );
    let (room, from) = (format!("sip:{room}@localhost"), format!("sip:{name}@localhost"));
    let invite = Invite { room: &room, from: &from, display_name: name, offer: &offer };
    let call = timeout(WAIT, caller.invite(&invite)).await.unwrap().unwrap();
    let theirs = call.answer.lines().find_map(|l| l.strip_prefix("a=path:")).unwrap().trim().to_owned();
    (call, theirs)
}

fn request(tid: &str, method: &str, to: &str, from: &str, rest: &str) -> String {
    format!("MSRP {tid} {method}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{rest}-------{tid}$\r\n")
}

/// Reads until `end` has come; everything read.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    let mut buffer = [0; 4096];
    while !all.contains(end) {
        let n = timeout(WAIT, stream.read(&mut buffer)).await.expect("in time").expect("readable");
        assert!(n > 0, "closed after {all:?}");
        all.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    all
}

/// Binds a session; what came right behind the answer.
async fn bind(stream: &mut TcpStream, theirs: &str, mine: &str) -> String {
    let hello = request("bind", "SEND", theirs, mine, "Message-ID: abcd\r\nByte-Range: 1-0/0\r\n");
    stream.write_all(hello.as_bytes()).await.unwrap();
    let answer = read_until(stream, "-------bind$\r\n").await;
    assert!(answer.starts_with("MSRP bind 200 OK\r\n"), "{answer}");
    answer.split_once("-------bind$\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_room_larger_than_one_shard_hears_one_order() {
    // CHAT-MSG-14
    const PEOPLE: usize = 300;
    const EACH: usize = 5;
    for (shards, driver) in settings().into_iter().filter(|(shards, _)| *shards == 2) {
        let server = Server::start(shards, driver).await;
        let caller = Caller::new(server.sip, Transport::Tcp).await.unwrap();
        let mut people = Vec::new();
        for i in 0..PEOPLE {
            let mine = format!("msrp://127.0.0.1:9/crowd{i};tcp");
            let (call, theirs) = call(&caller, "crowd", &format!("p{i}"), &mine, "active").await;
            let mut stream = TcpStream::connect(server.msrp).await.unwrap();
            bind(&mut stream, &theirs, &mine).await;
            people.push((call, stream, theirs, mine));
        }
        // The first lives on the room's home shard, the last two were placed on both.
        let speakers = [0, PEOPLE - 2, PEOPLE - 1];
        for n in 0..EACH {
            for s in speakers {
                let (_, stream, theirs, mine) = &mut people[s];
                let rest = format!(
                    "Message-ID: m{n}ab\r\nFailure-Report: no\r\nContent-Type: message/cpim\r\n\r\nFrom: <sip:p{s}@localhost>\r\n\
                     To: <sip:crowd@localhost>\r\n\r\nContent-Type: text/plain\r\n\r\n<{s}:{n}>\r\n"
                );
                stream.write_all(request("text", "SEND", theirs, mine, &rest).as_bytes()).await.unwrap();
            }
        }
        let mut orders: Vec<Vec<String>> = Vec::new();
        for (i, (_, stream, ..)) in people.iter_mut().enumerate().filter(|(i, _)| !speakers.contains(i)) {
            let mut all = String::new();
            while texts(&all).len() < EACH * speakers.len() {
                all.push_str(&read_until(stream, "$\r\n").await);
            }
            assert!(orders.is_empty() || texts(&all) == orders[0], "p{i} hears the order of all");
            orders.push(texts(&all));
        }
        for s in speakers {
            let mine: Vec<_> = orders[0].iter().filter(|t| t.starts_with(&format!("<{s}:"))).collect();
            assert_eq!(mine.len(), EACH);
            assert!(mine.is_sorted(), "each speaker's own order is kept: {mine:?}");
        }
        server.stop().await;
    }
}

/// What stands in angle brackets alone on a line, in order.
fn texts(wire: &str) -> Vec<String> {
    let whole = wire.rfind("$\r\n").map_or(0, |at| at + 3);
    wire[..whole].lines().filter(|l| l.starts_with('<') && l.ends_with('>')).map(str::to_owned).collect()
}

#[tokio::test]
async fn rubbish_harms_nobody_else() {
    // MSRP-FRAME-17 MSRP-CONN-04 MSRP-FRAME-19 SEC-02
    for (shards, driver) in settings() {
        let server = Server::start(shards, driver).await;
        let (alice, mut heard_by_alice) = server.join(Transport::Tcp, "raw", "alice").await;
        let mine = "msrp://127.0.0.1:9/mallory0123;tcp";
        let caller = Caller::new(server.sip, Transport::Udp).await.unwrap();
        let (_call, theirs) = call(&caller, "raw", "mallory", mine, "active").await;

        let mut garbage = TcpStream::connect(server.msrp).await.unwrap();
        garbage.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let closed = timeout(WAIT, garbage.read(&mut [0; 64])).await.expect("closed in time");
        assert!(matches!(closed, Ok(0) | Err(_)), "nothing is said to garbage");

        let mut endless = TcpStream::connect(server.msrp).await.unwrap();
        let _ = endless.write_all("X-Header: value\r\n".repeat(20_000).as_bytes()).await;
        let closed = timeout(WAIT, endless.read(&mut [0; 64])).await.expect("closed in time");
        assert!(matches!(closed, Ok(0) | Err(_)));

        let mut guess = TcpStream::connect(server.msrp).await.unwrap();
        let nowhere = "msrp://127.0.0.1:2855/aa00000000000000000000AA;tcp";
        let hello = request("gues", "SEND", nowhere, mine, "Message-ID: abcd\r\nByte-Range: 1-0/0\r\n");
        guess.write_all(hello.as_bytes()).await.unwrap();
        assert!(read_until(&mut guess, "-------gues$\r\n").await.starts_with("MSRP gues 481 "));

        // Octet by octet, to whichever shard: the session is bound all the same.
        let mut slow = TcpStream::connect(server.msrp).await.unwrap();
        slow.set_nodelay(true).unwrap();
        for octet in
            request("slow", "SEND", &theirs, mine, "Message-ID: abcd\r\nByte-Range: 1-0/0\r\n").bytes()
        {
            slow.write_all(&[octet]).await.unwrap();
        }
        assert!(read_until(&mut slow, "-------slow$\r\n").await.starts_with("MSRP slow 200 OK\r\n"));

        let mut thief = TcpStream::connect(server.msrp).await.unwrap();
        let again = request("thie", "SEND", &theirs, mine, "Message-ID: abcd\r\nByte-Range: 1-0/0\r\n");
        thief.write_all(again.as_bytes()).await.unwrap();
        assert!(read_until(&mut thief, "-------thie$\r\n").await.starts_with("MSRP thie 506 "));

        let forged = "Message-ID: efgh\r\nContent-Type: message/cpim\r\n\r\nFrom: <sip:alice@localhost>\r\n\
                      To: <sip:raw@localhost>\r\n\r\nContent-Type: text/plain\r\n\r\nI am alice\r\n";
        slow.write_all(request("forg", "SEND", &theirs, mine, forged).as_bytes()).await.unwrap();
        assert!(read_until(&mut slow, "-------forg$\r\n").await.starts_with("MSRP forg 403 "));
        let honest = forged.replace("<sip:alice@", "<sip:mallory@").replace("I am alice", "hello alice");
        slow.write_all(request("hone", "SEND", &theirs, mine, &honest).as_bytes()).await.unwrap();
        assert_eq!(hear(&mut heard_by_alice, 1).await, ["hello alice"], "alice heard nothing but this");
        alice.say("still here").await.unwrap();
        assert!(read_until(&mut slow, "still here").await.contains("From: "));
        server.stop().await;
    }
}

#[tokio::test]
async fn the_server_connects_to_a_passive_participant() {
    // SDP-14 MSRP-CONN-02
    for (shards, driver) in settings() {
        let server = Server::start(shards, driver).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mine = format!("msrp://{}/passive0123;tcp", listener.local_addr().unwrap());
        let caller = Caller::new(server.sip, Transport::Udp).await.unwrap();
        let (_call, theirs) = call(&caller, "raw", "passive", &mine, "passive").await;
        let (mut stream, _) = timeout(WAIT, listener.accept()).await.unwrap().unwrap();
        let hello = read_until(&mut stream, "$\r\n").await;
        let tid = hello.split(' ').nth(1).unwrap();
        assert!(
            hello.starts_with(&format!("MSRP {tid} SEND\r\nTo-Path: {mine}\r\nFrom-Path: {theirs}\r\n")),
            "{hello}"
        );
        let ok = format!("MSRP {tid} 200 OK\r\nTo-Path: {theirs}\r\nFrom-Path: {mine}\r\n-------{tid}$\r\n");
        stream.write_all(ok.as_bytes()).await.unwrap();
        let (alice, _events) = server.join(Transport::Tcp, "raw", "alice").await;
        alice.say("hello, passive one").await.unwrap();
        assert!(
            read_until(&mut stream, "hello, passive one").await.contains(&format!("To-Path: {mine}\r\n"))
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn a_second_session_on_the_same_connection_reaches_another_room() {
    // MSRP-CONN-01
    for (shards, driver) in settings() {
        let server = Server::start(shards, driver).await;
        let mut stream = TcpStream::connect(server.msrp).await.unwrap();
        let caller = Caller::new(server.sip, Transport::Udp).await.unwrap();
        let mut calls = Vec::new();
        for i in 0..8 {
            let mine = format!("msrp://127.0.0.1:9/gateway{i};tcp");
            let (call, theirs) = call(&caller, &format!("room{i}"), "gw", &mine, "active").await;
            bind(&mut stream, &theirs, &mine).await;
            calls.push((call, theirs));
        }
        for (i, (_call, ours)) in calls.iter().enumerate() {
            let (who, _events) = server.join(Transport::Tcp, &format!("room{i}"), "alice").await;
            who.say(&format!("to room {i}")).await.unwrap();
            let copy = read_until(&mut stream, &format!("to room {i}")).await;
            assert!(copy.contains(&format!("From-Path: {ours}\r\n")), "{copy}");
        }
        server.stop().await;
    }
}
