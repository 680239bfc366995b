//! Who watches a room, and what they believe of it: the roster that a subscriber makes of the documents it
//! gets, full and partial. When all is quiet it must be the truth.

use super::user_agent::What;
use super::world::World;
use crate::base::id::EndpointId;
use crate::focus::TxId;
use crate::focus::signalling::{Outgoing, Response};
use crate::wire::conference::{self, State};
use std::collections::{BTreeMap, BTreeSet};

/// How a participant is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Shown {
    endpoints: BTreeSet<String>,
    nickname: Option<String>,
}

/// A subscription, as its subscriber sees it.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) room: usize,
    /// The Call-ID.
    pub(super) name: String,
    /// The SUBSCRIBE that began it.
    begun: TxId,
    /// Its 200 has come.
    pub(super) confirmed: bool,
    /// It is to end.
    pub(super) over: bool,
    /// A notice or its answer got lost: the focus has given it up.
    pub(super) lost: bool,
    version: u32,
    users: BTreeMap<String, Shown>,
}

impl World {
    /// SUBSCRIBE: in a dialog of its own, or in that of the call.
    pub(super) fn watch(&mut self, i: usize) {
        let inside = self.seats[i].agent.call.as_ref().filter(|c| c.up).map(|c| c.name.clone());
        let inside = inside.filter(|_| self.dice.people.below(2) == 0);
        let room = self.seats[i].room;
        let name = match inside {
            Some(name) => name,
            None => self.seats[i].agent.opens(i, room),
        };
        let begun = self.subscribe(i, &name, "");
        self.seats[i].agent.watch = Some(Watch {
            room,
            name,
            begun,
            confirmed: false,
            over: false,
            lost: false,
            version: 0,
            users: BTreeMap::new(),
        });
    }

    /// A refresh of the subscription, or its end.
    pub(super) fn watch_on(&mut self, i: usize) {
        let ends = self.dice.people.below(3) == 0;
        let Some(watch) = self.seats[i].agent.watch.as_mut().filter(|w| w.confirmed && !w.over) else {
            return;
        };
        watch.over = ends;
        let name = watch.name.clone();
        self.subscribe(i, &name, if ends { "Expires: 0\r\n" } else { "Expires: 1800\r\n" });
    }

    fn subscribe(&mut self, i: usize, name: &str, extra: &str) -> TxId {
        let text = self.text(i, name, "SUBSCRIBE", &format!("Event: conference\r\n{extra}"), "");
        self.ask(i, name, What::Subscribe, text)
    }

    /// The answer to a SUBSCRIBE, maybe of a subscription that was ended before another began in the same dialog.
    pub(super) fn subscribed(&mut self, i: usize, tx: TxId, name: &str, response: &Response) {
        let agent = &mut self.seats[i].agent;
        if response.code >= 300 {
            // Over a number that came too late nothing ends.
            let ends = response.code != 500;
            if agent.watch.as_ref().is_some_and(|w| w.name == name && (ends || w.begun == tx)) {
                agent.watch = None;
            }
            return;
        }
        if let (Some(dialog), Some(tag)) = (agent.dialogs.get_mut(name), &response.to_tag) {
            dialog.theirs = Some(tag.to_string());
        }
        if let Some(watch) = agent.watch.as_mut().filter(|w| w.begun == tx) {
            watch.confirmed = true;
        }
    }

    /// A notice of the conference package. False if nobody here subscribed.
    pub(super) fn notified(&mut self, i: usize, name: &str, request: &Outgoing) -> bool {
        let Some(watch) = self.seats[i].agent.watch.as_mut().filter(|w| w.name == name) else { return false };
        let state = request.headers.get("Subscription-State").unwrap_or("");
        if state.starts_with("terminated") {
            self.seats[i].agent.watch = None;
            return true;
        }
        let Ok(update) = conference::read(request.body.as_bytes()) else {
            let body = request.body.clone();
            self.oracle.fail(|| format!("seat {i} got what is no roster: {body}"));
            return true;
        };
        if let Err(what) = watch.learn(update) {
            self.oracle.fail(|| format!("seat {i}: {what}"));
        }
        true
    }

