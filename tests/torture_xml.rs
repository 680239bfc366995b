//! Rosters from servers and from attackers, each with what it says or why it is refused; every document is
//! also cut at every octet and has octets changed, to see that nothing panics.

#[path = "torture/xml/table.rs"]
mod xml_table;

use openmsrp::wire::conference::{EndpointUpdate, RosterUpdate, UserUpdate, read};
use std::fmt::Write;

/// What a document says, in one line.
fn summary(document: &[u8]) -> String {
    let update = match read(document) {
        Ok(update) => update,
        Err(why) => return format!("{why:?}"),
    };
    let RosterUpdate { entity, state, version, display_text, subject, user_count, users_state, .. } = &update;
    let mut out = format!("{state:?} {version} {entity}");
    let mut add = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(out, " {what}={value}").unwrap();
        }
    };
    add("text", display_text.clone());
    add("subject", subject.clone());
    add("count", user_count.map(|count| count.to_string()));
    add("users", users_state.map(|state| format!("{state:?}")));
    add("note", update.note);
    update.users.iter().for_each(|told| user(&mut out, told));
    for room in update.listed {
        let (name, subject) = (room.display_text.unwrap_or_default(), room.subject.unwrap_or_default());
        write!(out, " + {} text={name} subject={subject} count={:?}", room.entity, room.user_count).unwrap();
    }
    out
}

fn user(out: &mut String, user: &UserUpdate) {
    write!(out, " | {} {:?}", user.entity, user.state).unwrap();
    user.display_text.iter().for_each(|text| write!(out, " text={text}").unwrap());
    user.nickname.iter().for_each(|nickname| write!(out, " nick={nickname}").unwrap());
    user.endpoints.iter().for_each(|told| endpoint(out, told));
}

fn endpoint(out: &mut String, endpoint: &EndpointUpdate) {
    write!(out, " > {} {:?}", endpoint.entity, endpoint.state).unwrap();
    endpoint.status.iter().for_each(|status| write!(out, " status={status}").unwrap());
    endpoint.joining_method.iter().for_each(|method| write!(out, " by={method}").unwrap());
    out.push_str(if endpoint.message_media { " message" } else { "" });
}

#[test]
fn every_roster_is_read_as_the_table_says() {
    // CONF-10
    assert!(xml_table::CASES.len() >= 50);
    for (name, text, expected) in xml_table::CASES {
        assert_eq!(summary(&xml_table::document(text)), *expected, "{name}");
    }
}

#[test]
fn a_damaged_roster_is_an_error_or_read_but_never_a_panic() {
    for (name, text, _) in xml_table::CASES {
        let whole = xml_table::document(text);
        for at in 0..whole.len() {
            let _ = read(&whole[..at]);
            for octet in [0, b'<', b'>', b'&', b'"', b'/', 0xff] {
                let mut changed = whole.clone();
                changed[at] = octet;
                let told = read(&changed);
                assert!(told.is_err() || !matches!(octet, 0 | 0xff), "{name}: {octet} at {at} is read");
            }
        }
    }
}
