//! What moderators do in a room, as calls of its handle.
//!
//! Each call gives a number, which names it in [`Event::Accepted`](super::Event::Accepted): done; or in
//! [`Event::Refused`](super::Event::Refused): not done, with the code and the reason of the room (403: may not; 404: nobody
//! or nothing of that name; 400: not understood).

use super::{Command, Room, Unasked};
use crate::base::rights::Role;
use crate::client::command::{COMMAND_MEDIA_TYPE, CONTROL_MEDIA_TYPE, RoomCommand};
use std::time::Duration;

impl Room {
    /// Asks the room to do what moderators may ask for. In rooms that take no commands a kick goes by SIP (REFER, RFC 4579
    /// §5.11; without the reason), and the subject as Blink sends it, where that is understood.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn command(&self, command: &RoomCommand<'_>) -> Result<u64, Unasked> {
        let body = command.write().map_err(Unasked::BadCommand)?;
        if self.has_commands() {
            return self.order(COMMAND_MEDIA_TYPE, body).await;
        }
        if let RoomCommand::Kick { whom, .. } = command {
            let whom = (*whom).to_string();
            return Ok(self.send(|number| Command::Refer { number, whom, out: true, kick: true }).await?);
        }
        match command.control().filter(|_| self.abilities.control) {
            Some(body) => self.order(CONTROL_MEDIA_TYPE, body.map_err(Unasked::BadCommand)?).await,
            None => Err(Unasked::NoCommands),
        }
    }

    async fn order(&self, media_type: &'static str, body: String) -> Result<u64, Unasked> {
        Ok(self.send(|number| Command::Order { number, media_type, body }).await?)
    }

    /// Whether the room takes commands of moderators.
    #[must_use]
    pub fn has_commands(&self) -> bool {
        self.abilities.commands
    }

    /// Takes somebody out, who is named by address, as are all below.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn kick(&self, address: &str, reason: Option<&str>) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Kick { whom: address, reason }).await
    }

    /// Keeps somebody out, for a time or for ever: an address, `@DOMAIN`, or an IP address or network. Whoever is there
    /// and is meant is taken out.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn ban(
        &self,
        whom: &str,
        term: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Ban { whom, term, reason }).await
    }

    /// Lets somebody in again, who is named as in the ban.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn unban(&self, whom: &str) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Unban { whom }).await
    }

    /// Lets somebody say nothing, for a time or for ever.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn mute(
        &self,
        address: &str,
        term: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Mute { whom: address, term, reason }).await
    }

    /// Lets somebody speak again.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn unmute(&self, address: &str) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Unmute { whom: address }).await
    }

    /// Gives somebody a role. [`Role::Participant`] is a voice in a moderated room, [`Role::Visitor`] takes it,
    /// [`Role::Outsider`] takes whatever role there is.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn grant(&self, address: &str, role: Role) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Grant { whom: address, role }).await
    }

    /// Says what the room is about; with an empty text, nothing.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn set_subject(&self, subject: &str) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Subject(subject)).await
    }

    /// Lets nobody in any more, or again.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn lock(&self, locked: bool) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Lock(locked)).await
    }

    /// Lets only those speak who were given a voice, or all.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn moderate(&self, moderated: bool) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Moderate(moderated)).await
    }

    /// Lets in members only, or all.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn members_only(&self, members_only: bool) -> Result<u64, Unasked> {
        self.command(&RoomCommand::MembersOnly(members_only)).await
    }

    /// Wants this password of whoever comes in from now on; an empty one: none.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn set_password(&self, password: &str) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Password(password)).await
    }

    /// Lets at most so many participants in.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn set_occupants(&self, most: u32) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Occupants(most)).await
    }

    /// Lets everybody wait so long between two messages, in seconds; zero: no wait.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn slow_mode(&self, wait: Duration) -> Result<u64, Unasked> {
        self.command(&RoomCommand::SlowMode(wait)).await
    }

    /// Asks for the rules, roles, bans and mutes of the room: they come as a private [`Message`](super::Message) of the
    /// room itself.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn inspect(&self) -> Result<u64, Unasked> {
        self.command(&RoomCommand::Inspect).await
    }
}
