//! A phone and its MSRP session done by hand, so that a test sees every octet: SIP over UDP or TCP, requests as
//! text, one TCP connection to the switch.

use super::WAIT;
use openmsrp::client::call::Transport;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

/// The offer of a client that can do everything a room can.
pub(crate) const ABLE: &str = "a=chatroom:nickname private-messages\r\n";

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

/// A SIP user agent.
pub(crate) struct Phone {
    pub(crate) user: String,
    link: Link,
    calls: u32,
    /// What came and was not asked for yet.
    came: VecDeque<String>,
    /// NOTIFY requests that came, and their octets.
    pub(crate) notices: usize,
    pub(crate) notice_octets: usize,
}

/// A dialog as its requests need it.
#[derive(Clone)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    /// From and To of our requests, with their tags.
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) seq: u32,
}

/// A participant: the dialog, and the session on a connection of its own.
pub(crate) struct Seat {
    pub(crate) dialog: Dialog,
    /// The 200 to the INVITE.
    pub(crate) ok: String,
    pub(crate) theirs: String,
    pub(crate) mine: String,
    stream: TcpStream,
    /// Everything the switch ever sent.
    pub(crate) wire: String,
    read: usize,
    sent: u32,
}

impl Phone {
    pub(crate) async fn new(server: SocketAddr, transport: Transport, user: &str) -> Self {
        let link = match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(server).await.unwrap();
                Link::Udp(socket)
            }
            Transport::Tcp => Link::Tcp(TcpStream::connect(server).await.unwrap(), Vec::new()),
        };
        Self::of(user.to_owned(), link)
    }

    fn of(user: String, link: Link) -> Self {
        Self { user, link, calls: 0, came: VecDeque::new(), notices: 0, notice_octets: 0 }
    }

    /// A phone that waits at a port of its own, and its address: it is called by the first who comes.
    pub(crate) async fn at_home(transport: Transport, user: &str) -> (Waiting, String) {
        let user = user.to_owned();
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let at = format!("sip:{user}@{}", socket.local_addr().unwrap());
                (Waiting::Udp(user, socket), at)
            }
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let at = format!("sip:{user}@{};transport=tcp", listener.local_addr().unwrap());
                (Waiting::Tcp(user, listener), at)
            }
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("sip:{}@localhost", self.user)
    }

    fn via(&self) -> (&'static str, SocketAddr) {
        match &self.link {
            Link::Udp(s) => ("UDP", s.local_addr().unwrap()),
            Link::Tcp(s, _) => ("TCP", s.local_addr().unwrap()),
        }
    }

    pub(crate) fn contact(&self) -> String {
        let (transport, at) = self.via();
        format!("<sip:{}@{at};transport={}>", self.user, transport.to_lowercase())
    }

    /// A dialog that does not exist yet.
    pub(crate) fn dialog(&mut self, to: &str) -> Dialog {
        self.calls += 1;
        let (user, n, port) = (&self.user, self.calls, self.via().1.port());
        Dialog {
            call_id: format!("{user}-{n}-{port}"),
            local: format!("\"{user} of {port}\" <{}>;tag={user}{n}", self.address()),
            remote: format!("<{to}>"),
            target: to.to_owned(),
            seq: 0,
        }
    }

    /// Sends a request; `lines` are whole header lines.
    pub(crate) async fn send(&mut self, dialog: &mut Dialog, method: &str, lines: &str, body: &str) {
        if method != "ACK" {
            dialog.seq += 1;
        }
        let (transport, at) = self.via();
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/{transport} {at};branch=z9hG4bK{}{method}{};rport\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\nContact: {}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            dialog.target,
            dialog.call_id,
            dialog.seq,
            dialog.local,
            dialog.remote,
            dialog.call_id,
            dialog.seq,
            self.contact(),
            body.len()
        );
        self.write(&text).await;
    }

    /// Sends a request and waits for its final answer.
    pub(crate) async fn ask(&mut self, dialog: &mut Dialog, method: &str, lines: &str, body: &str) -> String {
        self.send(dialog, method, lines, body).await;
        let (call_id, seq) = (dialog.call_id.clone(), format!("{} {method}", dialog.seq));
        self.until(|m| {
            m.starts_with("SIP/2.0 ")
                && !m.starts_with("SIP/2.0 1")
                && header(m, "Call-ID") == call_id
                && header(m, "CSeq") == seq
        })
        .await
    }

    /// The next message of this kind; others are kept, and requests but INVITE answered 200.
    pub(crate) async fn until(&mut self, want: impl Fn(&str) -> bool) -> String {
        if let Some(at) = self.came.iter().position(|m| want(m)) {
            return self.came.remove(at).unwrap();
        }
        loop {
            let message = timeout(WAIT, self.read()).await.expect("something comes");
            if message.starts_with("NOTIFY ") {
                self.notices += 1;
                self.notice_octets += message.len();
            }
            if !["SIP/2.0 ", "ACK ", "INVITE "].iter().any(|s| message.starts_with(s)) {
                self.answer(&message, "200 OK", "", "").await;
            }
            if want(&message) {
                return message;
            }
            self.came.push_back(message);
        }
    }

    /// The next NOTIFY whose body holds a text.
    pub(crate) async fn notice(&mut self, holds: &str) -> String {
        self.until(|m| m.starts_with("NOTIFY ") && m.contains(holds)).await
    }

    /// All that came and that nobody has asked for yet.
    pub(crate) fn heard(&self) -> String {
        self.came.iter().map(String::as_str).collect()
    }

    /// Answers a request.
    pub(crate) async fn answer(&mut self, request: &str, status: &str, lines: &str, body: &str) {
        let copied = ["Via", "From", "Call-ID", "CSeq"].map(|n| format!("{n}: {}\r\n", header(request, n)));
        let to = header(request, "To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=callee" };
        let text = format!(
            "SIP/2.0 {status}\r\n{}To: {to}{tag}\r\nContact: {}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            copied.concat(),
            self.contact(),
            body.len()
        );
        self.write(&text).await;
    }

    /// INVITE with an offer for an MSRP session; the final answer, acknowledged if it is a 200.
    pub(crate) async fn invite(
        &mut self,
        dialog: &mut Dialog,
        lines: &str,
        mine: &str,
        able: &str,
    ) -> String {
        let lines = format!("Content-Type: application/sdp\r\n{lines}");
        let ok = self.ask(dialog, "INVITE", &lines, &description(mine, able)).await;
        header(&ok, "To").clone_into(&mut dialog.remote);
        if ok.starts_with("SIP/2.0 200 ") {
            dialog.target = target(&ok);
        }
        self.send(dialog, "ACK", "", "").await;
        ok
    }

    /// Enters a room and binds the session.
    pub(crate) async fn join(&mut self, msrp: SocketAddr, room: &str, lines: &str, able: &str) -> Seat {
        let mut dialog = self.dialog(&format!("sip:{room}@localhost"));
        let mine = format!("msrp://127.0.0.1:9/{};tcp", dialog.call_id);
        let ok = self.invite(&mut dialog, lines, &mine, able).await;
        assert!(ok.starts_with("SIP/2.0 200 OK\r\n"), "{ok}");
        Seat::bind(dialog, ok, msrp, mine).await
    }

    async fn write(&mut self, text: &str) {
        match &mut self.link {
            Link::Udp(s) => assert_eq!(s.send(text.as_bytes()).await.unwrap(), text.len()),
            Link::Tcp(s, _) => s.write_all(text.as_bytes()).await.unwrap(),
        }
    }

    async fn read(&mut self) -> String {
        match &mut self.link {
            Link::Udp(s) => {
                let mut buffer = vec![0; 65536];
                let n = s.recv(&mut buffer).await.unwrap();
                String::from_utf8(buffer[..n].to_vec()).unwrap()
            }
            Link::Tcp(s, buffer) => loop {
                let text = String::from_utf8(buffer.clone()).unwrap();
                if let Some((head, _)) = text.split_once("\r\n\r\n") {
                    let whole = head.len() + 4 + header(head, "Content-Length").parse::<usize>().unwrap();
                    if text.len() >= whole {
                        buffer.drain(..whole);
                        return text[..whole].to_owned();
                    }
                }
                assert!(s.read_buf(buffer).await.unwrap() > 0, "closed after {text:?}");
            },
        }
    }
}

