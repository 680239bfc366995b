//! `openmsrp why`: what the rules of a configuration say, and which of them decides.
//!
//! It asks the same function as the server, of a room in which nobody has changed anything since it was configured.

use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::rights::{Action, Decision, Role, Standing, Target};
use crate::control::config::{Config, Raw, load};
use crate::room::rules::{Caller, Rules};
use clap::Args as ClapArgs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Says whether somebody may do something in a room, and which rule decides.
///
/// For example: openmsrp why alice kick bob lobby --config openmsrp.toml
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Who: alice, alice@example.com or sip:alice@example.com.
    who: String,
    /// What: create, enter, watch, speak, whisper, nickname, invite, sidebar, kick, ban, unban, mute, unmute, subject,
    /// lock, moderate, password, members-only, occupants, slow-mode, inspect, identify; or a role to give somebody:
    /// visitor, participant, moderator, owner, and outsider to take it.
    action: String,
    /// To whom, if it is done to somebody; then the room: lobby or lobby@chat.example.com.
    #[arg(num_args = 1..=2, required = true, value_name = "[WHOM] ROOM")]
    rest: Vec<String>,
    /// Configuration file (TOML), as for `openmsrp serve`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where they call from.
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// The password of the room that they give.
    #[arg(long, value_name = "WORD")]
    room_password: Option<String>,
}

/// Runs the subcommand. 0: they may; 1: they may not; 2: the question makes no sense.
pub fn run(args: &Args) -> ExitCode {
    match answer(args) {
        Ok((text, decision)) => {
            println!("{text}");
            if decision.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("openmsrp: {why}");
            ExitCode::from(2)
        }
    }
}

fn answer(args: &Args) -> Result<(String, Decision), String> {
    let config = load(Some(&args.config), Raw::default(), 1).map_err(|e| e.to_string())?;
    let action = Action::WORDS.into_iter().find(|(word, _)| *word == args.action).map(|(_, action)| action);
    let granted = || Role::parse(&args.action).filter(|r| *r != Role::Banned).map(Action::Grant);
    let action =
        action.or_else(granted).ok_or_else(|| format!("`{}` is no action; see --help", args.action))?;
    let (whom, room) = match (&args.rest[..], action.has_target()) {
        ([room], false) => (None, room),
        ([whom, room], true) => (Some(address(whom, &config)?), room),
        ([_], true) => return Err(format!("to whom? {} is done to somebody: WHOM ROOM", args.action)),
        _ => return Err(format!("{} is done to nobody: write the room only", args.action)),
    };
    let (who, room) = (address(&args.who, &config)?, address(room, &config)?);
    if let Some(key) = config.no_room(room.user()) {
        return Err(format!("{room} is no room but the {key}"));
    }
    let caller = Caller { proved: true, from: args.from, ..Caller::of(&who) };
    let decision =
        decide(&config, &room, &caller, &who, action, whom.as_ref(), args.room_password.as_deref());
    let verdict = if decision.allowed { "yes" } else { "no" };
    let rule = decision.rule;
    let role = config.rooms.rules(&room).at_the_door(Now(0), &caller);
    let text = format!("{verdict}: {} (rule {}; {who} is {role} of {room})", rule.sentence(), rule.token());
    Ok((text, decision))
}

fn decide(
    config: &Config,
    room: &Address,
    caller: &Caller,
    who: &Address,
    action: Action,
    whom: Option<&Address>,
    password: Option<&str>,
) -> Decision {
    let rules: &Rules = config.rooms.rules(room);
    let at_the_door = rules.may_enter(Now(0), caller, password, 0, false);
    match action {
        Action::Create => config.rooms.may_create(Now(0), caller),
        Action::Enter if !config.rooms.is_named(room) => {
            let made = config.rooms.may_create(Now(0), caller);
            if made.allowed { at_the_door } else { made }
        }
        Action::Enter => at_the_door,
        Action::Watch => rules.may_watch(Now(0), caller, password, false),
        // Whoever cannot come in does nothing in there.
        _ if !at_the_door.allowed => at_the_door,
        _ => {
            let role = rules.inside(who, caller);
            let standing = Standing { role, proved: caller.proved, present: true, ..Standing::default() };
            let target =
                |whom: &Address| Target { role: rules.inside(whom, &Caller::of(whom)), own: whom == who };
            rules.may(&standing, action, whom.map(target))
        }
    }
}

/// An address as typed: without a domain, in the first one of the server.
fn address(typed: &str, config: &Config) -> Result<Address, String> {
    let full = match (typed.contains(':'), typed.contains('@')) {
        (true, _) => typed.to_owned(),
        (false, true) => format!("sip:{typed}"),
        (false, false) => format!("sip:{typed}@{}", config.domains[0]),
    };
    Address::parse(&full).map_err(|_| format!("`{typed}` is not like alice or sip:alice@example.com"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks the sample configuration of the documentation.
    fn why(words: &str, room_password: Option<&str>) -> Result<(String, bool), String> {
        let mut words = words.split(' ').map(String::from);
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openmsrp.sample.toml").into();
        let (who, action) = (words.next().unwrap(), words.next().unwrap());
        let (rest, room_password) = (words.collect(), room_password.map(String::from));
        let args = Args { who, action, rest, config, from: None, room_password };
        answer(&args).map(|(text, decision)| (text, decision.allowed))
    }

    #[test]
    fn the_sample_configuration_is_read_and_says_who_may_what() {
        let table = [
            ("alice kick bob lobby", true, "over"),
            ("carol kick alice lobby", false, "not-over"),
            ("bob kick carol lobby", false, "below-moderator"),
            ("bob speak lobby", true, "open"),
            ("bob speak announcements", false, "no-voice"),
            ("bob enter staff", false, "members-only"),
            ("carol enter staff", true, "member"),
            ("bob enter board", false, "password-wanted"),
            ("mallory@spam.example enter lobby", false, "banned"),
            ("alice moderator bob lobby", true, "over"),
            ("carol moderator bob lobby", false, "grant-too-high"),
            ("bob enter my-own-room", true, "open"),
        ];
        for (question, allowed, rule) in table {
            let (text, may) = why(question, None).unwrap();
            assert_eq!(may, allowed, "{question}: {text}");
            assert!(text.contains(&format!("rule {rule};")), "{question}: {text}");
        }
        assert!(why("bob enter board", Some("1234")).unwrap().1);
    }

    #[test]
    fn a_question_without_sense_is_answered_with_what_to_write() {
        for (question, expected) in [
            ("alice dance lobby", "`dance` is no action"),
            ("alice kick lobby", "to whom?"),
            ("alice speak bob lobby", "write the room only"),
        ] {
            let error = why(question, None).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
