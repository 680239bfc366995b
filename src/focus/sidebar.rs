//! Sidebars: rooms that participants of a room open among themselves (RFC 4353 §3.6, docs/extensions.md).
//!
//! An INVITE to the factory with `Sidebar-Of: <room>` makes one. Whoever is on its list (RFC 5366) must be in that room,
//! and is asked there, by a notice of the room, since a client that is in a room can be reached there and often nowhere
//! else. From then on who has been asked comes in by calling the sidebar, and so do the moderators of the room that
//! it belongs to; all others are shut out, also from its roster. Everybody in that room is told of its sidebars by
//! reference (FOCUS-10).
//!
//! Who is taken out of the room is taken out of its sidebars. Who leaves it may stay in them, and a sidebar may outlive its
//! room. It ends with its last call, like any room that the factory made, and no message crosses between the two.
//!
//! Bounds: `limits::ROOM_SIDEBARS_MAX`, `PARTICIPANT_SIDEBARS_MAX`, `SIDEBAR_GUESTS_MAX`. Proof: `tests/sidebars.rs`.

use super::code::{denial, warn};
use super::dialog::DialogId;
use super::identity::Identity;
use super::invite::Calls;
use super::signalling::{Flow, NameAddr, Request, Response};
use super::{Core, News};
use crate::base::address::Address;
use crate::base::limits;
use crate::base::rights::{Action, Mode, Role, Rule, Standing, decide};
use crate::room::rules::Caller;
use crate::shard::message::{Notice, ToShard};
use crate::wire::conference::Recipient;
use ahash::AHashMap;
use std::collections::BTreeSet;

/// The header that names the room (docs/extensions.md).
const SIDEBAR_OF: &str = "Sidebar-Of";

/// Whether an INVITE to the factory asks for a sidebar.
pub(super) fn is_asked_for(request: &Request) -> bool {
    request.headers.get(SIDEBAR_OF).is_some()
}

/// A sidebar.
pub(super) struct Sidebar {
    /// The room it belongs to.
    of: Address,
    /// Who opened it, as that room shows them.
    by: Address,
    /// Who may come in, as the server knows them; the first is who opened it.
    guests: BTreeSet<Address>,
    /// Who is to be asked as soon as it is open, as the room shows them.
    waiting: BTreeSet<Address>,
    /// Whoever opened it was let in.
    is_open: bool,
}

/// All sidebars.
#[derive(Default)]
pub(super) struct Sidebars {
    table: AHashMap<Address, Sidebar>,
    /// Those of each room.
    of: AHashMap<Address, BTreeSet<Address>>,
}

impl Sidebars {
    /// Whether a room is a sidebar.
    pub(super) fn has(&self, room: &Address) -> bool {
        self.table.contains_key(room)
    }

    /// The open sidebars of a room, in the order of their addresses.
    pub(super) fn of(&self, room: &Address) -> Vec<Address> {
        let is_open = |sidebar: &&Address| self.table.get(*sidebar).is_some_and(|s| s.is_open);
        self.of.get(room).into_iter().flatten().filter(is_open).cloned().collect()
    }

    /// There is one more, which is open once its first call is let in.
    pub(super) fn open(&mut self, room: Address, sidebar: Sidebar) {
        self.of.entry(sidebar.of.clone()).or_default().insert(room.clone());
        self.table.insert(room, sidebar);
    }

    /// It is over. The room that it belonged to, if that was told of it.
    pub(super) fn close(&mut self, room: &Address) -> Option<Address> {
        let sidebar = self.table.remove(room)?;
        if let Some(all) = self.of.get_mut(&sidebar.of) {
            all.remove(room);
            if all.is_empty() {
                self.of.remove(&sidebar.of);
            }
        }
        sidebar.is_open.then_some(sidebar.of)
    }
}

