//! The rules of all rooms as they are configured: of those that have a name, and of all others.
//!
//! Touches: nothing. Bounds: as many rooms as somebody wrote down. Proved by: the tests of `rules.rs` and of
//! `control/config`.

use super::policy::Policy;
use super::rules::{Caller, Rules};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::rights::{Action, Creators, Decision, Standing, decide};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which room has which policy, and who may make rooms that have none of their own.
#[derive(Clone, Debug, Default)]
pub struct Rooms {
    named: BTreeMap<Address, Arc<Rules>>,
    /// By user part, for every domain in which there is nothing of the same name above.
    everywhere: BTreeMap<Box<str>, Arc<Rules>>,
    ad_hoc: Arc<Rules>,
    creators: Creators,
}

impl From<Policy> for Rooms {
    /// No named rooms: everybody makes rooms of this policy.
    fn from(policy: Policy) -> Self {
        Self::new(policy, Creators::Everybody)
    }
}

impl Rooms {
    /// No named rooms; `creators` make rooms of the policy `ad_hoc`.
    #[must_use]
    pub fn new(ad_hoc: Policy, creators: Creators) -> Self {
        Self { ad_hoc: Rules::from(ad_hoc).into(), creators, ..Self::default() }
    }

    /// The same, and a room.
    #[must_use]
    pub fn with(mut self, address: Address, policy: Policy) -> Self {
        self.named.insert(address, Rules::from(policy).into());
        self
    }

    /// The same, and the rooms of this user part in all domains.
    #[must_use]
    pub fn with_everywhere(mut self, user: &str, policy: Policy) -> Self {
        self.everywhere.insert(user.into(), Rules::from(policy).into());
        self
    }

    /// The rules of a room in which nothing was changed, whether it exists or not.
    #[must_use]
    pub fn rules(&self, room: &Address) -> &Arc<Rules> {
        self.configured(room).unwrap_or(&self.ad_hoc)
    }

    fn configured(&self, room: &Address) -> Option<&Arc<Rules>> {
        // Taking an address apart is more than looking into a table with nothing in it.
        let everywhere = || if self.everywhere.is_empty() { None } else { self.everywhere.get(room.user()) };
        self.named.get(room).or_else(everywhere)
    }

    /// The rules of rooms that are not configured.
    #[must_use]
    pub fn ad_hoc(&self) -> &Arc<Rules> {
        &self.ad_hoc
    }

    /// Who may make those.
    #[must_use]
    pub fn creators(&self) -> Creators {
        self.creators
    }

    /// Whether a room is configured, so that nobody need make it.
    #[must_use]
    pub fn is_named(&self, room: &Address) -> bool {
        self.configured(room).is_some()
    }

    /// Whether somebody may make a room that is not configured.
    #[must_use]
    pub fn may_create(&self, now: Now, caller: &Caller) -> Decision {
        let role = self.ad_hoc.at_the_door(now, caller);
        let standing = Standing { role, proved: caller.proved, ..Standing::default() };
        let mut mode = self.ad_hoc.mode(0);
        mode.creators = self.creators;
        decide(&standing, Action::Create, None, &mode)
    }
}
