//! Dialogs (RFC 3261 §12): tags, sequence numbers, route set, remote target, and the requests we send
//! inside them. A dialog carries one call, any number of subscriptions, or both (RFC 5057), and goes
//! when the last of them has gone.
//!
//! Bounds: `limits::DIALOGS_MAX` dialogs; the strings of one are parts of one request that made it.
//! Proof: the tests below.

use super::signalling::{
    Flow, Headers, Method, NameAddr, Outgoing, Reply, Request, SipUri, Transport, tag as tag_of,
};
use crate::base::id::Token;
use crate::base::limits;
use ahash::AHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Names of ended dialogs that are remembered, to tell those from dialogs that never were: a replacement
/// that crosses a BYE comes within seconds.
const ENDED_MAX: usize = 1024;

/// Names a dialog within the focus; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DialogId(pub u64);

/// Call-ID, our tag, the peer's tag (RFC 3261 §12).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Name {
    call_id: Box<str>,
    local_tag: Box<str>,
    remote_tag: Box<str>,
}

/// One dialog, made by a request of the peer or by an INVITE of ours.
#[derive(Debug)]
pub struct Dialog {
    name: Arc<Name>,
    /// Our From.
    local: Box<str>,
    /// Our To.
    remote: Box<str>,
    local_seq: u32,
    remote_seq: u32,
    /// URIs in angle brackets with their parameters, nearest first.
    routes: Vec<Box<str>>,
    /// The remote target.
    target: Box<str>,
    /// Our Contact.
    contact: Box<str>,
    flow: Flow,
    /// Calls and subscriptions in this dialog.
    usages: u32,
}

/// Why a request cannot be served in its dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// No such dialog: 481.
    Unknown,
    /// The sequence number is not above the last: 500.
    Stale,
}

/// What became of a dialog that somebody names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Past {
    /// It is there.
    Alive(DialogId),
    /// It has ended not long ago.
    Ended,
    /// There was none, or long ago.
    Unknown,
}

/// All dialogs.
#[derive(Default)]
pub struct Dialogs {
    by_name: AHashMap<Arc<Name>, DialogId>,
    /// Boxed: a table is half empty, and a dialog is large.
    table: AHashMap<DialogId, Box<Dialog>>,
    /// The names of those that ended last.
    ended: VecDeque<Arc<Name>>,
    last: u64,
}

impl Dialogs {
    /// Makes a dialog with one usage from a request outside any dialog; `None` if there are as many as
    /// there may be, or the request names no single remote target.
    pub fn create(&mut self, request: &Request, tag: &str, contact: &str, flow: Flow) -> Option<DialogId> {
        if self.table.len() >= limits::DIALOGS_MAX {
            return None;
        }
        let target = remote_target(request)?;
        let headers = &request.headers;
        let name = Arc::new(Name {
            call_id: request.call_id().into(),
            local_tag: tag.into(),
            remote_tag: request.from_tag()?.into(),
        });
        self.last += 1;
        let id = DialogId(self.last);
        let dialog = Dialog {
            name: name.clone(),
            local: format!("{};tag={tag}", headers.get("To")?).into(),
            remote: headers.get("From")?.into(),
            local_seq: 0,
            remote_seq: request.cseq(),
            routes: headers.list("Record-Route").into_iter().map(Box::from).collect(),
            target,
            contact: contact.into(),
            flow,
            usages: 1,
        };
        self.by_name.insert(name, id);
        self.table.insert(id, Box::new(dialog));
        Some(id)
    }

    /// Makes a dialog with one usage for an INVITE of ours, which takes the `route`; [`Dialogs::establish`] makes
    /// it whole.
    #[allow(clippy::too_many_arguments)] // The parts of one INVITE.
    pub fn open(
        &mut self,
        local: &str,
        target: &str,
        call_id: &str,
        tag: &str,
        contact: &str,
        flow: Flow,
        route: Option<String>,
    ) -> Option<DialogId> {
        if self.table.len() >= limits::DIALOGS_MAX {
            return None;
        }
        self.last += 1;
        let id = DialogId(self.last);
        let dialog = Dialog {
            name: Arc::new(Name { call_id: call_id.into(), local_tag: tag.into(), remote_tag: "".into() }),
            local: format!("<{local}>;tag={tag}").into(),
            remote: format!("<{target}>").into(),
            local_seq: 0,
            remote_seq: 0,
            routes: route.into_iter().map(Box::from).collect(),
            target: target.into(),
            contact: contact.into(),
            flow,
            usages: 1,
        };
        self.table.insert(id, Box::new(dialog));
        Some(id)
    }