impl Calls {
    /// The sidebar that an INVITE to the factory asks for, if it does. Its list is taken: they are asked, not called.
    pub(super) fn sidebar(
        &self,
        core: &Core,
        request: &Request,
        flow: &Flow,
        who: &Identity,
        list: &mut Vec<Recipient>,
    ) -> Result<Option<Sidebar>, Response> {
        let Some(value) = request.headers.get(SIDEBAR_OF) else { return Ok(None) };
        let named = NameAddr::parse(value).map_or(value.trim(), |n| n.uri);
        let (of, _) = core.config.room(named).ok_or_else(|| warn(flow, 404, "There is no such room"))?;
        if self.sidebars.has(&of) {
            return Err(warn(flow, 403, "A sidebar has no sidebars of its own"));
        }
        let by = self.may_open(core, &of, who).map_err(|rule| denial(flow, rule, None))?;
        let others = self.sidebars.of.get(&of).into_iter().flatten();
        let own = others.clone().filter(|s| self.sidebars.table.get(*s).is_some_and(|s| s.by == by)).count();
        if own >= limits::PARTICIPANT_SIDEBARS_MAX {
            return Err(warn(flow, 403, "You have opened too many sidebars; leave one first"));
        }
        if others.count() >= limits::ROOM_SIDEBARS_MAX {
            return Err(warn(flow, 403, "The room has too many sidebars"));
        }
        let mut waiting = BTreeSet::new();
        for Recipient { uri, .. } in list.drain(..) {
            let guest = Address::parse(&uri).ok().filter(|guest| self.known_as(&of, guest).next().is_some());
            let Some(guest) = guest else {
                // A URI that was read has no quotation marks.
                return Err(
                    warn(flow, 403, &format!("{uri} is not in the room")).with("Room-Refusal", "not-present")
                );
            };
            waiting.insert(guest);
        }
        let mut guests: BTreeSet<Address> =
            waiting.iter().flat_map(|g| self.known_as(&of, g)).cloned().collect();
        guests.insert(who.known().unwrap_or(&who.participant).clone());
        Ok(Some(Sidebar { of, by, guests, waiting, is_open: false }))
    }

    /// Whether somebody may open a sidebar of a room; as whom it knows them.
    fn may_open(&self, core: &Core, of: &Address, who: &Identity) -> Result<Address, Rule> {
        let rules = core.rules(of);
        let known = who.known();
        let own = self.calls_of(of).find(|c| {
            c.confirmed && (c.who.participant == who.participant || known.is_some() && c.who.known() == known)
        });
        let own = own.ok_or(Rule::NotPresent)?;
        let muted = rules.is_muted(core.now, &own.who.participant, own.who.known());
        let standing = Standing {
            role: own.role,
            proved: who.caller.proved,
            present: true,
            muted,
            ..Standing::default()
        };
        let decision = rules.may(&standing, Action::Sidebar, None);
        let (rule, allowed) = (decision.rule.token(), decision.allowed);
        tracing::debug!(target: "openmsrp::rights", room = %of, who = %own.who.participant, action = "Sidebar", rule, allowed);
        decision.check().map(|()| own.who.participant.clone())
    }

    /// The first call of a sidebar was let in: whoever is asked learns of it, and everybody in the room that there is one.
    pub(super) fn sidebar_is_open(&mut self, core: &mut Core, room: &Address) {
        let Some(sidebar) = self.sidebars.table.get_mut(room) else { return };
        if std::mem::replace(&mut sidebar.is_open, true) {
            return;
        }
        let (of, by, waiting) =
            (sidebar.of.clone(), sidebar.by.clone(), std::mem::take(&mut sidebar.waiting));
        core.news.push(News::Sidebars { of: of.clone() });
        for guest in waiting.iter().filter(|guest| **guest != by) {
            self.tell_guest(core, (room, &of), &by, guest);
        }
    }

    /// Whether somebody whom a REFER to a room names is to be asked to it, because it is a sidebar of a room that they are
    /// in.
    ///
    /// # Errors
    /// As many were asked as may be.
    pub(super) fn may_ask(&self, room: &Address, guest: &Address, flow: &Flow) -> Result<bool, Response> {
        let Some(sidebar) = self.sidebars.table.get(room) else { return Ok(false) };
        if self.known_as(&sidebar.of, guest).next().is_none() {
            return Ok(false);
        }
        if sidebar.guests.len() >= limits::SIDEBAR_GUESTS_MAX {
            return Err(warn(flow, 403, "Too many were asked to this sidebar"));
        }
        Ok(true)
    }

