//! Nicknames of a room: reserved, changed, removed, kept for a while after that (RFC 7701 §7).
//!
//! Where look-alikes are refused, what a nickname can be mistaken for is held in the same way as the nickname
//! itself, by the same participant.
//!
//! Bounds: one nickname per endpoint; `QUARANTINED_MAX` kept after use, the oldest go first.
//! How often they change is limited in `flood.rs`.

use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::id::EndpointId;
use crate::base::nickname::Nickname;
use crate::base::refusal::Refusal;
use ahash::AHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Freed nicknames kept for their last holders. Beyond, the oldest is free for all.
const QUARANTINED_MAX: usize = 1024;

/// Who has a nickname, by its comparison form, or by what it looks like.
#[derive(Debug)]
struct Holder {
    participant: Address,
    /// How many endpoints of the participant use it; 0 while it is kept after use.
    endpoints: usize,
    /// Kept until then, if nobody uses it.
    until: Now,
}

/// Forms of nicknames, each with one holder.
#[derive(Debug, Default)]
struct Forms {
    holders: AHashMap<Arc<str>, Holder>,
    /// Forms that were freed, oldest first.
    freed: VecDeque<Arc<str>>,
}

impl Forms {
    /// Whether somebody else than `participant` has the form, or had it a moment ago.
    fn is_taken(&self, now: Now, form: &str, participant: &Address) -> bool {
        let holder = self.holders.get(form);
        holder.is_some_and(|h| h.participant != *participant && (h.endpoints > 0 || h.until > now))
    }

    /// One more endpoint of `participant` uses the form.
    fn take(&mut self, now: Now, form: &Arc<str>, participant: &Address) {
        let holder = self.holders.entry(form.clone()).or_insert_with(|| Holder {
            participant: participant.clone(),
            endpoints: 0,
            until: now,
        });
        holder.participant = participant.clone();
        holder.endpoints += 1;
    }

    /// One endpoint less uses the form; once nobody does it is kept for `quarantine`.
    fn release(&mut self, now: Now, form: Arc<str>, quarantine: Duration) {
        let Some(holder) = self.holders.get_mut(&form) else { return };
        holder.endpoints -= 1;
        if holder.endpoints > 0 {
            return;
        }
        holder.until = now + quarantine;
        self.freed.push_back(form);
        self.forget(now);
    }

    /// Forgets what was kept long enough, and the oldest of what is too much.
    fn forget(&mut self, now: Now) {
        while let Some(form) = self.freed.front() {
            let over = self.freed.len() > QUARANTINED_MAX;
            match self.holders.get(form) {
                Some(h) if h.endpoints == 0 && (h.until <= now || over) => {
                    self.holders.remove(form);
                }
                Some(h) if h.endpoints == 0 => break,
                _ => {}
            }
            self.freed.pop_front();
        }
    }

    /// What `before` holds as `used`, or is kept for it, is held by `after`.
    fn hand_over(&mut self, used: Option<&Arc<str>>, before: &Address, after: &Address) {
        for form in used.into_iter().chain(&self.freed) {
            if let Some(holder) = self.holders.get_mut(form).filter(|h| h.participant == *before) {
                holder.participant = after.clone();
            }
        }
    }

    fn check<'a>(&self, used: impl Iterator<Item = &'a Arc<str>> + Clone) {
        assert!(self.freed.len() <= QUARANTINED_MAX);
        for (form, holder) in &self.holders {
            assert_eq!(used.clone().filter(|u| *u == form).count(), holder.endpoints, "{form}");
            assert!(
                holder.endpoints > 0 || self.freed.contains(form),
                "{form} is kept and will be forgotten"
            );
        }
    }
}

/// All nicknames of one room.
#[derive(Debug, Default)]
pub struct Nicknames {
    names: Forms,
    /// What the nicknames can be mistaken for, where that is refused.
    looks: Option<Forms>,
    uses: AHashMap<EndpointId, Nickname>,
}

impl Nicknames {
    /// No nicknames; whether those that look alike are refused.
    #[must_use]
    pub fn new(look_alikes_refused: bool) -> Self {
        Self { looks: look_alikes_refused.then(Forms::default), ..Self::default() }
    }