/// A phone that was not called yet.
pub(crate) enum Waiting {
    Udp(String, UdpSocket),
    Tcp(String, TcpListener),
}

impl Waiting {
    /// The phone and the INVITE that it got.
    pub(crate) async fn called(self) -> (Phone, String) {
        let (user, link) = match self {
            Self::Udp(user, socket) => {
                let (_, from) = timeout(WAIT, socket.peek_from(&mut [0; 16])).await.unwrap().unwrap();
                socket.connect(from).await.unwrap();
                (user, Link::Udp(socket))
            }
            Self::Tcp(user, listener) => {
                let (stream, _) = timeout(WAIT, listener.accept()).await.unwrap().unwrap();
                (user, Link::Tcp(stream, Vec::new()))
            }
        };
        let mut phone = Phone::of(user, link);
        let invite = phone.until(|m| m.starts_with("INVITE ")).await;
        (phone, invite)
    }
}

impl Seat {
    pub(crate) async fn bind(dialog: Dialog, ok: String, msrp: SocketAddr, mine: String) -> Self {
        let theirs = ok.lines().find_map(|l| l.strip_prefix("a=path:")).unwrap().trim().to_owned();
        let mut stream = TcpStream::connect(msrp).await.unwrap();
        let wire = super::bind(&mut stream, &theirs, &mine).await;
        Self { dialog, ok, theirs, mine, stream, wire, read: 0, sent: 0 }
    }

