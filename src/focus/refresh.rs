//! Requests that keep a call alive: UPDATE of the peer (RFC 3311), and our own refreshes (RFC 4028 §10).
//!
//! An UPDATE without offer moves the remote target and the session timer; with one it is like a re-INVITE
//! without ACK. Our refresh is an UPDATE without body if the peer allows that, else a re-INVITE that
//! repeats our last description, so that nothing changes.
//!
//! Bounds: one refresh of a call is under way. Proof: `tests.rs` beside this file.

use super::call::Phase;
use super::code::{ALLOW, SUPPORTED, misfit_response};
use super::dialog::DialogId;
use super::invite::Calls;
use super::signalling::{Flow, Headers, Method, Reply, Request, Response};
use super::timer::{Due, agree};
use super::{Core, Sent, TxId};
use std::time::Duration;

/// How long a refresh waits for an offer under way to be answered.
const BUSY_WAIT: Duration = Duration::from_secs(2);

const EXPIRED: &str = "SIP;cause=408;text=\"Session timer expired\"";

impl Calls {
    /// An UPDATE: never outside a dialog.
    pub(super) fn update(&mut self, core: &mut Core, tx: TxId, request: &Request, flow: &Flow) {
        let dialog = match core.dialogs.enter(request, flow) {
            Ok(dialog) => dialog,
            Err(misfit) => return core.respond(tx, misfit_response(misfit)),
        };
        let before = self.table.get(&dialog).and_then(|c| c.endpoint);
        match self.try_update(core, tx, dialog, request, flow) {
            Ok(()) => self.settle(core, dialog, before),
            Err(refusal) => core.respond(tx, refusal),
        }
    }

    fn try_update(
        &mut self,
        core: &mut Core,
        tx: TxId,
        dialog: DialogId,
        request: &Request,
        flow: &Flow,
    ) -> Result<(), Response> {
        let shows = self.shows(dialog, request);
        let call = self.table.get_mut(&dialog).ok_or_else(|| Response::new(481))?;
        let offer = !request.body.is_empty();
        match call.phase {
            Phase::Offered { .. } if offer => return Err(Response::new(491)),
            _ if offer && call.timer.offering => return Err(Response::new(491)),
            // The ACK that is still out belongs to the INVITE (RFC 3311 §5.2).
            Phase::Answered { .. } if offer => return Err(core.later()),
            Phase::Pending { .. } => return Err(core.later()),
            _ => {}
        }
        let agreed = agree(request)?;
        call.timer.learn(&request.headers);
        call.timer.agreed = agreed;
        call.shows = shows;
        if !offer {
            call.send_ok(core, tx, String::new());
            return Ok(());
        }
        call.acks = false;
        call.renegotiate(core, tx, request, flow)
    }

    /// The session timer of a call wants something.
    pub(super) fn session_due(&mut self, core: &mut Core, dialog: DialogId) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        match call.timer.due(core, dialog) {
            Due::Nothing => {}
            Due::Refresh => self.refresh(core, dialog),
            Due::GiveUp => self.end(core, dialog, EXPIRED),
        }
    }

    fn refresh(&mut self, core: &mut Core, dialog: DialogId) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        if !matches!(call.phase, Phase::Up) {
            let at = core.now + BUSY_WAIT;
            return call.timer.again(core, dialog, at);
        }
        let mut headers = Headers::default();
        if call.timer.request(&mut headers).is_none() {
            return;
        }
        headers.push("Allow", ALLOW);
        headers.push("Supported", SUPPORTED.join(", "));
        let (method, body) = if call.timer.by_update {
            (Method::Update, String::new())
        } else {
            call.timer.offering = true;
            headers.push("Content-Type", "application/sdp");
            (Method::Invite, call.ours.clone())
        };
        core.send(dialog, method, &headers, body, Sent::Refresh(dialog, method));
    }

    /// The answer to our refresh.
    pub(super) fn refreshed(&mut self, core: &mut Core, dialog: DialogId, method: Method, reply: &Reply) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        if method == Method::Invite {
            call.timer.offering = false;
        }
        match reply.code {
            200..300 => {
                core.dialogs.retarget(dialog, &reply.headers);
                call.timer.learn(&reply.headers);
                call.timer.confirmed(core, dialog, &reply.headers);
                if method == Method::Invite
                    && let Err(reason) = call.repeated(core, &reply.body)
                {
                    self.end(core, dialog, reason);
                }
            }
            408 | 481 => self.end(core, dialog, EXPIRED),
            405 | 501 if method == Method::Update => {
                call.timer.by_update = false;
                self.refresh(core, dialog);
            }
            422 if call.timer.lengthen(&reply.headers) => self.refresh(core, dialog),
            491 => {
                // Up to 2 s for the side that did not make the Call-ID (RFC 3261 §14.1).
                let at = core.now + Duration::from_millis(10 * core.entropy.below(200));
                call.timer.again(core, dialog, at);
            }
            _ => {}
        }
    }
}
