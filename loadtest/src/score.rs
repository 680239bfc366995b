//! The score of one thread: what comes in is read, judged, timed and, at saturation, paid back to its
//! publisher as leave to send the next message.
//!
//! Touches only its own tables; time is an argument. Bounded by the shape of the test: one flow per
//! publisher, a ring of `window` counters each. Of everything that goes wrong the first instance is kept
//! in words ([`Score::first_fault`]), the rest is counted.

use crate::oracle::{Findings, Oracle, Shape, Verdict};
use crate::pace::{Interval, Meter};
use crate::stamp::{Reading, Stamp, Texts};
use openmsrp::wire::cpim::{self, Parsed};

/// Octets of a CPIM wrapper.
const WRAPPER_BYTES_MAX: usize = 16 * 1024;

/// How rooms and participants are called.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// What the user part of a room's address begins with.
    pub(crate) room_prefix: String,
    /// Domain of rooms and participants.
    pub(crate) domain: String,
}

impl Names {
    /// Address of a room.
    pub(crate) fn room(&self, room: u32) -> String {
        format!("sip:{}{room}@{}", self.room_prefix, self.domain)
    }

    /// Address of the participant with this number in the whole test.
    pub(crate) fn participant(&self, number: u64) -> String {
        format!("sip:u{number}@{}", self.domain)
    }

    /// Whether `uri` is the address of that participant; makes no text of it, this is asked of every copy.
    fn is_participant(&self, uri: &str, number: u64) -> bool {
        uri.strip_prefix("sip:u")
            .and_then(|rest| rest.split_once('@'))
            .is_some_and(|(user, host)| user.parse() == Ok(number) && host == self.domain)
    }
}

/// A participant's place, as one thread numbers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// The room's number in the whole test.
    pub(crate) room: u32,
    /// The room's number on this thread.
    pub(crate) local_room: u32,
    /// The participant's number in the room; the first ones publish.
    pub(crate) member: u32,
}

impl Seat {
    /// The seat of the participant with this number in the whole test: rooms fill one after the other,
    /// room `n` belongs to thread `n` modulo `threads`.
    pub(crate) fn of(number: u64, participants: u32, threads: u32) -> Self {
        let room = (number / u64::from(participants)) as u32;
        let member = (number % u64::from(participants)) as u32;
        Self { room, local_room: room / threads, member }
    }
}

/// A publisher's messages.
#[derive(Clone, Copy, Default)]
struct Flow {
    /// Number of the next message.
    next: u32,
    /// Messages that all receivers have.
    done: u32,
    /// Whether the flow is in the list of those that may send.
    listed: bool,
}

/// Counts of things that should not happen, beside the oracle's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Troubles {
    /// Copies that are cut, garbled or addressed to someone else.
    pub(crate) bad: u64,
    /// Messages the room refused, by response or REPORT.
    pub(crate) refused: u64,
    /// Connections that ended before they should.
    pub(crate) closed: u64,
}

/// See the module's text.
pub(crate) struct Score {
    names: Names,
    texts: Texts,
    oracle: Oracle,
    shape: Shape,
    pub(crate) meter: Meter,
    flows: Vec<Flow>,
    /// 0: not at saturation.
    window: u32,
    /// By flow and number modulo `ring`: receivers that have the message.
    ring: Vec<u32>,
    ring_size: u32,
    /// Flows that may send.
    free: Vec<u32>,
    pub(crate) sent: u64,
    pub(crate) answers: u64,
    pub(crate) reads: u64,
    troubles: Troubles,
    /// The first thing that went wrong, in words.
    pub(crate) first_fault: Option<String>,
}

impl Score {
    /// An empty score. `window` 0: an open loop.
    pub(crate) fn new(names: Names, shape: Shape, texts: Texts, window: u32, interval: Interval) -> Self {
        let flows = shape.rooms as usize * shape.publishers as usize;
        let ring_size = window.next_power_of_two();
        Self {
            names,
            texts,
            oracle: Oracle::new(shape),
            shape,
            meter: Meter::new(interval),
            flows: vec![Flow { listed: window > 0, ..Flow::default() }; flows],
            window,
            ring: vec![0; if window > 0 { flows * ring_size as usize } else { 0 }],
            ring_size,
            free: if window > 0 { (0..flows as u32).collect() } else { Vec::new() },
            sent: 0,
            answers: 0,
            reads: 0,
            troubles: Troubles::default(),
            first_fault: None,
        }
    }

