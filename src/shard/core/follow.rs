//! Messages whose sender is told more after the answer: how many have a counted one, or that a private one
//! failed. From the copies back to the sender.
//!
//! ```text
//!  answers to copies ─► Answers (each shard) ─Heard─► Tally (home) ─Outcome─► Owed (sender's shard) ─► REPORT
//! ```
//!
//! Every message that a session posted with a wish for feedback, and that its room accepted whole, comes to an
//! outcome: when everybody answered, after `limits::COPY_ANSWER_WAIT`, or at once where too many are followed.

use super::{ShardCore, State};
use crate::base::clock::Now;
use crate::base::id::{EndpointId, MessageNo, RoomId, Seq, ShardId};
use crate::base::limits;
use crate::base::marks::Marks;
use crate::session::owed::Reported;
use crate::shard::audience::answers::Heard;
use crate::shard::message::{Outcome, ShardMessage};
use crate::shard::timers::Timer;
use crate::wire::msrp::encode::{self, DeliveryCount, ReportHead};
use crate::wire::msrp::range::ByteRange;
use ahash::AHashMap;
use smallvec::SmallVec;

/// What the home of a room knows of a followed message.
#[derive(Debug)]
struct Tally {
    seq: Seq,
    endpoint: EndpointId,
    no: MessageNo,
    /// A private message: it has one recipient, however many of its endpoints are left.
    private: bool,
    /// Shards that have not said what they heard.
    waiting: SmallVec<[ShardId; 4]>,
    meant: Marks,
    got: Marks,
    code: Option<u16>,
}

impl Tally {
    fn outcome(&self) -> Outcome {
        let of = u32::try_from(self.meant.len()).unwrap_or(u32::MAX);
        let got = u32::try_from(self.got.len()).unwrap_or(u32::MAX);
        let of = if self.private { 1 } else { of };
        Outcome { count: Some((got, of)), failed: (got == 0).then(|| self.code.unwrap_or(408)) }
    }
}

/// The followed messages of all rooms whose home is here.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    rooms: AHashMap<RoomId, Vec<Tally>>,
    count: usize,
}

impl Tallies {
    /// No message is followed.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The shards that a part of a followed message goes to even if nobody is there any more.
    pub(super) fn waiting(&self, room: RoomId, seq: Seq) -> &[ShardId] {
        let tally = self.rooms.get(&room).and_then(|all| all.iter().find(|t| t.seq == seq));
        tally.map_or(&[], |t| &t.waiting)
    }

    fn begin(&mut self, room: RoomId, tally: Tally) -> bool {
        let all = self.rooms.entry(room).or_default();
        let room_left = all.len() < limits::ROOM_FOLLOWED_MAX && self.count < limits::SHARD_FOLLOWED_MAX;
        if room_left {
            self.count += 1;
            all.push(tally);
        }
        room_left
    }

    fn get_mut(&mut self, room: RoomId, seq: Seq) -> Option<&mut Tally> {
        self.rooms.get_mut(&room)?.iter_mut().find(|t| t.seq == seq)
    }

    fn remove(&mut self, room: RoomId, seq: Seq) -> Option<Tally> {
        let all = self.rooms.get_mut(&room)?;
        let place = all.iter().position(|t| t.seq == seq)?;
        self.count -= 1;
        let tally = all.swap_remove(place);
        if all.is_empty() {
            self.rooms.remove(&room);
        }
        Some(tally)
    }

    /// The room is over: there is nobody left to tell.
    pub(super) fn close(&mut self, room: RoomId) {
        self.count -= self.rooms.remove(&room).map_or(0, |all| all.len());
    }

    /// Asserts the bounds.
    pub(super) fn check(&self) {
        assert_eq!(self.count, self.rooms.values().map(Vec::len).sum::<usize>());
        assert!(self.rooms.values().all(|all| (1..=limits::ROOM_FOLLOWED_MAX).contains(&all.len())));
    }
}

impl ShardCore {
    /// A message begins at its home: whether its copies are followed to the end.
    pub(super) fn follow(
        &mut self,
        now: Now,
        room: RoomId,
        seq: Seq,
        sender: (EndpointId, MessageNo),
        private: bool,
        shards: &[ShardId],
    ) -> bool {
        let (endpoint, no) = sender;
        let (meant, got) = (Marks::default(), Marks::default());
        let waiting = shards.into();
        let tally = Tally { seq, endpoint, no, private, waiting, meant, got, code: None };
        let follows = self.tallies.begin(room, tally);
        if !follows {
            let outcome = Outcome { count: None, failed: None };
            self.tell_outcome(now, room, endpoint, no, outcome);
        }
        follows
    }

    /// A followed message ended unfinished: its sender knows, or is gone.
    pub(super) fn unfollow(&mut self, room: RoomId, seq: Seq) {
        self.tallies.remove(room, seq);
    }

