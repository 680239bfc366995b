//! As whom somebody enters: the address of From, or an anonymous one (RFC 3323, RFC 7701 §5.2).
//!
//! Whoever says `Privacy: id` or `Privacy: user`, or comes with a From at `anonymous.invalid`, is
//! `sip:anonymousN@anonymous.invalid` to the room, with an N of their own: in the roster, as the entity of
//! the endpoint, and as the address that others write to. Name, From and Contact stay in the dialog.
//!
//! With accounts (`accounts.rs`) whoever is proved or asserted to be somebody is that one, whatever From says; From
//! may stand in messages too.
//!
//! RFC 7701 leaves open how the client learns its anonymous address. Our ruling: it need not. Its CPIM
//! From may be the general `sip:anonymous@anonymous.invalid`, which it knows, or its own N, should it
//! learn it from the roster. Its real address is refused there, so that no slip of the client tells it.
//! An N in a From that comes in counts for nothing: nobody enters as somebody else.
//!
//! Bounds: [`NAME_BYTES_MAX`] for each string. Proof: `tests.rs` beside this file.

use super::Core;
use super::dialog::remote_target;
use super::signalling::{NameAddr, Request, Response};
use crate::base::address::Address;
use std::sync::Arc;

/// Octets of a participant's address, Contact or display name that are kept. Real ones stay below 256.
pub(super) const NAME_BYTES_MAX: usize = 1024;

/// The host that stands for no host (RFC 3323 §4.1.1.3).
const NOWHERE: &str = "anonymous.invalid";

/// What a room is told of somebody.
pub(super) struct Identity {
    pub(super) participant: Address,
    /// What else may stand in CPIM From.
    pub(super) aliases: Vec<Address>,
    pub(super) display_name: Arc<str>,
    pub(super) contact: Arc<str>,
}

/// Reads who sends an INVITE; 400 if nobody can be made out.
pub(super) fn of(core: &mut Core, request: &Request) -> Result<Identity, Response> {
    let bad = || Response::new(400);
    let from = request.headers.get("From").and_then(NameAddr::parse).ok_or_else(bad)?;
    let named = Address::parse(from.uri).map_err(|_| bad())?;
    let participant = core.proved.clone().unwrap_or_else(|| named.clone());
    let target = remote_target(request).ok_or_else(bad)?;
    if from.uri.len() > NAME_BYTES_MAX || target.len() > NAME_BYTES_MAX {
        return Err(bad());
    }
    if !asks(request) && !is_nobody(&named) {
        let display_name = cut(&from.display).into();
        let aliases = if named == participant { Vec::new() } else { vec![named] };
        return Ok(Identity { participant, aliases, display_name, contact: (*target).into() });
    }
    core.last_anonymous += 1;
    let uri = format!("sip:anonymous{}@{NOWHERE}", core.last_anonymous);
    let general = Address::parse(&format!("sip:anonymous@{NOWHERE}")).map_err(|_| bad())?;
    Ok(Identity {
        participant: Address::parse(&uri).map_err(|_| bad())?,
        aliases: vec![general],
        display_name: "Anonymous".into(),
        contact: uri.into(),
    })
}

/// Whether an address stands for nobody in particular.
pub(super) fn is_nobody(address: &Address) -> bool {
    address.host() == NOWHERE
}

/// Whether a request asks that its sender stays unknown (RFC 3323 §4.2, RFC 3325 §9.3).
fn asks(request: &Request) -> bool {
    let values = request.headers.all("Privacy").flat_map(|line| line.split([';', ',']));
    values.map(str::trim).any(|v| v.eq_ignore_ascii_case("id") || v.eq_ignore_ascii_case("user"))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
