//! The world that a seed draws (swarm): how much of everything there is, which behaviours and faults
//! exist at all, and how often. Small worlds find more than big ones.

use crate::base::entropy::Entropy;

/// How a participant behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Speaks now and then, reads at once.
    Polite,
    /// Speaks much, long things among it.
    Chatty,
    /// Reads little at a time.
    SlowReader,
    /// Does not read until the world heals.
    NeverReads,
    /// Its octets arrive one by one.
    Splitter,
    /// Sends chunks of one octet.
    Crumbs,
    /// Begins messages and does not end them.
    Unfinished,
    /// Writes somebody else's address into From.
    Forger,
    /// Tries session-ids that are none of its own.
    Guesser,
    /// Gives all its messages the same Message-ID.
    Reuser,
    /// Says wrong things in Byte-Range.
    Liar,
    /// Joins and leaves for ever.
    Churner,
    /// Is gone without BYE, its connection half open.
    Vanisher,
    /// Negotiates its session anew again and again.
    Rebinder,
    /// Refuses some of what it gets.
    Refuser,
    /// Takes another nickname again and again.
    Renamer,
    /// Has the room take out and bring in others.
    Hammer,
    /// Knows neither nicknames nor private messages.
    Old,
    /// Writes to one other only.
    Whisperer,
    /// Holds its session, and goes on.
    Holder,
    /// Says more than anybody wants to hear.
    Flooder,
}

impl Manner {
    const ALL: [Self; 21] = [
        Self::Polite,
        Self::Chatty,
        Self::SlowReader,
        Self::NeverReads,
        Self::Splitter,
        Self::Crumbs,
        Self::Unfinished,
        Self::Forger,
        Self::Guesser,
        Self::Reuser,
        Self::Liar,
        Self::Churner,
        Self::Vanisher,
        Self::Rebinder,
        Self::Refuser,
        Self::Renamer,
        Self::Hammer,
        Self::Old,
        Self::Whisperer,
        Self::Holder,
        Self::Flooder,
    ];
}

/// What a seed decides before anything happens.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// How many shards there are.
    pub(super) shards: u16,
    /// How many rooms.
    pub(super) rooms: u64,
    /// How many endpoints want in.
    pub(super) people: u64,
    /// How many steps the first phase has.
    pub(super) steps: u64,
    /// The behaviours that exist.
    pub(super) manners: Vec<Manner>,
    /// One step in so many is a fault; 0: there are none.
    pub(super) fault_every: u64,
    /// Connections may be cut.
    pub(super) cuts: bool,
    /// Connections may stand still for a while.
    pub(super) stalls: bool,
    /// Connections may lose one of their directions.
    pub(super) half_open: bool,
    /// Of a hundred, how many share a connection with others (a gateway).
    pub(super) gateways: u64,
    /// Of a hundred, how many name a wrong session first, so that their connection cannot move.
    pub(super) fumblers: u64,
    /// Of a hundred, how many wait to be connected to.
    pub(super) passive: u64,
    /// Of a hundred, how many are a further device of somebody else.
    pub(super) second_devices: u64,
    /// Longest pause between two acts of one participant, in milliseconds.
    pub(super) pause_millis: u64,
    /// What the system keeps for a peer that does not read, in octets.
    pub(super) socket_bytes: u64,
    /// Places in a ring between threads.
    pub(super) ring: u64,
    /// How much may spill from a ring before reading stops.
    pub(super) spill: u64,
    /// Shards may stand still for a while.
    pub(super) freezes: bool,
    /// The server stops while people go on.
    pub(super) stops: bool,
    /// Of a hundred, how many use UDP for SIP.
    pub(super) datagrams: u64,
    /// Of a hundred SIP messages over UDP, how many are lost for good.
    pub(super) sip_loss: u64,
    /// The longest way of a SIP message.
    pub(super) sip_delay_millis: u64,
    /// Of so many users one is anonymous; 0: nobody is.
    pub(super) hidden: u64,
    /// Of a hundred acts of somebody present, how many are of SIP.
    pub(super) restless: u64,
    /// How many messages each participant may send in a room; 0: as many as they like.
    pub(super) flood: u64,
    /// User 0, who moderates, keeps order, and others try.
    pub(super) orders: bool,
}

impl Plan {
    /// Draws a world.
    pub(super) fn draw(dice: &mut Entropy) -> Self {
        let mut manners = vec![Manner::Polite, Manner::Chatty];
        let share = dice.below(100);
        for manner in Manner::ALL {
            if dice.below(100) < share {
                manners.push(manner);
            }
        }
        let sizes = [2, 4, 8, 16, 60];
        let size = sizes[dice.below(5) as usize];
        let people = 2 + dice.below(size);
        Self {
            shards: 1 + dice.below(4) as u16,
            rooms: 1 + dice.below((people / 2).clamp(1, 10)),
            people: people.min(60),
            steps: 500 + dice.below(3000),
            manners,
            fault_every: [0, 0, 50, 200, 1000][dice.below(5) as usize],
            cuts: dice.below(2) == 0,
            stalls: dice.below(2) == 0,
            half_open: dice.below(2) == 0,
            gateways: [0, 0, 30, 80][dice.below(4) as usize],
            fumblers: [0, 20, 60][dice.below(3) as usize],
            passive: [0, 0, 15, 50][dice.below(4) as usize],
            second_devices: [0, 20][dice.below(2) as usize],
            pause_millis: [1, 10, 200, 4000][dice.below(4) as usize],
            socket_bytes: [512, 4096, 65_536][dice.below(3) as usize],
            ring: [2, 8, 128, 1024][dice.below(4) as usize],
            spill: [4, 64, 4096][dice.below(3) as usize],
            freezes: dice.below(3) == 0,
            stops: dice.below(10) == 0,
            datagrams: [0, 50, 100][dice.below(3) as usize],
            sip_loss: [0, 0, 2, 10][dice.below(4) as usize],
            sip_delay_millis: [0, 20, 500, 2000][dice.below(4) as usize],
            hidden: [0, 0, 3][dice.below(3) as usize],
            restless: [1, 5, 20][dice.below(3) as usize],
            flood: [0, 0, 10, 40][dice.below(4) as usize],
            orders: dice.below(4) == 0,
        }
    }

    /// Whether anybody is anonymous.
    pub(super) fn has_secrets(&self) -> bool {
        self.hidden > 0
    }

    /// Whether a user is anonymous.
    pub(super) fn is_hidden(&self, user: u64) -> bool {
        self.hidden > 0 && user < 1000 && user % self.hidden == 1
    }
}
