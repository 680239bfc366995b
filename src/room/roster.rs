//! The participants of a room and their endpoints: who is a member, who is present, and where.

use super::effect::Recipients;
use super::rules::{Caller, Rules};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::id::{EndpointId, ShardId};
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::base::rights::{Role, Rule};
use ahash::AHashMap;
use smallvec::SmallVec;

/// One session of a participant.
#[derive(Debug)]
struct Endpoint {
    participant: Address,
    /// The number of the participant, the same for all its endpoints.
    number: u32,
    /// Where its session is, or will be once bound.
    at: ShardId,
    bound: bool,
    /// It can take private messages; `None` if it never declared anything.
    able: Option<bool>,
    /// What the participant is to the room.
    role: Role,
    hides: bool,
    proved: bool,
    believed: bool,
    /// What only those have who hide, or have hidden.
    veil: Option<Box<Veil>>,
}

/// Who hides behind an address, or has hidden.
#[derive(Debug, Default)]
struct Veil {
    /// The anonymous address under which it entered, if it has shown itself since.
    former: Option<Address>,
    /// Who it is, if it hides still and that is known.
    hidden: Option<Address>,
}

const _: () = assert!(size_of::<Endpoint>() <= 48, "every endpoint of every room pays for it");

/// Who an endpoint belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// The address that everybody sees.
    pub participant: &'a Address,
    /// Who that is, if known, also if they hide.
    pub known: Option<&'a Address>,
    /// They hide.
    pub hides: bool,
    /// They have proved who they are.
    pub proved: bool,
    /// What they are to the room.
    pub role: Role,
    /// The endpoint is present.
    pub bound: bool,
    /// Where its session is, or will be.
    pub at: ShardId,
}

/// Participants and endpoints of one room.
#[derive(Debug)]
pub struct Roster {
    home: ShardId,
    endpoints: AHashMap<EndpointId, Endpoint>,
    participants: AHashMap<Address, SmallVec<[EndpointId; 1]>>,
    /// Addresses that were given up, and who had them: others may not have seen that yet.
    former: AHashMap<Address, EndpointId>,
    /// Endpoints per shard, granted or bound: what placement balances.
    load: Vec<usize>,
    bound: usize,
    /// Numbers of participants who left; who comes next gets one of these.
    free_numbers: Vec<u32>,
}

impl Roster {
    /// Nobody, on `shards` shards.
    #[must_use]
    pub fn new(home: ShardId, shards: u16) -> Self {
        Self {
            home,
            endpoints: AHashMap::new(),
            participants: AHashMap::new(),
            former: AHashMap::new(),
            load: vec![0; usize::from(shards.max(1))],
            bound: 0,
            free_numbers: Vec::new(),
        }
    }

    /// Adds an endpoint of somebody who may enter, and chooses its shard: home while the room is small, then the one with the
    /// fewest endpoints of this room.
    ///
    /// # Errors
    /// [`Rule::Full`] if the participant is one too many for the server, [`Refusal::ManyEndpoints`] if it has too many
    /// endpoints.
    pub fn add(
        &mut self,
        endpoint: EndpointId,
        participant: Address,
        able: Option<bool>,
        caller: Caller,
        rules: &Rules,
    ) -> Result<ShardId, Refusal> {
        let has = self.participants.get(&participant).map_or(0, SmallVec::len);
        let policy = rules.policy();
        // Whoever moderates may be one too many for the room, but not for the server.
        if has == 0 && self.participants.len() >= limits::ROOM_PARTICIPANTS_MAX {
            return Err(Refusal::Denied(Rule::Full));
        }
        if has >= policy.participant_endpoints_max || self.endpoints.contains_key(&endpoint) {
            return Err(Refusal::ManyEndpoints);
        }
        let at = self.place();
        self.load[at.index()] += 1;
        let number = self.number_for(&participant);
        let role = rules.inside(&participant, &caller);
        let Caller { known, hides, proved, believed, .. } = caller;
        let veil = hides.then(|| Box::new(Veil { former: None, hidden: known }));
        self.participants.entry(participant.clone()).or_default().push(endpoint);
        let bound = false;
        self.endpoints.insert(
            endpoint,
            Endpoint { participant, number, at, bound, able, role, hides, proved, believed, veil },
        );
        Ok(at)
    }

