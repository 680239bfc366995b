//! A moderator's part: what is asked of the room and becomes of it, in sentences.

use super::super::order::{Deed, Order};
use super::super::words::moderators;
use super::{Asked, Person, RECIPIENTS_MAX, Shown, Talk, name, one_line};
use crate::client::chat::{Message, Room, Unasked};
use crate::client::command::{RoomCommand, is_network};

/// People who said something that are remembered. Beyond: the one is forgotten who was silent for longest.
const SPEAKERS_MAX: usize = 64;

impl Talk {
    /// Remembers who said something: of a large room the roster lists few, and a moderator sees only names.
    pub(super) fn heard(&mut self, message: &Message) {
        self.speakers.retain(|known| known.address != message.from);
        if self.speakers.len() == SPEAKERS_MAX {
            self.speakers.pop_front();
        }
        let (name, address) = (message.name.clone(), message.from.clone());
        self.speakers.push_back(Person { name, address, ..Person::default() });
    }

    /// The one who spoke under this name, if nobody else did. They may call themselves what they like, so the address
    /// stands beside it.
    fn speaker(&self, typed: &str) -> Option<Person> {
        let folded = typed.to_lowercase();
        let mut all = self.speakers.iter().filter(|who| name(&who.name).to_lowercase() == folded);
        let who = all.next().filter(|_| all.next().is_none())?;
        let shown = format!("{} <{}>", name(&who.name), one_line(&who.address));
        Some(Person { name: shown, ..who.clone() })
    }

    /// Asks for what a moderator's line says.
    pub(super) async fn order(&mut self, room: &Room, order: Order<'_>) -> Vec<Shown> {
        let (names, deed) = match order {
            Order::Room(command) => return self.command(room, &command, "").await.into_iter().collect(),
            Order::People(names, deed) => (names, deed),
        };
        if names.len() > RECIPIENTS_MAX {
            return vec![Shown::Undelivered(format!(
                "nothing is done: at most {RECIPIENTS_MAX} people can be named at a time"
            ))];
        }
        let mut shown = Vec::new();
        for typed in &names {
            match self.concerned(typed, deed) {
                Ok(who) => {
                    shown.extend(self.command(room, &deed.to(&who.address), &name(&who.name)).await);
                }
                Err(why) => shown.push(Shown::Undelivered(why)),
            }
        }
        shown
    }

    /// Whom a name as typed means: somebody who is here, or in a ban a domain or network too.
    fn concerned(&self, typed: &str, deed: Deed<'_>) -> Result<Person, String> {
        let banned = matches!(deed, Deed::Ban(..) | Deed::Unban);
        if banned && (typed.starts_with('@') || is_network(typed)) {
            return Ok(Person { name: typed.to_string(), address: typed.to_string(), ..Person::default() });
        }
        let folded = typed.to_lowercase();
        let listed = self.here.iter().flatten().any(|who| name(&who.name).to_lowercase() == folded);
        if let Some(who) = self.speaker(typed).filter(|_| !listed) {
            return Ok(who);
        }
        self.whom(typed).map_err(|why| match deed {
            Deed::Unban => {
                format!("nobody here is called {}; name who is banned as /rules shows it", name(typed))
            }
            _ => why,
        })
    }

    /// Asks for one thing. `whom`: to whom it is done.
    async fn command(&mut self, room: &Room, command: &RoomCommand<'_>, whom: &str) -> Option<Shown> {
        match room.command(command).await {
            Ok(number) => {
                let (done, doing) = (moderators::done(command, whom), moderators::doing(command, whom));
                let tells = *command == RoomCommand::Inspect;
                self.asked.insert(number, Asked::Command { done, doing, tells });
                None
            }
            Err(Unasked::NotInRoom) => None,
            Err(why) => {
                Some(Shown::Undelivered(format!("not done: {}: {why}", moderators::doing(command, whom))))
            }
        }
    }
}
