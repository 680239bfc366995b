//! A moderator's part: what is asked of the room and becomes of it, in sentences.

use super::super::order::{Deed, Order};
use super::super::words::moderators;
use super::{Asked, Person, RECIPIENTS_MAX, Shown, Talk, name};
use crate::client::chat::{Room, Unasked};
use crate::client::command::{RoomCommand, is_network};

impl Talk {
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
                self.asked.insert(number, Asked::Command { done, doing });
                None
            }
            Err(Unasked::NotInRoom) => None,
            Err(why) => {
                Some(Shown::Undelivered(format!("not done: {}: {why}", moderators::doing(command, whom))))
            }
        }
    }
}
