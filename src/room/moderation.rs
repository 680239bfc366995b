//! What moderators do while the room runs: take out, keep out, silence, give roles, set the room otherwise.
//!
//! Whether they may is decided by `base/rights.rs`, like everything. What changes is in [`super::rules::Rules`]; the
//! focus gets a copy of each state and sees to it that those who are banned go. A change lasts as long as the room, which ends
//! with its last participant unless it is configured as persistent.
//!
//! Bounds: `limits::ROOM_BANS_MAX`, `ROOM_MUTES_MAX`, `ROOM_ROLES_MAX`; what is over is taken out first. Proved by: the tests
//! below, `tests/switch/orders.rs`.

use super::Room;
use super::ban::{Ban, Whom};
use super::effect::Effect;
use super::order::Order;
use super::rules::{Mute, Rules, term};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::id::{EndpointId, MessageNo};
use crate::base::limits::{NOTICE_BYTES_MAX, ROOM_BANS_MAX, ROOM_MUTES_MAX, ROOM_ROLES_MAX};
use crate::base::refusal::Refusal;
use crate::base::rights::{Action, Role, Target};
use std::fmt::Write;
use std::time::Duration;

const NOBODY: Refusal = Refusal::Order(404, "Nobody of this address is in the room");

impl Room {
    /// Carries out an order, or says why not.
    pub(super) fn order(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        (no, octets): (MessageNo, u64),
        order: Result<Order, Refusal>,
        out: &mut Vec<Effect>,
    ) {
        let Some(at) = self.roster.shard_of(endpoint) else { return };
        let before = out.len();
        let verdict = order.and_then(|order| {
            self.may_order(now, endpoint, octets, &order)?;
            self.obey(now, endpoint, order, out)
        });
        // The answer comes before what follows from it.
        out.insert(before, Effect::Verdict { endpoint, at, no, verdict });
        self.close_if_empty(out);
    }

    fn may_order(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        octets: u64,
        order: &Order,
    ) -> Result<(), Refusal> {
        let seat = self.roster.seat(endpoint).filter(|seat| seat.bound).ok_or(Refusal::NoSession)?;
        let target = self.target_of(now, seat.participant, order)?;
        let decision = self.rules.may(&self.standing(now, &seat), order.action(), target);
        self.decided(seat.participant, order.action(), decision).map_err(Refusal::Denied)?;
        self.charge(now, endpoint, true, octets)
    }

    /// To whom it is done, if to one.
    fn target_of(&self, now: Now, actor: &Address, order: &Order) -> Result<Option<Target>, Refusal> {
        let (address, must_be_here) = match order {
            Order::Kick(who, _) | Order::Mute(who, ..) => (who, true),
            Order::Unmute(who) | Order::Grant(who, _) => (who, false),
            Order::Ban(Whom::Address(who), ..) | Order::Unban(Whom::Address(who)) => (who, false),
            _ => return Ok(None),
        };
        let here = self.roster.who(address);
        if must_be_here && here.is_none() {
            return Err(NOBODY);
        }
        let shown = here.map_or(address, |(shown, _)| shown);
        let seat = here.and_then(|(_, all)| self.roster.seat(*all.first()?));
        let inside = seat.map(|seat| seat.role);
        // Who hides is nobody in particular here, but whoever it is may not be banned by those who may not ban them.
        let hidden = seat
            .and_then(|s| s.known)
            .filter(|_| matches!(order, Order::Ban(..)))
            .map(|k| self.rules.listed(k));
        let role = inside.unwrap_or_else(|| self.rules.listed(address)).max(hidden.unwrap_or_default());
        let banned = matches!(order, Order::Unban(_))
            && self.rules.bans.iter().any(|b| b.holds(now) && b.whom.has(Some(address), None));
        Ok(Some(Target { role: if banned { Role::Banned } else { role }, own: shown == actor }))
    }

