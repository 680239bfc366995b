//! The rules of one room that are in force: its policy, and what moderators have changed since (`moderation.rs`).
//!
//! [`Rules`] is a value: the room owns it, the focus has a copy of each state, and `openmsrp why` makes one of the
//! configuration alone. It says what somebody is to the room ([`Rules::at_the_door`], [`Rules::inside`]) and asks
//! `base/rights.rs` what they may.
//!
//! Who hides is let in as whom they are, and is from then on what a stranger is: a role that others see would
//! tell who it is.
//!
//! Touches: base. Bounds: those of `moderation.rs`. Proved by: the tests below.

use super::ban::Ban;
use super::policy::{Password, Policy};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::rights::{Action, Creators, Decision, Key, Mode, Role, Rule, Standing, Target, decide};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Who somebody is, as far as the server knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    /// Who they are, also if they hide; `None` if nobody knows.
    pub known: Option<Address>,
    /// Others are shown an anonymous address.
    pub hides: bool,
    /// Who they are was proved, or a trusted proxy says so.
    pub proved: bool,
    /// Who they are counts: it was proved, or nobody has to prove anything here.
    pub believed: bool,
    /// Where they call from; `None` behind a trusted proxy.
    pub from: Option<IpAddr>,
    /// The room called them, for somebody who may invite, or it is a sidebar to which they were asked.
    pub invited: bool,
}

impl Caller {
    /// Somebody who is believed to have this address.
    #[must_use]
    pub fn of(address: &Address) -> Self {
        Self { known: Some(address.clone()), believed: true, ..Self::default() }
    }
}

/// Somebody who may say nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mute {
    /// The address that everybody sees.
    pub(super) shown: Address,
    /// Who hides behind it, if that is known.
    pub(super) hidden: Option<Address>,
    /// When it ends; `None` for never.
    pub(super) until: Option<Now>,
}

/// The rules in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    pub(super) policy: Arc<Policy>,
    pub(super) members_only: bool,
    pub(super) moderated: bool,
    pub(super) locked: bool,
    pub(super) password: Option<Password>,
    pub(super) participants_max: usize,
    pub(super) slow_mode: Duration,
    pub(super) subject: Arc<str>,
    /// Roles given at run time: they come before those of the policy.
    pub(super) granted: BTreeMap<Address, Role>,
    pub(super) bans: Vec<Ban>,
    pub(super) mutes: Vec<Mute>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl From<Policy> for Rules {
    fn from(policy: Policy) -> Self {
        Self::new(policy.into())
    }
}

