//! The `[rooms.NAME]` and `[ad_hoc]` tables of the configuration: which room has which rules.
//!
//! What a table does not say is as the keys of the same name at the top of the file say for all rooms. Values are
//! checked while they are read, so that a mistake is shown with its line.

use super::flood::RawFloods;
use crate::base::address::Address;
use crate::base::limits::{
    MESSAGE_BYTES_MAX, PARTICIPANT_ENDPOINTS_MAX, ROOM_BANS_MAX, ROOM_PARTICIPANTS_MAX,
    ROOM_PASSWORD_BYTES_MAX, ROOM_SUBJECT_BYTES_MAX, ROOM_TERM_MAX,
};
use crate::base::rights::{Creators, Role};
use crate::room::ban::{Ban, Whom};
use crate::room::policy::{Password, Policy, Types};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::time::Duration;

/// One table; everything may be absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRoom {
    subject: Option<Subject>,
    #[serde(default)]
    owners: Vec<Uri>,
    #[serde(default)]
    moderators: Vec<Uri>,
    #[serde(default)]
    members: Vec<Uri>,
    #[serde(default)]
    bans: Vec<RawBan>,
    members_only: Option<bool>,
    moderated: Option<bool>,
    locked: Option<bool>,
    password: Option<Secret>,
    max_participants: Option<Count<ROOM_PARTICIPANTS_MAX>>,
    max_devices: Option<Count<PARTICIPANT_ENDPOINTS_MAX>>,
    slow_mode: Option<Seconds>,
    invite: Option<Least>,
    sidebars: Option<Least>,
    subject_by: Option<Least>,
    persistent: Option<bool>,
    public: Option<bool>,
    nicknames: Option<bool>,
    nickname_quarantine: Option<Seconds>,
    private_messages: Option<bool>,
    legacy_private_messages: Option<bool>,
    delivery_counts: Option<bool>,
    look_alikes_refused: Option<bool>,
    max_message_bytes: Option<Octets>,
    types: Option<Vec<MediaType>>,
    slow_participants: Option<Slow>,
    #[serde(default)]
    flood: RawFloods,
}

impl RawRoom {
    /// These rules over those of all rooms.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub fn over(self, all: &Policy) -> Result<Policy, String> {
        if let Some(flood) = self.flood.not_of_a_room() {
            return Err(format!("`{}` counts for the whole server; write it in [flood]", flood.key()));
        }
        if self.bans.len() > ROOM_BANS_MAX {
            return Err(format!("more than {ROOM_BANS_MAX} bans; ban domains or networks"));
        }
        let mut policy = all.clone();
        let lists = [
            (self.members, Role::Participant),
            (self.moderators, Role::Moderator),
            (self.owners, Role::Owner),
        ];
        for (list, role) in lists {
            for Uri(address) in list {
                let held = policy.roles.entry(address).or_insert(role);
                *held = role.max(*held);
            }
        }
        policy.bans.extend(self.bans.into_iter().map(|b| b.0));
        fn set<T>(to: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *to = given;
            }
        }
        set(&mut policy.subject, self.subject.map(|s| s.0.into()));
        set(&mut policy.members_only, self.members_only);
        set(&mut policy.moderated, self.moderated);
        set(&mut policy.locked, self.locked);
        set(&mut policy.password, self.password.map(|s| Some(s.0)));
        set(&mut policy.participants_max, self.max_participants.map(|n| n.0));
        set(&mut policy.participant_endpoints_max, self.max_devices.map(|n| n.0));
        set(&mut policy.slow_mode, self.slow_mode.map(|s| s.0));
        set(&mut policy.invite, self.invite.map(|r| r.0));
        set(&mut policy.sidebars, self.sidebars.map(|r| r.0));
        set(&mut policy.subject_by, self.subject_by.map(|r| r.0));
        set(&mut policy.persistent, self.persistent);
        set(&mut policy.public, self.public);
        set(&mut policy.nicknames, self.nicknames);
        set(&mut policy.nickname_quarantine, self.nickname_quarantine.map(|s| s.0));
        set(&mut policy.private_messages, self.private_messages);
        set(&mut policy.legacy_private_messages, self.legacy_private_messages);
        set(&mut policy.delivery_counts, self.delivery_counts);
        set(&mut policy.look_alikes_refused, self.look_alikes_refused);
        set(&mut policy.message_bytes_max, self.max_message_bytes.map(|n| n.0));
        set(&mut policy.cut_slow, self.slow_participants.map(|s| s.0));
        if let Some(types) = self.types {
            let names: Vec<&str> = types.iter().map(|t| t.0.as_str()).collect();
            policy.types = Types::only(&names);
        }
        policy.floods = self.flood.over(&policy.floods);
        Ok(policy)
    }
}