    /// Copies that a message must make.
    pub(crate) fn fanout(&self) -> u64 {
        u64::from(self.shape.participants - 1)
    }

    /// The number of a participant's flow, if it publishes.
    pub(crate) fn flow_of(&self, seat: Seat) -> Option<u32> {
        (seat.member < self.shape.publishers).then(|| seat.local_room * self.shape.publishers + seat.member)
    }

    /// No message of the test is longer than this, its wrapper included.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.texts.size() + WRAPPER_BYTES_MAX
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
        Some((flow, self.window.saturating_sub(f.next - f.done)))
    }

    /// Gives nobody leave to send any more.
    pub(crate) fn stop(&mut self) {
        self.window = 0;
        self.free.clear();
    }

    /// The text of the next message of `flow`, due at `due`.
    pub(crate) fn next_text(&mut self, flow: u32, seat: Seat, due: u64) -> &[u8] {
        let f = &mut self.flows[flow as usize];
        let number = f.next;
        f.next += 1;
        self.sent += 1;
        if self.window > 0 {
            self.ring[(flow * self.ring_size + number % self.ring_size) as usize] = 0;
        }
        self.texts.write(Stamp { room: seat.room, publisher: seat.member as u16, number, due })
    }

    /// A whole message came to `seat`.
    pub(crate) fn message(&mut self, seat: Seat, content: &[u8], now: u64) {
        let Ok(Parsed::Complete(wrapper)) = cpim::parse(content, true) else {
            self.bad(seat, "its CPIM wrapper cannot be read");
            return;
        };
        match self.texts.read(&content[wrapper.content..]) {
            Reading::Whole(stamp) => {
                let number =
                    u64::from(stamp.room) * u64::from(self.shape.participants) + u64::from(stamp.publisher);
                if self.names.is_participant(wrapper.from, number) {
                    self.copy(seat, stamp, now);
                } else {
                    self.bad(seat, "its From names someone else");
                }
            }
            Reading::OtherRun => {}
            // A room may greet or announce in words of its own.
            Reading::Bad if wrapper.from == self.names.room(seat.room) => {}
            Reading::Bad => self.bad(seat, "its text is cut or garbled"),
        }
    }

    fn copy(&mut self, seat: Seat, stamp: Stamp, now: u64) {
        let room = if stamp.room == seat.room { seat.local_room } else { u32::MAX };
        let before = self.oracle.findings();
        let verdict = self.oracle.receive(seat.local_room, seat.member, &Stamp { room, ..stamp });
        if verdict == Verdict::First {
            self.meter.arrived(stamp.due, now);
            if self.window > 0 {
                self.pay_back(seat.local_room, &stamp);
            }
        }
        let after = self.oracle.findings();
        if after.wrong() > before.wrong() {
            self.blame(seat, || {
                let what = if after.duplicates > before.duplicates {
                    "came twice"
                } else if after.out_of_order > before.out_of_order {
                    "is out of order"
                } else {
                    "belongs to someone else"
                };
                format!(
                    "message {} of publisher {} of room {} {what}",
                    stamp.number, stamp.publisher, stamp.room
                )
            });
        }
    }

    fn pay_back(&mut self, local_room: u32, stamp: &Stamp) {
        let flow = local_room * self.shape.publishers + u32::from(stamp.publisher);
        let have = &mut self.ring[(flow * self.ring_size + stamp.number % self.ring_size) as usize];
        *have += 1;
        if *have == self.shape.participants - 1 {
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
        self.troubles.closed += 1;
        self.blame(seat, || format!("lost its connection: {why}"));
    }

    fn blame(&mut self, seat: Seat, what: impl FnOnce() -> String) {
        if self.first_fault.is_none() {
            self.first_fault = Some(format!("room {} participant {}: {}", seat.room, seat.member, what()));
        }
    }

    /// Copies that are still to come.
    pub(crate) fn owed(&self) -> u64 {
        (self.sent * self.fanout()).saturating_sub(self.oracle.findings().delivered)
    }

    /// The verdict on the whole run. `global_room`: a room's number in the whole test.
    pub(crate) fn finish(&mut self, global_room: impl Fn(u32) -> u32) -> (Findings, Troubles) {
        if let Some((room, member, publisher, count)) = self.oracle.first_loss(|flow| self.flows[flow].next)
            && self.first_fault.is_none()
        {
            let room = global_room(room);
            self.first_fault = Some(format!(
                "room {room} participant {member}: lacks {count} messages of publisher {publisher}"
            ));
        }
        (self.oracle.finish(), self.troubles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "From: <sip:room0@x>\r\nTo: <sip:u1@x>\r\n\r\nContent-Type: text/plain\r\n\r\n";
    const WRAPPER: &str = "From: <sip:u0@x>\r\nTo: <sip:room0@x>\r\n\r\nContent-Type: text/plain\r\n\r\n";

    fn score(window: u32) -> Score {
        let shape = Shape { rooms: 1, participants: 3, publishers: 1, window };
        let names = Names { room_prefix: "room".into(), domain: "x".into() };
        Score::new(names, shape, Texts::new(1, 60), window, Interval { from: 0, to: 1_000 })
    }

    fn seat(member: u32) -> Seat {
        Seat { room: 0, local_room: 0, member }
    }

    fn message(score: &mut Score, due: u64) -> Vec<u8> {
        [WRAPPER.as_bytes(), score.next_text(0, seat(0), due)].concat()
    }

    #[test]
    fn a_publisher_may_go_on_when_every_receiver_has_its_message() {
        let mut s = score(1);
        assert_eq!(s.take_free(), Some((0, 1)));
        let m = message(&mut s, 0);
        assert_eq!(s.take_free(), None);
        s.message(seat(1), &m, 5);
        assert_eq!(s.take_free(), None);
        s.message(seat(1), &m, 6); // twice to the same does not count
        assert_eq!(s.take_free(), None);
        s.message(seat(2), &m, 7);
        assert_eq!(s.take_free(), Some((0, 1)));
        let (found, _) = s.finish(|room| room);
        assert_eq!((found.delivered, found.duplicates), (2, 1));
        assert!(s.first_fault.unwrap().contains("came twice"));
    }

    #[test]
    fn a_cut_copy_is_bad_and_its_delivery_is_owed() {
        let mut s = score(0);
        let m = message(&mut s, 0);
        s.message(seat(1), &m[..m.len() - 1], 5);
        s.message(seat(2), &m, 5);
        let (found, troubles) = s.finish(|room| room);
        assert_eq!((found.delivered, troubles.bad, s.owed()), (1, 1, 1));
    }

    #[test]
    fn what_the_room_says_itself_is_no_copy() {
        let mut s = score(0);
        s.message(seat(1), format!("{ROOM}Welcome!").as_bytes(), 5);
        let (found, troubles) = s.finish(|room| room);
        assert_eq!((found, troubles.bad), (Findings::default(), 0));
    }

    #[test]
    fn a_copy_under_another_name_is_bad() {
        let mut s = score(0);
        let mut m = message(&mut s, 0);
        m[12] = b'1'; // u0 becomes u1
        s.message(seat(1), &m, 5);
        s.message(seat(1), format!("{WRAPPER}Welcome!").as_bytes(), 5);
        let (found, troubles) = s.finish(|room| room);
        assert_eq!((found.delivered, troubles.bad), (0, 2));
    }

    #[test]
    fn latency_counts_from_the_moment_a_message_was_due() {
        let mut s = score(0);
        let m = message(&mut s, 100);
        s.message(seat(1), &m, 350);
        assert_eq!(s.meter.latency.max(), 250);
    }
}
