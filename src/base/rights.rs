//! Who may do what in a room: one function, which also says which rule decided.
//!
//! [`decide`] is pure. Whoever asks finds out first who the actor is to the room ([`Standing`], see
//! `room/rules.rs`) and how the room is set ([`Mode`]); every decision of the server about rights is made here,
//! and `openmsrp why` shows any of them.
//!
//! Touches: nothing. Proved by: the tables in `rights/tests.rs`, which have every role and every action.

#[cfg(test)]
mod tests;

use std::fmt;

/// What somebody is to a room, lowest first. Who is above may do all that those below may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    /// Kept out.
    Banned,
    /// Nobody in particular.
    #[default]
    Outsider,
    /// Hears, and may write to moderators.
    Visitor,
    /// Has a voice. Whoever is listed as that is a member, and may enter a room for members.
    Participant,
    /// Keeps the order.
    Moderator,
    /// Makes moderators.
    Owner,
}

impl Role {
    /// All, lowest first.
    pub const ALL: [Self; 6] =
        [Self::Banned, Self::Outsider, Self::Visitor, Self::Participant, Self::Moderator, Self::Owner];

    /// The word for it in configuration, commands and conference-info.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Banned => "banned",
            Self::Outsider => "outsider",
            Self::Visitor => "visitor",
            Self::Participant => "participant",
            Self::Moderator => "moderator",
            Self::Owner => "owner",
        }
    }

    /// The word for it that everybody in a room is shown; nothing for the usual one.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Visitor | Self::Moderator | Self::Owner => self.as_str(),
            Self::Banned | Self::Outsider | Self::Participant => "",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What somebody may want to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// To make a room that is not configured, by calling it.
    Create,
    /// To come in.
    Enter,
    /// To be told from outside who is there.
    Watch,
    /// To say something to everybody.
    Speak,
    /// To say something to one.
    Whisper,
    /// To take a nickname.
    Nickname,
    /// To have the room call somebody.
    Invite,
    /// To open a room with some of those who are there.
    Sidebar,
    /// To take somebody out.
    Kick,
    /// To keep somebody out.
    Ban,
    /// To let somebody in again.
    Unban,
    /// To silence somebody.
    Mute,
    /// To let somebody speak again.
    Unmute,
    /// To give somebody this role, or [`Role::Outsider`] to take theirs.
    Grant(Role),
    /// To say what the room is about.
    Subject,
    /// To let nobody in any more, or again.
    Lock,
    /// To let only those speak who were given a voice, or all.
    Moderate,
    /// To set the password, or none.
    Password,
    /// To let in members only, or all.
    MembersOnly,
    /// To say how many may be there.
    Occupants,
    /// To say how long everybody waits between two messages.
    SlowMode,
    /// To be shown rules, roles and bans.
    Inspect,
    /// To be shown who an anonymous participant is.
    Identify,
}

impl Action {
    /// The actions that have a word of one; with [`Action::Grant`] of each role those are all.
    pub const WORDS: [(&'static str, Self); 22] = [
        ("create", Self::Create),
        ("enter", Self::Enter),
        ("watch", Self::Watch),
        ("speak", Self::Speak),
        ("whisper", Self::Whisper),
        ("nickname", Self::Nickname),
        ("invite", Self::Invite),
        ("sidebar", Self::Sidebar),
        ("kick", Self::Kick),
        ("ban", Self::Ban),
        ("unban", Self::Unban),
        ("mute", Self::Mute),
        ("unmute", Self::Unmute),
        ("subject", Self::Subject),
        ("lock", Self::Lock),
        ("moderate", Self::Moderate),
        ("password", Self::Password),
        ("members-only", Self::MembersOnly),
        ("occupants", Self::Occupants),
        ("slow-mode", Self::SlowMode),
        ("inspect", Self::Inspect),
        ("identify", Self::Identify),
    ];

    /// The word for it; a grant is named by its role.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant(role) => role.as_str(),
            other => Self::WORDS.iter().find(|(_, a)| *a == other).map_or("", |(word, _)| word),
        }
    }

    /// Whether it is done to somebody.
    #[must_use]
    pub fn has_target(self) -> bool {
        matches!(
            self,
            Self::Whisper | Self::Kick | Self::Ban | Self::Unban | Self::Mute | Self::Unmute | Self::Grant(_)
        )
    }
}