    /// Nobody moves: what every subscriber believes is so.
    pub(super) fn rosters_are_true(&mut self) {
        let wrong = self.seats.iter().enumerate().find_map(|(i, seat)| {
            let watch = seat.agent.watch.as_ref().filter(|w| w.confirmed && !w.lost && !w.over)?;
            let (truth, unsure) = self.truth(watch.room);
            let same = |(who, shown): (&String, &Shown)| {
                let Some(believed) = watch.users.get(who) else { return false };
                let named = unsure.contains(who) || believed.nickname == shown.nickname;
                named && believed.endpoints == shown.endpoints
            };
            let right = truth.len() == watch.users.len() && truth.iter().all(same);
            let believed = &watch.users;
            (!right).then(|| {
                format!("seat {i} believes {believed:?} of room {}, but it is {truth:?}", watch.room)
            })
        });
        if let Some(what) = wrong {
            self.oracle.fail(|| what);
        }
    }

    /// Who is present in a room, and those of whose nickname nobody can be sure.
    fn truth(&self, room: usize) -> (BTreeMap<String, Shown>, BTreeSet<String>) {
        let (mut truth, mut unsure) = (BTreeMap::<String, Shown>::new(), BTreeSet::new());
        for (endpoint, known) in self.in_room(room) {
            let shown = truth.entry(known.participant.clone()).or_default();
            shown.endpoints.insert(known.contact.clone());
            match self.oracle.name(endpoint) {
                Some(name) if shown.nickname.is_none() => shown.nickname = name,
                Some(_) => {}
                None => {
                    unsure.insert(known.participant.clone());
                }
            }
        }
        (truth, unsure)
    }

    fn in_room(&self, room: usize) -> impl Iterator<Item = (EndpointId, &super::desk::Known)> {
        let all = self.desk.present.iter().filter_map(|e| Some((*e, self.desk.known.get(e)?)));
        all.filter(move |(_, known)| known.room == room)
    }

    /// Nobody moves: no nickname has two participants, nobody is there who has left.
    pub(super) fn nobody_is_a_ghost(&mut self) {
        for room in 0..self.rooms.len() {
            let mut names = BTreeMap::new();
            let two = self.in_room(room).find_map(|(endpoint, known)| {
                let name = self.oracle.name(endpoint)??.to_lowercase();
                let other = names.insert(name.clone(), &known.participant)?;
                (*other != known.participant)
                    .then(|| format!("{other} and {} are both {name}", known.participant))
            });
            if let Some(what) = two {
                self.oracle.fail(|| what);
            }
        }
        let ghost = self.desk.present.iter().find(|e| {
            let seat = self.seat_of.get(e).map(|i| &self.seats[*i]);
            !seat.is_some_and(|s| s.endpoint == Some(**e) && s.agent.call.is_some())
        });
        if let Some(ghost) = ghost.copied() {
            self.oracle.fail(|| format!("{ghost} is present, and its participant has left"));
        }
        let replaced = self.seats.iter().position(|s| s.agent.call.as_ref().is_some_and(|c| c.replaced));
        if let Some(i) = replaced {
            self.oracle
                .fail(|| format!("another device took the place of seat {i}, which is still in its call"));
        }
    }
}

impl Watch {
    /// Takes in a document (RFC 4575 §4.4).
    fn learn(&mut self, update: conference::RosterUpdate) -> Result<(), String> {
        let partial = update.state == State::Partial;
        if update.version < self.version || partial && update.version == self.version {
            return Ok(());
        }
        if self.lost {
            return Ok(());
        }
        if partial && update.version != self.version + 1 {
            return Err(format!("a partial roster {} came after roster {}", update.version, self.version));
        }
        self.version = update.version;
        if !partial {
            self.users.clear();
        }
        for user in update.users {
            if user.state == State::Deleted {
                self.users.remove(&user.entity);
                continue;
            }
            let there = user.endpoints.into_iter().filter(|e| e.state != State::Deleted);
            let endpoints = there.map(|e| e.entity).collect();
            self.users.insert(user.entity, Shown { endpoints, nickname: user.nickname });
        }
        match update.user_count {
            Some(count) if count as usize != self.users.len() => {
                Err(format!("a roster says that there are {count}, and leaves {:?}", self.users))
            }
            _ => Ok(()),
        }
    }
}
