//! The score of one thread: what comes in is read, judged, timed and, at saturation, paid back to its
//! publisher as leave to send the next message.
//!
//! Touches only its own tables; time is an argument. Bounded by the shape of the test: one flow per
//! publisher, a ring of `window` counters each, one oracle per kind of message. Of everything that goes wrong the first instance is kept
//! in words ([`Score::first_fault`]), the rest is counted.

use crate::oracle::{Findings, Oracle, Shape, Verdict};
use crate::pace::{CLASSES, Group, Interval, Meter, VISITORS};
use crate::stamp::{Kind, Reading, Stamp, Texts};
use crate::visitor::{Visit, Visits};
use openmsrp::wire::cpim::{self, Parsed};
use serde::{Deserialize, Serialize};

/// Octets of a CPIM wrapper.
const WRAPPER_BYTES_MAX: usize = 16 * 1024;

/// How rooms and participants are called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// What the user part of a room's address begins with.
    pub(crate) room_prefix: String,
    /// Domain of rooms and participants.
    pub(crate) domain: String,
    /// The number of the first room: harnesses that share a server do not share rooms.
    pub(crate) first_room: u32,
    /// The number of the first participant.
    pub(crate) first_user: u64,
}

impl Names {
    /// Address of a room.
    pub(crate) fn room(&self, room: u32) -> String {
        format!("sip:{}{}@{}", self.room_prefix, self.first_room + room, self.domain)
    }

    /// Address of the participant with this number in the whole test.
    pub(crate) fn participant(&self, number: u64) -> String {
        format!("sip:u{}@{}", self.first_user + number, self.domain)
    }

    /// Whether `uri` is the address of that participant; makes no text of it, this is asked of every copy.
    fn is_participant(&self, uri: &str, number: u64) -> bool {
        uri.strip_prefix("sip:u")
            .and_then(|rest| rest.split_once('@'))
            .is_some_and(|(user, host)| user.parse() == Ok(self.first_user + number) && host == self.domain)
    }
}

/// What a participant is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Stays, reads, and sends if it is one of the first.
    Steady,
    /// Stops reading when the load begins.
    Slow,
    /// In a room where nobody says a word.
    Idle,
    /// Comes and goes.
    Visitor,
}

/// A participant's place, as one thread numbers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// The room's number in the whole test.
    pub(crate) room: u32,
    /// The room's number on this thread.
    pub(crate) local_room: u32,
    /// The participant's number in the room, the first ones publish; a visitor's number among visitors.
    pub(crate) member: u32,
    /// What it is there for.
    pub(crate) role: Role,
}

/// Who sits where: rooms fill one after the other, room `n` belongs to thread `n` modulo `threads`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seating {
    /// Rooms in which something is said.
    pub(crate) rooms: u32,
    /// Participants of each.
    pub(crate) participants: u32,
    /// How many of them, the last ones, stop reading.
    pub(crate) slow: u32,
    /// Participants of each idle room.
    pub(crate) idle_participants: u32,
    /// Threads.
    pub(crate) threads: u32,
}

impl Seating {
    /// The seat of the participant with this number in the whole test.
    pub(crate) fn seat(&self, number: u64) -> Seat {
        let active = u64::from(self.rooms) * u64::from(self.participants);
        if number < active {
            let room = (number / u64::from(self.participants)) as u32;
            let member = (number % u64::from(self.participants)) as u32;
            let role = if member >= self.participants - self.slow { Role::Slow } else { Role::Steady };
            return Seat { room, local_room: room / self.threads, member, role };
        }
        let (room, member) = (
            (number - active) / u64::from(self.idle_participants),
            (number - active) % u64::from(self.idle_participants),
        );
        let room = self.rooms + room as u32;
        Seat { room, local_room: room / self.threads, member: member as u32, role: Role::Idle }
    }