    fn place(&self) -> ShardId {
        if self.endpoints.len() < limits::ROOM_ONE_SHARD_ENDPOINTS {
            return self.home;
        }
        let least = self.load.iter().enumerate().min_by_key(|(_, n)| **n);
        least.map_or(self.home, |(i, _)| ShardId(u16::try_from(i).unwrap_or(0)))
    }

    /// The endpoint's session is bound on `at`. False if the endpoint is no member.
    pub fn bind(&mut self, endpoint: EndpointId, at: ShardId) -> bool {
        let Some(e) = self.endpoints.get_mut(&endpoint) else { return false };
        self.load[e.at.index()] -= 1;
        self.load[at.index()] += 1;
        e.at = at;
        self.bound += usize::from(!e.bound);
        e.bound = true;
        true
    }

    /// The endpoint's session ended. False if it was not bound.
    pub fn unbind(&mut self, endpoint: EndpointId) -> bool {
        let Some(e) = self.endpoints.get_mut(&endpoint) else { return false };
        let was = std::mem::take(&mut e.bound);
        self.bound -= usize::from(was);
        was
    }

    /// Removes an endpoint; the shard where its session is or would have been.
    pub fn remove(&mut self, endpoint: EndpointId) -> Option<ShardId> {
        let e = self.endpoints.remove(&endpoint)?;
        self.bound -= usize::from(e.bound);
        self.load[e.at.index()] -= 1;
        self.part(&e.participant, endpoint, e.number);
        self.give_up(e.veil.and_then(|v| v.former).as_ref(), endpoint);
        Some(e.at)
    }

    /// The number of a participant, who is about to have one more endpoint.
    fn number_for(&mut self, participant: &Address) -> u32 {
        let first = self.participants.get(participant).and_then(|all| self.endpoints.get(all.first()?));
        match first {
            Some(other) => other.number,
            // Numbers in use are as many as participants, so without a free one the next is their number.
            None => self.free_numbers.pop().unwrap_or(self.participants.len() as u32),
        }
    }

    /// The endpoint is no longer one of this participant, who is gone with the last one.
    fn part(&mut self, participant: &Address, endpoint: EndpointId, number: u32) {
        if let Some(all) = self.participants.get_mut(participant) {
            all.retain(|id| *id != endpoint);
            if all.is_empty() {
                self.participants.remove(participant);
                self.free_numbers.push(number);
            }
        }
    }

    /// The endpoint is one of `participant` from now on. Its address so far reaches that participant as long
    /// as the endpoint stays. Where its session is.
    ///
    /// # Errors
    /// [`Refusal::NoSession`] if the endpoint is no member, [`Refusal::ManyEndpoints`] if the participant has too
    /// many endpoints already.
    pub fn disclose(
        &mut self,
        endpoint: EndpointId,
        participant: Address,
        rules: &Rules,
    ) -> Result<ShardId, Refusal> {
        let has = self.participants.get(&participant).map_or(0, SmallVec::len);
        let e = self.endpoints.get_mut(&endpoint).ok_or(Refusal::NoSession)?;
        if e.participant == participant {
            return Ok(e.at);
        }
        if has >= rules.policy().participant_endpoints_max {
            return Err(Refusal::ManyEndpoints);
        }
        let (at, number) = (e.at, e.number);
        let before = std::mem::replace(&mut e.participant, participant.clone());
        e.hides = false;
        let caller = Caller { believed: e.believed, ..Caller::of(&participant) };
        e.role = rules.inside(&participant, &caller);
        let veil = e.veil.get_or_insert_default();
        veil.hidden = None;
        let older = veil.former.replace(before.clone());
        self.part(&before, endpoint, number);
        let number = self.number_for(&participant);
        if let Some(e) = self.endpoints.get_mut(&endpoint) {
            e.number = number;
        }
        self.participants.entry(participant).or_default().push(endpoint);
        self.give_up(older.as_ref(), endpoint);
        self.former.insert(before, endpoint);
        Ok(at)
    }

