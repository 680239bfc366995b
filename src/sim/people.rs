//! The participants: what they do next. By SIP: `calls.rs`, `watch.rs`; by MSRP: `speech.rs`.

use super::link::Reads;
use super::oracle::Purpose;
use super::plan::Manner;
use super::user_agent::Agent;
use super::world::World;
use crate::base::clock::Now;
use crate::base::id::EndpointId;
use std::collections::VecDeque;
use std::time::Duration;

/// How far an endpoint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It is in no room.
    Out,
    /// It asked for a place.
    Asked,
    /// Its session is granted, or being bound.
    Granted,
    /// It is present.
    In,
    /// Its session is lost.
    Lost,
    /// It does nothing any more.
    Gone,
}

/// A part of a message that is still to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) message: u32,
    pub(super) stay: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) last: bool,
}

/// One participant's device.
#[derive(Debug)]
pub(super) struct Seat {
    /// Its place among all.
    pub(super) number: usize,
    pub(super) agent: Agent,
    pub(super) room: usize,
    pub(super) user: u64,
    pub(super) manner: Manner,
    pub(super) passive: bool,
    pub(super) fumbles: bool,
    /// Who else uses the same connection.
    pub(super) group: Option<u64>,
    pub(super) stage: Stage,
    pub(super) endpoint: Option<EndpointId>,
    /// The binding that holds.
    pub(super) stay: Option<usize>,
    /// The binding that is being negotiated.
    pub(super) next: Option<usize>,
    pub(super) link: Option<usize>,
    pub(super) acts_at: Option<Now>,
    pub(super) pieces: VecDeque<Piece>,
}

impl Seat {
    /// How its connections behave.
    pub(super) fn habits(&self, healed: bool) -> (bool, Reads) {
        let reads = match self.manner {
            _ if healed => Reads::All,
            Manner::SlowReader => Reads::Slowly,
            Manner::NeverReads => Reads::Never,
            _ => Reads::All,
        };
        (self.manner == Manner::Splitter, reads)
    }
}

impl World {
    /// Draws who there is.
    pub(super) fn settle_in(&mut self) {
        for n in 0..self.plan.people {
            let dice = &mut self.dice.people;
            let rooms = self.rooms.len() as u64;
            let second = n > 0 && dice.below(100) < self.plan.second_devices;
            let manner = self.plan.manners[dice.below(self.plan.manners.len() as u64) as usize];
            let agent = Agent {
                udp: dice.below(100) < self.plan.datagrams,
                timer: [None, Some(";refresher=uac"), Some(";refresher=uas")][dice.below(3) as usize],
                updates: dice.below(2) == 0,
                forgets: dice.below(10) == 0,
                old: manner == Manner::Old,
                ..Agent::default()
            };
            let seat = Seat {
                number: n as usize,
                agent,
                room: dice.below(rooms) as usize,
                user: if second { dice.below(n) } else { n },
                manner,
                passive: dice.below(100) < self.plan.passive,
                fumbles: dice.below(100) < self.plan.fumblers,
                group: (dice.below(100) < self.plan.gateways).then(|| dice.below(3)),
                stage: Stage::Out,
                endpoint: None,
                stay: None,
                next: None,
                link: None,
                acts_at: Some(self.now + Duration::from_millis(dice.below(1 + self.plan.pause_millis))),
                pieces: VecDeque::new(),
            };
            self.seats.push(seat);
        }
    }

    /// A participant does what it does next.
    pub(super) fn act(&mut self, i: usize) {
        let pause = self.dice.people.below(1 + self.plan.pause_millis * 1000);
        self.seats[i].acts_at = Some(self.now + Duration::from_micros(50 + pause));
        self.trace.event("acts", [i as u64, self.seats[i].stage as u64, self.now.0]);
        self.notices_loss(i);
        match self.seats[i].stage {
            Stage::Out if self.healed => self.seats[i].acts_at = None,
            Stage::Out if self.seats[i].agent.call.is_some() || self.seats[i].agent.ringing => {
                self.seats[i].acts_at = None;
            }
            Stage::Out if self.dice.people.below(20) == 0 => self.watches(i),
            Stage::Out => self.join(i),
            Stage::Asked | Stage::Gone => {
                self.seats[i].acts_at = None;
                let early = self.seats[i].agent.call.as_ref().is_some_and(|c| !c.up);
                if early && self.seats[i].stage == Stage::Asked && self.dice.people.below(20) == 0 {
                    self.leave(i);
                }
            }
            Stage::Granted => {
                self.bind(i);
                if self.healed {
                    self.seats[i].acts_at = None;
                }
            }
            Stage::In if self.healed => self.finish(i),
            Stage::In => self.act_inside(i),
            Stage::Lost if self.healed || self.dice.people.below(2) == 0 => self.leave(i),
            Stage::Lost => self.revise(i),
        }
    }

