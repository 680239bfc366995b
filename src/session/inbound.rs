//! The messages that come in through one session: open ones, their order, the bounds kept.
//!
//! A SEND's body comes in parts as they are read; a message comes in SENDs that may be out of order
//! (RFC 4975 §7.3.1). What leaves here is in order, begins with a readable CPIM wrapper whose From
//! belongs to the sender, and never repeats an octet.
//!
//! ```text
//!  part ──► no entry ──► wrapper readable? ──► First ──► (entry: Forwarding) ──► Next … ──► gone
//!                    └─► not yet: Gathering ─┘                     ▲
//!                    └─► begins later: held until its turn ────────┘
//!           refused: Refused, later parts are swallowed with the same answer (CHAT-CHUNK-09)
//! ```

use super::recent::Recent;
use super::wrapper::{Sender, WrapperAt, about, first};
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::id::MessageNo;
use crate::base::limits;
use crate::base::media::is_reported;
use crate::base::refusal::Refusal;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A part that goes on to the room.
#[derive(PartialEq, Eq, Debug)]
pub enum Emit<'b> {
    /// The beginning of a message, with its whole wrapper.
    First {
        /// The message.
        no: MessageNo,
        /// Where the first part's wrapper puts things; resolved with [`WrapperAt::envelope`].
        wrapper: WrapperAt,
        /// The octets.
        chunk: Chunk<Cow<'b, [u8]>>,
    },
    /// What follows, in order.
    Next {
        /// The message.
        no: MessageNo,
        /// The octets.
        chunk: Chunk<Cow<'b, [u8]>>,
    },
}

/// What became of a part.
#[derive(PartialEq, Eq, Debug)]
pub struct Accepted<'b> {
    /// What goes on to the room, in order.
    pub emits: SmallVec<[Emit<'b>; 1]>,
    /// Whether the part was taken.
    pub taken: Result<Taken, Refusal>,
}

/// A part that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// The message that it belongs to; `None` for a message of which nothing goes on.
    pub no: Option<MessageNo>,
    /// The whole length, once the message is complete.
    pub complete: Option<u64>,
    /// For a private message that is complete: its From and To as a wrapper without content.
    pub about: Option<Box<[u8]>>,
    /// Its sender may be told later what became of it, see [`is_reported`].
    pub reported: bool,
}

#[derive(Debug)]
struct Open {
    id: Box<[u8]>,
    no: MessageNo,
    total: Option<u64>,
    state: State,
    /// For a private message: its From and To, for reports.
    about: Option<Box<[u8]>>,
    reported: bool,
    /// Parts that came before their turn, unordered.
    held: Vec<Chunk<Vec<u8>>>,
    deadline: Now,
}

#[derive(Debug)]
enum State {
    /// The wrapper is not readable yet; these are the first octets.
    Gathering(Vec<u8>),
    /// The octet that goes on next.
    Forwarding(u64),
    /// Refused; the rest is swallowed.
    Refused(Refusal),
}

impl Open {
    fn next(&self) -> u64 {
        match &self.state {
            State::Gathering(got) => got.len() as u64 + 1,
            State::Forwarding(next) => *next,
            State::Refused(_) => u64::MAX,
        }
    }

    fn held_bytes(&self) -> usize {
        let gathered = if let State::Gathering(got) = &self.state { got.len() } else { 0 };
        gathered + self.held.iter().map(|c| c.body.len() + 64).sum::<usize>()
    }
}

/// The open messages of one session.
#[derive(Debug, Default)]
pub struct Inbound {
    /// At most `limits::OPEN_MESSAGES_MAX`.
    open: Vec<Open>,
    last_no: u32,
    /// Who only listens has none.
    recent: Option<Box<Recent>>,
}

impl Inbound {
    /// That of a session whose numbers go on after `last`.
    #[must_use]
    pub fn after(last: MessageNo) -> Self {
        Self { last_no: last.0, ..Self::default() }
    }

    /// The number given last.
    #[must_use]
    pub fn last(&self) -> MessageNo {
        MessageNo(self.last_no)
    }