    /// An address that an endpoint once had reaches it no more; another one may have had it later.
    fn give_up(&mut self, former: Option<&Address>, endpoint: EndpointId) {
        if let Some(former) = former.filter(|f| self.former.get(*f) == Some(&endpoint)) {
            self.former.remove(former);
        }
    }

    /// The endpoints of whoever has this address, or had it before showing itself.
    fn endpoints_of(&self, address: &Address) -> &[EndpointId] {
        let now = self.participants.get(address);
        let later = || self.participants.get(self.participant_of(*self.former.get(address)?)?);
        now.or_else(later).map(SmallVec::as_slice).unwrap_or_default()
    }

    /// Whoever has this address, or had it before showing itself: who that is now, and all their endpoints.
    #[must_use]
    pub fn who(&self, address: &Address) -> Option<(&Address, &[EndpointId])> {
        let all = self.endpoints_of(address);
        Some((self.participant_of(*all.first()?)?, all))
    }

    /// What everybody is to the room, by rules of which bans, roles or who is heard have changed. Looks at everybody.
    pub fn judge(&mut self, now: Now, rules: &Rules) {
        for e in self.endpoints.values_mut() {
            let known = if e.hides {
                e.veil.as_ref().and_then(|v| v.hidden.clone())
            } else {
                Some(e.participant.clone())
            };
            let caller = Caller { known, hides: e.hides, believed: e.believed, ..Caller::default() };
            let banned = rules.at_the_door(now, &caller) == Role::Banned;
            e.role = if banned { Role::Banned } else { rules.inside(&e.participant, &caller) };
        }
    }

    /// Endpoints of those who are banned.
    pub fn banned(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.endpoints.iter().filter(|(_, e)| e.role == Role::Banned).map(|(id, _)| *id)
    }

    /// Where the session of `endpoint` is; `None` if it is no member.
    #[must_use]
    pub fn shard_of(&self, endpoint: EndpointId) -> Option<ShardId> {
        self.endpoints.get(&endpoint).map(|e| e.at)
    }