impl Rules {
    /// The rules of a room in which nothing was changed.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            members_only: policy.members_only,
            moderated: policy.moderated,
            locked: policy.locked,
            password: policy.password.clone(),
            participants_max: policy.participants_max,
            slow_mode: policy.slow_mode,
            subject: policy.subject.clone(),
            granted: BTreeMap::new(),
            bans: policy.bans.clone(),
            mutes: Vec::new(),
            policy,
        }
    }

    /// What is configured.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What the room is about; may be empty.
    #[must_use]
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// Nobody new comes in.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Participants at once.
    #[must_use]
    pub fn participants_max(&self) -> usize {
        self.participants_max
    }

    /// How long everybody but moderators waits between two messages; zero for not at all.
    #[must_use]
    pub fn slow_mode(&self) -> Duration {
        self.slow_mode
    }

    /// How the room is set, while so many participants are in it.
    #[must_use]
    pub fn mode(&self, participants: usize) -> Mode {
        Mode {
            private_messages: self.policy.private_messages,
            nicknames: self.policy.nicknames,
            identities: self.policy.moderators_see_identity,
            members_only: self.members_only,
            locked: self.locked,
            password: self.password.is_some(),
            full: participants >= self.participants_max,
            invite: self.policy.invite,
            sidebars: self.policy.sidebars,
            subject: self.policy.subject_by,
            // Whoever makes rooms asks `Rooms`.
            creators: Creators::Nobody,
        }
    }

    /// The role that is written down for an address, whatever bans say.
    #[must_use]
    pub fn listed(&self, address: &Address) -> Role {
        self.granted.get(address).or_else(|| self.policy.roles.get(address)).copied().unwrap_or_default()
    }

    /// What somebody outside is to the room. Moderators cannot be shut out by a ban of a domain or network; a
    /// ban of their own address takes their role first.
    #[must_use]
    pub fn at_the_door(&self, now: Now, caller: &Caller) -> Role {
        let listed =
            caller.known.as_ref().filter(|_| caller.believed).map_or(Role::Outsider, |a| self.listed(a));
        match listed {
            Role::Moderator | Role::Owner => listed,
            _ if self.ban(now, caller).is_some() => Role::Banned,
            other => other,
        }
    }

    /// What somebody in the room is, who is shown as `shown`.
    #[must_use]
    pub fn inside(&self, shown: &Address, caller: &Caller) -> Role {
        let counts = caller.believed || caller.hides;
        match if counts { self.listed(shown) } else { Role::Outsider } {
            Role::Outsider | Role::Banned if self.moderated => Role::Visitor,
            Role::Outsider | Role::Banned => Role::Participant,
            listed => listed,
        }
    }

    /// The first ban that is meant for somebody.
    #[must_use]
    pub fn ban(&self, now: Now, caller: &Caller) -> Option<&Ban> {
        let known = caller.known.as_ref();
        self.bans.iter().find(|b| b.holds(now) && b.whom.has(known, caller.from))
    }

    /// Whether somebody in the room, who is shown so and known so, may say nothing.
    #[must_use]
    pub fn is_muted(&self, now: Now, shown: &Address, known: Option<&Address>) -> bool {
        self.mute(now, shown, known).is_some()
    }

    /// When whoever is muted may speak again, if ever.
    #[must_use]
    pub fn mute_ends(&self, now: Now, shown: &Address, known: Option<&Address>) -> Option<Now> {
        self.mute(now, shown, known)?.until
    }

    fn mute(&self, now: Now, shown: &Address, known: Option<&Address>) -> Option<&Mute> {
        let hidden = known.filter(|known| *known != shown);
        let means = |m: &Mute| {
            m.shown == *shown || known == Some(&m.shown) || hidden.is_some() && m.hidden.as_ref() == hidden
        };
        self.mutes.iter().find(|m| means(m) && m.until.is_none_or(|until| until > now))
    }

    /// What somebody has shown of the password.
    #[must_use]
    pub fn key(&self, given: Option<&str>) -> Key {
        match (&self.password, given) {
            (_, None) => Key::None,
            (Some(password), Some(given)) if !password.opens(given) => Key::Wrong,
            (_, Some(_)) => Key::Right,
        }
    }

    /// Whether somebody who gives this password may come in, while so many are there; `present` if they are one
    /// of them.
    #[must_use]
    pub fn may_enter(
        &self,
        now: Now,
        caller: &Caller,
        password: Option<&str>,
        participants: usize,
        present: bool,
    ) -> Decision {
        let standing = self.outside(now, caller, password, present);
        decide(&standing, Action::Enter, None, &self.mode(participants))
    }

    /// Whether somebody may be told who is in the room.
    #[must_use]
    pub fn may_watch(&self, now: Now, caller: &Caller, password: Option<&str>, present: bool) -> Decision {
        let standing = self.outside(now, caller, password, present);
        decide(&standing, Action::Watch, None, &self.mode(0))
    }

    fn outside(&self, now: Now, caller: &Caller, password: Option<&str>, present: bool) -> Standing {
        Standing {
            role: self.at_the_door(now, caller),
            proved: caller.proved,
            present,
            invited: caller.invited,
            muted: false,
            hasty: false,
            key: self.key(password),
        }
    }

    /// Whether somebody of this standing may do something, to somebody if it is done to one.
    #[must_use]
    pub fn may(&self, standing: &Standing, action: Action, target: Option<Target>) -> Decision {
        decide(standing, action, target, &self.mode(0))
    }

    /// What is said to somebody whom a rule shut out, after the rule: for how long, and what a moderator wrote.
    #[must_use]
    pub fn words(&self, now: Now, caller: &Caller, rule: Rule) -> Option<Arc<str>> {
        let ban = self.ban(now, caller).filter(|_| rule == Rule::Banned)?;
        let mut words = String::new();
        if let Some(until) = ban.until {
            words = format!(" for {}", term(now.until(until)));
        }
        if !ban.reason.is_empty() {
            words = format!("{words}: {}", ban.reason);
        }
        (!words.is_empty()).then(|| words.into())
    }
}