    fn obey(&mut self, now: Now, by: EndpointId, order: Order, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        match order {
            Order::Kick(who, reason) => {
                self.take_out(now, by, &who, &because("Taken out by a moderator", &reason), out);
                return Ok(());
            }
            Order::Inspect => {
                out.push(Effect::Tell { endpoint: by, text: self.describe(now) });
                return Ok(());
            }
            Order::Ban(whom, time, reason) => self.ban(now, whom, time, &reason, out)?,
            Order::Unban(whom) => {
                let named = |b: &Ban| b.whom == whom || b.name() == whom.to_string();
                if !self.rules.bans.iter().any(|b| b.holds(now) && named(b)) {
                    return Err(Refusal::Order(404, "There is no such ban; inspect lists them"));
                }
                self.change(out).bans.retain(|b| !named(b));
            }
            Order::Mute(who, time, reason) => self.mute(now, &who, time, &reason, out)?,
            Order::Unmute(who) => {
                let shown = self.roster.who(&who).map_or(&who, |(shown, _)| shown).clone();
                let known = self
                    .roster
                    .who(&who)
                    .and_then(|(_, all)| self.roster.seat(*all.first()?)?.known.cloned());
                let means = |m: &Mute| {
                    m.shown == shown
                        || known.is_some() && (m.hidden == known || known.as_ref() == Some(&m.shown))
                };
                if !self.rules.mutes.iter().any(means) {
                    return Err(Refusal::Order(404, "Nobody of this address is muted"));
                }
                self.change(out).mutes.retain(|m| !means(m));
                self.tell_all_of(&shown, "You may speak again", out);
            }
            Order::Grant(who, role) => self.grant(now, &who, role, out)?,
            Order::Subject(text) => self.change(out).subject = text.into(),
            Order::Lock(on) => self.change(out).locked = on,
            Order::Moderate(on) => {
                self.change(out).moderated = on;
                self.roster.judge(now, &self.rules);
            }
            Order::MembersOnly(on) => self.change(out).members_only = on,
            Order::Password(password) => self.change(out).password = password,
            Order::Occupants(n) => self.change(out).participants_max = n,
            Order::SlowMode(time) => self.change(out).slow_mode = time,
        }
        self.silence(now, out);
        Ok(())
    }

    /// Who may not speak any more does not go on with what they have begun.
    fn silence(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut silent = Vec::new();
        for &(endpoint, no) in self.open.keys() {
            let Some(seat) = self.roster.seat(endpoint) else { continue };
            let decision = self.rules.may(&self.standing(now, &seat), Action::Speak, None);
            if let Err(rule) = decision.check() {
                silent.push((endpoint, no, seat.at, rule));
            }
        }
        silent.sort_unstable_by_key(|(endpoint, no, ..)| (*endpoint, *no));
        for (endpoint, no, at, rule) in silent {
            out.push(Effect::Withdraw { endpoint, at, no, why: Refusal::Denied(rule) });
            self.abort_open(endpoint, out);
        }
    }

    /// All devices of somebody go, with these words. Who takes out themself goes with the call, after the answer.
    fn take_out(&mut self, now: Now, by: EndpointId, who: &Address, words: &str, out: &mut Vec<Effect>) {
        let all = self.roster.who(who).map(|(_, all)| all.to_vec()).unwrap_or_default();
        let own = all.contains(&by);
        for endpoint in all {
            out.push(Effect::Dismiss { endpoint, words: words.into() });
            if !own {
                self.remove(now, endpoint, out);
            }
        }
    }