    /// Takes tag, route set and target from the 2xx to our INVITE (RFC 3261 §12.1.2); whether it had a tag.
    pub fn establish(&mut self, id: DialogId, reply: &Reply) -> bool {
        let Some(dialog) = self.table.get_mut(&id) else { return false };
        let Some(to) = reply.headers.get("To") else { return false };
        let Some(tag) = tag_of(to) else { return false };
        Arc::make_mut(&mut dialog.name).remote_tag = tag.into();
        dialog.remote = to.into();
        dialog.routes = reply.headers.list("Record-Route").into_iter().rev().map(Box::from).collect();
        if let Some(target) = sole_contact(&reply.headers) {
            dialog.target = target;
        }
        if let Some(peer) = reply.peer {
            dialog.flow.peer = peer;
        }
        self.by_name.insert(dialog.name.clone(), id);
        true
    }

    /// The dialog that a request with a To tag belongs to, if its number is in order. Takes note of
    /// the number, the flow and, where the method refreshes it, the remote target (RFC 3261 §12.2.2).
    pub fn enter(&mut self, request: &Request, flow: &Flow) -> Result<DialogId, Misfit> {
        let name = Name {
            call_id: request.call_id().into(),
            local_tag: request.to_tag().ok_or(Misfit::Unknown)?.into(),
            remote_tag: request.from_tag().ok_or(Misfit::Unknown)?.into(),
        };
        let id = *self.by_name.get(&name).ok_or(Misfit::Unknown)?;
        let dialog = self.table.get_mut(&id).ok_or(Misfit::Unknown)?;
        if request.cseq() <= dialog.remote_seq {
            return Err(Misfit::Stale);
        }
        dialog.remote_seq = request.cseq();
        dialog.flow = flow.clone();
        if matches!(request.method, Method::Invite | Method::Subscribe | Method::Update)
            && let Some(target) = remote_target(request)
        {
            dialog.target = target;
        }
        Ok(id)
    }

