//! What comes from the switch: framing, judging, answering, putting together.

use super::{Endpoint, Incoming, News};
use crate::base::chunk::Flag;
use crate::base::clock::Now;
use crate::base::limits::PART_BYTES_MIN;
use crate::wire::cpim;
use crate::wire::msrp::encode::{ReportHead, report, response};
use crate::wire::msrp::frame::{FrameError, Step};
use crate::wire::msrp::head::{FailureReport, Head, Kind, Method};
use crate::wire::msrp::range::ByteRange;
use crate::wire::msrp::uri::MsrpUri;
use bytes::Buf;

// ---- receiving --------------------------------------------------------------------------------

impl Endpoint {
    /// Takes octets from the socket.
    ///
    /// # Errors
    /// When what comes cannot be MSRP: the connection is of no further use.
    pub(in crate::client) fn receive(&mut self, now: Now, octets: &[u8]) -> Result<(), FrameError> {
        self.heard = now;
        self.unread.extend_from_slice(octets);
        let mut unread = std::mem::take(&mut self.unread);
        let result = loop {
            let used = match self.framer.step(&unread, PART_BYTES_MIN) {
                Ok(Step::Partial) => break Ok(()),
                Ok(Step::Skip { used }) => used,
                Ok(Step::Head { head, body, end, used }) => {
                    self.on_head(now, &head, body.is_some(), &unread[..used]);
                    self.on_body(body.unwrap_or_default(), end);
                    used
                }
                Ok(Step::More { body, end, used }) => {
                    self.on_body(body, end);
                    used
                }
                Err(e) => break Err(e),
            };
            unread.advance(used);
        };
        self.unread = unread;
        result
    }

    fn on_head(&mut self, now: Now, head: &Head<'_>, has_body: bool, raw: &[u8]) {
        let (method, silent) = match head.kind {
            Kind::Response { code, comment } => {
                if head.fault.is_none() {
                    self.on_response(head.tid, code, comment);
                }
                return;
            }
            Kind::Request(Method::Report) => {
                if head.fault.is_none() && self.is_ours(head.to_path) {
                    self.on_report(head, raw);
                }
                return;
            }
            Kind::Request(method) => (method, head.failure_report == FailureReport::No),
        };
        // To a SEND the next hop answers, to anything else the other end (RFC 4975 §7.2).
        let to_path = if head.is_send() { head.first_from() } else { head.from_path };
        let mut incoming = Incoming {
            tid: head.tid.to_vec(),
            to_path: to_path.to_vec(),
            whole_from: head.from_path.to_vec(),
            message_id: head.message_id.unwrap_or_default().to_vec(),
            failure_report: head.failure_report,
            success_report: head.success_report,
            has_body,
            verdict: None,
            answered: false,
            silent: silent || head.from_path.is_empty(),
        };
        incoming.verdict = self.judge(now, head, method, has_body);
        self.incoming = Some(incoming);
    }

    /// What is wrong with a request, as far as its head shows.
    fn judge(
        &mut self,
        now: Now,
        head: &Head<'_>,
        method: Method<'_>,
        has_body: bool,
    ) -> Option<(u16, &'static str)> {
        if head.fault.is_some() {
            return Some((400, "Malformed request"));
        }
        if !self.is_ours(head.to_path) {
            return Some((481, "No such session"));
        }
        if method != Method::Send {
            return Some((501, "Unknown method"));
        }
        if !has_body {
            return None;
        }
        let content_type = head.content_type.unwrap_or_default();
        let bare = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if !bare.eq_ignore_ascii_case(b"message/cpim") {
            return Some((415, "Only message/cpim here"));
        }
        let range = head.byte_range.unwrap_or(ByteRange { start: 1, end: None, total: None });
        let id = head.message_id.unwrap_or_default();
        match self.assembly.begin(now, id, range.start, range.total) {
            Ok(()) => None,
            Err(_) => Some((413, "Message too large")),
        }
    }

    fn on_body(&mut self, octets: &[u8], end: Option<Flag>) {
        let Some(mut incoming) = self.incoming.take() else { return };
        let gathering = incoming.has_body && incoming.verdict.is_none();
        if gathering && self.assembly.add(&incoming.message_id, octets).is_err() {
            incoming.verdict = Some((413, "Message too large"));
        }
        match end {
            Some(flag) => self.on_end(incoming, flag),
            None => {
                // Refused already: say so at once and swallow the rest (MSRP-TXN-10).
                if let Some((code, comment)) = incoming.verdict {
                    self.answer(&mut incoming, code, comment);
                }
                self.incoming = Some(incoming);
            }
        }
    }

    fn on_end(&mut self, mut incoming: Incoming, flag: Flag) {
        let mut whole = None;
        if incoming.has_body && incoming.verdict.is_none() {
            whole = self.assembly.end(&incoming.message_id, flag);
            if whole.as_deref().is_some_and(|m| cpim::read(m).is_err()) {
                whole = None;
                incoming.verdict = Some((400, "CPIM wrapper not readable"));
            }
        }
        let (code, comment) = incoming.verdict.unwrap_or((200, "OK"));
        self.answer(&mut incoming, code, comment);
        if let Some(message) = whole {
            if incoming.success_report {
                self.report_success(&incoming, message.len() as u64);
            }
            self.news.push_back(News::Message(message));
        }
    }

    fn answer(&mut self, incoming: &mut Incoming, code: u16, comment: &str) {
        let partial = incoming.failure_report == FailureReport::Partial && code == 200;
        if !incoming.answered && !incoming.silent && !partial {
            let local = self.local.as_bytes();
            response(&mut self.urgent, &incoming.tid, code, comment, &incoming.to_path, local);
        }
        incoming.answered = true;
    }

    fn report_success(&mut self, incoming: &Incoming, octets: u64) {
        let tid = self.entropy.token();
        let head = ReportHead {
            to_path: &incoming.whole_from,
            from_path: self.local.as_bytes(),
            message_id: &incoming.message_id,
            range: ByteRange { start: 1, end: Some(octets), total: Some(octets) },
            code: 200,
            comment: "OK",
            cpim: None,
        };
        report(&mut self.urgent, tid.as_bytes(), &head);
    }

    /// Whether a To-Path names this session and nothing else (MSRP-URI-07).
    fn is_ours(&self, to_path: &[u8]) -> bool {
        let Ok(own) = MsrpUri::parse(self.local.as_bytes()) else { return false };
        MsrpUri::parse(to_path).is_ok_and(|to| to.same(&own))
    }
}