    /// Who is there and meant goes at once; those of networks, whom only the focus knows, as soon as it has the rules.
    fn ban(
        &mut self,
        now: Now,
        whom: Whom,
        time: Option<Duration>,
        reason: &str,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let mut ban = Ban::new(whom, reason);
        ban.until = time.map(|time| now + time);
        if let Whom::Address(address) = &ban.whom
            && let Some((shown, all)) = self.roster.who(address)
            && let Some(seat) = all.first().and_then(|e| self.roster.seat(*e))
            && seat.hides
        {
            let Some(known) = seat.known else {
                return Err(Refusal::Order(404, "Nobody knows who that is; kick them, or ban their network"));
            };
            (ban.shown, ban.whom) = (Some(shown.as_str().into()), Whom::Address(known.clone()));
        }
        let holding = self.rules.bans.iter().filter(|b| b.holds(now) && b.whom != ban.whom).count();
        if holding >= ROOM_BANS_MAX {
            return Err(Refusal::Order(
                403,
                "The room has as many bans as it may have; lift one, or ban a domain",
            ));
        }
        let rules = self.change(out);
        rules.bans.retain(|b| b.holds(now) && b.whom != ban.whom);
        // A ban of their own address takes the role of whoever had one.
        if let Whom::Address(address) = &ban.whom
            && rules.listed(address) > Role::Outsider
        {
            rules.granted.insert(address.clone(), Role::Outsider);
        }
        rules.bans.push(ban);
        self.roster.judge(now, &self.rules);
        let term = time.map_or(String::new(), |time| format!(" for {}", term(time)));
        let words = because(&format!("Banned from this room{term}"), reason);
        let mut going: Vec<EndpointId> = self.roster.banned().collect();
        going.sort_unstable();
        for endpoint in going {
            out.push(Effect::Dismiss { endpoint, words: words.as_str().into() });
            self.remove(now, endpoint, out);
        }
        Ok(())
    }

    fn mute(
        &mut self,
        now: Now,
        who: &Address,
        time: Option<Duration>,
        reason: &str,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let (shown, all) = self.roster.who(who).ok_or(NOBODY)?;
        let (shown, seat) = (shown.clone(), all.first().and_then(|e| self.roster.seat(*e)));
        let hidden = seat.filter(|seat| seat.hides).and_then(|seat| seat.known.cloned());
        let holds = |m: &Mute| m.until.is_none_or(|until| until > now) && m.shown != shown;
        if self.rules.mutes.iter().filter(|m| holds(m)).count() >= ROOM_MUTES_MAX {
            return Err(Refusal::Order(403, "As many are muted as may be; let somebody speak again first"));
        }
        let rules = self.change(out);
        rules.mutes.retain(holds);
        rules.mutes.push(Mute { shown: shown.clone(), hidden, until: time.map(|time| now + time) });
        let what =
            time.map_or("You are muted".to_owned(), |time| format!("You are muted for {}", term(time)));
        self.tell_all_of(&shown, &because(&what, reason), out);
        Ok(())
    }

    fn grant(&mut self, now: Now, who: &Address, role: Role, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        let who = self.roster.who(who).map_or(who, |(shown, _)| shown).clone();
        if !self.rules.granted.contains_key(&who) && self.rules.granted.len() >= ROOM_ROLES_MAX {
            return Err(Refusal::Order(
                403,
                "As many have got a role as may; write members into the configuration",
            ));
        }
        self.change(out).granted.insert(who.clone(), role);
        self.roster.judge(now, &self.rules);
        let what = match role {
            Role::Owner => "You are an owner of this room now",
            Role::Moderator => "You are a moderator of this room now",
            Role::Participant => "You have a voice now",
            Role::Visitor => "You have no voice any more",
            Role::Outsider | Role::Banned => "You have no special role any more",
        };
        self.tell_all_of(&who, what, out);
        Ok(())
    }

    fn tell_all_of(&self, who: &Address, text: &str, out: &mut Vec<Effect>) {
        let all = self.roster.who(who).map(|(_, all)| all).unwrap_or_default();
        out.extend(all.iter().map(|endpoint| Effect::Tell { endpoint: *endpoint, text: text.to_owned() }));
    }

