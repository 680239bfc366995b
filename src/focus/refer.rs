//! REFER to a room: bring somebody in, or take somebody out (RFC 3515, RFC 4579 §5.5 and §5.11).
//!
//! The method of Refer-To may stand inside the URI, as RFC 4579 shows it, or behind it, as clients of AG
//! Projects write it; both out of dialog and in the dialog of a call. Headers in the URI are ignored.
//! Everybody who is present may invite; take out may everybody themself, and moderators anybody. Who sends
//! is who From says, or in the dialog of a call the participant, so an anonymous one stays anonymous.
//! Our own rooms cannot be invited.
//!
//! Bounds: a report lives as long as the call it is about rings, see `dial.rs`. Proof: `tests.rs` beside
//! this file, `tests/sip_loopback.rs`.

use super::code::{denial, misfit_response};
use super::dial::Dial;
use super::dialog::{DialogId, contact, remote_target};
use super::signalling::{
    Flow, Headers, Method, NameAddr, Request, Response, SipUri, host_port, param, phrase, split,
};
use super::{Config, Core, Focus, Sent, TxId};
use crate::base::address::Address;
use crate::base::rights::{Action, Decision, Standing, Target};
use ahash::AHashMap;

/// Seconds that a report is said to live: longer than any call rings.
const REPORT_SECONDS: u32 = 90;

/// Where SIP is if no port says otherwise (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;

/// Names a report; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct ReportId(u64);

/// The subscription that a REFER makes.
pub(super) struct Report {
    dialog: DialogId,
    /// The value of Event.
    event: String,
}

/// All reports.
#[derive(Default)]
pub(super) struct Reports {
    pub(super) table: AHashMap<ReportId, Report>,
    last: u64,
}

/// What a REFER asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Order {
    /// Take out, not bring in.
    bye: bool,
    /// Whom, without method and headers.
    target: String,
    who: Address,
    /// No report is wanted (RFC 4488).
    silent: bool,
}

impl Order {
    fn read(request: &Request) -> Result<Self, Response> {
        let lines = request.headers.list("Refer-To");
        let [line] = lines[..] else { return Err(Response::new(400)) };
        let refer_to = NameAddr::parse(line).ok_or(Response::new(400))?;
        let scheme = refer_to.uri.split(':').next().unwrap_or("");
        if !scheme.eq_ignore_ascii_case("sip") {
            return Err(Response::new(416));
        }
        let uri = SipUri::parse(refer_to.uri).ok_or(Response::new(400))?;
        let bye = match uri.param("method").or(refer_to.param("method")) {
            None | Some("INVITE") => false,
            Some("BYE") => true,
            Some(_) => return Err(Response::new(488)),
        };
        let (target, _) = bare(refer_to.uri);
        let who = Address::parse(&target).map_err(|_| Response::new(400))?;
        let silent = request.headers.get("Refer-Sub").and_then(|v| v.split(';').next());
        let silent = silent.is_some_and(|v| v.trim().eq_ignore_ascii_case("false"));
        Ok(Self { bye, target, who, silent })
    }
}

/// A SIP URI without its method and its headers, which are given too.
pub(super) fn bare(uri: &str) -> (String, &str) {
    let at = uri.find('@').map_or(0, |at| at + 1);
    let (address, headers) = uri[at..].split_once('?').unwrap_or((&uri[at..], ""));
    let kept = |part: &&str| !part.split('=').next().unwrap_or("").eq_ignore_ascii_case("method");
    let parts: Vec<&str> = split(address, b';').filter(kept).collect();
    (format!("{}{}", &uri[..at], parts.join(";")), headers)
}

impl Config {
    /// Whether a URI leads to this server.
    pub(super) fn is_ours(&self, uri: &str, flow: &Flow) -> bool {
        let (Some(uri), Some((host, port))) = (SipUri::parse(uri), host_port(&flow.local)) else {
            return false;
        };
        let named = self.domains.iter().any(|d| d.eq_ignore_ascii_case(uri.host));
        let at = uri.port.unwrap_or(SIP_PORT) == port.unwrap_or(SIP_PORT);
        named && uri.port.is_none() || at && (named || uri.host.eq_ignore_ascii_case(host))
    }
}

