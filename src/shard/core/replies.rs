//! What sessions here answer and are told, and what their peers answer to us.

use super::{ShardCore, State};
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, MessageNo, SessionId, Token};
use crate::base::refusal::Refusal;
use crate::session::inbound::Taken;
use crate::session::owed::{Receipt, Reported, Whole};
use crate::shard::audience::copy::common_tid;
use crate::shard::conns::Wait;
use crate::shard::message::{Ended, Outcome};
use crate::wire::msrp::encode::{self, ReportHead};
use crate::wire::msrp::head::{FailureReport, Head};
use crate::wire::msrp::range::ByteRange;
use crate::wire::msrp::uri::only_session_id;

impl ShardCore {
    /// Answers a SEND that has ended, now or when the verdict on its message comes.
    pub(super) fn answer_send(
        &mut self,
        now: Now,
        id: ConnId,
        endpoint: EndpointId,
        taken: &Result<Taken, Refusal>,
        receipt: Receipt,
    ) {
        let undecided = taken.as_ref().ok().and_then(|t| t.no);
        let debts = self.sessions.get(&endpoint).and_then(|s| s.debts.as_ref());
        let undecided = undecided.filter(|no| debts.is_some_and(|d| d.owed.is_undecided(*no)));
        match undecided {
            Some(no) => {
                if let Some(session) = self.sessions.get_mut(&endpoint) {
                    session.debts().owed.keep(no, receipt);
                    if let (true, Some(conn)) = (session.owes_too_much(), self.conns.get_mut(id)) {
                        conn.unfinished().owes = Some(endpoint);
                    }
                }
            }
            None => self.answer(now, id, endpoint, &receipt, taken.as_ref().map(|_| ()).map_err(|why| *why)),
        }
    }