    /// The world heals: what is begun is ended, by those who end anything.
    fn finish(&mut self, i: usize) {
        if self.seats[i].next.is_some() {
            self.bind(i);
        }
        if !self.next_piece(i) && self.seats[i].pieces.is_empty() {
            self.seats[i].acts_at = None;
        }
    }

    fn act_inside(&mut self, i: usize) {
        let dice = self.dice.people.below(100);
        if self.seats[i].next.is_some() && dice < 30 {
            return self.bind(i);
        }
        let manner = self.seats[i].manner;
        if self.dice.people.below(100) < self.plan.restless {
            return self.signals(i);
        }
        if self.plan.orders && self.dice.people.below(100) < if self.seats[i].user == 0 { 25 } else { 2 } {
            return self.orders(i);
        }
        match manner {
            Manner::Renamer if dice < 60 => self.nickname(i),
            Manner::Hammer if dice < 30 => self.refer(i),
            Manner::Holder if dice < 20 => self.hold(i),
            Manner::Churner if dice < 30 => self.leave(i),
            Manner::Vanisher if dice < 10 => self.vanish(i),
            Manner::Rebinder if dice < 20 => self.revise(i),
            Manner::Guesser if dice < 30 => self.guess(i),
            Manner::Flooder if dice < 60 => {
                (0..self.dice.people.below(40)).for_each(|_| self.speak(i));
            }
            Manner::Unfinished if dice < 60 => {
                self.seats[i].pieces.clear();
                self.speak(i);
            }
            _ if dice < 2 => self.leave(i),
            _ if dice < 70 && self.next_piece(i) => {}
            _ => self.speak(i),
        }
    }

    /// Something other than speaking.
    fn signals(&mut self, i: usize) {
        match self.dice.people.below(12) {
            0..=3 => self.watches(i),
            4..=6 => self.nickname(i),
            7 => self.refer(i),
            8 => self.hold(i),
            9 => self.refresh(i),
            10 => self.close_media(i),
            _ => self.revise(i),
        }
    }

    /// Begins to watch the room, or goes on with it.
    fn watches(&mut self, i: usize) {
        if self.seats[i].agent.watch.is_some() {
            self.watch_on(i);
        } else {
            self.watch(i);
        }
    }

    fn vanish(&mut self, i: usize) {
        if let Some(link) = self.seats[i].link {
            self.links[link].deaf = true;
        }
        self.seats[i].stage = Stage::Gone;
    }

    /// Binds the session that was granted, on a connection of its own or of its group.
    fn bind(&mut self, i: usize) {
        let seat = &self.seats[i];
        let Some(next) = seat.next.filter(|n| self.oracle.stays[*n].session.is_some()) else { return };
        if let Some(link) = self.oracle.stays[next].link {
            // Under way already, unless that connection is gone.
            if !self.links[link].usable() && seat.stage == Stage::Granted {
                self.leave(i);
            }
            return;
        }
        if seat.passive {
            return;
        }
        let (split, reads) = seat.habits(self.healed);
        // A session that replaces another is not had by a connection of another shard that cannot move.
        let fumbles = seat.fumbles && seat.stage != Stage::In;
        let Some(link) = self.shared_link(i).or_else(|| self.connect(split, reads)) else { return };
        if fumbles {
            self.stray(i, link, next);
        }
        self.oracle.stays[next].link = Some(link);
        self.request(link, next, Purpose::Bind);
        if self.dice.people.below(3) == 0 && self.seats[i].stage == Stage::Granted {
            self.speak_as(i, next, link, false);
        }
    }

    /// A connection that already stands and that this participant may use too.
    fn shared_link(&mut self, i: usize) -> Option<usize> {
        let seat = &self.seats[i];
        if seat.stage == Stage::In {
            let own = seat.link.filter(|l| self.links[*l].usable());
            return own.filter(|_| self.dice.people.below(3) == 0);
        }
        let group = seat.group?;
        let other = |s: &&Seat| s.group == Some(group) && s.stage == Stage::In;
        let links = self.seats.iter().filter(other).filter_map(|s| s.link);
        links.into_iter().find(|l| self.links[*l].usable())
    }
}

/// The path of a participant, one for each stay.
pub(super) fn peer_path(stay: usize) -> String {
    format!("msrp://192.0.2.1:2855/stay{stay};tcp")
}

/// The stay that such a path is of.
pub(super) fn stay_at(path: &[u8]) -> Option<usize> {
    let (_, stay) = std::str::from_utf8(path).ok()?.split_once("/stay")?;
    stay.strip_suffix(";tcp")?.parse().ok()
}