    /// Gives `nickname` to the endpoint, or takes its own away with `None`. The old one is free, for
    /// its last holder at once and for others after `quarantine`, only if this succeeds (CHAT-NICK-07).
    ///
    /// # Errors
    /// [`Refusal::NicknameTaken`] if somebody else has it or had it a moment ago;
    /// [`Refusal::NicknameLooksTaken`] if it can be mistaken for such a one and that is refused.
    pub fn set(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        participant: &Address,
        nickname: Option<Nickname>,
        quarantine: Duration,
    ) -> Result<(), Refusal> {
        if let Some(wanted) = &nickname {
            if self.names.is_taken(now, &wanted.key, participant) {
                return Err(Refusal::NicknameTaken);
            }
            if self.looks.as_ref().is_some_and(|l| l.is_taken(now, &wanted.looks, participant)) {
                return Err(Refusal::NicknameLooksTaken);
            }
        }
        self.release(now, endpoint, quarantine);
        if let Some(wanted) = nickname {
            self.take(now, &wanted, participant);
            self.uses.insert(endpoint, wanted);
        }
        Ok(())
    }

    fn take(&mut self, now: Now, nickname: &Nickname, participant: &Address) {
        self.names.take(now, &nickname.key, participant);
        if let Some(looks) = &mut self.looks {
            looks.take(now, &nickname.looks, participant);
        }
    }

    /// Gives the nickname of `from` to `heir` too, both endpoints of `participant`; returns it if `heir` had
    /// none.
    pub fn inherit(
        &mut self,
        now: Now,
        heir: EndpointId,
        from: EndpointId,
        participant: &Address,
    ) -> Option<Arc<str>> {
        let nickname = self.of(from)?.clone();
        if self.uses.contains_key(&heir) {
            return None;
        }
        self.uses.insert(heir, nickname.clone());
        self.take(now, &nickname, participant);
        Some(nickname.shown)
    }

    /// The endpoint belongs to another participant from now on: what it is called, and what is kept for it,
    /// goes over. An anonymous participant has one endpoint.
    pub fn disclose(&mut self, endpoint: EndpointId, before: &Address, after: &Address) {
        let used = self.of(endpoint).cloned();
        self.names.hand_over(used.as_ref().map(|n| &n.key), before, after);
        if let Some(looks) = &mut self.looks {
            looks.hand_over(used.as_ref().map(|n| &n.looks), before, after);
        }
    }

    /// The endpoint uses its nickname no more.
    fn release(&mut self, now: Now, endpoint: EndpointId, quarantine: Duration) {
        let Some(old) = self.uses.remove(&endpoint) else { return };
        self.names.release(now, old.key, quarantine);
        if let Some(looks) = &mut self.looks {
            looks.release(now, old.looks, quarantine);
        }
    }

    /// The endpoint has left the room.
    pub fn leave(&mut self, now: Now, endpoint: EndpointId, quarantine: Duration) {
        self.release(now, endpoint, quarantine);
    }