impl Focus {
    /// A REFER, inside or outside a dialog.
    pub(super) fn refer(&mut self, tx: TxId, request: &Request, flow: &Flow) {
        if let Err(refusal) = self.try_refer(tx, request, flow) {
            self.core.respond(tx, refusal);
        }
    }

    fn try_refer(&mut self, tx: TxId, request: &Request, flow: &Flow) -> Result<(), Response> {
        let inside = match request.to_tag() {
            Some(_) => Some(self.core.dialogs.enter(request, flow).map_err(misfit_response)?),
            None => None,
        };
        let order = Order::read(request)?;
        let (room, by) = match inside {
            Some(dialog) => self.calls.party(dialog).ok_or(Response::new(403))?,
            None => {
                let (room, _) = self.core.config.room(&request.uri).ok_or(Response::new(404))?;
                let from = || request.headers.get("From").and_then(NameAddr::parse);
                let named = || from().and_then(|f| Address::parse(f.uri).ok());
                let by = self.core.proved.clone().or_else(named).ok_or(Response::new(400))?;
                (room, by)
            }
        };
        self.core.charge(request.method, &by, flow)?;
        let decision = self.may_refer(&room, &by, inside, &order);
        decision.check().map_err(|rule| denial(flow, rule, None))?;
        // Who is in the room that this is a sidebar of is asked there.
        let asked = !order.bye && self.calls.may_ask(&room, &order.who, flow)?;
        if !order.bye && !asked && self.core.config.is_ours(&order.target, flow) {
            return Err(Response::new(403));
        }
        let report = self.accept(tx, request, flow, inside, order.silent)?;
        let core = &mut self.core;
        let outcome = if order.bye {
            if self.calls.dismiss(core, &room, &order.who) { Err(200) } else { Err(404) }
        } else if asked {
            self.calls.ask(core, &room, &by, &order.who);
            Err(200)
        } else {
            let user = SipUri::parse(room.as_str()).map_or("", |u| u.user);
            let dial =
                Dial { room: &room, user, target: &order.target, by: &by, flow, report, history: None };
            self.calls.dial(core, &dial)
        };
        if let (Err(code), Some(report)) = (outcome, report) {
            self.reports.over(core, report, code);
        }
        Ok(())
    }

    /// Whether somebody may have the room call, or take out, somebody.
    fn may_refer(&self, room: &Address, by: &Address, inside: Option<DialogId>, order: &Order) -> Decision {
        let rules = self.core.rules(room);
        let present = self.rosters.has(room, by);
        let own = inside.and_then(|d| self.calls.caller(d)).cloned();
        let caller = own.unwrap_or_else(|| self.core.caller(by));
        let outside = rules.at_the_door(self.core.now, &caller);
        let role = if present { rules.inside(by, &caller) } else { outside };
        let standing = Standing { role, proved: caller.proved, present, ..Standing::default() };
        let target = Target { role: rules.listed(&order.who), own: order.who == *by };
        let action = if order.bye { Action::Kick } else { Action::Invite };
        let decision = rules.may(&standing, action, Some(target));
        let (rule, allowed) = (decision.rule.token(), decision.allowed);
        tracing::debug!(target: "openmsrp::rights", %room, who = %by, ?action, rule, allowed);
        decision
    }

