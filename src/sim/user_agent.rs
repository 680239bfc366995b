//! A participant's SIP side: dialogs, the call, requests as text. What it does with them is in `calls.rs`.

use super::desk::PEER;
use super::people::{Seat, peer_path};
use super::plan::Manner;
use super::watch::Watch;
use super::world::World;
use crate::base::clock::Now;
use crate::focus::TxId;
use crate::focus::signalling::{Headers, Method, NameAddr, Reply, Response, param};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a request of a user agent is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// It wants in.
    Invite,
    /// It offers something else: a new path, another direction.
    Reinvite,
    /// It keeps the call alive.
    Refresh(Method),
    /// It leaves.
    Bye,
    /// It watches the room, goes on with it, or ends it.
    Subscribe,
    /// It asks the room to bring in or take out somebody.
    Refer,
}

impl What {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Invite => 0,
            Self::Reinvite => 1,
            Self::Refresh(method) => 10 + method as u64,
            Self::Bye => 2,
            Self::Subscribe => 3,
            Self::Refer => 4,
        }
    }
}

/// A dialog, as this side sees it.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) room: usize,
    pub(super) own: String,
    pub(super) theirs: Option<String>,
    pub(super) seq: u32,
    /// The highest number that the focus used.
    pub(super) heard: u32,
}

/// The call of a user agent.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The Call-ID.
    pub(super) name: String,
    /// The transaction of the INVITE.
    pub(super) invite: TxId,
    /// A 200 has come, or was given.
    pub(super) up: bool,
    /// It is no longer wanted, but not answered yet.
    pub(super) cancelled: bool,
    /// The INVITE had no offer.
    pub(super) offerless: bool,
    /// The call that it replaces: the seat and the Call-ID.
    pub(super) replaces: Option<(usize, String)>,
    /// Version of our `o=`.
    pub(super) version: u32,
    /// The binding that our description names.
    pub(super) path: usize,
    pub(super) direction: &'static str,
    /// The message media is closed.
    pub(super) closed: bool,
    /// An offer of ours is under way.
    pub(super) offering: bool,
    /// When to refresh.
    pub(super) refresh: Option<Now>,
    /// Another device has taken its place.
    pub(super) replaced: bool,
}

/// What makes a user agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Agent {
    pub(super) udp: bool,
    /// What it says of session timers, if anything.
    pub(super) timer: Option<&'static str>,
    pub(super) updates: bool,
    /// It promises to refresh and does not.
    pub(super) forgets: bool,
    /// It knows neither nicknames nor private messages.
    pub(super) old: bool,
    pub(super) dialogs: BTreeMap<String, Dialog>,
    pub(super) made: u64,
    pub(super) call: Option<Call>,
    pub(super) watch: Option<Watch>,
    /// REFERs that were accepted and whose outcome is open, by Call-ID and Event.
    pub(super) refers: BTreeMap<String, bool>,
    /// Something of its signalling got lost since the call began.
    pub(super) troubled: bool,
    /// It rings.
    pub(super) ringing: bool,
}

impl Agent {
    pub(super) fn refresh_at(&self) -> Option<Now> {
        self.call.as_ref().filter(|c| c.up).and_then(|c| c.refresh)
    }

    /// A new dialog of ours; its Call-ID.
    pub(super) fn opens(&mut self, seat: usize, room: usize) -> String {
        self.made += 1;
        let name = format!("c{}s{seat}", self.made);
        let own = format!("t{}", self.made);
        self.dialogs.insert(name.clone(), Dialog { room, own, theirs: None, seq: 0, heard: 0 });
        name
    }
}

impl Seat {
    /// The Contact URI.
    pub(super) fn contact(&self) -> String {
        format!("sip:user{}@pc{}.example.com", self.user, self.number)
    }