    /// The nickname of an endpoint.
    #[must_use]
    pub fn of(&self, endpoint: EndpointId) -> Option<&Nickname> {
        self.uses.get(&endpoint)
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// If one is broken, which is a fault of this program.
    pub fn check(&self) {
        let used = self.uses.values();
        self.names.check(used.clone().map(|n| &n.key));
        if let Some(looks) = &self.looks {
            looks.check(used.map(|n| &n.looks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARANTINE: Duration = Duration::from_secs(120);

    fn nickname(text: &str) -> Option<Nickname> {
        // Stands for what the reader of nicknames finds: a digit for a letter.
        let looks = text.replace('0', "O").replace('1', "l").to_lowercase();
        Some(Nickname { shown: text.into(), key: text.to_lowercase().into(), looks: looks.into() })
    }

    fn who(name: &str) -> Address {
        Address::parse(&format!("sip:{name}@example.com")).unwrap()
    }

    fn at(seconds: u64) -> Now {
        Now::default() + Duration::from_secs(seconds)
    }

    struct World(Nicknames);

    impl World {
        fn set(&mut self, seconds: u64, n: u64, name: &str, wish: Option<Nickname>) -> Result<(), Refusal> {
            let result = self.0.set(at(seconds), EndpointId(n), &who(name), wish, QUARANTINE);
            self.0.check();
            result
        }

        fn shown(&self, n: u64) -> Option<&str> {
            self.0.of(EndpointId(n)).map(|n| &*n.shown)
        }
    }

    fn world() -> World {
        World(Nicknames::default())
    }

    #[test]
    fn a_nickname_has_one_participant_whatever_its_spelling() {
        // CHAT-NICK-04 CHAT-NICK-07
        let mut w = world();
        assert_eq!(w.set(0, 1, "bob", nickname("White Rabbit")), Ok(()));
        assert_eq!(w.set(0, 2, "alice", nickname("Queen")), Ok(()));
        assert_eq!(w.set(0, 2, "alice", nickname("white rabbit")), Err(Refusal::NicknameTaken));
        assert_eq!((w.shown(1), w.shown(2)), (Some("White Rabbit"), Some("Queen")), "the old one stays");
    }

    #[test]
    fn two_devices_of_one_participant_may_share_one() {
        // CHAT-NICK-06
        let mut w = world();
        assert_eq!(w.set(0, 1, "alice", nickname("Al")), Ok(()));
        assert_eq!(w.shown(2), None, "never given by itself");
        assert_eq!(w.set(0, 2, "alice", nickname("Al")), Ok(()));
        w.0.leave(at(1), EndpointId(1), QUARANTINE);
        assert_eq!(w.set(1, 3, "bob", nickname("Al")), Err(Refusal::NicknameTaken), "still in use");
    }

    #[test]
    fn a_freed_nickname_is_kept_for_its_last_holder() {
        // CHAT-NICK-09 CHAT-NICK-08
        let mut w = world();
        assert_eq!(w.set(0, 1, "alice", nickname("Al")), Ok(()));
        assert_eq!(w.set(1, 1, "alice", None), Ok(()));
        assert_eq!(w.set(1, 1, "alice", None), Ok(()), "removing nothing is no fault");
        assert_eq!(w.set(120, 2, "bob", nickname("al")), Err(Refusal::NicknameTaken));
        assert_eq!(w.set(121, 2, "bob", nickname("al")), Ok(()));
        w.0.leave(at(122), EndpointId(2), QUARANTINE);
        assert_eq!(w.set(123, 3, "bob", nickname("al")), Ok(()), "its own again at once");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut w = world();
        for n in 0..3000 {
            assert_eq!(w.set(0, n, &format!("p{n}"), nickname(&format!("n{n}"))), Ok(()));
            w.0.leave(at(0), EndpointId(n), QUARANTINE);
        }
        assert_eq!((w.0.names.holders.len(), w.0.uses.len()), (QUARANTINED_MAX, 0));
    }

    #[test]
    fn what_looks_like_another_nickname_is_refused_where_rooms_say_so() {
        // SEC-08
        let mut w = World(Nicknames::new(true));
        assert_eq!(w.set(0, 1, "bob", nickname("Bob")), Ok(()));
        assert_eq!(w.set(0, 2, "alice", nickname("B0b")), Err(Refusal::NicknameLooksTaken));
        assert_eq!(w.set(0, 2, "alice", nickname("bob")), Err(Refusal::NicknameTaken));
        assert_eq!(w.set(0, 3, "bob", nickname("B0b")), Ok(()), "like his own it may look");
        assert_eq!(w.set(1, 1, "bob", None), Ok(()));
        w.0.leave(at(2), EndpointId(3), QUARANTINE);
        assert_eq!(w.set(20, 2, "alice", nickname("b0B")), Err(Refusal::NicknameTaken), "kept");
        assert_eq!(w.set(121, 2, "alice", nickname("Bob")), Err(Refusal::NicknameLooksTaken), "kept too");
        assert_eq!(w.set(122, 2, "alice", nickname("Bob")), Ok(()), "free like the name itself");
        assert_eq!(w.set(140, 1, "bob", nickname("b0b")), Err(Refusal::NicknameLooksTaken));
        let mut w = world();
        assert_eq!(w.set(0, 1, "bob", nickname("Bob")), Ok(()));
        assert_eq!(w.set(0, 2, "alice", nickname("B0b")), Ok(()), "nobody minds unless the room does");
    }

    #[test]
    fn of_many_who_want_names_that_look_alike_one_gets_it() {
        // CHAT-NICK-10 SEC-08
        let mut w = World(Nicknames::new(true));
        let names = ["Bob", "B0b", "bOB", "b0B"];
        let won = (0..100).filter(|n| {
            let name = names[(*n as usize * 7 + *n as usize / 4) % names.len()];
            w.set(0, *n, &format!("p{n}"), nickname(name)).is_ok()
        });
        assert_eq!(won.count(), 1);
    }

    #[test]
    fn what_looks_alike_follows_its_holder() {
        // FOCUS-09 SEC-08
        let mut w = World(Nicknames::new(true));
        assert_eq!(w.set(0, 1, "hidden", nickname("Bob")), Ok(()));
        w.0.disclose(EndpointId(1), &who("hidden"), &who("alice"));
        assert_eq!(w.0.inherit(at(0), EndpointId(2), EndpointId(1), &who("alice")).as_deref(), Some("Bob"));
        w.0.leave(at(1), EndpointId(1), QUARANTINE);
        w.0.check();
        assert_eq!(w.set(500, 3, "carol", nickname("B0b")), Err(Refusal::NicknameLooksTaken));
        assert_eq!(w.set(500, 4, "alice", nickname("B0b")), Ok(()));
    }
}