    /// The dialog of this name, with tags as seen from us (RFC 3891 §3).
    #[must_use]
    pub fn find(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> Past {
        let (local_tag, remote_tag) = (local_tag.into(), remote_tag.into());
        let name = Name { call_id: call_id.into(), local_tag, remote_tag };
        match self.by_name.get(&name) {
            Some(&id) => Past::Alive(id),
            None if self.ended.iter().any(|ended| **ended == name) => Past::Ended,
            None => Past::Unknown,
        }
    }

    /// A 2xx to our re-INVITE or UPDATE refreshes the remote target (RFC 3261 §12.2.1.2).
    pub fn retarget(&mut self, id: DialogId, headers: &Headers) {
        if let (Some(dialog), Some(target)) = (self.table.get_mut(&id), sole_contact(headers)) {
            dialog.target = target;
        }
    }

    /// A dialog.
    #[must_use]
    pub fn get(&self, id: DialogId) -> Option<&Dialog> {
        self.table.get(&id).map(|dialog| &**dialog)
    }

    /// Another call or subscription lives in the dialog.
    pub fn share(&mut self, id: DialogId) {
        if let Some(dialog) = self.table.get_mut(&id) {
            dialog.usages += 1;
        }
    }

    /// A call or subscription of the dialog has ended.
    pub fn release(&mut self, id: DialogId) {
        let Some(dialog) = self.table.get_mut(&id) else { return };
        dialog.usages = dialog.usages.saturating_sub(1);
        if dialog.usages == 0
            && let Some(dialog) = self.table.remove(&id)
        {
            self.by_name.remove(&dialog.name);
            if self.ended.len() == ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(dialog.name);
        }
    }

    /// Builds our next request in the dialog (RFC 3261 §12.2.1.1).
    pub fn request(
        &mut self,
        id: DialogId,
        method: Method,
        extra: &Headers,
        body: String,
        branch: Token,
    ) -> Option<Outgoing> {
        let dialog = self.table.get_mut(&id)?;
        dialog.local_seq += 1;
        let mut headers = Headers::default();
        headers.push("Max-Forwards", "70");
        let (uri, routes) = dialog.path();
        for route in routes {
            headers.push("Route", route);
        }
        headers.push("From", &*dialog.local);
        headers.push("To", &*dialog.remote);
        headers.push("Call-ID", &*dialog.name.call_id);
        headers.push("CSeq", format!("{} {method}", dialog.local_seq));
        if method != Method::Bye {
            headers.push("Contact", &*dialog.contact);
        }
        for (name, value) in extra.iter() {
            headers.push(name, value);
        }
        // A strict router stands in the Request-URI itself, so the next hop is there too.
        let first = dialog.routes.first().and_then(|r| NameAddr::parse(r)).map(|r| r.uri);
        let hop = first.unwrap_or(&dialog.target).into();
        Some(Outgoing { method, uri, hop, flow: dialog.flow.clone(), headers, body, rest: None, branch })
    }

    /// Whether a dialog's flow is this link.
    #[must_use]
    pub fn use_link(&self, link: u64) -> bool {
        self.table.values().any(|d| d.flow.link == link)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl Dialog {
    /// Our tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.name.local_tag
    }

    /// Requests that we sent in it so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.local_seq
    }

    /// The Record-Route lines that made the dialog, for our 200 (RFC 3261 §12.1.1).
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|r| &**r)
    }

    /// The remote target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The way to the peer, as its last request came.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Our Contact.
    #[must_use]
    pub fn contact(&self) -> &str {
        &self.contact
    }

    /// Request-URI and Route lines, for loose and strict routers (RFC 3261 §12.2.1.1).
    fn path(&self) -> (Box<str>, Vec<Box<str>>) {
        let Some(first) = self.routes.first().and_then(|r| NameAddr::parse(r)) else {
            return (self.target.clone(), Vec::new());
        };
        if SipUri::parse(first.uri).is_some_and(|u| u.param("lr").is_some()) {
            return (self.target.clone(), self.routes.clone());
        }
        let mut rest = self.routes[1..].to_vec();
        rest.push(format!("<{}>", self.target).into());
        (first.uri.into(), rest)
    }
}

/// The one SIP URI in Contact (RFC 3261 §8.1.1.8).
pub fn remote_target(request: &Request) -> Option<Box<str>> {
    sole_contact(&request.headers)
}

fn sole_contact(headers: &Headers) -> Option<Box<str>> {
    let contacts = headers.list("Contact");
    let [contact] = contacts[..] else { return None };
    let uri = NameAddr::parse(contact)?.uri;
    SipUri::parse(uri).map(|_| uri.into())
}

/// Our Contact for a room: where the request came in, so that the peer's next request comes there too.
/// Without `transport=tcp` a pjsip client on TCP would send neither ACK nor BYE.
#[must_use]
pub fn contact(user: &str, flow: &Flow) -> String {
    let transport = match flow.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
    };
    let at = if user.is_empty() { "" } else { "@" };
    format!("<sip:{user}{at}{}{transport}>;isfocus", flow.local)
}

#[cfg(test)]
mod tests {
    use super::super::strict::{Message, read};
    use super::*;

    fn request(extra: &str, cseq: u32, to_tag: &str) -> Request {
        let text = format!(
            "INVITE sip:lobby@chat.example SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n\
             From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:lobby@chat.example>{to_tag}\r\nCall-ID: c1\r\n\
             CSeq: {cseq} INVITE\r\n{extra}\r\n"
        );
        match read(text.as_bytes()).unwrap() {
            Message::Request(r) => r,
            other => panic!("{other:?}"),
        }
    }

