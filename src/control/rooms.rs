//! The `[rooms.NAME]` and `[ad_hoc]` tables of the configuration: which room has which rules.
//!
//! What a table does not say is as the keys of the same name at the top of the file say for all rooms. Values are
//! checked while they are read, so that a mistake is shown with its line.

use super::flood::RoomFloods;
use super::values::{Count, Kept, Least, MediaType, Octets, Seconds, Secret, Slow, Subject, Uri};
use crate::base::address::Address;
use crate::base::limits::{PARTICIPANT_ENDPOINTS_MAX, ROOM_BANS_MAX, ROOM_PARTICIPANTS_MAX};
use crate::base::rights::Role;
use crate::room::ban::Ban;
use crate::room::policy::{Policy, Types};
use serde::Deserialize;
use serde::de::Deserializer;

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
    flood: RoomFloods,
}

impl RawRoom {
    /// These rules over those of all rooms.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub fn over(self, all: &Policy) -> Result<Policy, String> {
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
        policy.floods = self.flood.0.over(&policy.floods);
        Ok(policy)
    }
}

/// Which rooms a table is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// One.
    One(Address),
    /// Those of this user part, whatever domain they are called in.
    All(String),
}

impl Which {
    /// Their user part, unescaped.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::One(address) => address.user(),
            Self::All(user) => user,
        }
    }
}

/// Which rooms a table of this name is about: `NAME@DOMAIN`, or `NAME` for all domains and addresses of the server.
///
/// # Errors
/// What is wrong with the name, in words.
pub fn which(name: &str, domains: &[String]) -> Result<Which, String> {
    let bad = || format!("`{name}` names no room; write a name like lobby or lobby@chat.example.com");
    let read = |text: String| Address::parse(&text).map_err(|_| bad());
    match name.split_once('@') {
        Some(("", _)) => Err(bad()),
        Some((_, domain)) if !domains.iter().any(|d| d.eq_ignore_ascii_case(domain)) => {
            Err(format!("`{domain}` is not one of the domains of this server: {}", domains.join(", ")))
        }
        Some(_) => Ok(Which::One(read(format!("sip:{name}"))?)),
        None if name.is_empty() => Err(bad()),
        None => Ok(Which::All(read(format!("sip:{name}@localhost"))?.user().to_owned())),
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
        let lobby = rooms.rules(&address("sip:lobby@b.example"));
        assert_eq!((&**lobby.subject(), lobby.policy().nicknames), ("News", true));
        assert_eq!(lobby.listed(&address("sip:ann@a.example")), Role::Owner);
        assert_eq!(lobby.listed(&address("sip:root@a.example")), Role::Moderator);
        assert!(lobby.policy().persistent && !lobby.mode(0).members_only);
        let staff = rooms.rules(&address("sip:staff@b.example"));
        assert!(staff.mode(0).members_only && !staff.policy().nicknames && staff.policy().bans.len() == 1);
        let other = rooms.rules(&address("sip:staff@a.example"));
        assert!(other.policy().moderated && !other.policy().persistent);
        // Who calls an address of the server instead of its name meets the same rules.
        let numbered = rooms.rules(&address("sip:lobby@192.0.2.7"));
        assert_eq!(&**numbered.subject(), "News");
        assert!(
            rooms.is_named(&address("sip:lobby@192.0.2.7"))
                && !rooms.is_named(&address("sip:staff@192.0.2.7"))
        );
    }

    #[test]
    fn a_table_of_one_domain_goes_before_that_of_all() {
        let text = "domain = ['a.example', 'b.example']\n[rooms.lobby]\nsubject = 'All'\n\
                    [rooms.'lobby@b.example']\nsubject = 'One'\n";
        let rooms = check(text).unwrap().rooms;
        let subject = |room| rooms.rules(&address(room)).subject().to_string();
        assert_eq!(
            (subject("sip:lobby@a.example"), subject("sip:lobby@b.example")),
            ("All".into(), "One".into())
        );
    }

    #[test]
    fn the_factory_and_the_list_of_rooms_have_no_rules_of_rooms() {
        for (text, expected) in [
            ("[rooms.conference]", "`conference` is no room but the factory"),
            ("[rooms.'rooms@localhost']", "`rooms` is no room but the directory"),
            ("factory = 'new'\n[rooms.new]", "`new` is no room"),
        ] {
            let why = check(text).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        assert!(check("factory = ''\ndirectory = ''\n[rooms.conference]\n[rooms.rooms]").is_ok());
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
            ("flood.joins = '1/s'", "`joins` counts for the whole server; write it in [flood]"),
        ];
        for (line, expected) in table {
            let why = check(&format!("shards = 1\n[rooms.lobby]\n{line}")).unwrap_err();
            assert!(why.contains(expected) && why.contains("line 3"), "{why}");
        }
        let table = [
            ("[rooms.'x@other.example']", "is not one of the domains of this server: localhost"),
            ("[rooms.'']", "names no room"),
            ("create_rooms = 'users'", "set users or trusted_proxy too"),
        ];
        for (text, expected) in table {
            let why = check(text).unwrap_err();
            assert!(why.contains(expected) && (why.contains("rooms")), "{why}");
        }
    }
}