    /// The seat of visitor `number`: rooms take turns.
    pub(crate) fn visitor(&self, number: u32) -> Seat {
        let room = number % self.rooms;
        Seat { room, local_room: room / self.threads, member: number, role: Role::Visitor }
    }
}

/// A publisher's texts at saturation.
#[derive(Clone, Copy, Default)]
struct Flow {
    /// Messages that all receivers have.
    done: u32,
    /// Whether the flow is in the list of those that may send.
    listed: bool,
}

/// Counts of things that should not happen, beside the oracle's.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Troubles {
    /// Copies that are cut, garbled or addressed to someone else.
    pub(crate) bad: u64,
    /// Messages the room refused, by response or REPORT.
    pub(crate) refused: u64,
    /// Connections that ended before they should.
    pub(crate) closed: u64,
    /// Connections of participants that do not read and were therefore ended: no fault.
    pub(crate) slow_closed: u64,
    /// Notices of a room that it left messages out: to those that read, and to those that do not.
    pub(crate) left_out: u64,
    pub(crate) slow_left_out: u64,
}

/// One kind of messages: who has sent how many, who got which.
struct Stream {
    texts: Texts,
    oracle: Oracle,
    /// By flow: number of the next message.
    next: Vec<u32>,
    sent: u64,
}

/// What a score needs to know in advance.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) names: Names,
    /// Rooms of this thread, and those of their participants that read.
    pub(crate) shape: Shape,
    /// Participants of each room, those that do not read included.
    pub(crate) participants: u32,
    /// Sizes of the texts by kind; 0: nobody sends any.
    pub(crate) sizes: [usize; 4],
    /// Tells the texts of this run from those of others.
    pub(crate) run: u32,
    /// At saturation, messages of a publisher that not everyone has; 0: an open loop.
    pub(crate) window: u32,
    pub(crate) interval: Interval,
    /// Which of how many threads this is.
    pub(crate) thread: u32,
    /// See `thread`.
    pub(crate) threads: u32,
}

/// See the module's text.
pub(crate) struct Score {
    terms: Terms,
    /// By kind.
    streams: [Option<Stream>; 4],
    pub(crate) meter: Meter,
    flows: Vec<Flow>,
    window: u32,
    /// By flow and number modulo `ring`: receivers that have the message.
    ring: Vec<u32>,
    ring_size: u32,
    /// Flows that may send.
    free: Vec<u32>,
    pub(crate) answers: u64,
    pub(crate) reads: u64,
    pub(crate) troubles: Troubles,
    /// Copies for somebody else, and what visitors found wrong.
    besides: Findings,
    pub(crate) visits: Visits,
    /// The first thing that went wrong, in words.
    pub(crate) first_fault: Option<String>,
}

impl Score {
    /// An empty score.
    pub(crate) fn new(terms: Terms) -> Self {
        let shape = terms.shape;
        let flows = shape.rooms as usize * shape.publishers as usize;
        let window = terms.window;
        let ring_size = window.next_power_of_two();
        let stream = |kind: Kind| {
            let size = terms.sizes[kind as usize];
            (size > 0).then(|| Stream {
                texts: Texts::new(terms.run, size, kind),
                oracle: Oracle::new(Shape { ordered: kind == Kind::Text, window, ..shape }),
                next: vec![0; flows],
                sent: 0,
            })
        };
        let (thread, threads, first_room) = (terms.thread, terms.threads, terms.names.first_room);
        Self {
            streams: Kind::ALL.map(stream),
            meter: Meter::new(
                terms.interval,
                (0..shape.rooms).map(|room| first_room + room * threads + thread),
            ),
            flows: vec![Flow { listed: window > 0, ..Flow::default() }; flows],
            window,
            ring: vec![0; if window > 0 { flows * ring_size as usize } else { 0 }],
            ring_size,
            free: if window > 0 { (0..flows as u32).collect() } else { Vec::new() },
            answers: 0,
            reads: 0,
            troubles: Troubles::default(),
            besides: Findings::default(),
            visits: Visits::default(),
            first_fault: None,
            terms,
        }
    }