    /// Takes a part of the message `id`.
    pub fn accept<'b>(
        &mut self,
        now: Now,
        sender: &Sender,
        id: &[u8],
        part: Chunk<&'b [u8]>,
    ) -> Accepted<'b> {
        let mut emits = SmallVec::new();
        let whole = part.start == 1 && part.flag == Flag::End;
        let taken = match self.open.iter().position(|o| *o.id == *id) {
            Some(i) => self.go_on(now, sender, i, part, &mut emits),
            None if whole && self.is_repeated(id, part.body) => Self::again(sender, part.body),
            None => self.begin(now, sender, id, part, &mut emits),
        };
        Accepted { emits, taken }
    }

    fn is_repeated(&self, id: &[u8], body: &[u8]) -> bool {
        self.recent.as_ref().is_some_and(|r| r.is_repeated(id, body))
    }

    /// A message that had come whole before the session was bound anew: answered as asked, not passed on
    /// (MSRP-CHUNK-15).
    fn again(sender: &Sender, body: &[u8]) -> Result<Taken, Refusal> {
        let wrapper = first(sender, body, true)?;
        let about = wrapper.and_then(|w| w.to).map(|_| about(body));
        Ok(Taken { complete: Some(body.len() as u64), about, ..Taken::default() })
    }

    fn begin<'b>(
        &mut self,
        now: Now,
        sender: &Sender,
        id: &[u8],
        part: Chunk<&'b [u8]>,
        emits: &mut SmallVec<[Emit<'b>; 1]>,
    ) -> Result<Taken, Refusal> {
        if part.flag == Flag::Abort {
            return Ok(Taken::default());
        }
        let end = part.start.saturating_sub(1).saturating_add(part.body.len() as u64);
        let refused = if end.max(part.total.unwrap_or(0)) > sender.message_bytes_max {
            Some(Refusal::TooLarge)
        } else if part.start == 1 {
            match first(sender, part.body, part.flag == Flag::End) {
                Ok(Some(wrapper)) => return self.start(now, id, wrapper, part, emits),
                Ok(None) if part.flag == Flag::End => Some(Refusal::BadWrapper),
                Ok(None) => None,
                Err(why) => Some(why),
            }
        } else {
            None
        };
        if let Some(why) = refused {
            // The answer to a whole message ends the matter; otherwise its later parts get the same.
            if part.flag == Flag::More && self.open.len() < limits::OPEN_MESSAGES_MAX {
                let no = self.number();
                self.push(now, id, no, part.total, State::Refused(why));
            }
            return Err(why);
        }
        if self.open.len() >= limits::OPEN_MESSAGES_MAX {
            return Err(Refusal::TooManyOpen);
        }
        let no = self.number();
        self.push(now, id, no, part.total, State::Gathering(Vec::new()));
        let i = self.open.len() - 1;
        self.go_on(now, sender, i, part, emits)
    }

    /// A message whose wrapper is readable at once: the usual case, which allocates nothing if whole.
    fn start<'b>(
        &mut self,
        now: Now,
        id: &[u8],
        wrapper: WrapperAt,
        part: Chunk<&'b [u8]>,
        emits: &mut SmallVec<[Emit<'b>; 1]>,
    ) -> Result<Taken, Refusal> {
        let len = part.body.len() as u64;
        let whole = part.flag == Flag::End;
        let claimed = believed(part.total, len);
        if !whole && self.open.len() >= limits::OPEN_MESSAGES_MAX {
            return Err(Refusal::TooManyOpen);
        }
        let no = self.number();
        let reported = is_reported(wrapper.envelope(part.body).content_type);
        if whole {
            self.recent.get_or_insert_default().came(id, part.body, no);
        } else {
            self.push(now, id, no, claimed, State::Forwarding(len + 1));
            if let Some(open) = self.open.last_mut() {
                open.reported = reported;
                open.about = wrapper.to.map(|_| about(part.body));
            }
        }
        let total = if whole { Some(len) } else { claimed };
        let chunk = Chunk { start: 1, total, body: Cow::Borrowed(part.body), flag: part.flag };
        emits.push(Emit::First { no, wrapper, chunk });
        let about = (whole && wrapper.to.is_some()).then(|| about(part.body));
        Ok(Taken { no: Some(no), complete: whole.then_some(len), about, reported })
    }

    fn go_on<'b>(
        &mut self,
        now: Now,
        sender: &Sender,
        i: usize,
        part: Chunk<&'b [u8]>,
        emits: &mut SmallVec<[Emit<'b>; 1]>,
    ) -> Result<Taken, Refusal> {
        let open = &mut self.open[i];
        open.deadline = now + limits::CHUNK_WAIT;
        let no = open.no;
        if let State::Refused(why) = open.state {
            if part.flag != Flag::More {
                self.open.swap_remove(i);
            }
            return Err(why);
        }
        if part.flag == Flag::Abort {
            self.abort(i, emits);
            return Ok(Taken { no: Some(no), ..Taken::default() });
        }
        let end = part.start.saturating_sub(1).saturating_add(part.body.len() as u64);
        let result = if end.max(part.total.unwrap_or(0)) > sender.message_bytes_max {
            Err(Refusal::TooLarge)
        } else if part.start > open.next() {
            hold(open, part)
        } else {
            advance(open, sender, part.start, Cow::Borrowed(part.body), part.flag, emits)
        };
        let result = result.and_then(|done| if done { Ok(true) } else { unhold(open, sender, emits) });
        match result {
            Ok(false) => Ok(Taken { no: Some(no), ..Taken::default() }),
            Ok(true) => {
                let open = self.open.swap_remove(i);
                let complete = Some(open.next() - 1);
                Ok(Taken { no: Some(no), complete, about: open.about, reported: open.reported })
            }
            Err(why) => {
                let why = self.refuse_open(i, why, emits);
                // Nothing of this message comes any more if this was its last part.
                if part.flag == Flag::End {
                    self.open.swap_remove(i);
                }
                Err(why)
            }
        }
    }

    /// Marks a message as refused and takes back what of it went on.
    fn refuse_open(&mut self, i: usize, why: Refusal, emits: &mut SmallVec<[Emit<'_>; 1]>) -> Refusal {
        let open = &mut self.open[i];
        if let State::Forwarding(next) = open.state {
            emits.push(ending(open.no, next, open.total));
        }
        open.state = State::Refused(why);
        open.held = Vec::new();
        why
    }

    fn abort(&mut self, i: usize, emits: &mut SmallVec<[Emit<'_>; 1]>) {
        let open = self.open.swap_remove(i);
        if let State::Forwarding(next) = open.state {
            emits.push(ending(open.no, next, open.total));
        }
    }

    /// The session ends or begins anew: nothing is open, but numbers go on, because verdicts on earlier
    /// messages may still come.
    pub fn forget(&mut self) {
        self.open = Vec::new();
        if let Some(recent) = &mut self.recent {
            recent.turn();
        }
    }

    /// The room refused message `no`: its later parts get the same answer.
    pub fn refused(&mut self, no: MessageNo, why: Refusal) {
        if let Some(recent) = &mut self.recent {
            recent.refused(no);
        }
        if let Some(open) = self.open.iter_mut().find(|o| o.no == no) {
            open.state = State::Refused(why);
            open.held = Vec::new();
        }
    }

    /// Gives up messages that waited too long for a part (CHAT-CHUNK-04).
    pub fn expire(&mut self, now: Now) -> SmallVec<[Emit<'static>; 1]> {
        let mut emits = SmallVec::new();
        let mut i = 0;
        while i < self.open.len() {
            if self.open[i].deadline <= now {
                self.abort(i, &mut emits);
            } else {
                i += 1;
            }
        }
        emits
    }

    /// When [`Self::expire`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        self.open.iter().map(|o| o.deadline).min()
    }

    /// Whether a part of the message `id` came before and more is to come.
    #[must_use]
    pub fn knows(&self, id: &[u8]) -> bool {
        self.open.iter().any(|o| *o.id == *id)
    }

    /// Messages begun and not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Asserts the bounds.
    ///
    /// # Panics
    /// If one is broken, which is a fault of this program.
    pub fn check(&self) {
        assert!(self.open.len() <= limits::OPEN_MESSAGES_MAX);
        assert!(self.recent.as_ref().is_none_or(|r| r.len() <= 2 * limits::RECENT_MESSAGES_MAX));
        for (i, open) in self.open.iter().enumerate() {
            assert!(open.held_bytes() <= limits::HELD_BYTES_MAX + limits::WRAPPER_BYTES_MAX + 64);
            assert!(self.open[..i].iter().all(|o| o.id != open.id), "one message is open twice");
        }
    }

    /// The number of the next message or other request that the room must judge.
    pub fn number(&mut self) -> MessageNo {
        self.last_no = self.last_no.wrapping_add(1);
        MessageNo(self.last_no)
    }

    fn push(&mut self, now: Now, id: &[u8], no: MessageNo, total: Option<u64>, state: State) {
        let deadline = now + limits::CHUNK_WAIT;
        self.open.push(Open {
            id: id.into(),
            no,
            total,
            state,
            about: None,
            reported: false,
            held: Vec::new(),
            deadline,
        });
    }
}