    /// Passes on what was heard of messages of which nothing more will be.
    pub(super) fn pass_on_heard(&mut self, now: Now, room: RoomId) {
        while let Some(answers) = self.answers.get_mut(&room) {
            let Some((seq, heard)) = answers.take_done() else { break };
            let heard = Box::new(heard);
            self.tell(now, room.home(), ShardMessage::Heard { room, seq, heard });
        }
        let Some(answers) = self.answers.get_mut(&room) else { return };
        // While somebody looks at it anyway, it stays: so there is one timer, however many messages come and go.
        if answers.is_empty() && !answers.timer {
            self.answers.remove(&room);
        } else if let (Some(due), false) = (answers.deadline(), answers.timer) {
            answers.timer = true;
            self.timers.set(due, Timer::Answers(room));
        }
    }

    /// Recipients may have been silent for too long.
    pub(super) fn answers_due(&mut self, now: Now, room: RoomId) {
        let Some(answers) = self.answers.get_mut(&room) else { return };
        answers.timer = false;
        answers.expire(now);
        self.pass_on_heard(now, room);
    }

    /// A shard says what it heard of a followed message; the last one decides.
    pub(super) fn heard(&mut self, now: Now, room: RoomId, seq: Seq, by: ShardId, heard: &Heard) {
        let Some(tally) = self.tallies.get_mut(room, seq) else { return };
        let Some(place) = tally.waiting.iter().position(|shard| *shard == by) else { return };
        tally.waiting.swap_remove(place);
        tally.meant.add(&heard.meant);
        tally.got.add(&heard.got);
        tally.code = tally.code.or(heard.code);
        if tally.waiting.is_empty()
            && let Some(tally) = self.tallies.remove(room, seq)
        {
            self.tell_outcome(now, room, tally.endpoint, tally.no, tally.outcome());
        }
    }

    /// Tells the shard of the sender what became of its message, unless it has left. Here it is told in a turn
    /// of its own: the answer to the message comes first.
    fn tell_outcome(
        &mut self,
        now: Now,
        room: RoomId,
        endpoint: EndpointId,
        no: MessageNo,
        outcome: Outcome,
    ) {
        let Some(at) = self.shard_of(room, endpoint) else { return };
        if at == self.config.id {
            self.outcomes.push((endpoint, no, outcome));
            self.timers.set(now, Timer::Outcomes);
        } else {
            self.outputs.mesh.push((at, ShardMessage::Outcome { endpoint, no, outcome }));
        }
    }

    /// The outcomes of messages from here.
    pub(super) fn outcomes_due(&mut self, now: Now) {
        for (endpoint, no, outcome) in std::mem::take(&mut self.outcomes) {
            self.outcome(now, endpoint, no, outcome);
        }
    }

    /// What became of a message of a session here: one REPORT, if there is something to tell.
    pub(super) fn outcome(&mut self, now: Now, endpoint: EndpointId, no: MessageNo, outcome: Outcome) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        let reported = session.debts().owed.outcome(no);
        if reported.is_none() {
            session.debts().untold.keep(no, outcome);
        }
        session.settle();
        if let Some(reported) = reported {
            self.report_outcome(now, endpoint, &reported, outcome);
        }
    }

    /// Writes that REPORT: about the whole message, with the count if that was asked for (docs/extensions.md).
    pub(super) fn report_outcome(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        reported: &Reported,
        outcome: Outcome,
    ) {
        let Some(session) = self.sessions.get(&endpoint) else { return };
        let State::Bound(id) = session.state else { return };
        let uri = self.uri(&session.grant.session);
        let count = reported.count.then_some(match outcome.count {
            Some((got, of)) => DeliveryCount::Of(got, of),
            None => DeliveryCount::Unknown,
        });
        let (code, comment) = match (outcome.failed.filter(|_| reported.failure), outcome.count) {
            (Some(code), _) => (code, String::from(failure(code))),
            (None, _) if count.is_none() => return,
            (None, Some((got, of))) => (200, format!("received by {got} of {of}")),
            (None, None) => (200, String::from("received by an unknown number")),
        };
        let len = reported.whole.len;
        let head = ReportHead {
            to_path: &reported.from_path,
            from_path: &uri,
            message_id: &reported.whole.message_id,
            range: ByteRange { start: 1, end: Some(len), total: Some(len) },
            code,
            comment: &comment,
            cpim: reported.whole.about.as_deref(),
        };
        let tid = self.entropy.token();
        self.conns.push_with(now, id, |out| encode::counting_report(out, tid.as_bytes(), &head, count));
    }
}

/// Outcomes that came before their message was whole: nobody counts it. The oldest go first.
#[derive(Debug, Default)]
pub(super) struct Untold(Vec<(MessageNo, Outcome)>);

impl Untold {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn keep(&mut self, no: MessageNo, outcome: Outcome) {
        if self.0.len() >= limits::OPEN_MESSAGES_MAX {
            self.0.remove(0);
        }
        self.0.push((no, outcome));
    }

    /// The outcome of a message that is whole by now.
    pub(super) fn take(&mut self, no: MessageNo) -> Option<Outcome> {
        let place = self.0.iter().position(|(n, _)| *n == no)?;
        Some(self.0.remove(place).1)
    }
}

/// Why a private message failed, in words.
fn failure(code: u16) -> &'static str {
    match code {
        403 => "Recipient takes no messages",
        408 => "Recipient did not answer in time",
        413 => "Too large for the recipient",
        415 => "Recipient does not take this type",
        481 | 506 => "Recipient is gone",
        _ => "Recipient refused",
    }
}