/// The address of a room of this name: `NAME@DOMAIN`, or `NAME` in each of `domains`.
///
/// # Errors
/// What is wrong with the name, in words.
pub fn addresses(name: &str, domains: &[String]) -> Result<Vec<Address>, String> {
    let bad = || format!("`{name}` names no room; write a name like lobby or lobby@chat.example.com");
    let read = |text: String| Address::parse(&text).map_err(|_| bad());
    match name.split_once('@') {
        Some(("", _)) => Err(bad()),
        Some((_, domain)) if !domains.iter().any(|d| d.eq_ignore_ascii_case(domain)) => {
            Err(format!("`{domain}` is not one of the domains of this server: {}", domains.join(", ")))
        }
        Some(_) => Ok(vec![read(format!("sip:{name}"))?]),
        None if name.is_empty() => Err(bad()),
        None => domains.iter().map(|domain| read(format!("sip:{name}@{domain}"))).collect(),
    }
}

/// Makes a type of one value that is read from a text by `$read`, which says what is wrong with it.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident($of:ty), $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub $of);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                let read: fn(&str) -> Result<$of, String> = $read;
                read(&text).map(Self).map_err(D::Error::custom)
            }
        }
    };
}

word!(
    /// Somebody's address.
    Uri(Address),
    |text| Address::parse(text).map_err(|_| format!("`{text}` is not like sip:alice@example.com"))
);

word!(
    /// Whom a room keeps out.
    Kept(Whom),
    |text| {
        Whom::parse(text).ok_or_else(|| {
            format!("`{text}` is none of sip:bob@example.com, @example.com, 192.0.2.7 and 192.0.2.0/24")
        })
    }
);

word!(
    /// What a room is about.
    Subject(String),
    |text| {
        let fits = text.len() <= ROOM_SUBJECT_BYTES_MAX && !text.chars().any(char::is_control);
        if fits { Ok(text.into()) } else { Err(format!("a subject is one line of at most {ROOM_SUBJECT_BYTES_MAX} octets")) }
    }
);

word!(
    /// A room's password.
    Secret(Password),
    |text| {
        Password::new(text).ok_or_else(|| {
            format!("a password has 1 to {ROOM_PASSWORD_BYTES_MAX} octets; for none, leave the key out")
        })
    }
);

word!(
    /// The lowest role that may do something.
    Least(Role),
    |text| {
        let role = Role::parse(text).filter(|r| *r > Role::Outsider);
        role.ok_or_else(|| format!("`{text}` is not one of visitor, participant, moderator, owner"))
    }
);

word!(
    /// The role of whoever makes a room.
    Made(Role),
    |text| {
        let role = Role::parse(text).filter(|r| *r >= Role::Participant);
        role.ok_or_else(|| format!("`{text}` is not one of participant, moderator, owner"))
    }
);

word!(
    /// Who may make rooms.
    Makers(Creators),
    |text| {
        Ok(match text {
            "everybody" => Creators::Everybody,
            "users" => Creators::Users,
            "moderators" => Creators::Moderators,
            "nobody" => Creators::Nobody,
            _ => return Err(format!("`{text}` is not one of everybody, users, moderators, nobody")),
        })
    }
);

word!(
    /// What becomes of participants whose connection is too slow.
    Slow(bool),
    |text| match text {
        "skip" => Ok(false),
        "cut" => Ok(true),
        _ => Err(format!("`{text}` is not one of skip, cut")),
    }
);

word!(
    /// A media type that a room takes.
    MediaType(String),
    |text| {
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_graphic() && !b"/;,\"".contains(&b));
        let fits = text.split_once('/').is_some_and(|(kind, sub)| word(kind) && word(sub));
        if fits { Ok(text.into()) } else { Err(format!("`{text}` is not like text/plain or image/*")) }
    }
);

/// So many of something, at least one and at most `MAX`.
#[derive(Clone, Debug)]
struct Count<const MAX: usize>(usize);

impl<'de, const MAX: usize> Deserialize<'de> for Count<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let n = usize::deserialize(from)?;
        let fits = (1..=MAX).contains(&n);
        if fits { Ok(Self(n)) } else { Err(D::Error::custom(format!("{n} is not from 1 to {MAX}"))) }
    }
}