    /// The rules in force, as lines for moderators.
    fn describe(&self, now: Now) -> String {
        let rules: &Rules = &self.rules;
        let on = |on: bool| if on { "on" } else { "off" };
        let mut text = format!(
            "subject: {}\nlock: {}\nmoderate: {}\nmembers-only: {}\npassword: {}\noccupants: {} of {}\nslow-mode: {} s",
            rules.subject,
            on(rules.locked),
            on(rules.moderated),
            on(rules.members_only),
            on(rules.password.is_some()),
            self.roster.participants(),
            rules.participants_max,
            rules.slow_mode.as_secs(),
        );
        let still = |until: Option<Now>| {
            until.map_or(String::new(), |until| format!(" for {}", term(now.until(until))))
        };
        let mut roles = rules.policy.roles.clone();
        roles.extend(rules.granted.clone());
        let roles = roles
            .iter()
            .filter(|(_, role)| **role > Role::Outsider)
            .map(|(who, role)| format!("role: {who} {role}"));
        let bans = rules.bans.iter().filter(|b| b.holds(now));
        let bans = bans.map(|b| because(&format!("ban: {}{}", b.name(), still(b.until)), &b.reason));
        let mutes = rules.mutes.iter().filter(|m| m.until.is_none_or(|until| until > now));
        let mutes = mutes.map(|m| format!("mute: {}{}", m.shown, still(m.until)));
        let mut left = 0;
        for line in roles.chain(bans).chain(mutes) {
            if left > 0 || text.len() + line.len() > NOTICE_BYTES_MAX {
                left += 1;
            } else {
                text.push('\n');
                text.push_str(&line);
            }
        }
        if left > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "\nand {left} more");
        }
        text
    }
}