    /// The verdict on a message of a session here, from the room's home.
    pub(super) fn verdict(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        no: MessageNo,
        verdict: Result<(), Refusal>,
    ) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        if let Err(why) = verdict {
            session.inbound.refused(no, why);
        }
        let due: Vec<Receipt> = session.debts().owed.decide(no).collect();
        session.settle();
        let State::Bound(id) = session.state else { return };
        for receipt in due {
            self.answer(now, id, endpoint, &receipt, verdict);
        }
        let conn = self.conns.get_mut(id);
        if conn.is_some_and(|c| c.waits_no_more(|w| w == Wait::Verdicts(endpoint))) {
            self.outputs.resume.push(id);
        }
    }

    /// Writes the answer to a SEND, and the success report if one is due (RFC 4975 §7.1.4, §7.2).
    pub(super) fn answer(
        &mut self,
        now: Now,
        id: ConnId,
        endpoint: EndpointId,
        receipt: &Receipt,
        verdict: Result<(), Refusal>,
    ) {
        let Some(session) = self.sessions.get(&endpoint).map(|s| s.grant.session) else { return };
        let (code, comment) = match verdict {
            Ok(()) => (200, "OK".into()),
            Err(why) => {
                let code = why.msrp();
                *self.counters.refused.entry(code.0).or_default() += 1;
                self.counters.floods.note(why);
                code
            }
        };
        let answered = match receipt.failure_report {
            _ if receipt.whole_path => true,
            FailureReport::Yes => true,
            FailureReport::Partial => verdict.is_err(),
            FailureReport::No => false,
        };
        if !answered && receipt.whole.is_none() {
            return;
        }
        let uri = self.uri(&session);
        if answered {
            let path = &receipt.from_path;
            let to = if receipt.whole_path { path } else { first_uri(path) };
            self.conns
                .push_with(now, id, |out| encode::response(out, &receipt.tid, code, &comment, to, &uri));
        }
        let (Ok(()), Some(whole)) = (verdict, &receipt.whole) else { return };
        if receipt.success {
            let tid = self.entropy.token();
            let head = ReportHead {
                to_path: &receipt.from_path,
                from_path: &uri,
                message_id: &whole.message_id,
                range: ByteRange { start: 1, end: Some(whole.len), total: Some(whole.len) },
                code: 200,
                comment: "OK",
                cpim: whole.about.as_deref(),
            };
            self.conns.push_with(now, id, |out| encode::report(out, tid.as_bytes(), &head));
        }
        self.expect_outcome(now, endpoint, receipt, whole);
    }

    /// Keeps what is to be told of a message later. What nobody will count is told at once.
    fn expect_outcome(&mut self, now: Now, endpoint: EndpointId, receipt: &Receipt, whole: &Whole) {
        if receipt.follow.is_none() && !receipt.count {
            return;
        }
        let reported = Reported {
            from_path: receipt.from_path.clone(),
            whole: whole.clone(),
            count: receipt.count,
            failure: whole.about.is_some() && receipt.failure_report != FailureReport::No,
        };
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        let unknown = Outcome { count: None, failed: None };
        let (outcome, reported) = match receipt.follow {
            None => (unknown, reported),
            Some(no) => match session.debts().untold.take(no) {
                Some(outcome) => (outcome, reported),
                None => match session.debts().owed.follow(no, reported) {
                    Ok(()) => return,
                    Err(reported) => (unknown, reported),
                },
            },
        };
        self.report_outcome(now, endpoint, &reported, outcome);
    }

    /// An answer to something we sent.
    pub(super) fn response(&mut self, now: Now, id: ConnId, head: &Head<'_>, code: u16) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.opened_for().is_some() {
            return self.binding_answered(now, id, head.tid, code);
        }
        if code / 100 == 2 && self.answers.is_empty() {
            return;
        }
        let session = only_session_id(head.to_path).and_then(SessionId::parse);
        let Some(&endpoint) = session.and_then(|s| self.by_id.get(&s)) else { return };
        if !conn.sessions().contains(&endpoint) {
            return;
        }
        if let Some(tid) = common_tid(head.tid) {
            self.copy_answered(now, endpoint, tid, code);
        }
        if matches!(code, 481 | 506) {
            self.lose(now, endpoint, Ended::Disowned);
        }
    }

    /// A copy was answered: that may be wanted by its sender, and a refusal by those that send copies.
    fn copy_answered(&mut self, now: Now, endpoint: EndpointId, tid: Token, code: u16) {
        let Some(session) = self.sessions.get(&endpoint) else { return };
        let room = session.grant.room;
        let (Some(place), Some(audience)) = (session.member, self.audiences.get_mut(&room)) else { return };
        if matches!(code, 413 | 415) {
            audience.refused(now, &mut self.conns, &mut self.entropy, place, tid, code);
        }
        if let (Some(answers), Some(member)) = (self.answers.get_mut(&room), audience.member_mut(place)) {
            answers.answered(tid, member.slot, member.number, code);
            self.pass_on_heard(now, room);
        }
    }
}

pub(super) fn first_uri(path: &[u8]) -> &[u8] {
    path.split(|b| *b == b' ').next().unwrap_or_default()
}

/// What the answer to a request needs, and what else its sender wants to hear.
pub(super) fn receipt(head: &Head<'_>, counts: bool) -> Receipt {
    Receipt {
        whole_path: false,
        tid: head.tid.into(),
        from_path: head.from_path.into(),
        failure_report: head.failure_report,
        success: head.success_report,
        count: counts && head.asks_count(),
        follow: None,
        whole: None,
    }
}

/// The SEND took its message to its end: what may be reported of that.
pub(super) fn complete(receipt: &mut Receipt, message_id: &[u8], taken: &Taken) {
    let Some(len) = taken.complete else { return };
    receipt.count &= taken.reported;
    let fails = taken.about.is_some() && receipt.failure_report != FailureReport::No && taken.reported;
    let follows = receipt.count || fails;
    receipt.follow = taken.no.filter(|_| follows);
    receipt.whole = (receipt.success || follows).then(|| Whole {
        message_id: message_id.into(),
        len,
        about: taken.about.clone(),
    });
}