    fn flow() -> Flow {
        let peer = "192.0.2.1:5060".parse().unwrap();
        Flow { transport: Transport::Tcp, link: 1, peer, local: "chat.example:5060".into() }
    }

    fn made(extra: &str) -> (Dialogs, DialogId) {
        let mut dialogs = Dialogs::default();
        let request = request(extra, 5, "");
        let id = dialogs.create(&request, "f1", "<sip:lobby@chat.example:5060>", flow()).unwrap();
        (dialogs, id)
    }

    fn next(dialogs: &mut Dialogs, id: DialogId, method: Method) -> Option<Outgoing> {
        dialogs.request(id, method, &Headers::default(), String::new(), Token(*b"abcdefghijkl"))
    }

    #[test]
    fn requests_follow_loose_routes() {
        // SIP-DLG-02
        let (mut dialogs, id) = made(
            "Contact: <sip:alice@pc>\r\nRecord-Route: <sip:p2;lr>, <sip:p1:5070;lr;x=y>\r\nRecord-Route: <sip:p0;lr>\r\n",
        );
        let bye = next(&mut dialogs, id, Method::Bye).unwrap();
        assert_eq!((&*bye.uri, &*bye.hop), ("sip:alice@pc", "sip:p2;lr"));
        let routes: Vec<_> = bye.headers.all("Route").collect();
        assert_eq!(routes, ["<sip:p2;lr>", "<sip:p1:5070;lr;x=y>", "<sip:p0;lr>"]);
        assert_eq!(bye.headers.get("From"), Some("<sip:lobby@chat.example>;tag=f1"));
        assert_eq!(bye.headers.get("To"), Some("<sip:alice@example.com>;tag=a1"));
        assert_eq!(bye.headers.get("CSeq"), Some("1 BYE"));
    }

    #[test]
    fn requests_follow_strict_routes() {
        // SIP-DLG-02
        let (mut dialogs, id) = made("Contact: <sip:alice@pc>\r\nRecord-Route: <sip:old>, <sip:p1;lr>\r\n");
        let bye = next(&mut dialogs, id, Method::Bye).unwrap();
        assert_eq!((&*bye.uri, &*bye.hop), ("sip:old", "sip:old"));
        let routes: Vec<_> = bye.headers.all("Route").collect();
        assert_eq!(routes, ["<sip:p1;lr>", "<sip:alice@pc>"]);
    }

    #[test]
    fn only_higher_numbers_enter_and_refresh_the_target() {
        // SIP-DLG-01, SIP-DLG-02
        let (mut dialogs, id) = made("Contact: <sip:alice@pc>\r\n");
        let again = request("Contact: <sip:alice@new>\r\n", 5, ";tag=f1");
        assert_eq!(dialogs.enter(&again, &flow()), Err(Misfit::Stale));
        let newer = request("Contact: <sip:alice@new>\r\n", 6, ";tag=f1");
        assert_eq!(dialogs.enter(&newer, &flow()), Ok(id));
        let notify = next(&mut dialogs, id, Method::Notify).unwrap();
        assert_eq!(&*notify.uri, "sip:alice@new");
        let stranger = request("Contact: <sip:alice@new>\r\n", 7, ";tag=other");
        assert_eq!(dialogs.enter(&stranger, &flow()), Err(Misfit::Unknown));
    }

    #[test]
    fn a_dialog_lives_as_long_as_its_last_usage() {
        // CONF-09
        let (mut dialogs, id) = made("Contact: <sip:alice@pc>\r\n");
        dialogs.share(id);
        dialogs.release(id);
        assert!(dialogs.get(id).is_some());
        dialogs.release(id);
        assert!(dialogs.is_empty() && dialogs.by_name.is_empty());
    }

    #[test]
    fn a_request_without_one_contact_makes_no_dialog() {
        let mut dialogs = Dialogs::default();
        for extra in ["", "Contact: <sip:a@b>, <sip:c@d>\r\n", "Contact: <tel:+1>\r\n", "Contact: *\r\n"] {
            assert_eq!(dialogs.create(&request(extra, 1, ""), "t", "x", flow()), None, "{extra}");
        }
    }
}