/// A claimed length, unless there are more octets already: nobody reads a range beyond its total.
fn believed(total: Option<u64>, octets: u64) -> Option<u64> {
    total.filter(|total| *total >= octets)
}

fn ending(no: MessageNo, next: u64, total: Option<u64>) -> Emit<'static> {
    Emit::Next { no, chunk: Chunk { start: next, total, body: Cow::Borrowed(&[]), flag: Flag::Abort } }
}

/// Keeps a part whose turn has not come.
fn hold(open: &mut Open, part: Chunk<&[u8]>) -> Result<bool, Refusal> {
    if open.held_bytes() + part.body.len() > limits::HELD_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    open.held.push(Chunk { start: part.start, total: part.total, body: part.body.to_vec(), flag: part.flag });
    Ok(false)
}

/// Passes on held parts whose turn has come. True when the message is complete.
fn unhold(open: &mut Open, sender: &Sender, emits: &mut SmallVec<[Emit<'_>; 1]>) -> Result<bool, Refusal> {
    // The last arrived wins where parts overlap (MSRP-CHUNK-08), so look from the back.
    while let Some(i) = open.held.iter().rposition(|c| c.start <= open.next()) {
        let part = open.held.remove(i);
        if advance(open, sender, part.start, Cow::Owned(part.body), part.flag, emits)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes octets that begin at or before the next one. True when the message is complete.
fn advance<'b>(
    open: &mut Open,
    sender: &Sender,
    start: u64,
    body: Cow<'b, [u8]>,
    flag: Flag,
    emits: &mut SmallVec<[Emit<'b>; 1]>,
) -> Result<bool, Refusal> {
    let old = usize::try_from(open.next() - start).unwrap_or(usize::MAX).min(body.len());
    let fresh = match body {
        Cow::Borrowed(b) => Cow::Borrowed(&b[old..]),
        Cow::Owned(mut b) => {
            b.drain(..old);
            Cow::Owned(b)
        }
    };
    let last = flag == Flag::End;
    match &mut open.state {
        State::Forwarding(next) => {
            let chunk_start = *next;
            *next += fresh.len() as u64;
            open.total = believed(open.total, *next - 1);
            if !fresh.is_empty() || last {
                let total = if last { Some(*next - 1) } else { open.total };
                let chunk = Chunk { start: chunk_start, total, body: fresh, flag };
                emits.push(Emit::Next { no: open.no, chunk });
            }
        }
        State::Gathering(got) => {
            got.extend_from_slice(&fresh);
            match first(sender, got, last)? {
                Some(wrapper) => {
                    let body = std::mem::take(got);
                    open.about = wrapper.to.is_some().then(|| about(&body));
                    open.reported = is_reported(wrapper.envelope(&body).content_type);
                    open.state = State::Forwarding(body.len() as u64 + 1);
                    open.total = believed(open.total, body.len() as u64);
                    let total = if last { Some(body.len() as u64) } else { open.total };
                    let chunk = Chunk { start: 1, total, body: Cow::Owned(body), flag };
                    emits.push(Emit::First { no: open.no, wrapper, chunk });
                }
                None if last => return Err(Refusal::BadWrapper),
                None if got.len() > limits::WRAPPER_BYTES_MAX => return Err(Refusal::TooLarge),
                None => {}
            }
        }
        State::Refused(why) => return Err(*why),
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::address::Address;

    const WRAPPER: &str = "From: <sip:alice@example.com>\r\nTo: <sip:lobby@chat.example.com>\r\n\r\nContent-Type: text/plain\r\n\r\n";

    fn sender() -> Sender {
        Sender {
            room: Address::parse("sip:lobby@chat.example.com").unwrap(),
            participant: Address::parse("sip:alice@example.com").unwrap(),
            aliases: Vec::new(),
            message_bytes_max: 10_000,
        }
    }

    fn part(start: u64, body: &[u8], flag: Flag) -> Chunk<&[u8]> {
        Chunk { start, total: None, body, flag }
    }

    /// Everything that went on, as (octets, flags) in order.
    fn joined(emits: &[Emit<'_>]) -> (Vec<u8>, Vec<Flag>) {
        let mut all = (Vec::new(), Vec::new());
        for e in emits {
            let (Emit::First { chunk, .. } | Emit::Next { chunk, .. }) = e;
            assert_eq!(chunk.start, all.0.len() as u64 + 1, "octets go on in order");
            all.0.extend_from_slice(&chunk.body);
            all.1.push(chunk.flag);
        }
        all
    }

    #[test]
    fn a_whole_message_goes_on_at_once_and_leaves_nothing_behind() {
        let mut inbound = Inbound::default();
        let text = format!("{WRAPPER}hello");
        let out = inbound.accept(Now(0), &sender(), b"m1", part(1, text.as_bytes(), Flag::End));
        assert_eq!(out.taken.map(|t| t.complete), Ok(Some(text.len() as u64)));
        let Emit::First { wrapper, chunk, .. } = &out.emits[0] else { panic!("no first part") };
        let envelope = wrapper.envelope(&chunk.body);
        assert_eq!((envelope.to, envelope.content_type), (None, "text/plain"));
        assert_eq!(inbound.open(), 0);
    }

    #[test]
    fn a_message_cut_anywhere_goes_on_unchanged() {
        // CHAT-CHUNK-01 CHAT-CHUNK-02
        let text = format!("{WRAPPER}hello, room");
        for cut in 1..text.len() {
            let mut inbound = Inbound::default();
            let (a, b) = text.as_bytes().split_at(cut);
            let mut emits = Vec::new();
            let one = inbound.accept(Now(0), &sender(), b"m1", part(1, a, Flag::More));
            assert!(one.taken.is_ok());
            if cut >= WRAPPER.len() {
                assert_eq!(one.emits.len(), 1, "goes on as soon as the wrapper is there");
            }
            emits.extend(one.emits);
            let two = inbound.accept(Now(0), &sender(), b"m1", part(cut as u64 + 1, b, Flag::End));
            assert_eq!(two.taken.map(|t| t.complete), Ok(Some(text.len() as u64)), "cut at {cut}");
            emits.extend(two.emits);
            assert_eq!(joined(&emits).0, text.as_bytes(), "cut at {cut}");
            assert_eq!(inbound.open(), 0);
        }
    }

    #[test]
    fn parts_in_any_order_with_overlaps_come_out_in_order() {
        // MSRP-CHUNK-08 MSRP-CHUNK-09 CHAT-CHUNK-08
        let text = format!("{WRAPPER}0123456789");
        let t = text.as_bytes();
        let w = WRAPPER.len();
        let parts = [(0, w - 3), (w - 5, w + 2), (w + 2, w + 6), (w + 4, w + 10)];
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [3, 0, 1, 2]];
        for order in orders {
            let mut inbound = Inbound::default();
            let mut emits = Vec::new();
            let mut complete = None;
            for i in order {
                let (a, b) = parts[i];
                let flag = if b == t.len() { Flag::End } else { Flag::More };
                let out = inbound.accept(Now(0), &sender(), b"m1", part(a as u64 + 1, &t[a..b], flag));
                complete = complete.or(out.taken.unwrap().complete);
                emits.extend(out.emits);
            }
            assert_eq!(joined(&emits).0, t, "{order:?}");
            assert_eq!(complete, Some(t.len() as u64), "{order:?}");
            assert_eq!(inbound.open(), 0, "{order:?}");
        }
    }

    #[test]
    fn a_total_that_was_too_small_is_claimed_no_longer_than_it_can_be_true() {
        // MSRP-FRAME-11
        let text = format!("{WRAPPER}0123456789");
        let (a, b) = text.as_bytes().split_at(text.len() - 5);
        for (claim, cut) in [(a.len(), WRAPPER.len()), (a.len() - 1, WRAPPER.len()), (a.len(), 10), (5, 10)] {
            let mut inbound = Inbound::default();
            let mut totals = Vec::new();
            let pieces = [&a[..cut], &a[cut..], b, b""];
            let mut start = 1;
            for (piece, flag) in pieces.into_iter().zip([Flag::More, Flag::More, Flag::More, Flag::Abort]) {
                let part = Chunk { total: Some(claim as u64), ..part(start, piece, flag) };
                start += piece.len() as u64;
                let out = inbound.accept(Now(0), &sender(), b"m1", part);
                totals.extend(out.emits.iter().map(|emit| match emit {
                    Emit::First { chunk, .. } | Emit::Next { chunk, .. } => {
                        (chunk.start - 1 + chunk.body.len() as u64, chunk.total)
                    }
                }));
            }
            assert!(totals.iter().all(|(end, total)| total.is_none_or(|t| t >= *end)), "{totals:?}");
            assert_eq!(totals.last(), Some(&(text.len() as u64, None)));
        }
    }

    #[test]
    fn messages_mixed_part_by_part_stay_apart() {
        // MSRP-CHUNK-14
        let mut inbound = Inbound::default();
        let s = sender();
        let w = WRAPPER.as_bytes();
        let at = w.len() as u64 + 1;
        let one = inbound.accept(Now(0), &s, b"one", part(1, w, Flag::More)).taken.unwrap().no;
        let two = inbound.accept(Now(0), &s, b"two", part(1, w, Flag::More)).taken.unwrap().no;
        assert_ne!(one, two);
        let out = inbound.accept(Now(0), &s, b"one", part(at, b"x", Flag::End));
        assert_eq!(out.taken.unwrap().no, one);
        let out = inbound.accept(Now(0), &s, b"two", part(at, b"y", Flag::End));
        assert_eq!(out.taken.unwrap().no, two);
    }

    #[test]
    fn a_foreign_from_is_refused_and_so_are_the_parts_that_follow() {
        // CHAT-MSG-03 CHAT-CHUNK-09 SEC-03
        let mut inbound = Inbound::default();
        let text = WRAPPER.replace("alice", "bob");
        let s = sender();
        let out = inbound.accept(Now(0), &s, b"m", part(1, text.as_bytes(), Flag::More));
        assert_eq!((out.taken, out.emits.len()), (Err(Refusal::ForeignFrom), 0));
        let out = inbound.accept(Now(0), &s, b"m", part(500, b"more", Flag::More));
        assert_eq!((out.taken, out.emits.len()), (Err(Refusal::ForeignFrom), 0));
        let out = inbound.accept(Now(0), &s, b"m", part(504, b"end", Flag::End));
        assert_eq!((out.taken, out.emits.len()), (Err(Refusal::ForeignFrom), 0));
        assert_eq!(inbound.open(), 0);
    }

    #[test]
    fn two_recipients_are_one_too_many() {
        // CHAT-MSG-05
        let text = WRAPPER.replace("To:", "To: <sip:bob@example.net>\r\nTo:");
        let out = Inbound::default().accept(Now(0), &sender(), b"m", part(1, text.as_bytes(), Flag::End));
        assert_eq!(out.taken, Err(Refusal::ManyRecipients));
    }

    #[test]
    fn another_recipient_than_the_room_is_named_in_the_envelope() {
        // CHAT-MSG-15
        let text = WRAPPER.replace("sip:lobby@chat.example.com", "sip:bob@example.net");
        let out = Inbound::default().accept(Now(0), &sender(), b"m", part(1, text.as_bytes(), Flag::End));
        let Emit::First { wrapper, chunk, .. } = &out.emits[0] else { panic!("no first part") };
        assert_eq!(wrapper.envelope(&chunk.body).to, Some("sip:bob@example.net"));
    }

    #[test]
    fn an_aborted_message_is_taken_back_and_forgotten() {
        // MSRP-CHUNK-10 CHAT-CHUNK-05
        let mut inbound = Inbound::default();
        let s = sender();
        let first = inbound.accept(Now(0), &s, b"m", part(1, WRAPPER.as_bytes(), Flag::More));
        assert_eq!(first.emits.len(), 1);
        let at = WRAPPER.len() as u64 + 1;
        let out = inbound.accept(Now(0), &s, b"m", part(at, b"", Flag::Abort));
        assert!(out.taken.is_ok());
        assert_eq!(
            joined(&[first.emits.into_vec(), out.emits.into_vec()].concat_all()).1,
            [Flag::More, Flag::Abort]
        );
        assert_eq!(inbound.open(), 0);
    }

    trait ConcatAll<'b> {
        fn concat_all(self) -> Vec<Emit<'b>>;
    }
    impl<'b> ConcatAll<'b> for [Vec<Emit<'b>>; 2] {
        fn concat_all(self) -> Vec<Emit<'b>> {
            self.into_iter().flatten().collect()
        }
    }

    #[test]
    fn too_large_is_said_at_the_claim_and_at_the_growth() {
        // MSRP-CHUNK-16 SEC-04
        let mut inbound = Inbound::default();
        let s = sender();
        let claim = Chunk { total: Some(10_001), ..part(1, WRAPPER.as_bytes(), Flag::More) };
        assert_eq!(inbound.accept(Now(0), &s, b"a", claim).taken, Err(Refusal::TooLarge));
        let w = WRAPPER.as_bytes();
        assert!(inbound.accept(Now(0), &s, b"b", part(1, w, Flag::More)).taken.is_ok());
        let big = vec![b'x'; 10_000];
        let out = inbound.accept(Now(0), &s, b"b", part(w.len() as u64 + 1, &big, Flag::More));
        assert_eq!(out.taken, Err(Refusal::TooLarge));
        assert!(matches!(&out.emits[..], [Emit::Next { chunk, .. }] if chunk.flag == Flag::Abort));
        let far = part(u64::MAX, b"x", Flag::More);
        assert_eq!(inbound.accept(Now(0), &s, b"c", far).taken, Err(Refusal::TooLarge));
    }

    #[test]
    fn a_message_that_turns_out_too_large_with_its_last_part_takes_no_place_of_the_next() {
        // SEC-05
        let mut inbound = Inbound::default();
        let s = sender();
        let (w, big) = (WRAPPER.as_bytes(), vec![b'x'; 10_000]);
        for n in 0..20 * limits::OPEN_MESSAGES_MAX {
            let id = format!("m{n}");
            let mut says =
                |start, body, flag| inbound.accept(Now(0), &s, id.as_bytes(), part(start, body, flag));
            assert!(says(1, w, Flag::More).taken.is_ok(), "message {n}");
            let last = says(w.len() as u64 + 1, &big, if n % 2 == 0 { Flag::End } else { Flag::Abort });
            assert_eq!(last.taken.is_err(), n % 2 == 0, "what is given up is refused by nobody");
            assert!(matches!(&last.emits[..], [Emit::Next { chunk, .. }] if chunk.flag == Flag::Abort));
        }
        assert_eq!(inbound.open(), 0);
    }

    #[test]
    fn nothing_more_is_said_of_a_command_however_its_wrapper_came() {
        let command = WRAPPER.replace("text/plain", crate::base::media::COMMAND) + "mute sip:bob@example.com";
        for cut in 1..command.len() {
            let mut inbound = Inbound::default();
            let (a, b) = command.as_bytes().split_at(cut);
            assert!(inbound.accept(Now(0), &sender(), b"m", part(1, a, Flag::More)).taken.is_ok());
            let last = inbound.accept(Now(0), &sender(), b"m", part(cut as u64 + 1, b, Flag::End));
            assert_eq!(last.taken.map(|t| t.reported), Ok(false), "cut at {cut}");
        }
    }

    #[test]
    fn what_waits_for_its_turn_is_bounded() {
        // SEC-05
        let mut inbound = Inbound::default();
        let s = Sender { message_bytes_max: u64::MAX, ..sender() };
        let big = vec![b'x'; 4096];
        let mut refused = false;
        for n in 0..100 {
            let out = inbound.accept(Now(0), &s, b"m", part(1000 + n * 4096, &big, Flag::More));
            refused |= out.taken == Err(Refusal::TooLarge);
        }
        assert!(refused);
        for n in 0..1000_u32 {
            inbound.accept(Now(0), &s, &n.to_be_bytes(), part(2, b"x", Flag::More));
        }
        assert_eq!(inbound.open(), limits::OPEN_MESSAGES_MAX);
    }

    #[test]
    fn an_unfinished_message_expires_540_seconds_after_its_last_part() {
        // CHAT-CHUNK-04
        let mut inbound = Inbound::default();
        let s = sender();
        inbound.accept(Now(0), &s, b"m", part(1, WRAPPER.as_bytes(), Flag::More));
        let later = Now(0) + limits::CHUNK_WAIT / 2;
        inbound.accept(later, &s, b"m", part(WRAPPER.len() as u64 + 1, b"x", Flag::More));
        let due = later + limits::CHUNK_WAIT;
        assert_eq!(inbound.deadline(), Some(due));
        assert!(inbound.expire(Now(due.0 - 1)).is_empty());
        assert!(matches!(&inbound.expire(due)[..], [Emit::Next { chunk, .. }] if chunk.flag == Flag::Abort));
        assert_eq!(inbound.open(), 0);
    }
}