/// What somebody has shown of a room's password.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Key {
    /// None was given.
    #[default]
    None,
    /// Another one was.
    Wrong,
    /// That one was.
    Right,
}

/// Who may make rooms that are not configured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Creators {
    /// Everybody who may come in at all.
    #[default]
    Everybody,
    /// Who has proved to be somebody.
    Users,
    /// Those who moderate every room.
    Moderators,
    /// Nobody: there are the configured rooms and no others.
    Nobody,
}

/// Who wants something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// What they are to the room.
    pub role: Role,
    /// They have proved who they are, or a trusted proxy says so.
    pub proved: bool,
    /// They are in the room.
    pub present: bool,
    /// The room itself called them, for somebody who may invite, or it is a sidebar to which they were asked.
    pub invited: bool,
    /// They may say nothing.
    pub muted: bool,
    /// Their last message is not as long ago as slow mode wants.
    pub hasty: bool,
    /// What they have shown of the password.
    pub key: Key,
}

/// To whom it is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// What they are to the room.
    pub role: Role,
    /// The actor does it to itself.
    pub own: bool,
}

/// How a room is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode {
    /// Participants may write to each other.
    pub private_messages: bool,
    /// Participants may have nicknames.
    pub nicknames: bool,
    /// Moderators are shown who anonymous participants are.
    pub identities: bool,
    /// Only members come in.
    pub members_only: bool,
    /// Nobody new comes in.
    pub locked: bool,
    /// Who comes in must know a password.
    pub password: bool,
    /// As many are there as may be.
    pub full: bool,
    /// The lowest role that may invite.
    pub invite: Role,
    /// The lowest role that may open sidebars.
    pub sidebars: Role,
    /// The lowest role that may set the subject.
    pub subject: Role,
    /// Who may make rooms that are not configured.
    pub creators: Creators,
}

impl Mode {
    /// Not everybody can come in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.members_only || self.locked || self.password
    }
}

/// What was decided, and by which rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// It may be done.
    pub allowed: bool,
    /// Why, or why not.
    pub rule: Rule,
}

impl Decision {
    /// # Errors
    /// The rule that forbids it.
    pub fn check(self) -> Result<(), Rule> {
        if self.allowed { Ok(()) } else { Err(self.rule) }
    }
}

/// A rule that decides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rule {
    /// Nothing stands against it.
    Open,
    /// Members may.
    Member,
    /// Moderators and owners may.
    Moderates,
    /// Whoever is there already may.
    AlreadyHere,
    /// Whoever was invited may.
    Invited,
    /// Whoever knows the password may.
    RightPassword,
    /// To oneself one may.
    Oneself,
    /// To those of a lower role one may.
    Over,
    /// Everybody may write to a moderator.
    ToModerator,
    /// Who is banned may not.
    Banned,
    /// Who is no member may not.
    MembersOnly,
    /// The room is locked.
    Locked,
    /// A password is wanted.
    PasswordWanted,
    /// Another password is wanted.
    WrongPassword,
    /// The room is full.
    Full,
    /// Only those who are there may.
    NotPresent,
    /// Who has no voice may not.
    NoVoice,
    /// Who has no voice writes to moderators only.
    NoVoiceInPrivate,
    /// Who is muted may not.
    Muted,
    /// It is too soon after the last message.
    SlowMode,
    /// There are no private messages.
    NoPrivateMessages,
    /// There are no nicknames.
    NoNicknames,
    /// A higher role is needed: this one.
    Below(Role),
    /// To those of the same or a higher role one may not.
    NotOver,
    /// To oneself one may not.
    NotOneself,
    /// Nobody gives a role as high as that, but owners.
    GrantTooHigh,
    /// Into a closed room only moderators invite.
    ClosedRoom,
    /// Whoever makes rooms must have proved who they are.
    UsersCreate,
    /// Only those who moderate all rooms make any.
    ModeratorsCreate,
    /// Nobody makes rooms.
    NobodyCreates,
    /// Nobody is shown who an anonymous participant is.
    Anonymous,
}

