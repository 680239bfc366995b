//! One participant's MSRP connection: octets in, messages to the score, octets out.
//!
//! Touches its own socket and nothing else. Binding: an empty SEND, whose 200 makes the participant
//! part of the room (RFC 4975 §5.4). Afterwards every SEND that comes is answered if it asks for it; the
//! answers of one read leave together. Messages in several chunks are put together here.
//!
//! Bounded: unread octets by the framer (a body is taken in parts of [`PART_BYTES_MIN`] and more),
//! unfinished messages by [`UNFINISHED_MAX`] and the size of the test's messages. Proved by the tests
//! below and by the faults of the mock server.

use crate::score::{Role, Score, Seat};
use crate::stamp::Kind as Said;
use crate::visitor::Visit;
use crate::voice::{Tid, Voice, VoiceKind};
use openmsrp::base::chunk::Flag;
use openmsrp::wire::msrp::encode;
use openmsrp::wire::msrp::frame::{Framer, Step};
use openmsrp::wire::msrp::head::{FailureReport, Head, Kind, Method};
use openmsrp::wire::msrp::range::ByteRange;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use tokio::sync::oneshot;

/// A body of which less than this has come is waited for.
const PART_BYTES_MIN: usize = 64 * 1024;

/// Messages of which not all chunks are there, on one connection; one more is bad.
const UNFINISHED_MAX: usize = 64;

/// Who is told when a participant was in, or why not.
pub(crate) type Bound = oneshot::Sender<Result<u64, String>>;

/// A participant whose INVITE was accepted and whose connection stands.
pub(crate) struct Grant {
    /// Where it sits.
    pub(crate) seat: Seat,
    /// The connection to the first URI of `remote`.
    pub(crate) socket: TcpStream,
    /// The path it offered.
    pub(crate) local: String,
    /// The path of the answer.
    pub(crate) remote: String,
    /// Its own URI and that of the room.
    pub(crate) from: String,
    /// See `from`.
    pub(crate) room: String,
    /// When its INVITE was due.
    pub(crate) invited: u64,
    /// Who waits for the binding.
    pub(crate) bound: Bound,
}

/// A message of which not all chunks are there.
struct Unfinished {
    id: Box<[u8]>,
    content: Vec<u8>,
}

/// A SEND whose end-line has not come.
struct UnderWay {
    reply: Option<Box<[u8]>>,
    /// Index into `unfinished`, `None` when the message is bad or empty.
    into: Option<usize>,
}

/// See the module's text.
pub(crate) struct Conn {
    pub(crate) seat: Seat,
    /// `None` once the connection ended.
    socket: Option<TcpStream>,
    binding: Option<Bound>,
    local: Box<[u8]>,
    remote: Box<[u8]>,
    voice: Option<Box<Voice>>,
    framer: Framer,
    /// Octets of an unfinished frame.
    kept: Vec<u8>,
    out: Vec<u8>,
    out_at: usize,
    /// Whether the socket is watched for writing.
    pub(crate) watched: bool,
    unfinished: Vec<Unfinished>,
    under_way: Option<Box<UnderWay>>,
    tid: Tid,
    visit: Option<Box<Visit>>,
    /// Whether it is about to go, so that the end of its connection is no surprise.
    pub(crate) leaving: bool,
    /// Whether what comes is read.
    pub(crate) reading: bool,
}

/// What a flush left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flushed {
    /// Nothing waits.
    All,
    /// The socket takes no more now.
    Blocked,
}

impl Conn {
    /// A connection for `grant` with the binding request queued.
    pub(crate) fn new(grant: Grant, prefix: u32, voice: Option<VoiceKind>) -> Self {
        let mut conn = Self {
            seat: grant.seat,
            socket: Some(grant.socket),
            binding: Some(grant.bound),
            voice: voice.map(|kind| {
                Box::new(Voice::new(&grant.from, &grant.room, &grant.local, &grant.remote, kind))
            }),
            local: grant.local.into_bytes().into(),
            remote: grant.remote.into_bytes().into(),
            framer: Framer::default(),
            kept: Vec::new(),
            out: Vec::new(),
            out_at: 0,
            watched: false,
            unfinished: Vec::new(),
            under_way: None,
            tid: Tid::new(prefix),
            visit: (grant.seat.role == Role::Visitor).then(|| Box::new(Visit::new(grant.invited))),
            leaving: false,
            reading: true,
        };
        conn.bind();
        conn
    }

