//! What participants write and read: requests, messages true and false, answers.

use super::canary::Canary;
use super::link::Reads;
use super::oracle::{Arrived, Asks, NAMES, Purpose, Request, Said};
use super::people::{Piece, Seat, Stage, peer_path, stay_at};
use super::plan::Manner;
use super::world::World;
use crate::base::chunk::Flag;
use crate::base::id::{SessionId, ShardId};
use crate::base::media::COMMAND;
use crate::wire::msrp::frame::Step;
use crate::wire::msrp::head::{FailureReport, Head, Kind, Method};

/// Octets that may wait on the participant's side; beyond, it says nothing more.
const UNSENT_MAX: usize = 64 * 1024;

impl World {
    /// Begins a message.
    pub(super) fn speak(&mut self, i: usize) {
        let (Some(stay), Some(link)) = (self.seats[i].stay, self.seats[i].link) else { return };
        self.speak_as(i, stay, link, true);
    }

    /// Begins a message of a stay; `bound`: it is known to be bound.
    pub(super) fn speak_as(&mut self, i: usize, stay: usize, link: usize, bound: bool) {
        if !self.links[link].usable() || self.links[link].up.len() > UNSENT_MAX {
            return;
        }
        let seat = &self.seats[i];
        let (manner, room, user) = (seat.manner, seat.room, seat.user);
        let message = self.oracle.said.len() as u32;
        let held = self.oracle.stays[stay].held;
        let forged = manner == Manner::Forger && self.dice.people.below(2) == 0;
        let hidden = self.plan.is_hidden(user);
        let from = match (forged, hidden) {
            (false, false) => format!("sip:user{user}@example.com"),
            (false, true) => "sip:anonymous@anonymous.invalid".into(),
            (true, false) => format!("sip:user{}@example.com", user + 1000),
            // A slip: who it is must not come out.
            (true, true) => format!("sip:user{user}@example.com"),
        };
        let only = if manner == Manner::Whisperer && self.dice.people.below(2) == 0 {
            let near = |s: &&Seat| s.room == room && s.user != user && s.stage == Stage::In;
            self.seats.iter().filter(near).map(|s| s.user).find(|u| !self.plan.is_hidden(*u))
        } else {
            None
        };
        let length = match manner {
            Manner::Crumbs => self.dice.people.below(20),
            Manner::Chatty if self.dice.people.below(8) == 0 => self.dice.people.below(60_000),
            _ => self.dice.people.below(300),
        };
        let addressed = only.filter(|_| self.canary != Some(Canary::Publish));
        let to = addressed.map_or_else(
            || self.rooms[room].as_str().to_owned(),
            |user| format!("sip:user{user}@example.com"),
        );
        let mut body = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: m{message:08}\r\n\r\n\
             Content-Type: text/plain\r\n\r\n"
        )
        .into_bytes();
        let wrapper = body.len();
        body.extend((0..length).map(|n| b"some text\r\n-------t00$"[(n % 22) as usize]));
        let whole = body.len();
        let free = self.seats[i].pieces.is_empty();
        let liar = manner == Manner::Liar && free && self.dice.people.below(2) == 0;
        let ends = manner != Manner::Unfinished;
        self.oracle.speaks(room, user);
        self.oracle.said.push(Said {
            room,
            stay,
            endpoint: self.oracle.stays[stay].endpoint,
            body,
            exact: !liar,
            only,
            never: forged,
            // The recipient of a private message may have left.
            // Where order is kept, anybody may have no voice.
            honest: bound
                && !held
                && !forged
                && only.is_none()
                && manner != Manner::Liar
                && ends
                && !self.plan.orders,
            from: u64::MAX,
            to: None,
            posted: false,
            accepted: false,
            refused: false,
        });
        // What is cut together wrongly still tells which message it was.
        let first = if liar { wrapper } else { 0 };
        let mut at = 0;
        while at < whole {
            let to = self.cut(manner, at, whole).max(first);
            if to < whole || ends {
                let piece = Piece { message, stay, from: at, to, last: to == whole };
                self.seats[i].pieces.push_back(piece);
            }
            at = to;
        }
        if liar {
            return self.lie(i, link);
        }
        self.seats[i].link = Some(link);
        if bound {
            self.next_piece(i);
        } else {
            while let Some(piece) = self.seats[i].pieces.pop_front() {
                self.part(i, link, piece);
            }
        }
    }

    /// Asks the room to do something to somebody, or otherwise; only user 0 has the right.
    pub(super) fn orders(&mut self, i: usize) {
        let (Some(stay), Some(link)) = (self.seats[i].stay, self.seats[i].link) else { return };
        if !self.links[link].usable() || self.links[link].up.len() > UNSENT_MAX {
            return;
        }
        let (room, user) = (self.seats[i].room, self.seats[i].user);
        let others = self.seats.iter().filter(|s| s.room == room && s.user != user);
        let others: Vec<u64> = others.map(|s| s.user).filter(|u| !self.plan.is_hidden(*u)).collect();
        if others.is_empty() || self.plan.is_hidden(user) {
            return;
        }
        let whom = others[self.dice.people.below(others.len() as u64) as usize];
        let time = 1 + self.dice.people.below(20);
        let order = match self.dice.people.below(10) {
            0 => format!("mute sip:user{whom}@example.com"),
            1 | 2 => format!("mute sip:user{whom}@example.com\nfor: {time}\nreason: too loud"),
            3 => format!("unmute sip:user{whom}@example.com"),
            4 => format!("kick sip:user{whom}@example.com"),
            5 => format!("ban sip:user{whom}@example.com\nfor: {time}\nreason: spam"),
            6 => format!("unban sip:user{whom}@example.com"),
            7 => format!(
                "role sip:user{whom}@example.com {}",
                ["participant", "visitor", "outsider"][time as usize % 3]
            ),
            8 => format!("moderate {}", ["on", "off"][time as usize % 2]),
            _ => format!("subject {time}"),
        };
        let to = self.rooms[room].as_str();
        let body = format!(
            "From: <sip:user{user}@example.com>\r\nTo: <{to}>\r\n\r\nContent-Type: {COMMAND}\r\n\r\n{order}"
        );
        let headers = format!("Message-ID: order{}\r\n", self.oracle.requests.len());
        let purpose = Purpose::Order { rightly: user == 0 };
        self.write_request(link, stay, purpose, Asks::Yes, None, &headers, Some(body.as_bytes()), '$');
    }

    /// Where the chunk that begins at `at` ends.
    fn cut(&mut self, manner: Manner, at: usize, whole: usize) -> usize {
        match manner {
            Manner::Crumbs => at + 1,
            // Two open messages of one name would be one.
            Manner::Reuser | Manner::Flooder => whole,
            Manner::Unfinished => at + 1 + self.dice.people.below((whole - at) as u64) as usize,
            _ if self.dice.people.below(3) == 0 => {
                at + 1 + self.dice.people.below((whole - at) as u64) as usize
            }
            _ => whole,
        }
    }

    /// Sends the next chunk of what is begun. False if there is none.
    pub(super) fn next_piece(&mut self, i: usize) -> bool {
        let (Some(link), Some(piece)) = (self.seats[i].link, self.seats[i].pieces.front().copied()) else {
            return false;
        };
        if self.seats[i].stay != Some(piece.stay) || !self.links[link].usable() {
            self.seats[i].pieces.clear();
            return false;
        }
        let room = self.links[link].up.len() <= UNSENT_MAX;
        if room {
            self.seats[i].pieces.pop_front();
            self.part(i, link, piece);
        }
        room
    }

    fn part(&mut self, i: usize, link: usize, piece: Piece) {
        let Piece { message, stay, from, to, last } = piece;
        let id = if self.seats[i].manner == Manner::Reuser { 0 } else { message };
        let said = &self.oracle.said[message as usize];
        let whole = said.body.len();
        let total = if self.dice.people.below(2) == 0 { whole.to_string() } else { "*".into() };
        let end = if self.dice.people.below(2) == 0 { to.to_string() } else { "*".into() };
        let body = said.body[from..to].to_vec();
        let headers = format!("Message-ID: id{id}x\r\nByte-Range: {}-{end}/{total}\r\n", from + 1);
        let asks = match self.dice.people.below(10) {
            0 => Asks::No,
            1 => Asks::Partial,
            _ => Asks::Yes,
        };
        let flag = if last { '$' } else { '+' };
        self.write_request(
            link,
            stay,
            Purpose::Part { message, last },
            asks,
            None,
            &headers,
            Some(&body),
            flag,
        );
    }

    /// Sends the pieces of a message with ranges that are not true.
    fn lie(&mut self, i: usize, link: usize) {
        while let Some(piece) = self.seats[i].pieces.pop_front() {
            let dice = &mut self.dice.people;
            let start = if dice.below(2) == 0 { piece.from as u64 + 1 } else { dice.below(500) };
            let total = [0, 1, 100, 1000, u64::MAX / 4][dice.below(5) as usize];
            let headers = format!("Message-ID: id{}x\r\nByte-Range: {start}-*/{total}\r\n", piece.message);
            let body = self.oracle.said[piece.message as usize].body[piece.from..piece.to].to_vec();
            let flag = if piece.last { ['$', '#'][dice.below(2) as usize] } else { '+' };
            let purpose = Purpose::Part { message: piece.message, last: false };
            self.oracle.speaks(self.seats[i].room, self.seats[i].user);
            self.write_request(link, piece.stay, purpose, Asks::Yes, None, &headers, Some(&body), flag);
        }
    }

    /// A request without content.
    pub(super) fn request(&mut self, link: usize, stay: usize, purpose: Purpose) {
        let headers = "Message-ID: bind\r\nByte-Range: 1-0/0\r\n";
        self.write_request(link, stay, purpose, Asks::Yes, None, headers, None, '$');
    }

    /// A message for a session that is somebody else's, or nobody's.
    pub(super) fn stray(&mut self, i: usize, link: usize, stay: usize) {
        let (room, user) = (self.seats[i].room, self.seats[i].user);
        let message = self.oracle.said.len() as u32;
        let to = self.rooms[room].as_str();
        let body = format!(
            "From: <sip:user{user}@example.com>\r\nTo: <{to}>\r\nSubject: m{message:08}\r\n\r\n\
             Content-Type: text/plain\r\n\r\nguessed"
        );
        self.oracle.said.push(Said {
            room,
            stay,
            endpoint: self.oracle.stays[stay].endpoint,
            body: body.clone().into_bytes(),
            exact: true,
            only: None,
            never: true,
            honest: false,
            from: u64::MAX,
            to: None,
            posted: false,
            accepted: false,
            refused: false,
        });
        let shard = ShardId(self.dice.people.below(u64::from(self.plan.shards) + 1) as u16);
        let apart = |s: &Seat| s.stage == Stage::In && s.link != Some(link);
        let others = self.seats.iter().enumerate().filter(|(n, s)| *n != i && apart(s));
        let known: Vec<SessionId> = others.filter_map(|(_, s)| self.oracle.stays[s.stay?].session).collect();
        let session = match known.len() {
            n if n > 0 && self.dice.people.below(2) == 0 => known[self.dice.people.below(n as u64) as usize],
            _ => self.dice.people.session_id(shard),
        };
        let headers = "Message-ID: guess\r\n";
        let body = Some(body.as_bytes());
        self.write_request(link, stay, Purpose::Stray, Asks::Yes, Some(session), headers, body, '$');
    }

    /// Tries sessions on a connection of its own.
    pub(super) fn guess(&mut self, i: usize) {
        let Some(stay) = self.seats[i].stay else { return };
        let Some(link) = self.connect(false, Reads::All) else { return };
        for _ in 0..=self.dice.people.below(6) {
            self.stray(i, link, stay);
        }
    }

    /// NICKNAME: takes the nickname of this number.
    pub(super) fn request_name(&mut self, link: usize, stay: usize, number: usize) {
        let Some(session) = self.oracle.stays[stay].session else { return };
        let n = self.oracle.requests.len() as u32;
        let session = String::from_utf8_lossy(session.reveal()).into_owned();
        let octets = format!(
            "MSRP t{n:08} NICKNAME\r\nTo-Path: msrp://chat.example.com:2855/{session};tcp\r\n\
             From-Path: {}\r\nUse-Nickname: \"{}\"\r\n-------t{n:08}$\r\n",
            peer_path(stay),
            NAMES[number]
        );
        let (purpose, asks) = (Purpose::Name(number), Asks::Yes);
        self.oracle.requests.push(Request { stay, link, purpose, asks, answers: 0, arrived: None });
        self.links[link].send(octets.as_bytes(), Some(n));
    }

    #[allow(clippy::too_many_arguments)] // The fields of one request.
    fn write_request(
        &mut self,
        link: usize,
        stay: usize,
        purpose: Purpose,
        asks: Asks,
        session: Option<SessionId>,
        headers: &str,
        body: Option<&[u8]>,
        flag: char,
    ) {
        let Some(session) = session.or(self.oracle.stays[stay].session) else { return };
        let n = self.oracle.requests.len() as u32;
        let report = match asks {
            Asks::Yes => "",
            Asks::No => "Failure-Report: no\r\n",
            Asks::Partial => "Failure-Report: partial\r\n",
        };
        let session = String::from_utf8_lossy(session.reveal()).into_owned();
        let mut octets = format!(
            "MSRP t{n:08} SEND\r\nTo-Path: msrp://chat.example.com:2855/{session};tcp\r\n\
             From-Path: {}\r\n{headers}{report}",
            peer_path(stay)
        )
        .into_bytes();
        if let Some(body) = body {
            octets.extend_from_slice(b"Content-Type: message/cpim\r\n\r\n");
            octets.extend_from_slice(body);
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(format!("-------t{n:08}{flag}\r\n").as_bytes());
        self.oracle.requests.push(Request { stay, link, purpose, asks, answers: 0, arrived: None });
        self.links[link].send(&octets, Some(n));
    }

    /// A participant reads some of what arrived.
    pub(super) fn read(&mut self, i: usize) {
        let link = &mut self.links[i];
        let most = link.down.len() as u64;
        let n = if link.reads == Reads::Slowly { 1 + self.dice.net.below(most.min(200)) } else { most };
        let mut unread = std::mem::take(&mut link.unread);
        unread.extend(link.down.drain(..n as usize));
        let mut framer = std::mem::take(&mut link.framer);
        let mut at = 0;
        while at < unread.len() {
            match framer.step(&unread[at..], usize::MAX) {
                Ok(Step::Partial) => break,
                Ok(Step::Head { head, body, end: Some(flag), used }) => {
                    self.hear(i, &head, body, flag);
                    at += used;
                }
                other => {
                    let other = format!("{other:?}");
                    self.oracle.fail(|| format!("connection {i} got what is no frame: {other}"));
                    break;
                }
            }
        }
        unread.drain(..at);
        let link = &mut self.links[i];
        (link.unread, link.framer) = (unread, framer);
    }

    fn hear(&mut self, i: usize, head: &Head<'_>, body: Option<&[u8]>, flag: Flag) {
        if let Some(fault) = head.fault {
            let tid = String::from_utf8_lossy(head.tid).into_owned();
            self.oracle.fail(|| format!("connection {i} got frame {tid}, which is {fault:?}"));
        }
        match head.kind {
            Kind::Response { code, .. } => self.hear_answer(i, head.tid, code),
            Kind::Request(Method::Send) => self.hear_send(i, head, body, flag),
            Kind::Request(Method::Report) => self.hear_report(i, head),
            Kind::Request(_) => {
                self.oracle.fail(|| format!("connection {i} got a request that is neither SEND nor REPORT"));
            }
        }
    }

    /// Nobody asks for success here, so a report tells that a private message failed (CHAT-REP-07).
    fn hear_report(&mut self, i: usize, head: &Head<'_>) {
        let path = String::from_utf8_lossy(head.to_path).into_owned();
        let endpoint = stay_at(head.to_path).and_then(|stay| Some(self.oracle.stays.get(stay)?.endpoint));
        let id = head.message_id.unwrap_or_default();
        let named =
            std::str::from_utf8(id).ok().and_then(|t| t.strip_prefix("id")?.strip_suffix('x')?.parse().ok());
        let private = self.oracle.said.iter().enumerate().any(|(n, said)| {
            Some(said.endpoint) == endpoint && said.only.is_some() && (named == Some(n) || named == Some(0))
        });
        let failed = head.status.is_some_and(|status| status.code != 200);
        if !private || !failed {
            self.oracle
                .fail(|| format!("connection {i} got a report on {named:?} for {path}, and asked for none"));
        }
    }

    fn hear_answer(&mut self, i: usize, tid: &[u8], code: u16) {
        let number = std::str::from_utf8(tid).ok().and_then(|t| t.strip_prefix('t')?.parse::<u32>().ok());
        let Some(request) = number.filter(|n| (*n as usize) < self.oracle.requests.len()) else {
            return self.oracle.fail(|| format!("connection {i} got an answer to nothing: {tid:?}"));
        };
        self.oracle.now = self.now;
        self.oracle.answered(self.turn, i, request, code);
        let r = &self.oracle.requests[request as usize];
        if r.purpose != Purpose::Bind {
            return;
        }
        let stay = r.stay;
        if let Some(n) = self.seats.iter().position(|s| code < 300 && s.stay == Some(stay)) {
            self.enter(n);
        }
        if let Some(n) = self.seats.iter().position(|s| code >= 300 && s.next == Some(stay)) {
            self.oracle.stays[stay].over = true;
            self.leave(n);
        }
    }

    fn enter(&mut self, n: usize) {
        let seat = &mut self.seats[n];
        if seat.stage == Stage::Granted {
            seat.stage = Stage::In;
            seat.acts_at = Some(self.now);
        }
    }

    fn hear_send(&mut self, i: usize, head: &Head<'_>, body: Option<&[u8]>, flag: Flag) {
        let Some(stay) = stay_at(head.to_path).filter(|s| *s < self.oracle.stays.len()) else {
            let path = String::from_utf8_lossy(head.to_path).into_owned();
            return self.oracle.fail(|| format!("connection {i} got something for {path}"));
        };
        let seat = self.seats.iter().position(|s| s.stay == Some(stay) || s.next == Some(stay));
        if body.is_none() && flag == Flag::End {
            // The switch binds: it connected to us.
            self.respond(i, head, "200 OK");
            if let Some(n) = seat {
                self.enter(n);
            }
            return;
        }
        let range = head.byte_range;
        let part = Arrived {
            link: i,
            message_id: head.message_id.unwrap_or_default(),
            start: range.map_or(1, |r| r.start),
            flag,
            body: body.unwrap_or_default(),
        };
        self.oracle.copy(self.turn, stay, &part);
        if let Some(n) = seat {
            self.keeps_secrets(n, part.body);
        }
        if head.failure_report == FailureReport::No {
            return;
        }
        let refuses = seat.is_some_and(|n| self.seats[n].manner == Manner::Refuser) && !self.healed;
        let code = match self.dice.people.below(10) {
            0 if refuses => "415 not this",
            1 if refuses => "413 too large",
            2 if refuses => "481 who",
            _ => "200 OK",
        };
        if code != "200 OK" {
            self.oracle.stays[stay].told = true;
            self.oracle.stays[stay].over |= code == "481 who";
        }
        self.respond(i, head, code);
    }

    fn respond(&mut self, i: usize, head: &Head<'_>, code: &str) {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let tid = text(head.tid);
        let (to, from) = (text(head.from_path), text(head.to_path));
        let answer = format!("MSRP {tid} {code}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n-------{tid}$\r\n");
        self.links[i].send(answer.as_bytes(), None);
    }
}
