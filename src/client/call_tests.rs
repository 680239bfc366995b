//! Calls against a scripted server on loopback, over UDP and TCP.

use super::call::{Call, CallError, Caller, Invite, Transport};
use super::sip::{Framed, Incoming, Line, frame};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// The server's end of the flow: whole messages in and out.
enum Server {
    Udp(UdpSocket, Option<SocketAddr>),
    Listening(TcpListener),
    Tcp(TcpStream, Vec<u8>),
}

impl Server {
    async fn start(transport: Transport) -> (Self, SocketAddr) {
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let addr = socket.local_addr().unwrap();
                (Self::Udp(socket, None), addr)
            }
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                (Self::Listening(listener), addr)
            }
        }
    }

    /// The next request or response that is not an ACK.
    async fn next(&mut self) -> Incoming {
        loop {
            let message = self.next_of_all().await;
            if !matches!(&message.line, Line::Request(m) if m == "ACK") {
                return message;
            }
        }
    }

    async fn next_of_all(&mut self) -> Incoming {
        loop {
            match self {
                Self::Udp(socket, peer) => {
                    let mut buffer = vec![0; 65536];
                    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                    *peer = Some(from);
                    return Incoming::read(&buffer[..length]).unwrap();
                }
                Self::Listening(listener) => {
                    let stream = listener.accept().await.unwrap().0;
                    *self = Self::Tcp(stream, Vec::new());
                }
                Self::Tcp(stream, unread) => {
                    if let Framed::Whole(from, to) = frame(unread) {
                        let message = Incoming::read(&unread[from..to]).unwrap();
                        unread.drain(..to);
                        return message;
                    }
                    assert!(stream.read_buf(unread).await.unwrap() > 0, "closed");
                }
            }
        }
    }

    async fn send(&mut self, octets: &[u8]) {
        match self {
            Self::Udp(socket, Some(peer)) => drop(socket.send_to(octets, *peer).await.unwrap()),
            Self::Tcp(stream, _) => stream.write_all(octets).await.unwrap(),
            _ => panic!("nobody to send to"),
        }
    }

    /// Accepts an INVITE with `answer`.
    async fn accept(&mut self, invite: &Incoming, answer: &str) {
        self.send(&accepted(invite, answer)).await;
    }
}

fn accepted(invite: &Incoming, answer: &str) -> Vec<u8> {
    let ok = invite.response(200, "OK", "srv", "Contact: <sip:focus@127.0.0.1>;isfocus\r\n");
    let ok = String::from_utf8(ok).unwrap();
    let length = format!("Content-Length: {}\r\n\r\n{answer}", answer.len());
    ok.replace("Content-Length: 0\r\n\r\n", &length).into_bytes()
}

fn within(request: &Incoming, method: &str, cseq: u32, extra: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:alice@client SIP/2.0\r\nVia: SIP/2.0/UDP server;branch=z9hG4bK{method}{cseq}\r\n\
         From: <sip:lobby@example.com>;tag=srv\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         {extra}Content-Length: {}\r\n\r\n{body}",
        request.header("From").unwrap(),
        request.header("Call-ID").unwrap(),
        body.len()
    )
    .into_bytes()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

const INVITE: Invite<'_> = Invite {
    room: "sip:lobby@example.com",
    from: "sip:alice@example.com",
    display_name: "Alice",
    offer: "v=0\r\n",
};

async fn standing(transport: Transport) -> (Server, Call, Incoming) {
    let (mut server, addr) = Server::start(transport).await;
    let caller = Caller::new(addr, transport).await.unwrap();
    let serve = async {
        let invite = server.next().await;
        server.accept(&invite, "v=0\r\nthe answer\r\n").await;
        let ack = server.next_of_all().await;
        assert!(matches!(&ack.line, Line::Request(m) if m == "ACK"));
        (server, invite)
    };
    let ((server, invite), call) = tokio::join!(serve, caller.invite(&INVITE));
    let call = call.unwrap();
    assert_eq!(call.answer, "v=0\r\nthe answer\r\n");
    (server, call, invite)
}

#[test]
fn a_call_is_made_and_ended_by_us() {
    for transport in [Transport::Udp, Transport::Tcp] {
        run(async {
            let (mut server, call, _) = standing(transport).await;
            let serve = async {
                let bye = server.next().await;
                assert!(matches!(&bye.line, Line::Request(m) if m == "BYE"));
                server.send(&bye.response(200, "OK", "srv", "")).await;
            };
            tokio::join!(serve, call.bye());
        });
    }
}