    /// The connection alone, for who reads it by hand.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends a request; the answer.
    pub(crate) async fn ask(&mut self, method: &str, rest: &str) -> String {
        self.sent += 1;
        let tid = format!("t{:03}", self.sent);
        let request = super::request(&tid, method, &self.theirs, &self.mine, rest);
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let answer = self.hear(&format!("-------{tid}$\r\n")).await;
        answer[answer.rfind(&format!("MSRP {tid} ")).expect("an answer")..].to_owned()
    }

    /// Answers the copy that was heard last with 200.
    pub(crate) async fn takes(&mut self, copy: &str) {
        let tid = copy[copy.rfind("MSRP ").unwrap() + 5..].split(' ').next().unwrap();
        let Self { theirs, mine, stream, .. } = self;
        let answer =
            format!("MSRP {tid} 200 OK\r\nTo-Path: {theirs}\r\nFrom-Path: {mine}\r\n-------{tid}$\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }

    /// Sends a message with a wrapper; the answer. `lines` are further MSRP headers.
    pub(crate) async fn say(&mut self, from: &str, to: &str, lines: &str, content: &str) -> String {
        let id = format!("{}x{}", self.dialog.call_id.replace('.', "-"), self.sent);
        let rest = format!(
            "Message-ID: {id}\r\nByte-Range: 1-*/*\r\n{lines}Content-Type: message/cpim\r\n\r\n\
             From: <{from}>\r\nTo: <{to}>\r\n\r\n{content}\r\n"
        );
        self.ask("SEND", &rest).await
    }

    /// Sends a text; the answer.
    pub(crate) async fn text(&mut self, from: &str, to: &str, text: &str) -> String {
        self.say(from, to, "", &format!("Content-Type: text/plain\r\n\r\n{text}")).await
    }

    /// Reads until a text has come; everything since the last call.
    pub(crate) async fn hear(&mut self, holds: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.wire[self.read..].find(holds) {
                let end = self.read + at + holds.len();
                let since = self.wire[self.read..end].to_owned();
                self.read = end;
                return since;
            }
            let n = timeout(WAIT, self.stream.read(&mut buffer)).await;
            let n =
                n.unwrap_or_else(|_| panic!("`{holds}` comes, not {:?}", &self.wire[self.read..])).unwrap();
            assert!(n > 0, "closed after {:?}", self.wire);
            self.wire.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
    }
}

/// A session description of one MSRP line.
pub(crate) fn description(mine: &str, able: &str) -> String {
    let setup = if mine.contains(":9/") { "active" } else { "passive" };
    let port = mine.split(':').nth(2).unwrap().split('/').next().unwrap();
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message {port} TCP/MSRP *\r\n\
         a=path:{mine}\r\na=setup:{setup}\r\na=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\n{able}"
    )
}

/// The value of a header; empty without one.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let head = message.split("\r\n\r\n").next().unwrap();
    let mut lines = head.lines().filter_map(|l| l.split_once(':'));
    lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v.trim())
}

/// The URI of Contact.
pub(crate) fn target(message: &str) -> String {
    let contact = header(message, "Contact");
    contact[1..contact.find('>').unwrap()].to_owned()
}
