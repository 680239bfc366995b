//! Writing a document: full, or partial with the users that changed.

use super::{NAMESPACE, XCON_NAMESPACE};
use crate::base::octets::{Octets, plain};
use std::fmt::Write;

/// What a document says of a room.
#[derive(Clone, Copy, Debug)]
pub struct Roster<'a> {
    /// The room's URI.
    pub entity: &'a str,
    /// One more than in the last document of this subscription (CONF-04).
    pub version: u32,
    /// All users are listed; else only those that changed.
    pub full: bool,
    /// The room's name. Full documents only.
    pub display_text: &'a str,
    /// The room's subject; may be empty. Full documents only.
    pub subject: &'a str,
    /// What people are told about the room; none if empty. Full documents only.
    pub note: &'a str,
    /// The users: all, or those that changed.
    pub users: &'a [User<'a>],
    /// How many users there are; a partial document may leave it out.
    pub user_count: Option<u32>,
}

/// A participant.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The participant's URI, unique in the room (CONF-06).
    pub entity: &'a str,
    /// The name shown; if empty, nickname or URI take its place, because clients need one.
    pub display_text: &'a str,
    /// The nickname, if reserved.
    pub nickname: Option<&'a str>,
    /// Other addresses of the participant (RFC 4575 §5.6.2).
    pub associated: &'a [&'a str],
    /// What the participant is to the room (RFC 4575 §5.6.3); nothing if empty.
    pub role: &'a str,
    /// The participant is gone: nothing but the URI is told (CONF-05).
    pub deleted: bool,
    /// The participant's endpoints: all, or with `deleted` ones among them those that changed.
    pub endpoints: &'a [Endpoint<'a>],
}

/// A session of a participant.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// The Contact URI, unique for the user (CONF-06).
    pub entity: &'a str,
    /// `connected` or `disconnected` (RFC 4575 §5.7.4); only a connected one has a message medium.
    pub status: &'a str,
    /// `dialed-in` or `dialed-out` (RFC 4575 §5.7.5); left out if empty.
    pub joining_method: &'a str,
    /// The participant may hear, but say nothing (RFC 4575 §5.8.3).
    pub muted: bool,
    /// The endpoint is gone.
    pub deleted: bool,
}

/// Writes a document. In a full one, deleted users and endpoints are left out (RFC 4575 §4.4).
///
/// Whoever has many subscribers writes the parts once and puts them together: [`begin`], in full documents
/// [`describe`], [`count`], and between [`begin_users`] and [`USERS_END`] each [`user`]; then [`END`].
pub fn write(out: &mut String, roster: &Roster<'_>) {
    let full = roster.full;
    begin(out, roster.entity, full, roster.version);
    if full {
        describe(out, roster.entity, roster.display_text, roster.subject, roster.note);
    }
    roster.user_count.iter().for_each(|n| count(out, *n, false));
    begin_users(out, full);
    roster.users.iter().filter(|u| !(full && u.deleted)).for_each(|u| user(out, u, full));
    out.push_str(USERS_END);
    out.push_str(END);
}

/// Writes the beginning of a document, which alone differs from one subscription to the next.
pub fn begin(out: &mut String, entity: &str, full: bool, version: u32) {
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<conference-info");
    attribute(out, "xmlns", NAMESPACE);
    attribute(out, "xmlns:xcon", XCON_NAMESPACE);
    attribute(out, "entity", entity);
    attribute(out, "state", state(full));
    // Writing to a String cannot fail.
    let _ = write!(out, " version=\"{version}\">\r\n");
}

/// Writes what a room is, in the order of the schema (RFC 4575 §5.3, §7). `note` is told to people about the
/// room; none if empty.
pub fn describe(out: &mut String, entity: &str, display_text: &str, subject: &str, note: &str) {
    out.push_str("  <conference-description>\r\n");
    element(out, "    ", "display-text", display_text);
    element(out, "    ", "subject", subject);
    if !note.is_empty() {
        element(out, "    ", "free-text", note);
    }
    out.push_str("    <conf-uris>\r\n      <entry>\r\n");
    element(out, "        ", "uri", entity);
    element(out, "        ", "purpose", "participation");
    out.push_str("      </entry>\r\n    </conf-uris>\r\n  </conference-description>\r\n");
}