#[test]
fn a_dropped_call_is_ended() {
    run(async {
        let (mut server, call, _) = standing(Transport::Udp).await;
        drop(call);
        assert!(matches!(server.next().await.line, Line::Request(m) if m == "BYE"));
    });
}

#[test]
fn a_call_is_ended_by_the_server() {
    for transport in [Transport::Udp, Transport::Tcp] {
        run(async {
            let (mut server, mut call, invite) = standing(transport).await;
            let reason = "Reason: SIP;cause=200;text=\"the room was closed\"\r\n";
            server.send(&within(&invite, "BYE", 1, reason, "")).await;
            let (why, answer) = tokio::join!(call.ended(), server.next());
            assert_eq!(why, "the room was closed");
            assert!(matches!(answer.line, Line::Response(200, _)));
        });
    }
}

#[test]
fn a_roster_comes_with_its_documents() {
    for transport in [Transport::Udp, Transport::Tcp] {
        run(async {
            let (mut server, mut call, _) = standing(transport).await;
            let serve = async {
                let subscribe = server.next().await;
                server.send(&subscribe.response(200, "OK", "srv", "Expires: 600\r\n")).await;
                let state = "Subscription-State: active\r\n";
                server.send(&within(&subscribe, "NOTIFY", 1, state, "<one/>")).await;
                let state = "Subscription-State: terminated\r\n";
                server.send(&within(&subscribe, "NOTIFY", 2, state, "<two/>")).await;
                for _ in 0..2 {
                    assert!(matches!(server.next().await.line, Line::Response(200, _)));
                }
            };
            let take = async {
                let mut feed = call.subscribe().await.unwrap();
                assert_eq!(feed.next().await.unwrap(), "<one/>");
                assert_eq!(feed.next().await.unwrap(), "<two/>");
                assert_eq!(feed.next().await, None);
            };
            tokio::join!(serve, take);
        });
    }
}

#[test]
fn a_thousand_calls_share_one_socket() {
    for transport in [Transport::Udp, Transport::Tcp] {
        run(async {
            let (mut server, addr) = Server::start(transport).await;
            let caller = Caller::new(addr, transport).await.unwrap();
            let serve = async {
                let mut accepted = std::collections::HashSet::new();
                while accepted.len() < 1000 {
                    let invite = server.next().await;
                    let id = invite.header("Call-ID").unwrap().to_string();
                    server.accept(&invite, &id).await;
                    accepted.insert(id);
                }
                // Answers that were lost in a burst are asked for again.
                loop {
                    let message = server.next().await;
                    let answer = message.header("Call-ID").unwrap().to_string();
                    server.accept(&message, &answer).await;
                }
            };
            let call_all = async {
                let mut calls = tokio::task::JoinSet::new();
                for _ in 0..1000 {
                    let caller = caller.clone();
                    calls.spawn(async move { caller.invite(&INVITE).await.unwrap() });
                }
                let calls = calls.join_all().await;
                let answers: std::collections::HashSet<_> = calls.iter().map(|c| c.answer.clone()).collect();
                assert_eq!(answers.len(), 1000);
            };
            tokio::select! {
                () = serve => {}
                () = call_all => {}
            }
        });
    }
}

#[test]
fn a_port_where_nobody_listens_is_said_at_once() {
    run(async {
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let caller = Caller::new(free, Transport::Udp).await.unwrap();
        let error = caller.invite(&INVITE).await.unwrap_err();
        assert!(matches!(error, CallError::Connection(_)), "{error}");
        assert!(Caller::new(free, Transport::Tcp).await.is_err());
    });
}

#[test]
fn a_connection_that_breaks_takes_its_calls_with_it() {
    run(async {
        let (server, mut call, _) = standing(Transport::Tcp).await;
        drop(server);
        assert!(call.ended().await.contains("the connection to the server broke"));
        assert_eq!(call.subscribe().await.unwrap_err(), CallError::Closed);
        call.bye().await;
    });
}

#[test]
fn an_invite_whose_future_was_dropped_is_ended_when_answered() {
    run(async {
        let (mut server, addr) = Server::start(Transport::Udp).await;
        let caller = Caller::new(addr, Transport::Udp).await.unwrap();
        let invite = tokio::select! {
            _ = caller.invite(&INVITE) => panic!("not answered yet"),
            invite = server.next() => invite,
        };
        server.accept(&invite, "v=0\r\n").await;
        assert!(matches!(server.next().await.line, Line::Request(m) if m == "BYE"));
    });
}
