//! As whom somebody enters: the address of From, or an anonymous one (RFC 3323, RFC 7701 §5.2).
//!
//! Whoever says `Privacy: id` or `Privacy: user`, or comes with a From at `anonymous.invalid`, is
//! `sip:anonymousN@anonymous.invalid` to the room, with an N of their own: in the roster, as the entity of
//! the endpoint, and as the address that others write to. Name, From and Contact stay in the dialog.
//!
//! With accounts (`accounts.rs`) whoever is proved or asserted to be somebody is that one, whatever From says; From
//! may stand in messages too.
//!
//! RFC 7701 leaves open how the client learns its anonymous address. Our ruling: every 200 of an anonymous
//! call names it as `P-Associated-URI` (RFC 7315 §4.1): a further address of whom the answer is for. No header
//! of SIP is closer: P-Asserted-Identity in a response is the other side's, and the roster is the same document
//! for all. A client that does not read it may use the general `sip:anonymous@anonymous.invalid`, which it
//! knows, as CPIM From. Its real address is refused there, so that no slip of the client tells it. An N in a
//! From that comes in counts for nothing: nobody enters as somebody else.
//!
//! Whoever says `Privacy: none` in a later INVITE or UPDATE of the call stands in the open from the 200 on, as
//! From of the first INVITE says, or as was proved then. If neither told anything a Warning says that nothing
//! has changed. There is no way back.
//!
//! Bounds: [`NAME_BYTES_MAX`] for each string. Proof: `tests.rs` beside this file.

use super::Core;
use super::dialog::remote_target;
use super::signalling::{NameAddr, Request, Response};
use crate::base::address::Address;
use crate::room::rules::Caller;
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
    /// Who an anonymous participant is, if that is known.
    pub(super) real: Option<Real>,
    /// Who they are to rooms.
    pub(super) caller: Caller,
}

/// Who somebody is that hides, for the case that they tell.
#[derive(Clone)]
pub(super) struct Real {
    pub(super) participant: Address,
    aliases: Vec<Address>,
    display_name: Arc<str>,
}

impl Identity {
    /// Whether the room knows an anonymous address only.
    pub(super) fn is_anonymous(&self) -> bool {
        is_nobody(&self.participant)
    }

    /// Who it is, hidden or not; `None` if nobody knows.
    pub(super) fn known(&self) -> Option<&Address> {
        let real = self.real.as_ref().map(|real| &real.participant);
        real.or_else(|| (!self.is_anonymous()).then_some(&self.participant))
    }

    /// Shows who it is, to be reached at `contact`; the addresses so far may go on to be used. What else may
    /// stand in CPIM From; `None` if it is not known who it is.
    pub(super) fn disclose(&mut self, contact: &str) -> Option<Vec<Address>> {
        let Real { participant, aliases, display_name } = self.real.take()?;
        self.caller.hides = false;
        let before = std::mem::replace(&mut self.participant, participant);
        self.aliases.push(before);
        self.aliases.extend(aliases.iter().cloned());
        self.display_name = display_name;
        if contact.len() <= NAME_BYTES_MAX {
            self.contact = contact.into();
        }
        Some(aliases)
    }
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
    let nameless = is_nobody(&named);
    let hides = asks(request) || nameless;
    // What a From that names nobody says of the name is no name either.
    let display_name: Arc<str> = if nameless { "".into() } else { cut(&from.display).into() };
    let aliases = if named == participant || nameless { Vec::new() } else { vec![named] };
    let known = (!is_nobody(&participant)).then(|| participant.clone());
    let caller = Caller { known, hides, ..core.caller(&participant) };
    if !hides {
        let contact = (*target).into();
        return Ok(Identity { participant, aliases, display_name, contact, real: None, caller });
    }
    let real = (!is_nobody(&participant)).then_some(Real { participant, aliases, display_name });
    core.last_anonymous += 1;
    let uri = format!("sip:anonymous{}@{NOWHERE}", core.last_anonymous);
    let general = Address::parse(&format!("sip:anonymous@{NOWHERE}")).map_err(|_| bad())?;
    Ok(Identity {
        participant: Address::parse(&uri).map_err(|_| bad())?,
        aliases: vec![general],
        display_name: "Anonymous".into(),
        contact: uri.into(),
        real,
        caller,
    })
}

/// Whether an address stands for nobody in particular.
pub(super) fn is_nobody(address: &Address) -> bool {
    address.host() == NOWHERE
}

/// Whether a request asks that its sender stays unknown (RFC 3323 §4.2, RFC 3325 §9.3).
fn asks(request: &Request) -> bool {
    privacy(request).any(|v| v.eq_ignore_ascii_case("id") || v.eq_ignore_ascii_case("user"))
}

/// Whether a request asks that nothing of its sender is hidden: `none` stands alone (RFC 3323 §4.2).
pub(super) fn asks_none(request: &Request) -> bool {
    let mut values = privacy(request);
    values.next().is_some_and(|v| v.eq_ignore_ascii_case("none")) && values.next().is_none()
}

fn privacy(request: &Request) -> impl Iterator<Item = &str> {
    request.headers.all("Privacy").flat_map(|line| line.split([';', ','])).map(str::trim)
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
