//! The CPIM wrapper of a message as the switch reads it: who says so, to whom, and what it holds.
//!
//! Touches: nothing. Bounds: `limits::WRAPPER_BYTES_MAX`. Proved by: the tests of `inbound`, and
//! `tests/switch/messages.rs`.

use crate::base::address::Address;
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::wire::cpim;

/// What the wrapper of a message says, checked: From is the sender's, there is exactly one To.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envelope<'a> {
    /// The CPIM To, if it is not the room itself.
    pub to: Option<&'a str>,
    /// The wrapped media type without parameters.
    pub content_type: &'a str,
}

/// Who sends: what the checks of a wrapper need to know.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The room's address.
    pub room: Address,
    /// The participant's address.
    pub participant: Address,
    /// Other addresses the participant may use (CHAT-JOIN-07).
    pub aliases: Vec<Address>,
    /// The largest message the room takes, in octets.
    pub message_bytes_max: u64,
}

impl Sender {
    /// The participant, anonymous so far, is known by another address from now on. What it may use so far
    /// stays: messages may be under way.
    pub fn disclose(&mut self, participant: Address, aliases: Vec<Address>) {
        let before = std::mem::replace(&mut self.participant, participant);
        self.aliases.push(before);
        self.aliases.extend(aliases);
    }

    pub(super) fn may_use(&self, from: &str) -> bool {
        self.participant.is(from) || self.aliases.iter().any(|a| a.is(from))
    }
}

/// Places of the wrapper's values in the first part, so that the part can be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrapperAt {
    pub(super) to: Option<(u32, u32)>,
    /// `None`: the wrapper names no type, which means `text/plain`.
    content_type: Option<(u32, u32)>,
}

impl WrapperAt {
    /// The values, read from the octets of the first part.
    #[must_use]
    pub fn envelope<'a>(&self, body: &'a [u8]) -> Envelope<'a> {
        let text = |(at, len): (u32, u32)| {
            body.get(at as usize..(at + len) as usize).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
        };
        Envelope { to: self.to.map(text), content_type: self.content_type.map_or("text/plain", text) }
    }
}

/// Reads and checks the wrapper at the beginning of a message, in the order of CHAT-PRIV-05.
/// `None`: it is not all there.
pub(super) fn first(sender: &Sender, body: &[u8], last: bool) -> Result<Option<WrapperAt>, Refusal> {
    let wrapper = match cpim::parse(body, last) {
        Ok(cpim::Parsed::Complete(w)) => w,
        Ok(cpim::Parsed::Partial) => return Ok(None),
        Err(cpim::CpimError::TooLong) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::BadWrapper),
    };
    if wrapper.content > limits::WRAPPER_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    if !sender.may_use(wrapper.from) {
        return Err(Refusal::ForeignFrom);
    }
    if wrapper.to_count > 1 {
        return Err(Refusal::ManyRecipients);
    }
    let to = (!sender.room.is(wrapper.to)).then(|| place(body, wrapper.to)).flatten();
    Ok(Some(WrapperAt { to, content_type: place(body, wrapper.content_type) }))
}

/// The From and To of a message as a wrapper of an empty text: what reports about a private message
/// carry (RFC 7701 §6.2).
pub(super) fn about(first_part: &[u8]) -> Box<[u8]> {
    let mut about = Vec::new();
    if let Ok(cpim::Parsed::Complete(w)) = cpim::parse(first_part, false) {
        let name = if w.from_name.is_empty() { String::new() } else { format!("{} ", w.from_name.trim()) };
        let head =
            format!("From: {name}<{}>\r\nTo: <{}>\r\n\r\nContent-Type: text/plain\r\n\r\n", w.from, w.to);
        about.extend_from_slice(head.as_bytes());
    }
    about.into()
}

/// Where `part` lies in `whole`; `None` if it is not a part of it.
fn place(whole: &[u8], part: &str) -> Option<(u32, u32)> {
    let at = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let inside = at.checked_add(part.len())? <= whole.len();
    if inside { u32::try_from(at).ok().zip(u32::try_from(part.len()).ok()) } else { None }
}