/// `what: why`, or `what` if there is no why.
fn because(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, Posting};
    use super::super::policy::Policy;
    use super::super::rules::Caller;
    use super::*;
    use crate::base::id::ShardId;

    struct World {
        room: Room,
        now: Now,
        last: u32,
    }

    fn address(name: &str) -> Address {
        Address::parse(&format!("sip:{name}@example.com")).unwrap()
    }

    impl World {
        /// A room with a moderator, who is endpoint 0.
        fn new() -> Self {
            let roles = [("mod", Role::Moderator), ("boss", Role::Owner)];
            let roles = roles.into_iter().map(|(name, role)| (address(name), role)).collect();
            let rules = Rules::from(Policy { roles, ..Policy::default() });
            let address = Address::parse("sip:lobby@chat.example.com").unwrap();
            let mut w = Self { room: Room::new(address, rules.into(), ShardId(0), 1), now: Now(1), last: 0 };
            w.enters(0, "mod");
            w
        }

        fn does(&mut self, command: Command<'_>) -> Vec<Effect> {
            let mut out = Vec::new();
            self.room.apply(self.now, command, &mut out);
            self.room.check();
            out
        }

        fn enters(&mut self, n: u64, name: &str) -> bool {
            self.enters_as(n, address(name), Caller::of(&address(name)))
        }

        fn enters_as(&mut self, n: u64, participant: Address, caller: Caller) -> bool {
            let endpoint = EndpointId(n);
            let out = self.does(Command::Join { endpoint, participant, able: None, caller, password: None });
            self.does(Command::Bind { endpoint, at: ShardId(0) });
            matches!(out[0], Effect::Grant { .. })
        }

        /// Somebody hides, whom the server knows or not.
        fn hides(&mut self, n: u64, name: Option<&str>) -> Address {
            let shown = Address::parse(&format!("sip:anonymous{n}@anonymous.invalid")).unwrap();
            let caller =
                Caller { known: name.map(address), hides: true, believed: true, ..Caller::default() };
            assert!(self.enters_as(n, shown.clone(), caller));
            shown
        }

        /// What the moderator's order leads to, after the verdict.
        fn orders(&mut self, text: &str) -> Result<Vec<Effect>, Refusal> {
            self.last += 1;
            let (endpoint, no, order) = (EndpointId(0), MessageNo(self.last), Order::read(text.as_bytes()));
            let mut out = self.does(Command::Order { endpoint, no, octets: 1, order });
            let Effect::Verdict { verdict, .. } = out.remove(0) else { panic!("{out:?}") };
            verdict.map(|()| out)
        }

        fn may_speak(&mut self, n: u64) -> bool {
            self.last += 1;
            let (endpoint, no, flag) = (EndpointId(n), MessageNo(self.last), crate::base::chunk::Flag::End);
            let (to, content_type, size, octets) = (None, "text/plain", 1, 1);
            let feedback = Default::default();
            let posting = Posting { endpoint, no, to, content_type, size, octets, flag, feedback };
            let out = self.does(Command::Post(posting));
            matches!(out.first(), Some(Effect::Verdict { verdict: Ok(()), .. }))
        }
    }

    #[test]
    fn a_ban_of_an_anonymous_address_holds_against_who_hides_and_shows_nobody_who_that_is() {
        let mut w = World::new();
        let shown = w.hides(1, Some("eve"));
        let out = w.orders(&format!("ban {shown}")).unwrap();
        assert!(out.contains(&Effect::Evict { endpoint: EndpointId(1), at: ShardId(0) }), "{out:?}");
        assert!(!w.enters(2, "eve"), "under her own name");
        let told = w.room.describe(w.now);
        assert!(told.contains(&format!("ban: {shown}")) && !told.contains("eve"), "{told}");
        w.orders(&format!("unban {shown}")).unwrap();
        assert!(w.enters(3, "eve"));
        let unknown = w.hides(4, None);
        assert_eq!(w.orders(&format!("ban {unknown}")).unwrap_err().msrp().0, 404);
        w.orders(&format!("kick {unknown}")).unwrap();
    }

    #[test]
    fn who_is_muted_while_hiding_is_muted_whenever_they_hide() {
        let mut w = World::new();
        let shown = w.hides(1, Some("eve"));
        w.orders(&format!("mute {shown}")).unwrap();
        assert!(!w.may_speak(1));
        assert!(w.enters(2, "eve") && w.may_speak(2), "under her own name it would show who was muted");
        let again = w.hides(3, Some("eve"));
        assert!(!w.may_speak(3));
        w.orders(&format!("unmute {again}")).unwrap();
        assert!(w.may_speak(1) && w.may_speak(2) && w.may_speak(3));
    }

    #[test]
    fn moderators_do_nothing_to_an_owner_who_hides() {
        let mut w = World::new();
        let shown = w.hides(1, Some("boss"));
        assert_eq!(
            w.orders(&format!("ban {shown}")).unwrap_err(),
            Refusal::Denied(crate::base::rights::Rule::NotOver)
        );
    }

    #[test]
    fn lists_are_bounded_and_what_is_over_makes_room() {
        let mut w = World::new();
        for n in 0..ROOM_BANS_MAX {
            w.orders(&format!("ban @spam{n}.example\nfor: 60")).unwrap();
        }
        w.orders("ban @spam0.example\nfor: 60").unwrap();
        let why = w.orders("ban @more.example").unwrap_err();
        assert!(matches!(why, Refusal::Order(403, told) if told.contains("as many bans")), "{why}");
        let told = w.room.describe(w.now);
        assert!(told.len() < 2 * NOTICE_BYTES_MAX && told.ends_with(" more"), "{told}");
        w.now = w.now + Duration::from_secs(60);
        w.orders("ban @more.example").unwrap();
        assert_eq!(w.room.rules.bans.len(), 1);
        for n in 0..ROOM_MUTES_MAX as u64 {
            w.enters(n + 1, &format!("user{n}"));
            w.orders(&format!("mute sip:user{n}@example.com")).unwrap();
        }
        w.enters(1000, "bob");
        assert_eq!(w.orders("mute sip:bob@example.com").unwrap_err().msrp().0, 403);
    }

    #[test]
    fn who_takes_out_themself_is_answered_before_they_go() {
        let mut w = World::new();
        let out = w.orders("kick sip:mod@example.com").unwrap();
        assert!(matches!(&out[..], [Effect::Dismiss { endpoint: EndpointId(0), .. }]), "{out:?}");
    }
}