    /// The number of a participant's flow, if it publishes.
    pub(crate) fn flow_of(&self, seat: Seat) -> Option<u32> {
        let publishers = self.terms.shape.publishers;
        (seat.role == Role::Steady && seat.member < publishers)
            .then(|| seat.local_room * publishers + seat.member)
    }

    /// No message of the test is longer than this, its wrapper included.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.terms.sizes.into_iter().max().unwrap_or(0) + WRAPPER_BYTES_MAX
    }

    /// How many flows there are.
    pub(crate) fn flows(&self) -> u32 {
        self.flows.len() as u32
    }

    /// At saturation: a flow with leave to send, and how many messages.
    pub(crate) fn take_free(&mut self) -> Option<(u32, u32)> {
        let flow = self.free.pop()?;
        let f = &mut self.flows[flow as usize];
        f.listed = false;
        let next = self.streams[0].as_ref()?.next[flow as usize];
        Some((flow, self.window.saturating_sub(next - f.done)))
    }

    /// Gives nobody leave to send any more.
    pub(crate) fn stop(&mut self) {
        self.window = 0;
        self.free.clear();
    }

    /// The text of the next message of `flow`, due at `due`, and whom it is for if not the room. Empty if nobody
    /// sends any of this kind.
    pub(crate) fn next(&mut self, kind: Kind, flow: u32, seat: Seat, due: u64) -> (&[u8], Option<String>) {
        let Some(stream) = self.streams[kind as usize].as_mut() else { return (&[], None) };
        let next = &mut stream.next[flow as usize];
        let number = *next;
        *next += 1;
        stream.sent += 1;
        if kind == Kind::Text && self.window > 0 {
            self.ring[(flow * self.ring_size + number % self.ring_size) as usize] = 0;
        }
        let to = (kind == Kind::Private).then(|| {
            let member = recipient(seat.member, number, self.terms.shape.participants);
            self.terms.names.participant(self.terms.number(seat.room, member))
        });
        (stream.texts.write(Stamp { room: seat.room, publisher: seat.member as u16, number, due }), to)
    }

    /// A whole message came to `seat`.
    pub(crate) fn message(&mut self, seat: Seat, visit: Option<&mut Visit>, content: &[u8], now: u64) {
        if seat.role == Role::Slow {
            self.troubles.slow_left_out += u64::from(says_left_out(content));
            return;
        }
        let Ok(Parsed::Complete(wrapper)) = cpim::parse(content, true) else {
            self.bad(seat, "its CPIM wrapper cannot be read");
            return;
        };
        let inner = &content[wrapper.content..];
        let kind =
            Texts::kind_of(inner).filter(|k| self.streams[*k as usize].is_some()).unwrap_or(Kind::Text);
        let reading = self.streams[kind as usize].as_ref().map_or(Reading::OtherRun, |s| s.texts.read(inner));
        match reading {
            Reading::Whole(stamp) => {
                let from = self.terms.number(stamp.room, stamp.publisher.into());
                if self.terms.names.is_participant(wrapper.from, from) {
                    let mine = kind != Kind::Private
                        || self
                            .terms
                            .names
                            .is_participant(wrapper.to, self.terms.number(seat.room, seat.member));
                    self.copy(kind, seat, visit, stamp, mine, now);
                } else {
                    self.bad(seat, "its From names someone else");
                }
            }
            Reading::OtherRun => {}
            // A room may greet or announce in words of its own.
            Reading::Bad if wrapper.from == self.terms.names.room(seat.room) => {
                self.troubles.left_out += u64::from(says_left_out(inner));
            }
            Reading::Bad => self.bad(seat, "its text is cut or garbled"),
        }
    }

    fn copy(
        &mut self,
        kind: Kind,
        seat: Seat,
        visit: Option<&mut Visit>,
        stamp: Stamp,
        mine: bool,
        now: u64,
    ) {
        let before = self.found(kind);
        let readers = self.terms.shape.participants;
        let publisher = u32::from(stamp.publisher);
        let foreign = stamp.room != seat.room
            || seat.role == Role::Idle
            || !mine
            || kind == Kind::Private
                && (seat.role == Role::Visitor || recipient(publisher, stamp.number, readers) != seat.member);
        if foreign {
            self.besides.strays += 1;
        } else if let Some(visit) = visit {
            // Copies of other kinds pass each other and those of texts: a visitor cannot judge them.
            if kind != Kind::Text {
                self.meter.came(now);
            } else {
                let well = self.visits.receive(visit, &stamp, now, self.terms.interval, &mut self.besides);
                self.meter.arrived(VISITORS, seat.local_room, stamp.due, now);
                self.meter.arrived_at(Group::Visitors, stamp.due, now);
                if !well {
                    self.blame(seat, || {
                        format!("visitor: message {} of publisher {publisher} does not follow", stamp.number)
                    });
                }
            }
        } else if let Some(stream) = self.streams[kind as usize].as_mut() {
            let number = if kind == Kind::Private { stamp.number / (readers - 1) } else { stamp.number };
            let here = Stamp { room: seat.local_room, number, ..stamp };
            if stream.oracle.receive(seat.local_room, seat.member, &here) == Verdict::First {
                self.meter.arrived(kind as usize, seat.local_room, stamp.due, now);
                if kind == Kind::Text {
                    let sends = seat.member < self.terms.shape.publishers;
                    let group = if sends { Group::Publishers } else { Group::Listeners };
                    self.meter.arrived_at(group, stamp.due, now);
                }
                if self.window > 0 && kind == Kind::Text {
                    self.pay_back(seat.local_room, &stamp);
                }
            }
        }
        let after = self.found(kind);
        if after.wrong() > before.wrong() {
            self.blame(seat, || {
                let what = if after.duplicates > before.duplicates {
                    "came twice"
                } else if after.out_of_order > before.out_of_order {
                    "is out of order"
                } else {
                    "belongs to someone else"
                };
                let kind = CLASSES[kind as usize];
                format!("{kind} {} of publisher {publisher} of room {} {what}", stamp.number, stamp.room)
            });
        }
    }

    fn pay_back(&mut self, local_room: u32, stamp: &Stamp) {
        let flow = local_room * self.terms.shape.publishers + u32::from(stamp.publisher);
        let have = &mut self.ring[(flow * self.ring_size + stamp.number % self.ring_size) as usize];
        *have += 1;
        if *have == self.terms.shape.participants - 1 {
            let f = &mut self.flows[flow as usize];
            f.done += 1;
            if !f.listed {
                f.listed = true;
                self.free.push(flow);
            }
        }
    }

    /// A copy came that is no good.
    pub(crate) fn bad(&mut self, seat: Seat, why: &str) {
        self.troubles.bad += 1;
        self.blame(seat, || format!("got a bad copy: {why}"));
    }

    /// The room refused a message.
    pub(crate) fn refused(&mut self, seat: Seat, code: u16, comment: &[u8]) {
        self.troubles.refused += 1;
        self.blame(seat, || format!("its message was refused: {code} {}", String::from_utf8_lossy(comment)));
    }

    /// A connection ended.
    pub(crate) fn closed(&mut self, seat: Seat, why: &str) {
        if seat.role == Role::Slow {
            self.troubles.slow_closed += 1;
            return;
        }
        self.troubles.closed += 1;
        self.blame(seat, || format!("lost its connection: {why}"));
    }

    fn blame(&mut self, seat: Seat, what: impl FnOnce() -> String) {
        if self.first_fault.is_none() {
            let who = if seat.role == Role::Visitor { "visitor" } else { "participant" };
            self.first_fault = Some(format!(
                "room {} {who} {}: {}",
                self.terms.names.first_room + seat.room,
                seat.member,
                what()
            ));
        }
    }

    /// Messages that were handed over.
    pub(crate) fn sent(&self) -> u64 {
        self.streams.iter().flatten().map(|s| s.sent).sum()
    }

    /// What was found so far, all kinds together.
    pub(crate) fn findings(&self) -> Findings {
        let mut sum = self.besides;
        self.streams.iter().flatten().for_each(|s| sum.add(&s.oracle.findings()));
        sum
    }

    /// What was found of one kind, and besides: asked at every copy.
    fn found(&self, kind: Kind) -> Findings {
        let mut found = self.besides;
        if let Some(stream) = &self.streams[kind as usize] {
            found.add(&stream.oracle.findings());
        }
        found
    }

    /// Copies that are still to come.
    pub(crate) fn owed(&self) -> u64 {
        Kind::ALL.into_iter().map(|kind| self.count(kind).lost).sum()
    }

    /// Messages of a kind, copies they made, and copies that are still to come.
    pub(crate) fn count(&self, kind: Kind) -> Count {
        let Some(stream) = &self.streams[kind as usize] else { return Count::default() };
        let fanout = if kind == Kind::Private { 1 } else { u64::from(self.terms.shape.participants - 1) };
        let delivered = stream.oracle.findings().delivered;
        Count { sent: stream.sent, delivered, lost: (stream.sent * fanout).saturating_sub(delivered) }
    }

    /// The verdict on the whole run.
    pub(crate) fn finish(&mut self) -> (Findings, Troubles) {
        let readers = self.terms.shape.participants;
        let publishers = self.terms.shape.publishers.max(1);
        let mut sum = self.besides;
        for kind in Kind::ALL {
            let Some(stream) = &mut self.streams[kind as usize] else { continue };
            let owed = |flow: usize, receiver: u32| match kind {
                Kind::Private => share(flow as u32 % publishers, receiver, stream.next[flow], readers),
                _ => stream.next[flow],
            };
            let short = (self.first_fault.is_none()).then(|| stream.oracle.first_loss(owed)).flatten();
            if let Some((room, member, publisher, count)) = short {
                let room = self.terms.names.first_room + room * self.terms.threads + self.terms.thread;
                let kind = CLASSES[kind as usize];
                self.first_fault = Some(format!(
                    "room {room} participant {member}: lacks {count} messages of publisher {publisher} ({kind})"
                ));
            }
            sum.add(&stream.oracle.finish());
        }
        (sum, self.troubles)
    }
}