/// Writes the sidebars of a room by reference (RFC 4575 §5.9.1); nothing if there are none. Full documents only.
pub fn sidebars<'a>(out: &mut String, uris: impl Iterator<Item = &'a str>) {
    let mut uris = uris.peekable();
    if uris.peek().is_none() {
        return;
    }
    out.push_str("  <sidebars-by-ref>\r\n");
    for uri in uris {
        out.push_str("    <entry>\r\n");
        element(out, "      ", "uri", uri);
        out.push_str("    </entry>\r\n");
    }
    out.push_str("  </sidebars-by-ref>\r\n");
}

/// A room that another document lists by its values (RFC 4575 §5.9.2).
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The room's URI.
    pub entity: &'a str,
    /// The room's name.
    pub name: &'a str,
    /// What it is about; may be empty.
    pub subject: &'a str,
    /// How many participants are there.
    pub participants: u32,
}

/// The beginning of a list of rooms.
pub const LISTED_BEGIN: &str = "  <sidebars-by-val state=\"full\">\r\n";

/// The end of a list of rooms.
pub const LISTED_END: &str = "  </sidebars-by-val>\r\n";

/// Writes a room of a list.
pub fn listed(out: &mut String, room: &Listed<'_>) {
    out.push_str("    <entry");
    attribute(out, "entity", room.entity);
    out.push_str(" state=\"full\">\r\n      <conference-description>\r\n");
    element(out, "        ", "display-text", room.name);
    if !room.subject.is_empty() {
        element(out, "        ", "subject", room.subject);
    }
    let _ = write!(
        out,
        "      </conference-description>\r\n      <conference-state><user-count>{}</user-count></conference-state>\r\n    </entry>\r\n",
        room.participants
    );
}

/// Writes how many users there are, and whether nobody new comes in (RFC 4575 §5.5).
pub fn count(out: &mut String, users: u32, locked: bool) {
    let locked = if locked { "<locked>true</locked>" } else { "" };
    let _ = write!(
        out,
        "  <conference-state><user-count>{users}</user-count><active>true</active>{locked}</conference-state>\r\n"
    );
}

/// Writes the beginning of the list of users.
pub fn begin_users(out: &mut String, full: bool) {
    let _ = write!(out, "  <users state=\"{}\">\r\n", state(full));
}

/// The end of the list of users.
pub const USERS_END: &str = "  </users>\r\n";

/// The end of a document.
pub const END: &str = "</conference-info>\r\n";

fn state(full: bool) -> &'static str {
    if full { "full" } else { "partial" }
}

/// Writes a user. Without deleted endpoints the text is the same in full and partial documents.
pub fn user(out: &mut String, user: &User<'_>, full: bool) {
    out.push_str("    <user");
    attribute(out, "entity", user.entity);
    if user.deleted {
        out.push_str(" state=\"deleted\"/>\r\n");
        return;
    }
    // A full parent has only full children (CONF-05).
    let partial = !full && user.endpoints.iter().any(|e| e.deleted);
    attribute(out, "state", state(!partial));
    user.nickname.iter().for_each(|nickname| attribute(out, "xcon:nickname", nickname));
    out.push_str(">\r\n");
    let names = [user.display_text, user.nickname.unwrap_or(""), user.entity];
    element(out, "      ", "display-text", names.into_iter().find(|name| !name.is_empty()).unwrap_or(""));
    if !user.associated.is_empty() {
        out.push_str("      <associated-aors>\r\n");
        for uri in user.associated {
            out.push_str("        <entry>\r\n");
            element(out, "          ", "uri", uri);
            out.push_str("        </entry>\r\n");
        }
        out.push_str("      </associated-aors>\r\n");
    }
    if !user.role.is_empty() {
        out.push_str("      <roles>\r\n");
        element(out, "        ", "entry", user.role);
        out.push_str("      </roles>\r\n");
    }
    user.endpoints.iter().filter(|e| !(full && e.deleted)).for_each(|e| endpoint(out, e));
    out.push_str("    </user>\r\n");
}