/// A length of time in words, rounded up: `9 min`.
#[must_use]
pub fn term(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds.div_ceil(60)),
        7200..=172_799 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ban::Whom;
    use super::*;

    fn address(name: &str) -> Address {
        Address::parse(&format!("sip:{name}@example.com")).unwrap()
    }

    fn rules(policy: Policy) -> Rules {
        let roles = [("owner", Role::Owner), ("mod", Role::Moderator), ("member", Role::Participant)];
        let roles = roles.into_iter().map(|(name, role)| (address(name), role)).collect();
        Rules::new(Policy { roles, ..policy }.into())
    }

    #[test]
    fn who_is_listed_and_who_is_not_in_an_open_and_in_a_moderated_room() {
        let table = [
            ("owner", Role::Owner, Role::Owner),
            ("mod", Role::Moderator, Role::Moderator),
            ("member", Role::Participant, Role::Participant),
            ("bob", Role::Participant, Role::Visitor),
        ];
        for (name, open, moderated) in table {
            let caller = Caller::of(&address(name));
            assert_eq!(rules(Policy::default()).inside(&address(name), &caller), open);
            let policy = Policy { moderated: true, ..Policy::default() };
            assert_eq!(rules(policy).inside(&address(name), &caller), moderated);
        }
    }

    #[test]
    fn who_is_not_believed_is_nobody_in_particular() {
        let caller = Caller { believed: false, ..Caller::of(&address("owner")) };
        let rules = rules(Policy::default());
        assert_eq!(rules.at_the_door(Now(0), &caller), Role::Outsider);
        assert_eq!(rules.inside(&address("owner"), &caller), Role::Participant);
    }

    #[test]
    fn who_hides_is_let_in_as_whom_they_are_and_is_a_stranger_inside() {
        let shown = Address::parse("sip:anonymous1@anonymous.invalid").unwrap();
        let rules = rules(Policy { members_only: true, moderated: true, ..Policy::default() });
        for name in ["owner", "member"] {
            let caller = Caller { hides: true, ..Caller::of(&address(name)) };
            assert!(rules.may_enter(Now(0), &caller, None, 0, false).allowed, "{name}");
            assert_eq!(rules.inside(&shown, &caller), Role::Visitor, "{name}");
        }
        let caller = Caller { hides: true, ..Caller::of(&address("bob")) };
        assert_eq!(rules.may_enter(Now(0), &caller, None, 0, false).rule, Rule::MembersOnly);
        let unknown = Caller { hides: true, ..Caller::default() };
        assert_eq!(rules.may_enter(Now(0), &unknown, None, 0, false).rule, Rule::MembersOnly);
    }

    #[test]
    fn a_ban_of_a_domain_shuts_out_everybody_but_moderators() {
        let mut rules = rules(Policy::default());
        rules.bans.push(Ban::new(Whom::parse("@example.com").unwrap(), "spam"));
        for (name, role) in [("bob", Role::Banned), ("member", Role::Banned), ("mod", Role::Moderator)] {
            assert_eq!(rules.at_the_door(Now(0), &Caller::of(&address(name))), role);
        }
        let bob = Caller::of(&address("bob"));
        assert_eq!(rules.words(Now(0), &bob, Rule::Banned).as_deref(), Some(": spam"));
        rules.bans[0].until = Some(Now(0) + Duration::from_secs(600));
        assert_eq!(rules.words(Now(0), &bob, Rule::Banned).as_deref(), Some(" for 10 min: spam"));
        assert_eq!(rules.at_the_door(Now(0) + Duration::from_secs(600), &bob), Role::Outsider);
    }

    #[test]
    fn a_password_opens_whole_and_alone() {
        let rules = rules(Policy { password: Password::new("sesame"), ..Policy::default() });
        for (given, key) in
            [("sesame", Key::Right), ("sesam", Key::Wrong), ("Sesame", Key::Wrong), ("", Key::Wrong)]
        {
            assert_eq!(rules.key(Some(given)), key, "{given}");
        }
        assert_eq!(rules.key(None), Key::None);
        assert_eq!(format!("{:?}", rules.password), "Some(Password)");
    }

    #[test]
    fn times_are_told_in_words() {
        let table = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 days")];
        for (seconds, words) in table {
            assert_eq!(term(Duration::from_secs(seconds)), words);
        }
    }
}