    /// Who the endpoint belongs to; `None` if it is no member.
    #[must_use]
    pub fn seat(&self, endpoint: EndpointId) -> Option<Seat<'_>> {
        let e = self.endpoints.get(&endpoint)?;
        let &Endpoint { ref participant, role, hides, proved, bound, at, .. } = e;
        let known = if hides { e.veil.as_ref().and_then(|v| v.hidden.as_ref()) } else { Some(participant) };
        Some(Seat { participant, known, hides, proved, role, bound, at })
    }

    /// How many participants there are.
    #[must_use]
    pub fn participants(&self) -> usize {
        self.participants.len()
    }

    /// Whether somebody has an endpoint here.
    #[must_use]
    pub fn has(&self, participant: &Address) -> bool {
        self.participants.contains_key(participant)
    }

    /// Whether the endpoint is present.
    #[must_use]
    pub fn is_bound(&self, endpoint: EndpointId) -> bool {
        self.endpoints.get(&endpoint).is_some_and(|e| e.bound)
    }

    /// Whose endpoint this is.
    #[must_use]
    pub fn participant_of(&self, endpoint: EndpointId) -> Option<&Address> {
        self.endpoints.get(&endpoint).map(|e| &e.participant)
    }

    /// The number of the endpoint's participant: below the largest number of participants there ever were at
    /// once, and somebody else's once all its endpoints have left.
    #[must_use]
    pub fn number_of(&self, endpoint: EndpointId) -> Option<u32> {
        self.endpoints.get(&endpoint).map(|e| e.number)
    }

    /// The endpoint can, or can no longer, take private messages. Who declared something once and no
    /// longer does has switched it off (CHAT-JOIN-05).
    pub fn set_able(&mut self, endpoint: EndpointId, able: Option<bool>) {
        if let Some(e) = self.endpoints.get_mut(&endpoint) {
            e.able = able.or(e.able.map(|_| false));
        }
    }

    /// The endpoints of `address` that a private message from `sender` reaches: all that are present and
    /// able (CHAT-PRIV-01), never the one that sends it (CHAT-PRIV-08). Endpoints that declare nothing
    /// count as able if `legacy`.
    ///
    /// # Errors
    /// [`Refusal::UnknownRecipient`] if nobody of that address is present,
    /// [`Refusal::NoPrivateMessages`] if none of its endpoints is able (CHAT-PRIV-03).
    pub fn recipients(
        &self,
        address: &Address,
        sender: EndpointId,
        legacy: bool,
    ) -> Result<Recipients, Refusal> {
        let all = self.endpoints_of(address);
        let present: SmallVec<[(EndpointId, bool); 4]> = all
            .iter()
            .filter(|id| **id != sender)
            .filter_map(|id| {
                self.endpoints.get(id).filter(|e| e.bound).map(|e| (*id, e.able.unwrap_or(legacy)))
            })
            .collect();
        let able: SmallVec<[EndpointId; 4]> =
            present.iter().filter(|(_, able)| *able).map(|(id, _)| *id).collect();
        match (present.is_empty(), able.is_empty()) {
            (true, _) => Err(Refusal::UnknownRecipient),
            (false, true) => Err(Refusal::NoPrivateMessages),
            (false, false) => Ok(able.as_slice().into()),
        }
    }

    /// Endpoints that are present.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Nobody is a member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Shards on which endpoints of this room are, or will be.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        let used = self.load.iter().enumerate().filter(|(_, n)| **n > 0);
        used.map(|(i, _)| ShardId(u16::try_from(i).unwrap_or(0)))
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// If one is broken, which is a fault of this program.
    pub fn check(&self) {
        assert_eq!(self.bound, self.endpoints.values().filter(|e| e.bound).count());
        assert_eq!(self.load.iter().sum::<usize>(), self.endpoints.len());
        assert_eq!(self.participants.values().map(SmallVec::len).sum::<usize>(), self.endpoints.len());
        for (address, all) in &self.participants {
            assert!(!all.is_empty(), "{address} has no endpoint");
            let number = self.number_of(all[0]);
            assert!(all.iter().all(|id| self.number_of(*id) == number));
            assert!(number.is_some_and(|n| !self.free_numbers.contains(&n)));
            assert!(all.iter().all(|id| self.endpoints.get(id).is_some_and(|e| e.participant == *address)));
        }
        for (address, id) in &self.former {
            let former = self.endpoints.get(id).and_then(|e| e.veil.as_ref()?.former.as_ref());
            assert_eq!(former, Some(address), "{id} had this address");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::Policy;
    use super::*;

    fn add(roster: &mut Roster, n: u64, who: &Address, policy: Policy) -> Result<ShardId, Refusal> {
        roster.add(EndpointId(n), who.clone(), Some(true), Caller::of(who), &Rules::new(policy.into()))
    }

    #[test]
    fn a_small_room_is_whole_and_a_big_one_is_spread_evenly() {
        let mut roster = Roster::new(ShardId(1), 3);
        let mut at = vec![0; 3];
        for n in 0..900 {
            let who = Address::parse(&format!("sip:u{n}@example.com")).unwrap();
            let shard = add(&mut roster, n, &who, Policy::default()).unwrap();
            at[shard.index()] += 1;
            if n < limits::ROOM_ONE_SHARD_ENDPOINTS as u64 {
                assert_eq!(shard, ShardId(1));
            }
        }
        roster.check();
        assert_eq!(at, [300, 300, 300]);
    }

    #[test]
    fn one_participant_has_few_endpoints_and_leaves_with_the_last() {
        let policy = Policy { participant_endpoints_max: 2, ..Policy::default() };
        let mut roster = Roster::new(ShardId(0), 1);
        let alice = Address::parse("sip:alice@example.com").unwrap();
        assert!(add(&mut roster, 1, &alice, policy.clone()).is_ok());
        assert!(add(&mut roster, 2, &alice, policy.clone()).is_ok());
        assert_eq!(add(&mut roster, 3, &alice, policy.clone()), Err(Refusal::ManyEndpoints));
        roster.remove(EndpointId(1));
        assert_eq!(roster.participant_of(EndpointId(2)), Some(&alice));
        roster.remove(EndpointId(2));
        assert!(roster.participants.is_empty() && roster.is_empty());
        roster.check();
    }
}