fn endpoint(out: &mut String, endpoint: &Endpoint<'_>) {
    out.push_str("      <endpoint");
    attribute(out, "entity", endpoint.entity);
    if endpoint.deleted {
        out.push_str(" state=\"deleted\"/>\r\n");
        return;
    }
    out.push_str(" state=\"full\">\r\n");
    element(out, "        ", "status", endpoint.status);
    if !endpoint.joining_method.is_empty() {
        element(out, "        ", "joining-method", endpoint.joining_method);
    }
    if endpoint.status == "connected" {
        // The id need be unique for the endpoint only, and it has one medium.
        let status = if endpoint.muted { "recvonly" } else { "sendrecv" };
        let _ =
            write!(out, "        <media id=\"1\"><type>message</type><status>{status}</status></media>\r\n");
    }
    out.push_str("      </endpoint>\r\n");
}

pub(super) fn attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    escape(out, value);
    out.push('"');
}

fn element(out: &mut String, indent: &str, name: &str, value: &str) {
    let _ = write!(out, "{indent}<{name}>");
    escape(out, value);
    let _ = write!(out, "</{name}>\r\n");
}

/// Escapes markup and white space that a reader would change; what no XML document may hold becomes
/// U+FFFD (XML 1.0 §2.2).
fn escape(out: &mut String, value: &str) {
    const MARKUP: Octets = Octets::these(b"&<>\"'");
    if plain(value.as_bytes()) && !MARKUP.have_any(value.as_bytes()) {
        return out.push_str(value);
    }
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            '\u{7f}'..='\u{9f}' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::conference::{State, read};

    fn alice<'a>(endpoints: &'a [Endpoint<'a>]) -> User<'a> {
        User {
            entity: "sip:alice@example.com",
            display_text: "Alice",
            nickname: Some("Alice \"of\" Wonderland"),
            associated: &[],
            role: "",
            deleted: false,
            endpoints,
        }
    }

    fn partial<'a>(users: &'a [User<'a>]) -> Roster<'a> {
        Roster {
            entity: "sip:lobby@chat.example.com",
            version: 7,
            full: false,
            display_text: "Lobby",
            subject: "",
            note: "",
            users,
            user_count: None,
        }
    }

    const PHONE: Endpoint<'static> = Endpoint {
        entity: "sip:alice@pc.alice.example.com:5060;transport=tcp",
        status: "connected",
        joining_method: "dialed-in",
        muted: false,
        deleted: false,
    };

    fn written(roster: &Roster<'_>) -> String {
        let mut out = String::new();
        write(&mut out, roster);
        out
    }

    #[test]
    fn the_sample_is_written_octet_by_octet() {
        // CONF-05, CONF-06
        let sample = r#"<?xml version="1.0" encoding="UTF-8"?>
<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" xmlns:xcon="urn:ietf:params:xml:ns:xcon-conference-info" entity="sip:lobby@chat.example.com" state="partial" version="7">
  <users state="partial">
    <user entity="sip:alice@example.com" state="full" xcon:nickname="Alice &quot;of&quot; Wonderland">
      <display-text>Alice</display-text>
      <endpoint entity="sip:alice@pc.alice.example.com:5060;transport=tcp" state="full">
        <status>connected</status>
        <joining-method>dialed-in</joining-method>
        <media id="1"><type>message</type><status>sendrecv</status></media>
      </endpoint>
    </user>
  </users>
</conference-info>
"#;
        let text = written(&partial(&[alice(&[PHONE])]));
        assert_eq!(text, sample.replace('\n', "\r\n"));
        assert_eq!(text.len(), 719);
    }

    #[test]
    fn who_is_gone_is_told_without_children_and_only_in_partial_documents() {
        // CONF-05
        let gone = Endpoint { deleted: true, entity: "sip:alice@tablet", ..PHONE };
        let endpoints = [PHONE, gone];
        let users =
            [alice(&endpoints), User { deleted: true, entity: "sip:bob@example.net", ..alice(&endpoints) }];
        let text = written(&partial(&users));
        assert!(text.contains("<user entity=\"sip:alice@example.com\" state=\"partial\""), "{text}");
        assert!(text.contains("<endpoint entity=\"sip:alice@tablet\" state=\"deleted\"/>"), "{text}");
        assert!(text.contains("<user entity=\"sip:bob@example.net\" state=\"deleted\"/>"), "{text}");
        let text = written(&Roster { full: true, user_count: Some(1), ..partial(&users) });
        assert!(!text.contains("deleted") && !text.contains("partial") && !text.contains("bob"), "{text}");
        assert!(
            text.contains("<conference-description>") && text.contains("<user-count>1</user-count>"),
            "{text}"
        );
        assert!(
            text.contains("<uri>sip:lobby@chat.example.com</uri>") && text.contains("<users state=\"full\">")
        );
    }

    #[test]
    fn other_addresses_and_a_note_stand_where_the_schema_has_them() {
        let user = User { associated: &["sip:a@x?b=c&d", "tel:+1"], ..alice(&[PHONE]) };
        let text = written(&Roster { full: true, note: "For <all>", subject: "Tea", ..partial(&[user]) })
            .replace("\r\n", "");
        assert!(
            text.contains("<subject>Tea</subject>    <free-text>For &lt;all&gt;</free-text>    <conf-uris>"),
            "{text}"
        );
        let aors = "</display-text>      <associated-aors>        <entry>          <uri>sip:a@x?b=c&amp;d</uri>        </entry>        \
                    <entry>          <uri>tel:+1</uri>        </entry>      </associated-aors>      <endpoint";
        assert!(text.contains(aors), "{text}");
    }

    #[test]
    fn every_user_has_a_name_to_show() {
        let user = User { display_text: "", ..alice(&[]) };
        let text = written(&partial(&[user, User { nickname: None, ..user }]));
        assert!(text.contains("<display-text>Alice &quot;of&quot; Wonderland</display-text>"), "{text}");
        assert!(text.contains("<display-text>sip:alice@example.com</display-text>"), "{text}");
    }

    #[test]
    fn no_value_becomes_markup() {
        // SEC-09
        let evil = "</display-text>\"'<x a=\"&amp;]]>\r\n\t\u{85}";
        let endpoints =
            [Endpoint { entity: evil, status: evil, joining_method: evil, muted: true, deleted: false }];
        let users = [User {
            entity: evil,
            display_text: evil,
            nickname: Some(evil),
            associated: &[evil],
            role: evil,
            deleted: false,
            endpoints: &endpoints,
        }];
        let roster = Roster {
            full: true,
            entity: evil,
            display_text: evil,
            subject: evil,
            note: evil,
            ..partial(&users)
        };
        let update = read(written(&roster).as_bytes()).unwrap();
        let user = &update.users[0];
        assert_eq!((update.state, update.entity.as_str(), user.entity.as_str()), (State::Full, evil, evil));
        assert_eq!((user.nickname.as_deref(), user.endpoints[0].entity.as_str()), (Some(evil), evil));
        // Blanks around an element's text mean nothing to the reader.
        assert_eq!(
            (user.display_text.as_deref(), update.subject.as_deref()),
            (Some(evil.trim()), Some(evil.trim()))
        );
        let text = written(&Roster { entity: "a\0b\u{1b}\u{ffff}", ..partial(&[]) });
        assert!(text.contains("entity=\"a\u{fffd}b\u{fffd}\u{fffd}\""), "{text}");
    }
}
