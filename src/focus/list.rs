//! INVITE with a list of recipients to the factory (RFC 5366): a room, and calls to all who are listed.
//!
//! The list stands beside the offer in a `multipart/mixed` body, or alone. Once the creator is answered the
//! room calls everybody on it as if the creator had sent a REFER for each. Who is on it with copyControl `to` or
//! `cc` is named to all of them, in a list of its own beside our offer (RFC 5364); by default nobody is. Consent
//! (RFC 5360) is not asked for. Elsewhere than at the factory the extension does not exist: 420 or 415.
//!
//! Bounds: `RECIPIENTS_MAX` of `wire/conference`, and [`PARTS_MAX`]. Proof: the tests below and `tests.rs`.

use super::Config;
use super::code::acceptable;
use super::dial::Dial;
use super::dialog::DialogId;
use super::invite::Calls;
use super::refer::bare;
use super::sidebar;
use super::signalling::{Flow, Headers, Request, Response, SipUri, param};
use super::{Core, code};
use crate::wire::conference::{LIST_MEDIA_TYPE, Recipient, XmlError, history, recipients};
use std::sync::Arc;

/// Parts of a body: a description and a list are two.
const PARTS_MAX: usize = 8;

const MULTIPART: &str = "multipart/mixed";

/// What an INVITE to the factory carries.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The offer, empty if there is none.
    pub(super) sdp: Vec<u8>,
    /// Who is to be called.
    pub(super) list: Vec<Recipient>,
}

/// Takes the body of an INVITE to the factory apart; without a list it must be what any INVITE has. Those on the list
/// are called, so none of them may be here, unless they are asked to a sidebar of a room they are in.
pub(super) fn parts(request: &Request, config: &Config, flow: &Flow) -> Result<Parts, Response> {
    let called = !sidebar::is_asked_for(request);
    let is = |kind: &str| request.content_type().is_some_and(|t| t.eq_ignore_ascii_case(kind));
    let parts = if is(LIST_MEDIA_TYPE) {
        Parts { sdp: Vec::new(), list: read(&request.body)? }
    } else if is(MULTIPART) {
        split(request)?
    } else {
        acceptable(request)?;
        return Ok(Parts { sdp: request.body.clone(), list: Vec::new() });
    };
    for uri in parts.list.iter().map(|recipient| &recipient.uri) {
        if uri.to_ascii_lowercase().starts_with("sips:") || SipUri::parse(uri).is_none() {
            return Err(code::warn(flow, 488, "Not only sip addresses in the list"));
        }
        if called && config.is_ours(uri, flow) {
            return Err(Response::new(403));
        }
    }
    Ok(parts)
}

fn split(request: &Request) -> Result<Parts, Response> {
    let bad = || Response::new(400);
    let kind = request.headers.get("Content-Type").unwrap_or("");
    let boundary = kind.split_once(';').and_then(|(_, params)| param(params, "boundary")).ok_or_else(bad)?;
    let boundary = boundary.trim_matches('"');
    if boundary.is_empty() || boundary.len() > 70 {
        return Err(bad());
    }
    // The first line has no line break before it.
    let body = [b"\r\n", &request.body[..]].concat();
    let line = format!("\r\n--{boundary}");
    let cuts: Vec<usize> = memchr::memmem::find_iter(&body, line.as_bytes()).take(PARTS_MAX + 2).collect();
    if cuts.len() < 2 || cuts.len() > PARTS_MAX + 1 {
        return Err(bad());
    }
    let mut parts = Parts::default();
    for ends in cuts.windows(2) {
        let part = &body[ends[0] + line.len()..ends[1]];
        let at = memchr::memmem::find(part, b"\r\n\r\n").ok_or_else(bad)?;
        let head = std::str::from_utf8(&part[..at]).map_err(|_| bad())?;
        let mut headers = Headers::default();
        let fields = head.split("\r\n").filter_map(|l| l.split_once(':'));
        fields.for_each(|(name, value)| headers.push(name.trim(), value.trim()));
        let content = &part[at + 4..];
        let first = |name| headers.get(name).and_then(|v: &str| v.split(';').next()).unwrap_or("").trim();
        match first("Content-Type") {
            t if t.eq_ignore_ascii_case("application/sdp") && parts.sdp.is_empty() => {
                parts.sdp = content.to_vec()
            }
            t if t.eq_ignore_ascii_case(LIST_MEDIA_TYPE)
                && first("Content-Disposition").eq_ignore_ascii_case("recipient-list")
                && parts.list.is_empty() =>
            {
                parts.list = read(content)?;
            }
            _ => return Err(Response::new(415).with("Accept", code::FACTORY_ACCEPT)),
        }
    }
    Ok(parts)
}

fn read(xml: &[u8]) -> Result<Vec<Recipient>, Response> {
    recipients(xml).map_err(|why| Response::new(if why == XmlError::TooMany { 413 } else { 400 }))
}

impl Calls {
    /// Calls everybody on the list of a creator who has been answered.
    pub(super) fn dial_list(&mut self, core: &mut Core, dialog: DialogId) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        let (room, by, list) =
            (call.room.clone(), call.who.participant.clone(), std::mem::take(&mut call.list));
        if self.sidebars.has(&room) {
            return self.sidebar_is_open(core, &room);
        }
        let Some(flow) = core.dialogs.get(dialog).map(|d| d.flow().clone()) else { return };
        let targets: Vec<Recipient> =
            list.into_iter().map(|r| Recipient { uri: bare(&r.uri).0, ..r }).collect();
        let history = Some(history(&targets)).filter(|h| !h.is_empty()).map(Arc::<str>::from);
        for Recipient { uri, .. } in &targets {
            let (user, history) = (room.user(), history.clone());
            let dial = Dial { room: &room, user, target: uri, by: &by, flow: &flow, report: None, history };
            if let Err(code) = self.dial(core, &dial) {
                tracing::debug!(code, "somebody on a list cannot be called");
            }
        }
    }
}

/// A body of a description and what those who are called may know of each other (RFC 5366 §5), and its type. The
/// boundary stands in neither of them.
pub(super) fn with_history(boundary: &str, sdp: &str, history: &str) -> (String, String) {
    let kind = format!("{MULTIPART};boundary=\"{boundary}\"");
    let body = format!(
        "--{boundary}\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--{boundary}\r\nContent-Type: {LIST_MEDIA_TYPE}\r\n\
         Content-Disposition: recipient-list-history; handling=optional\r\n\r\n{history}\r\n--{boundary}--\r\n"
    );
    (kind, body)
}
