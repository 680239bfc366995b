//! Sidebars of a room that was joined: each is a room of its own, with a handle and events as any other.

use super::{Client, Events, Join, JoinError, Room};
use crate::client::call::CallError;
use crate::client::sidebar::{Sidebar, factory};
use crate::client::sip::without_param;

impl Client {
    /// Opens a sidebar of the room that `join` names, in which we are, and asks some of its participants, who are named as
    /// its roster shows them, or nobody yet ([`Room::bring_in`] asks more). Its address is [`Room::room`]. Those who are asked
    /// are told by [`Event::AskedToSidebar`](super::Event::AskedToSidebar), and enter it by [`Client::join`] with its address.
    /// The factory is that of the room's domain, `sip:conference@DOMAIN`, unless another is named.
    ///
    /// # Errors
    /// Why there is no sidebar: [`CallError::Refused`] with a Warning if somebody is not in the room.
    pub async fn open_sidebar(
        &self,
        join: &Join<'_>,
        whom: &[&str],
        at: Option<&str>,
    ) -> Result<(Room, Events), JoinError> {
        let bad = || JoinError::Call(CallError::BadAddress(join.room.to_string()));
        let at = match at {
            Some(at) => at.to_string(),
            None => factory(join.room).ok_or_else(bad)?,
        };
        let whom = whom.iter().map(|who| (*who).to_string()).collect();
        let caller =
            self.caller.clone().opening(Sidebar { of: without_param(join.room, "room-password"), whom });
        self.join_by(&caller, &Join { room: &at, ..*join }, true).await
    }
}