    fn bind(&mut self) {
        let tid = self.tid.next();
        encode::send_start(&mut self.out, &tid);
        self.out.extend_from_slice(&encode::preamble(&self.remote, &self.local));
        let range = ByteRange { start: 1, end: Some(0), total: Some(0) };
        let head = encode::TailHead {
            message_id: &tid,
            range,
            failure_report: FailureReport::Yes,
            success_report: false,
            content_type: None,
        };
        encode::send_tail_head(&mut self.out, &head);
        encode::end_line(&mut self.out, &tid, Flag::End, false);
    }

    /// The socket, while the connection stands.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        self.socket.as_ref()
    }

    /// Octets that wait to be sent.
    pub(crate) fn backlog(&self) -> usize {
        self.out.len() - self.out_at
    }

    /// Reads once, behind what is kept from before, and digests it. `false`: nothing more is there.
    ///
    /// # Errors
    /// Why the connection is of no further use.
    pub(crate) fn read(
        &mut self,
        shared: &mut Vec<u8>,
        clock: fn() -> u64,
        score: &mut Score,
    ) -> Result<bool, String> {
        let Some(mut socket) = self.socket.as_ref() else { return Ok(false) };
        let kept = self.kept.len();
        if shared.len() < kept + PART_BYTES_MIN {
            shared.resize(kept + 2 * PART_BYTES_MIN, 0);
        }
        shared[..kept].copy_from_slice(&self.kept);
        let got = match socket.read(&mut shared[kept..]) {
            Ok(0) => return Err("closed by the server".into()),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(e) => return Err(e.to_string()),
        };
        score.reads += 1;
        let have = kept + got;
        let used = self.digest(&shared[..have], clock(), score)?;
        self.kept.clear();
        self.kept.extend_from_slice(&shared[used..have]);
        Ok(have == shared.len())
    }

    /// Takes in all whole messages of `buf`; returns how much that was.
    fn digest(&mut self, buf: &[u8], now: u64, score: &mut Score) -> Result<usize, String> {
        let mut at = 0;
        loop {
            match self.framer.step(&buf[at..], PART_BYTES_MIN) {
                Ok(Step::Partial) => return Ok(at),
                Ok(Step::Skip { used }) => at += used,
                Ok(Step::Head { head, body, end, used }) => {
                    at += used;
                    self.message(&head, body, end, now, score)?;
                }
                Ok(Step::More { body, end, used }) => {
                    at += used;
                    self.more(body, end, now, score);
                }
                Err(e) => return Err(format!("the server's MSRP cannot be read: {e}")),
            }
        }
    }

    fn message(
        &mut self,
        head: &Head<'_>,
        body: Option<&[u8]>,
        end: Option<Flag>,
        now: u64,
        score: &mut Score,
    ) -> Result<(), String> {
        match head.kind {
            Kind::Response { code, comment } => self.response(code, comment, now, score)?,
            Kind::Request(Method::Send) => self.send(head, body, end, now, score),
            Kind::Request(Method::Report) => {
                if let Some(s) = head.status.filter(|s| s.code != 200) {
                    score.refused(self.seat, s.code, s.text);
                }
            }
            // Nothing else has business with a plain participant; no answer is needed to go on.
            Kind::Request(_) => {}
        }
        Ok(())
    }

    fn response(&mut self, code: u16, comment: &[u8], now: u64, score: &mut Score) -> Result<(), String> {
        let Some(bound) = self.binding.take() else {
            score.answers += 1;
            if code != 200 {
                score.refused(self.seat, code, comment);
            }
            return Ok(());
        };
        if code != 200 {
            let why = format!("the binding request was refused: {code} {}", String::from_utf8_lossy(comment));
            let _ = bound.send(Err(why.clone()));
            return Err(why);
        }
        // Who waited may have given up; the participant is in all the same.
        let _ = bound.send(Ok(now));
        if let Some(visit) = &mut self.visit {
            visit.bound(now);
        }
        Ok(())
    }

    fn send(&mut self, head: &Head<'_>, body: Option<&[u8]>, end: Option<Flag>, now: u64, score: &mut Score) {
        let for_us = head.fault.is_none() && head.to_path == &*self.local && head.from_path == &*self.remote;
        if !for_us {
            let why = match head.fault {
                Some(fault) => format!("its head is wrong: {fault}"),
                None => format!("addressed to {}", String::from_utf8_lossy(head.to_path)),
            };
            score.bad(self.seat, &why);
        }
        let reply = head.failure_report == FailureReport::Yes;
        if let Some(flag) = end {
            if reply {
                encode::response(&mut self.out, head.tid, 200, "OK", &self.remote, &self.local);
            }
            if flag == Flag::End && for_us && self.unfinished.is_empty() && starts(head) {
                if let Some(body) = body {
                    score.message(self.seat, self.visit.as_deref_mut(), body, now);
                }
                return;
            }
        }
        let into = if for_us && body.is_some() { self.unfinished_for(head, score) } else { None };
        // With its end here, the chunk was answered above.
        let reply = (reply && end.is_none()).then(|| head.tid.into());
        self.under_way = Some(Box::new(UnderWay { reply, into }));
        self.more(body.unwrap_or_default(), end, now, score);
    }

    /// The message that a chunk continues or begins; `None` if it does neither.
    fn unfinished_for(&mut self, head: &Head<'_>, score: &mut Score) -> Option<usize> {
        let id = head.message_id?;
        let start = head.byte_range.map_or(1, |r| r.start);
        let known = self.unfinished.iter().position(|u| *u.id == *id);
        let have = known.map_or(0, |i| self.unfinished[i].content.len() as u64);
        if start != have + 1 {
            score.bad(self.seat, &format!("a chunk begins at octet {start}, {have} octets are there"));
            return None;
        }
        if known.is_none() && self.unfinished.len() >= UNFINISHED_MAX {
            score.bad(self.seat, "too many unfinished messages");
            return None;
        }
        known.or_else(|| {
            self.unfinished.push(Unfinished { id: id.into(), content: Vec::new() });
            Some(self.unfinished.len() - 1)
        })
    }

    fn more(&mut self, body: &[u8], end: Option<Flag>, now: u64, score: &mut Score) {
        let Some(under_way) = &self.under_way else { return };
        if let Some(i) = under_way.into {
            let content = &mut self.unfinished[i].content;
            // What no message of the test can be long is cut off here and found bad when it ends.
            if content.len() + body.len() <= score.message_bytes_max() {
                content.extend_from_slice(body);
            }
        }
        let Some(flag) = end else { return };
        let Some(under_way) = self.under_way.take() else { return };
        if let Some(tid) = under_way.reply {
            encode::response(&mut self.out, &tid, 200, "OK", &self.remote, &self.local);
        }
        let Some(i) = under_way.into else { return };
        if flag == Flag::More {
            return;
        }
        let whole = self.unfinished.swap_remove(i);
        if flag == Flag::End {
            score.message(self.seat, self.visit.as_deref_mut(), &whole.content, now);
        }
    }

    /// Queues a message with `text`, to the room or to one participant. `false`: this participant does not
    /// publish.
    pub(crate) fn publish(&mut self, kind: Said, text: &[u8], to: Option<&str>) -> bool {
        let Some(voice) = &mut self.voice else { return false };
        voice.write(&mut self.out, &self.tid.next(), kind, text, to);
        true
    }

    /// Hands what waits to the socket.
    ///
    /// # Errors
    /// Why the connection is of no further use.
    pub(crate) fn flush(&mut self) -> Result<Flushed, String> {
        let Some(mut socket) = self.socket.as_ref() else { return Ok(Flushed::All) };
        while self.out_at < self.out.len() {
            match socket.write(&self.out[self.out_at..]) {
                Ok(n) => self.out_at += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(describe(&e)),
            }
        }
        self.out.clear();
        self.out_at = 0;
        Ok(Flushed::All)
    }

    /// Ends the connection; whoever waits for its binding learns why.
    pub(crate) fn close(&mut self, why: &str) {
        self.socket = None;
        if let Some(bound) = self.binding.take() {
            let _ = bound.send(Err(why.to_owned()));
        }
    }

    /// Gives spare memory back: after joining, before memory and time are measured.
    pub(crate) fn shrink(&mut self) {
        self.out.shrink_to_fit();
        self.kept.shrink_to_fit();
    }
}