impl Rule {
    /// The rule as a sentence about anybody, for whoever asks why.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Open => "nothing stands against it in this room",
            Self::Member => "members may",
            Self::Moderates => "moderators and owners may",
            Self::AlreadyHere => "whoever is in the room already may",
            Self::Invited => "whoever was invited by somebody who may invite comes in",
            Self::RightPassword => "whoever knows the password comes in",
            Self::Oneself => "everybody may do this to themself",
            Self::Over => "moderators and owners may do this to those of a lower role",
            Self::ToModerator => "everybody may write to moderators and owners",
            Self::Banned => "whoever is banned may do nothing here",
            Self::MembersOnly => "only members come in",
            Self::Locked => "the room is locked: nobody new comes in",
            Self::PasswordWanted => "the room wants a password, and none was given",
            Self::WrongPassword => "the room wants another password",
            Self::Full => "as many are in the room as may be",
            Self::NotPresent => "only those in the room may",
            Self::NoVoice => "visitors have no voice",
            Self::NoVoiceInPrivate => "visitors write to moderators and owners only",
            Self::Muted => "whoever is muted says nothing",
            Self::SlowMode => "slow mode: everybody waits between two messages",
            Self::NoPrivateMessages => "the room has no private messages",
            Self::NoNicknames => "the room has no nicknames",
            Self::Below(Role::Owner) => "only owners may",
            Self::Below(Role::Moderator) => "only moderators and owners may",
            Self::Below(_) => "only participants with a voice may",
            Self::NotOver => "nobody does this to somebody of the same or a higher role",
            Self::NotOneself => "nobody does this to themself",
            Self::GrantTooHigh => "only owners make moderators and owners",
            Self::ClosedRoom => "only moderators and owners invite into a room that not everybody may enter",
            Self::UsersCreate => "only those who have proved who they are make rooms",
            Self::ModeratorsCreate => "only those who moderate every room make rooms",
            Self::NobodyCreates => "there are the configured rooms and no others",
            Self::Anonymous => "in this room nobody is shown who anonymous participants are",
        }
    }

    /// The rule as it is told to whom it stops: a comment or a Warning.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::Banned => "You are banned from this room",
            Self::MembersOnly => "Only members of this room may enter",
            Self::Locked => "This room is locked",
            Self::PasswordWanted => "This room wants a password",
            Self::WrongPassword => "This is not the password of the room",
            Self::Full => "This room is full",
            Self::NotPresent => "You are not in this room",
            Self::NoVoice => "You have no voice here; ask a moderator in private",
            Self::NoVoiceInPrivate => "Without a voice you may write to moderators only",
            Self::Muted => "You are muted here",
            Self::SlowMode => "Slow mode: wait a moment before your next message",
            Self::NoPrivateMessages => "Private messages not supported",
            Self::NoNicknames => "No nicknames in this room",
            Self::Below(Role::Owner) => "Only owners of this room may do that",
            Self::Below(Role::Moderator) => "Only moderators of this room may do that",
            Self::Below(_) => "Only participants with a voice may do that",
            Self::NotOver => "You may not do that to somebody of your own or a higher role",
            Self::NotOneself => "You cannot do that to yourself",
            Self::GrantTooHigh => "Only owners of this room may give that role",
            Self::ClosedRoom => "Only moderators may invite into this room",
            Self::UsersCreate => "There is no such room, and only users with a password may make one",
            Self::ModeratorsCreate => "There is no such room, and only moderators may make one",
            Self::NobodyCreates => "There is no such room",
            Self::Anonymous => "Nobody is shown that here",
            // These allow.
            other => other.sentence(),
        }
    }

    /// The word for it in headers and logs.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Member => "member",
            Self::Moderates => "moderates",
            Self::AlreadyHere => "already-here",
            Self::Invited => "invited",
            Self::RightPassword => "right-password",
            Self::Oneself => "oneself",
            Self::Over => "over",
            Self::ToModerator => "to-moderator",
            Self::Banned => "banned",
            Self::MembersOnly => "members-only",
            Self::Locked => "locked",
            Self::PasswordWanted => "password-wanted",
            Self::WrongPassword => "wrong-password",
            Self::Full => "full",
            Self::NotPresent => "not-present",
            Self::NoVoice => "no-voice",
            Self::NoVoiceInPrivate => "no-voice-in-private",
            Self::Muted => "muted",
            Self::SlowMode => "slow-mode",
            Self::NoPrivateMessages => "no-private-messages",
            Self::NoNicknames => "no-nicknames",
            Self::Below(Role::Owner) => "below-owner",
            Self::Below(Role::Moderator) => "below-moderator",
            Self::Below(_) => "below-participant",
            Self::NotOver => "not-over",
            Self::NotOneself => "not-oneself",
            Self::GrantTooHigh => "grant-too-high",
            Self::ClosedRoom => "closed-room",
            Self::UsersCreate => "users-create",
            Self::ModeratorsCreate => "moderators-create",
            Self::NobodyCreates => "nobody-creates",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Whether `actor` may do `action`, to `target` if it is done to somebody known, in a room that is set as