/// Messages of a kind, the copies they made, and those that never came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
}

impl Terms {
    /// The number of a participant in the whole test.
    fn number(&self, room: u32, member: u32) -> u64 {
        u64::from(room) * u64::from(self.participants) + u64::from(member)
    }

    /// Terms for tests: one room of two, one publisher, texts of these sizes.
    #[cfg(test)]
    pub(crate) fn of_test(sizes: [usize; 4]) -> Self {
        Self {
            names: Names { room_prefix: "room".into(), domain: "x".into(), ..Names::default() },
            shape: Shape { rooms: 1, participants: 2, publishers: 1, window: 0, ordered: true },
            participants: 2,
            sizes,
            run: 1,
            window: 0,
            interval: Interval { from: 0, to: 1_000 },
            thread: 0,
            threads: 1,
        }
    }
}

/// Whether a room says, in the words of openmsrp, that it left messages out. Other servers have no words for it.
fn says_left_out(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|t| t.contains("left out because your connection was too slow"))
}

/// Whom a publisher's private message `number` is for: all others who read, in turn.
fn recipient(publisher: u32, number: u32, readers: u32) -> u32 {
    (publisher + 1 + number % (readers - 1)) % readers
}

/// How many of a publisher's first `sent` private messages are for `receiver`.
fn share(publisher: u32, receiver: u32, sent: u32, readers: u32) -> u32 {
    let turn = (receiver + readers - publisher - 1) % readers;
    // The last turn would be the publisher's own.
    if turn == readers - 1 { 0 } else { sent / (readers - 1) + u32::from(turn < sent % (readers - 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "From: <sip:room0@x>\r\nTo: <sip:u1@x>\r\n\r\nContent-Type: text/plain\r\n\r\n";
    const WRAPPER: &str = "From: <sip:u0@x>\r\nTo: <sip:room0@x>\r\n\r\nContent-Type: text/plain\r\n\r\n";

    fn score(window: u32) -> Score {
        let terms = Terms::of_test([60, 60, 60, 0]);
        let shape = Shape { rooms: 1, participants: 3, publishers: 1, window, ordered: true };
        Score::new(Terms { shape, participants: 3, window, ..terms })
    }

    fn seat(member: u32) -> Seat {
        Seat { room: 0, local_room: 0, member, role: Role::Steady }
    }

    fn message(score: &mut Score, due: u64) -> Vec<u8> {
        [WRAPPER.as_bytes(), score.next(Kind::Text, 0, seat(0), due).0].concat()
    }

    /// The next private message of participant 0, and whom it is for.
    fn private(score: &mut Score) -> (Vec<u8>, String) {
        let (text, to) = score.next(Kind::Private, 0, seat(0), 0);
        let to = to.unwrap();
        let wrapper = format!("From: <sip:u0@x>\r\nTo: <{to}>\r\n\r\nContent-Type: text/plain\r\n\r\n");
        ([wrapper.as_bytes(), text].concat(), to)
    }

    #[test]
    fn a_publisher_may_go_on_when_every_receiver_has_its_message() {
        let mut s = score(1);
        assert_eq!(s.take_free(), Some((0, 1)));
        let m = message(&mut s, 0);
        assert_eq!(s.take_free(), None);
        s.message(seat(1), None, &m, 5);
        assert_eq!(s.take_free(), None);
        s.message(seat(1), None, &m, 6); // twice to the same does not count
        assert_eq!(s.take_free(), None);
        s.message(seat(2), None, &m, 7);
        assert_eq!(s.take_free(), Some((0, 1)));
        let (found, _) = s.finish();
        assert_eq!((found.delivered, found.duplicates), (2, 1));
        assert!(s.first_fault.unwrap().contains("came twice"));
    }

    #[test]
    fn a_cut_copy_is_bad_and_its_delivery_is_owed() {
        let mut s = score(0);
        let m = message(&mut s, 0);
        s.message(seat(1), None, &m[..m.len() - 1], 5);
        s.message(seat(2), None, &m, 5);
        let (found, troubles) = s.finish();
        assert_eq!((found.delivered, troubles.bad, s.owed()), (1, 1, 1));
    }

    #[test]
    fn what_the_room_says_itself_is_no_copy() {
        let mut s = score(0);
        s.message(seat(1), None, format!("{ROOM}Welcome!").as_bytes(), 5);
        let (found, troubles) = s.finish();
        assert_eq!((found, troubles.bad), (Findings::default(), 0));
    }

    #[test]
    fn a_copy_under_another_name_is_bad() {
        let mut s = score(0);
        let mut m = message(&mut s, 0);
        m[12] = b'1'; // u0 becomes u1
        s.message(seat(1), None, &m, 5);
        s.message(seat(1), None, format!("{WRAPPER}Welcome!").as_bytes(), 5);
        let (found, troubles) = s.finish();
        assert_eq!((found.delivered, troubles.bad), (0, 2));
    }

    #[test]
    fn latency_counts_from_the_moment_a_message_was_due() {
        let mut s = score(0);
        let m = message(&mut s, 100);
        s.message(seat(1), None, &m, 350);
        assert_eq!(s.meter.latency[0].max_us(), 0.25);
    }

    #[test]
    fn private_messages_go_round_and_reach_nobody_else() {
        let mut s = score(0);
        for member in [1, 2, 1] {
            let (m, to) = private(&mut s);
            assert_eq!(to, format!("sip:u{member}@x"));
            s.message(seat(member), None, &m, 5);
        }
        assert_eq!(
            (s.count(Kind::Private), s.findings().wrong()),
            (Count { sent: 3, delivered: 3, lost: 0 }, 0)
        );
        let (m, _) = private(&mut s); // for 2, and 1 sees it
        s.message(seat(1), None, &m, 5);
        assert_eq!((s.owed(), s.findings().strays), (1, 1));
        assert!(
            s.first_fault
                .as_ref()
                .unwrap()
                .contains("private 3 of publisher 0 of room 0 belongs to someone else")
        );
    }

    #[test]
    fn each_others_share_of_private_messages_is_what_they_get_in_turn() {
        for (publisher, sent, readers) in [(0, 0, 3), (1, 7, 3), (2, 10, 4), (3, 9, 4)] {
            for receiver in 0..readers {
                let counted = (0..sent).filter(|n| recipient(publisher, *n, readers) == receiver).count();
                assert_eq!(share(publisher, receiver, sent, readers) as usize, counted);
            }
        }
    }

    #[test]
    fn who_lacks_a_private_message_is_named() {
        let mut s = score(0);
        let (first, _) = private(&mut s);
        private(&mut s);
        s.message(seat(1), None, &first, 5);
        s.finish();
        assert_eq!(s.first_fault.unwrap(), "room 0 participant 2: lacks 1 messages of publisher 0 (private)");
    }

    #[test]
    fn nothing_may_reach_a_room_where_nobody_speaks() {
        let mut s = score(0);
        let m = message(&mut s, 0);
        s.message(Seat { room: 5, role: Role::Idle, ..seat(0) }, None, &m, 5);
        assert_eq!(s.findings().strays, 1);
    }

    #[test]
    fn who_does_not_read_is_neither_owed_anything_nor_missed() {
        let mut s = score(0);
        let slow = Seat { role: Role::Slow, ..seat(2) };
        let m = message(&mut s, 0);
        s.message(slow, None, &m, 5);
        let notice = format!("{ROOM}7 messages were left out because your connection was too slow.");
        s.message(slow, None, notice.as_bytes(), 6);
        assert_eq!((s.troubles.left_out, s.troubles.slow_left_out), (0, 1));
        s.message(seat(1), None, notice.as_bytes(), 6);
        assert_eq!((s.troubles.left_out, s.troubles.slow_left_out), (1, 1));
        s.closed(slow, "too slow");
        assert_eq!((s.findings(), s.troubles.closed, s.troubles.slow_closed), (Findings::default(), 0, 1));
    }

    #[test]
    fn a_typing_notice_is_judged_like_a_message() {
        let mut s = score(0);
        let (before, after) = Kind::Typing.frame();
        let text = s.next(Kind::Typing, 0, seat(0), 0).0.to_vec();
        let content = [WRAPPER.as_bytes(), before.as_bytes(), &text, after.as_bytes()].concat();
        s.message(seat(1), None, &content, 5);
        s.message(seat(1), None, &content, 6);
        assert_eq!(s.count(Kind::Typing), Count { sent: 1, delivered: 1, lost: 1 });
        assert_eq!(s.findings().duplicates, 1);
    }

    #[test]
    fn seats_follow_from_the_number() {
        let seating = Seating { rooms: 2, participants: 4, slow: 1, idle_participants: 3, threads: 2 };
        let seat = |n| {
            let s: Seat = seating.seat(n);
            (s.room, s.local_room, s.member, s.role)
        };
        assert_eq!(seat(2), (0, 0, 2, Role::Steady));
        assert_eq!(seat(3), (0, 0, 3, Role::Slow));
        assert_eq!(seat(4), (1, 0, 0, Role::Steady));
        assert_eq!(seat(8), (2, 1, 0, Role::Idle));
        assert_eq!(seat(12), (3, 1, 1, Role::Idle));
        assert_eq!((seating.visitor(5).room, seating.visitor(5).member), (1, 5));
    }
}