    /// Asks somebody who is in the room that a sidebar belongs to.
    pub(super) fn ask(&mut self, core: &mut Core, room: &Address, by: &Address, guest: &Address) {
        let Some(of) = self.sidebars.table.get(room).map(|s| s.of.clone()) else { return };
        let known: Vec<Address> = self.known_as(&of, guest).cloned().collect();
        if let Some(sidebar) = self.sidebars.table.get_mut(room) {
            sidebar.guests.extend(known);
        }
        self.tell_guest(core, (room, &of), by, guest);
    }

    /// Tells all devices of somebody in a room that they are asked to a sidebar of it. The address stands on the last line.
    fn tell_guest(&self, core: &mut Core, (room, of): (&Address, &Address), by: &Address, guest: &Address) {
        let name =
            self.calls_of(of).find(|c| c.who.participant == *by).map_or(by.as_str(), |c| c.shown_name());
        let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = format!("{name} asks you to a sidebar of this room.\r\n<{room}>");
        let devices: Vec<_> =
            self.calls_of(of).filter(|c| c.who.participant == *guest).filter_map(|c| c.endpoint).collect();
        for endpoint in devices {
            let notice = Notice { endpoint, room: of.clone(), private: true, texts: vec![text.clone()] };
            core.tell(of, ToShard::Notice(Box::new(notice)));
        }
    }

    /// Lets somebody pass who calls a sidebar and may come in, as one who was invited.
    pub(super) fn pass_sidebar(
        &self,
        core: &Core,
        room: &Address,
        caller: &mut Caller,
        flow: &Flow,
    ) -> Result<(), Response> {
        self.may_pass_sidebar(core, room, caller, flow)?;
        caller.invited |= self.sidebars.has(room);
        Ok(())
    }

    /// Whether somebody may come into a room, or be told who is there, as far as it is a sidebar.
    pub(super) fn may_pass_sidebar(
        &self,
        core: &Core,
        room: &Address,
        caller: &Caller,
        flow: &Flow,
    ) -> Result<(), Response> {
        let Some(sidebar) = self.sidebars.table.get(room) else { return Ok(()) };
        // Who is listed in the room that it belongs to is nobody in particular here, but its moderators and the banned.
        let role = match core.rules(&sidebar.of).at_the_door(core.now, caller) {
            role @ (Role::Banned | Role::Moderator | Role::Owner) => role,
            _ => Role::Outsider,
        };
        let known = caller.known.as_ref();
        let standing = Standing {
            role,
            proved: caller.proved,
            present: known.is_some_and(|known| self.has(room, known)),
            invited: known.is_some_and(|known| sidebar.guests.contains(known)),
            ..Standing::default()
        };
        let mode = Mode { members_only: true, ..core.rules(room).mode(0) };
        let decision = decide(&standing, Action::Enter, None, &mode);
        let (rule, allowed) = (decision.rule.token(), decision.allowed);
        tracing::debug!(target: "openmsrp::rights", %room, who = ?known, action = "Enter", rule, allowed);
        let words =
            |rule| (rule == Rule::MembersOnly).then_some(": it is a sidebar, for those who were asked to it");
        decision.check().map_err(|rule| denial(flow, rule, words(rule)))
    }

    /// The calls in the sidebars of a room of those who have these calls there.
    pub(super) fn in_sidebars(&self, room: &Address, theirs: &[DialogId]) -> Vec<DialogId> {
        let who: Vec<&Identity> = theirs.iter().filter_map(|d| self.table.get(d)).map(|c| &c.who).collect();
        let same = |one: &Identity| {
            who.iter()
                .any(|w| w.participant == one.participant || w.known().is_some() && w.known() == one.known())
        };
        let sidebars = self.sidebars.of.get(room).into_iter().flatten();
        let calls = sidebars.flat_map(|sidebar| self.calls_of(sidebar));
        calls.filter(|c| same(&c.who)).map(|c| c.dialog).collect()
    }

    /// Whom a room shows as `guest`, as far as they are known to the server: each device may be somebody else's, but is not.
    fn known_as<'a>(&'a self, room: &Address, guest: &'a Address) -> impl Iterator<Item = &'a Address> {
        let theirs = self.calls_of(room).filter(move |c| c.confirmed && c.who.participant == *guest);
        theirs.map(|c| c.who.known().unwrap_or(&c.who.participant))
    }
}