fn describe(e: &io::Error) -> String {
    match e.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => "closed by the server".into(),
        _ => e.to_string(),
    }
}

fn starts(head: &Head<'_>) -> bool {
    head.byte_range.is_none_or(|r| r.start == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Shape;
    use std::net::TcpListener;

    const LOCAL: &str = "msrp://127.0.0.1:9/me;tcp";
    const REMOTE: &str = "msrp://127.0.0.1:2855/you;tcp";
    const SEAT: Seat = Seat { room: 0, local_room: 0, member: 1, role: Role::Steady };
    const SIZE: usize = 5_000;

    /// A connection, the server's end of it, who waits for the binding, and a score.
    fn bound() -> (Conn, TcpStream, oneshot::Receiver<Result<u64, String>>, Score) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let (bound, wait) = oneshot::channel();
        let (local, remote) = (LOCAL.to_owned(), REMOTE.to_owned());
        let (from, room) = ("sip:u1@x".to_owned(), "sip:room0@x".to_owned());
        let conn =
            Conn::new(Grant { seat: SEAT, socket, local, remote, from, room, invited: 0, bound }, 7, None);
        let shape = Shape { rooms: 1, participants: 2, publishers: 1, window: 0, ordered: true };
        let sizes = [SIZE, 0, 0, 0];
        let score = Score::new(crate::score::Terms { shape, ..crate::score::Terms::of_test(sizes) });
        (conn, server, wait, score)
    }

    /// The next message of participant 0, as the room wraps it.
    fn message(score: &mut Score) -> Vec<u8> {
        let wrapper = "From: <sip:u0@x>\r\nTo: <sip:room0@x>\r\n\r\nContent-Type: text/plain\r\n\r\n";
        let publisher = Seat { member: 0, ..SEAT };
        [wrapper.as_bytes(), score.next(Said::Text, 0, publisher, 0).0].concat()
    }

    fn chunk(tid: &str, id: &str, start: usize, body: &[u8], total: usize, flag: char) -> Vec<u8> {
        let head = format!(
            "MSRP {tid} SEND\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE}\r\nMessage-ID: {id}\r\n\
             Byte-Range: {start}-{}/{total}\r\nContent-Type: message/cpim\r\n\r\n",
            start + body.len() - 1
        );
        [head.as_bytes(), body, format!("\r\n-------{tid}{flag}\r\n").as_bytes()].concat()
    }

    /// Feeds `stream` in pieces of `step` octets, as reads would bring it.
    fn feed(conn: &mut Conn, score: &mut Score, stream: &[u8], step: usize) {
        let mut kept = Vec::new();
        for piece in stream.chunks(step) {
            kept.extend_from_slice(piece);
            let used = conn.digest(&kept, 5, score).unwrap();
            kept.drain(..used);
        }
        assert!(kept.is_empty());
    }

    #[test]
    fn the_first_octets_are_the_binding_request() {
        let (mut conn, mut server, _wait, _) = bound();
        assert_eq!(conn.flush(), Ok(Flushed::All));
        drop(conn);
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        let tid = &text[5..21];
        let paths = format!("To-Path: {REMOTE}\r\nFrom-Path: {LOCAL}\r\n");
        let rest = format!("Message-ID: {tid}\r\nByte-Range: 1-0/0\r\n-------{tid}$\r\n");
        assert_eq!(text, format!("MSRP {tid} SEND\r\n{paths}{rest}"));
    }

    #[test]
    fn the_answer_to_the_binding_request_decides() {
        let answer =
            |code| format!("MSRP abcd {code}\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE}\r\n-------abcd$\r\n");
        let (mut conn, _server, mut wait, mut score) = bound();
        feed(&mut conn, &mut score, answer("200 OK").as_bytes(), 10);
        assert_eq!(wait.try_recv(), Ok(Ok(5)));
        let (mut conn, _server, mut wait, mut score) = bound();
        assert!(conn.digest(answer("481 Gone").as_bytes(), 5, &mut score).is_err());
        assert!(wait.try_recv().unwrap().is_err_and(|why| why.contains("481 Gone")));
    }

    #[test]
    fn messages_in_interleaved_chunks_are_put_together_however_they_are_read() {
        for step in [1, 7, 100, 1_000_000] {
            let (mut conn, _server, _wait, mut score) = bound();
            conn.out.clear();
            let (a, b) = (message(&mut score), message(&mut score));
            let stream = [
                chunk("tid1", "ida1", 1, &a[..2000], a.len(), '+'),
                chunk("tid2", "idb1", 1, &b[..1000], b.len(), '+'),
                chunk("tid3", "ida1", 2001, &a[2000..], a.len(), '$'),
                chunk("tid4", "idb1", 1001, &b[1000..], b.len(), '$'),
            ]
            .concat();
            feed(&mut conn, &mut score, &stream, step);
            let (found, troubles) = score.finish();
            assert_eq!((found.delivered, found.wrong(), troubles.bad), (2, 0, 0), "step {step}");
            let answers = String::from_utf8(conn.out.clone()).unwrap();
            let tids: Vec<_> =
                answers.match_indices(" 200 OK\r\n").map(|(at, _)| &answers[at - 4..at]).collect();
            assert_eq!(tids, ["tid1", "tid2", "tid3", "tid4"], "step {step}");
        }
    }

    #[test]
    fn a_missing_or_swapped_chunk_makes_the_copy_bad() {
        let (mut conn, _server, _wait, mut score) = bound();
        let m = message(&mut score);
        let stream = [
            chunk("tid1", "ida1", 1, &m[..2000], m.len(), '+'),
            chunk("tid3", "ida1", 3001, &m[3000..], m.len(), '$'),
        ]
        .concat();
        feed(&mut conn, &mut score, &stream, 100_000);
        let (found, troubles) = score.finish();
        assert_eq!((found.delivered, troubles.bad), (0, 1));
    }

    #[test]
    fn a_copy_for_another_path_is_bad() {
        let (mut conn, _server, _wait, mut score) = bound();
        let m = message(&mut score);
        let other =
            String::from_utf8(chunk("tid1", "ida1", 1, &m, m.len(), '$')).unwrap().replace("/me;", "/it;");
        feed(&mut conn, &mut score, other.as_bytes(), 100_000);
        let (found, troubles) = score.finish();
        assert_eq!((found.delivered, troubles.bad), (0, 1));
    }

    #[test]
    fn who_asks_for_no_answer_gets_none() {
        let (mut conn, _server, _wait, mut score) = bound();
        conn.out.clear();
        let m = message(&mut score);
        let quiet = String::from_utf8(chunk("tid1", "ida1", 1, &m, m.len(), '$')).unwrap();
        let quiet = quiet.replace("Byte-Range", "Failure-Report: no\r\nByte-Range");
        feed(&mut conn, &mut score, quiet.as_bytes(), 100_000);
        assert_eq!((conn.backlog(), score.finish().0.delivered), (0, 1));
    }
}