/// `mode` says; and by which rule.
#[must_use]
pub fn decide(actor: &Standing, action: Action, target: Option<Target>, mode: &Mode) -> Decision {
    let outcome = match action {
        _ if actor.role == Role::Banned => Err(Rule::Banned),
        Action::Create => create(actor, mode),
        Action::Enter => enter(actor, mode),
        Action::Watch => watch(actor, mode),
        Action::Speak => speak(actor),
        Action::Whisper => whisper(actor, target, mode),
        Action::Nickname => nickname(actor, mode),
        Action::Invite => invite(actor, mode),
        Action::Sidebar if !actor.present => Err(Rule::NotPresent),
        Action::Sidebar if actor.muted => Err(Rule::Muted),
        Action::Sidebar => at_least(actor, mode.sidebars),
        Action::Kick if !actor.present && target.is_some_and(|t| t.own) => Err(Rule::NotPresent),
        Action::Kick => over(actor, target, Ok(Rule::Oneself)),
        Action::Ban | Action::Mute => over(actor, target, Err(Rule::NotOneself)),
        Action::Unban | Action::Unmute => over(actor, target, Err(Rule::NotOneself)),
        Action::Grant(role) => grant(actor, role, target),
        Action::Subject if actor.muted => Err(Rule::Muted),
        Action::Subject => at_least(actor, mode.subject),
        Action::Identify if !mode.identities => Err(Rule::Anonymous),
        Action::Lock
        | Action::Moderate
        | Action::Password
        | Action::MembersOnly
        | Action::Occupants
        | Action::SlowMode
        | Action::Inspect
        | Action::Identify => at_least(actor, Role::Moderator),
    };
    match outcome {
        Ok(rule) => Decision { allowed: true, rule },
        Err(rule) => Decision { allowed: false, rule },
    }
}

type Ruling = Result<Rule, Rule>;

fn create(actor: &Standing, mode: &Mode) -> Ruling {
    match mode.creators {
        Creators::Nobody => Err(Rule::NobodyCreates),
        _ if actor.role >= Role::Moderator => Ok(Rule::Moderates),
        Creators::Everybody => Ok(Rule::Open),
        Creators::Users if actor.proved => Ok(Rule::Open),
        Creators::Users => Err(Rule::UsersCreate),
        Creators::Moderators => Err(Rule::ModeratorsCreate),
    }
}

fn enter(actor: &Standing, mode: &Mode) -> Ruling {
    match actor {
        Standing { present: true, .. } => Ok(Rule::AlreadyHere),
        _ if actor.role >= Role::Moderator => Ok(Rule::Moderates),
        _ if mode.full => Err(Rule::Full),
        Standing { invited: true, .. } => Ok(Rule::Invited),
        _ if mode.locked => Err(Rule::Locked),
        _ if mode.members_only && actor.role < Role::Participant => Err(Rule::MembersOnly),
        Standing { key: Key::None, .. } if mode.password => Err(Rule::PasswordWanted),
        Standing { key: Key::Wrong, .. } if mode.password => Err(Rule::WrongPassword),
        _ if actor.role >= Role::Participant => Ok(Rule::Member),
        _ if mode.password => Ok(Rule::RightPassword),
        _ => Ok(Rule::Open),
    }
}