/// The largest message.
#[derive(Clone, Debug)]
struct Octets(u64);

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let n = u64::deserialize(from)?;
        if n >= 1024 {
            Ok(Self(n))
        } else {
            let why = format!("{n}: less than 1024 leaves no room for a text; usual is {MESSAGE_BYTES_MAX}");
            Err(D::Error::custom(why))
        }
    }
}

/// A length of time.
#[derive(Clone, Debug)]
struct Seconds(Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let n = u64::deserialize(from)?;
        let time = Duration::from_secs(n);
        if time <= ROOM_TERM_MAX {
            Ok(Self(time))
        } else {
            Err(D::Error::custom(format!("{n} s is too long")))
        }
    }
}

/// A ban: whom, or whom and why.
#[derive(Clone, Debug)]
struct RawBan(Ban);

impl<'de> Deserialize<'de> for RawBan {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Reasoned {
            whom: Kept,
            #[serde(default)]
            reason: String,
        }
        let Reasoned { whom, reason } = Reasoned::deserialize(from)?;
        Ok(Self(Ban::new(whom.0, &reason)))
    }
}

#[cfg(test)]
mod tests {
    use crate::base::address::Address;
    use crate::base::rights::{Creators, Role};
    use crate::control::config::{Config, Raw};

    fn check(text: &str) -> Result<Config, String> {
        let raw: Raw = toml::from_str(text).map_err(|e| e.to_string())?;
        raw.check(1).map_err(|e| e.to_string())
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_room_has_what_its_table_says_and_else_what_all_rooms_have() {
        let text = "domain = ['a.example', 'b.example']\nnicknames = false\nmoderator = ['sip:root@a.example']\n\
                    create_rooms = 'nobody'\n[ad_hoc]\nmoderated = true\n[rooms.lobby]\nsubject = 'News'\n\
                    owners = ['sip:ann@a.example']\nnicknames = true\n[rooms.'staff@b.example']\nmembers_only = true\n\
                    bans = [{ whom = '@c.example', reason = 'spam' }]\n";
        let rooms = check(text).unwrap().rooms;
        assert_eq!(rooms.creators(), Creators::Nobody);
        assert_eq!(rooms.named().count(), 3);
        let lobby = rooms.rules(&address("sip:lobby@b.example"));
        assert_eq!((&**lobby.subject(), lobby.policy().nicknames), ("News", true));
        assert_eq!(lobby.listed(&address("sip:ann@a.example")), Role::Owner);
        assert_eq!(lobby.listed(&address("sip:root@a.example")), Role::Moderator);
        assert!(lobby.policy().persistent && !lobby.mode(0).members_only);
        let staff = rooms.rules(&address("sip:staff@b.example"));
        assert!(staff.mode(0).members_only && !staff.policy().nicknames && staff.policy().bans.len() == 1);
        let other = rooms.rules(&address("sip:staff@a.example"));
        assert!(other.policy().moderated && !other.policy().persistent);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_to_write_instead() {
        let table = [
            ("invite = 'admin'", "`admin` is not one of visitor, participant, moderator, owner"),
            ("owners = ['ann']", "`ann` is not like sip:alice@example.com"),
            ("password = ''", "for none, leave the key out"),
            ("slow_mode = -1", "invalid value"),
            ("max_participants = 0", "0 is not from 1 to"),
            ("types = ['text']", "`text` is not like text/plain or image/*"),
            ("bans = [{ whom = 'x' }]", "`x` is none of sip:bob@example.com, @example.com"),
            ("subjct = 'x'", "unknown field `subjct`"),
            ("max_message_bytes = 5", "less than 1024"),
        ];
        for (line, expected) in table {
            let why = check(&format!("shards = 1\n[rooms.lobby]\n{line}")).unwrap_err();
            assert!(why.contains(expected) && why.contains("line 3"), "{why}");
        }
        let table = [
            ("[rooms.'x@other.example']", "is not one of the domains of this server: localhost"),
            ("[rooms.'']", "names no room"),
            ("[rooms.lobby.flood]\njoins = '1/s'", "whole server"),
            ("create_rooms = 'users'", "users"),
        ];
        for (text, expected) in table {
            let why = check(text).unwrap_err();
            assert!(why.contains(expected) && (why.contains("rooms")), "{why}");
        }
    }
}