    /// 202, and the first notice unless none is wanted (REFER-01, REFER-03).
    fn accept(
        &mut self,
        tx: TxId,
        request: &Request,
        flow: &Flow,
        inside: Option<DialogId>,
        silent: bool,
    ) -> Result<Option<ReportId>, Response> {
        let core = &mut self.core;
        let user = SipUri::parse(&request.uri).map_or("", |u| u.user);
        if silent {
            if inside.is_none() {
                core.merged.keep(core.now, request);
            }
            let response = Response::new(202).with("Refer-Sub", "false").with("Contact", contact(user, flow));
            core.respond(tx, response);
            return Ok(None);
        }
        let dialog = if let Some(dialog) = inside {
            core.dialogs.share(dialog);
            dialog
        } else {
            remote_target(request).ok_or(Response::new(400))?;
            let tag = core.tag();
            let made = core.dialogs.create(request, &tag, &contact(user, flow), flow.clone());
            let made = made.ok_or(Response::new(503).with("Retry-After", "30"))?;
            core.merged.keep(core.now, request);
            made
        };
        if let Some(dialog) = core.dialogs.get(dialog) {
            let mut response = Response::new(202).tagged(dialog.tag());
            response.headers.push("Contact", dialog.contact());
            dialog.routes().for_each(|route| response.headers.push("Record-Route", route));
            core.respond(tx, response);
        }
        // The first REFER of a dialog needs no number, all others do (RFC 3515 §2.4.6).
        let event = inside.map_or("refer".to_owned(), |_| format!("refer;id={}", request.cseq()));
        let report = self.reports.create(dialog, event);
        self.reports.notify(core, report, 100, &format!("active;expires={REPORT_SECONDS}"));
        Ok(Some(report))
    }

    /// A SUBSCRIBE to what a REFER began: never a beginning of its own (RFC 3515 §2.4.4).
    pub(super) fn subscribe_report(&mut self, tx: TxId, request: &Request, flow: &Flow) {
        let core = &mut self.core;
        if request.to_tag().is_none() {
            return core.respond(tx, Response::new(403));
        }
        let dialog = match core.dialogs.enter(request, flow) {
            Ok(dialog) => dialog,
            Err(misfit) => return core.respond(tx, misfit_response(misfit)),
        };
        let event = request.headers.get("Event").unwrap_or("");
        let Some(report) = self.reports.find(dialog, event_id(event)) else {
            return core.respond(tx, Response::new(403));
        };
        let ends = request.headers.get("Expires") == Some("0");
        let seconds = if ends { 0 } else { REPORT_SECONDS };
        let Some(tag) = core.dialogs.get(dialog).map(|d| (d.tag().to_owned(), d.contact().to_owned())) else {
            return;
        };
        let response = Response::new(200).tagged(&tag.0).with("Contact", tag.1);
        core.respond(tx, response.with("Expires", seconds.to_string()));
        if ends {
            self.reports.notify(core, report, 100, "terminated;reason=timeout");
            self.reports.remove(core, report);
        } else {
            self.reports.notify(core, report, 100, &format!("active;expires={seconds}"));
        }
    }
}

/// The `id` of an Event value.
fn event_id(event: &str) -> Option<&str> {
    param(event.split_once(';')?.1, "id")
}

impl Reports {
    fn create(&mut self, dialog: DialogId, event: String) -> ReportId {
        self.last += 1;
        let id = ReportId(self.last);
        self.table.insert(id, Report { dialog, event });
        id
    }

    fn find(&self, dialog: DialogId, id: Option<&str>) -> Option<ReportId> {
        let same = |r: &Report| r.dialog == dialog && event_id(&r.event) == id;
        self.table.iter().find(|(_, r)| same(r)).map(|(id, _)| *id)
    }

    fn notify(&self, core: &mut Core, report: ReportId, code: u16, state: &str) {
        let Some(Report { dialog, event }) = self.table.get(&report) else { return };
        let mut headers = Headers::default();
        headers.push("Event", &**event);
        headers.push("Subscription-State", state);
        headers.push("Content-Type", "message/sipfrag;version=2.0");
        let body = format!("SIP/2.0 {code} {}\r\n", phrase(code));
        core.send(*dialog, Method::Notify, &headers, body, Sent::Report(report));
    }

    /// What a REFER asked for is done, or cannot be.
    pub(super) fn over(&mut self, core: &mut Core, report: ReportId, code: u16) {
        self.notify(core, report, code, "terminated;reason=noresource");
        self.remove(core, report);
    }

    /// Who answers a notice so knows nothing of the REFER any more.
    pub(super) fn answered(&mut self, core: &mut Core, report: ReportId, code: u16) {
        if code >= 300 {
            self.remove(core, report);
        }
    }

    fn remove(&mut self, core: &mut Core, report: ReportId) {
        if let Some(report) = self.table.remove(&report) {
            core.dialogs.release(report.dialog);
        }
    }
}