fn watch(actor: &Standing, mode: &Mode) -> Ruling {
    match actor.role {
        _ if actor.present => Ok(Rule::AlreadyHere),
        Role::Moderator | Role::Owner => Ok(Rule::Moderates),
        Role::Participant => Ok(Rule::Member),
        _ if mode.members_only => Err(Rule::MembersOnly),
        _ if mode.locked => Err(Rule::Locked),
        _ if mode.password && actor.key != Key::Right => Err(Rule::PasswordWanted),
        _ => Ok(Rule::Open),
    }
}

fn speak(actor: &Standing) -> Ruling {
    match actor.role {
        _ if !actor.present => Err(Rule::NotPresent),
        _ if actor.muted => Err(Rule::Muted),
        Role::Moderator | Role::Owner => Ok(Rule::Moderates),
        role if role < Role::Participant => Err(Rule::NoVoice),
        _ if actor.hasty => Err(Rule::SlowMode),
        _ => Ok(Rule::Open),
    }
}

fn whisper(actor: &Standing, target: Option<Target>, mode: &Mode) -> Ruling {
    let to_moderator = target.is_some_and(|t| t.role >= Role::Moderator);
    match actor.role {
        _ if !mode.private_messages => Err(Rule::NoPrivateMessages),
        _ if !actor.present => Err(Rule::NotPresent),
        _ if actor.muted => Err(Rule::Muted),
        Role::Moderator | Role::Owner => Ok(Rule::Moderates),
        role if role < Role::Participant && !to_moderator => Err(Rule::NoVoiceInPrivate),
        _ if actor.hasty => Err(Rule::SlowMode),
        role if role < Role::Participant => Ok(Rule::ToModerator),
        _ => Ok(Rule::Open),
    }
}

/// A nickname can say something too.
fn nickname(actor: &Standing, mode: &Mode) -> Ruling {
    match actor {
        _ if !mode.nicknames => Err(Rule::NoNicknames),
        Standing { present: false, .. } => Err(Rule::NotPresent),
        Standing { muted: true, .. } => Err(Rule::Muted),
        _ => Ok(Rule::Open),
    }
}

fn invite(actor: &Standing, mode: &Mode) -> Ruling {
    match actor.role {
        Role::Moderator | Role::Owner => at_least(actor, mode.invite),
        _ if !actor.present => Err(Rule::NotPresent),
        role if role < mode.invite => Err(Rule::Below(mode.invite)),
        _ if mode.is_closed() => Err(Rule::ClosedRoom),
        _ => Ok(Rule::Open),
    }
}

/// What is done to somebody else: to those of a lower role. Who is not known stands for nobody in particular.
fn over(actor: &Standing, target: Option<Target>, oneself: Ruling) -> Ruling {
    match target {
        Some(Target { own: true, .. }) => oneself,
        _ if actor.role < Role::Moderator => Err(Rule::Below(Role::Moderator)),
        Some(Target { role, .. }) if role >= actor.role => Err(Rule::NotOver),
        _ => Ok(Rule::Over),
    }
}

/// To step down may everybody.
fn grant(actor: &Standing, role: Role, target: Option<Target>) -> Ruling {
    let own = target.is_some_and(|t| t.own);
    match actor.role {
        _ if own && role <= actor.role => Ok(Rule::Oneself),
        held if held < Role::Moderator => Err(Rule::Below(Role::Moderator)),
        Role::Moderator if role > Role::Participant => Err(Rule::GrantTooHigh),
        _ => over(actor, target, Err(Rule::NotOneself)),
    }
}

fn at_least(actor: &Standing, role: Role) -> Ruling {
    match actor.role {
        held if held < role => Err(Rule::Below(role)),
        held if held >= Role::Moderator => Ok(Rule::Moderates),
        _ => Ok(Rule::Open),
    }
}
