//! What the switch itself says to one endpoint: the room's words, marked as no participant's.

use super::{ShardCore, State};
use crate::base::address::Address;
use crate::base::chunk::Flag;
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId};
use crate::base::limits;
use crate::shard::message::{Notice, ShardMessage};
use crate::wire::cpim;
use crate::wire::msrp::encode;
use crate::wire::msrp::head::FailureReport;
use crate::wire::msrp::range::ByteRange;

/// How clients in the field tell the server's words from people's: shown, but not as a message.
const STATUS: [(&str, &str); 2] =
    [("NS", "agp <urn:ag-projects:xml:ns:cpim>"), ("agp.Message-Type", "status")];

impl ShardCore {
    /// The focus has something to say to an endpoint: to the shard where its session is.
    pub(super) fn room_notice(&mut self, now: Now, notice: Box<Notice>) {
        let room = self.room_names.get(&notice.room).and_then(|r| self.rooms.get(r));
        if let Some(at) = room.and_then(|r| r.roster().shard_of(notice.endpoint)) {
            self.tell(now, at, ShardMessage::Notice(notice));
        }
    }

    /// Says it: to the endpoint alone, or as messages to all of the room, which an endpoint that knows no rooms understands
    /// (CHAT-JOIN-08). Who is gone, or takes no text, is told nothing.
    pub(super) fn notice(&mut self, now: Now, notice: Box<Notice>) {
        let endpoint = notice.endpoint;
        let Some(session) = self.sessions.get(&endpoint) else {
            if let Some(to) = self.moved.get(&endpoint) {
                self.outputs.mesh.push((*to, ShardMessage::Notice(notice)));
            }
            return;
        };
        let State::Bound(conn) = session.state else { return };
        let sender = &session.grant.sender;
        let to = if notice.private { &sender.participant } else { &sender.room }.clone();
        let (room, place) = (session.grant.room, session.member);
        let limit = match (self.member(room, place), &session.grant.terms) {
            (Some(member), _) if member.takes().declines("text/plain", 0).is_none() => {
                member.takes().max_size()
            }
            (None, Some(terms)) if terms.may_receive && terms.accepts.allows("text/plain") => {
                terms.max_size.unwrap_or(u64::MAX)
            }
            _ => return,
        };
        for text in &notice.texts {
            if self.conns.get(conn).is_some_and(|c| c.queue.len() > limits::QUEUE_BYTES_FILLING) {
                let member = place.and_then(|m| self.audiences.get_mut(&room)?.member_mut(m));
                if let (Some(member), Some(c)) = (member, self.conns.get_mut(conn)) {
                    member.skipped = member.skipped.saturating_add(1);
                    c.skip();
                }
                continue;
            }
            self.say(now, conn, endpoint, &to, &STATUS, text, limit);
        }
    }

    /// Writes a text of the room to an endpoint, as one message of at most `limit` octets or not at all.
    #[allow(clippy::too_many_arguments)] // One message, and where it goes.
    pub(super) fn say(
        &mut self,
        now: Now,
        conn: ConnId,
        endpoint: EndpointId,
        to: &Address,
        headers: &[(&str, &str)],
        text: &str,
        limit: u64,
    ) {
        let Some(session) = self.sessions.get(&endpoint) else { return };
        let preamble = match (self.member(session.grant.room, session.member), &session.grant.terms) {
            (Some(member), _) => member.preamble.clone(),
            (None, Some(terms)) => encode::preamble(&terms.peer_path, &self.uri(&session.grant.session)),
            (None, None) => return,
        };
        let mut body = Vec::new();
        let draft = cpim::Draft {
            from: session.grant.sender.room.as_str(),
            from_name: "",
            to: to.as_str(),
            to_name: "",
            date_time: "",
            headers,
            content_type: "text/plain;charset=UTF-8",
            content: text.as_bytes(),
        };
        cpim::write(&mut body, &draft);
        let len = body.len() as u64;
        if len > limit {
            return;
        }
        let (tid, message_id) = (self.entropy.token(), self.entropy.token());
        let tail = encode::TailHead {
            message_id: message_id.as_bytes(),
            range: ByteRange { start: 1, end: Some(len), total: Some(len) },
            failure_report: FailureReport::No,
            success_report: false,
            content_type: Some(b"message/cpim"),
        };
        self.conns.push_with(now, conn, |out| {
            encode::send(out, tid.as_bytes(), &preamble, &tail, &body, Flag::End);
        });
    }
}