    /// What a description says of its message media.
    pub(super) fn description(&self, call: &Call) -> String {
        let [a, b, c, d] = PEER;
        let setup = if self.passive { "passive" } else { "active" };
        let chatroom = if self.agent.old { "" } else { "a=chatroom:nickname private-messages\r\n" };
        let port = if call.closed { 0 } else { 2855 };
        format!(
            "v=0\r\no=- {} {} IN IP4 {a}.{b}.{c}.{d}\r\ns=-\r\nc=IN IP4 {a}.{b}.{c}.{d}\r\nt=0 0\r\n\
             m=message {port} TCP/MSRP *\r\na=path:{}\r\na=setup:{setup}\r\na=accept-types:message/cpim\r\n\
             a=accept-wrapped-types:*\r\n{chatroom}a={}\r\n",
            self.number + 1,
            call.version,
            peer_path(call.path),
            call.direction
        )
    }

    /// What INVITE and UPDATE say besides.
    pub(super) fn talents(&self) -> String {
        let mut lines = String::from("Supported: timer, replaces\r\n");
        lines +=
            if self.agent.updates { "Allow: INVITE, ACK, BYE, UPDATE\r\n" } else { "Allow: INVITE, BYE\r\n" };
        if let Some(refresher) = self.agent.timer {
            lines += &format!("Session-Expires: 90{refresher}\r\n");
        }
        lines
    }
}

impl World {
    /// A request in a dialog of this seat, with the next number.
    pub(super) fn text(&mut self, i: usize, name: &str, method: &str, extra: &str, body: &str) -> Vec<u8> {
        if let Some(dialog) = self.seats[i].agent.dialogs.get_mut(name) {
            dialog.seq += u32::from(method != "ACK");
        }
        let seat = &self.seats[i];
        let Some(dialog) = seat.agent.dialogs.get(name) else { return Vec::new() };
        let room = self.rooms[dialog.room].as_str();
        let to_tag = dialog.theirs.as_ref().map(|t| format!(";tag={t}")).unwrap_or_default();
        let privacy = if self.plan.is_hidden(seat.user) { "Privacy: id\r\n" } else { "" };
        let media = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {room} SIP/2.0\r\nVia: SIP/2.0/{} 192.0.2.1:5060;branch=z9hG4bK{name}x{}\r\n\
             Max-Forwards: 70\r\nFrom: \"Somebody\" <sip:user{}@example.com>;tag={}\r\n\
             To: <{room}>{to_tag}\r\nCall-ID: {name}\r\nCSeq: {} {method}\r\nContact: <{}>\r\n\
             {privacy}{media}{extra}Content-Length: {}\r\n\r\n{body}",
            if seat.agent.udp { "UDP" } else { "TCP" },
            dialog.seq,
            seat.user,
            dialog.own,
            dialog.seq,
            seat.contact(),
            body.len()
        )
        .into_bytes()
    }

    /// A 200 of this seat.
    pub(super) fn ok(&self, i: usize, body: String) -> Reply {
        let mut headers = Headers::default();
        headers.push("Contact", format!("<{}>", self.seats[i].contact()));
        headers.push("Allow", if self.seats[i].agent.updates { "INVITE, UPDATE" } else { "INVITE" });
        if !body.is_empty() {
            headers.push("Content-Type", "application/sdp");
        }
        Reply { code: 200, headers, body: body.into_bytes(), peer: None }
    }

    /// Takes note of when the call must be refreshed, by whom.
    pub(super) fn heed_timer(&mut self, i: usize, response: &Response) {
        let agent = &mut self.seats[i].agent;
        let Some(call) = &mut agent.call else { return };
        call.refresh = None;
        let Some(line) = response.headers.get("Session-Expires") else { return };
        let (seconds, params) = line.split_at(line.find(';').unwrap_or(line.len()));
        let ours = param(params, "refresher") == Some("uac");
        if let (true, false, Ok(seconds)) = (ours, agent.forgets, seconds.parse::<u64>()) {
            call.refresh = Some(self.now + Duration::from_secs(seconds / 2));
        }
    }

    /// Whether nobody answers there.
    pub(super) fn is_away(&self, i: usize) -> bool {
        self.seats[i].manner == Manner::Vanisher && self.seats[i].stage == super::people::Stage::Gone
    }
}

/// The tag of a header value.
pub(super) fn tag_of(value: Option<&str>) -> Option<String> {
    NameAddr::parse(value?)?.param("tag").map(str::to_owned)
}
