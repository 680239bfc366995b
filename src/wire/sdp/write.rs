//! Writing what we say of ourselves: strict, one order, nothing that a value could break (SEC-09).

use super::{Description, Direction, Media, Setup};
use std::fmt::Write;
use std::net::Ipv6Addr;

/// What we say of ourselves.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// The user of `o=`.
    pub username: &'a str,
    /// The session id of `o=`.
    pub session: u64,
    /// The version of `o=`: one more with every change (SDP-06).
    pub version: u64,
    /// Host name or address for `o=` and `c=`; IPv6 with or without brackets.
    pub host: &'a str,
    /// The port of the media line: that of our path URI (SDP-01).
    pub port: u16,
    /// Our path URI.
    pub path: &'a str,
    /// Who connects.
    pub setup: Setup,
    /// `a=accept-wrapped-types`: `*` or the room's list.
    pub wrapped_types: &'a str,
    /// `a=accept-types`: `message/cpim` in rooms (CHAT-JOIN-02).
    pub accept_types: &'a str,
    /// `a=max-size`; left out if 0.
    pub max_size: u64,
    /// The tokens of `a=chatroom`, `Some("")` for the bare attribute.
    pub chatroom: Option<&'a str>,
    /// TLS. In an answer the transport of the offered line is repeated instead.
    pub secure: bool,
}

/// The role we take when answering (RFC 6135 §4.2.2, SDP-14).
#[must_use]
pub fn answering_role(offered: Option<Setup>) -> Setup {
    match offered {
        // No offer may say so, but who does will not connect.
        Some(Setup::Passive) => Setup::Active,
        Some(Setup::Active | Setup::Actpass) | None => Setup::Passive,
    }
}

/// Answers an offer: the same media lines in the same order, all but `chosen` refused with port 0
/// (RFC 3264 §6). The direction of the chosen line is answered in kind.
#[must_use]
pub fn answer(offer: &Description, chosen: usize, local: &Local<'_>) -> String {
    let mut out = session(local);
    for (index, (media, offered)) in offer.media.iter().zip(&offer.offered).enumerate() {
        let port = if index == chosen { local.port } else { 0 };
        line(&mut out, format_args!("m={} {port} {} {}", offered.media, offered.proto, offered.fmt));
        if index != chosen {
            offered.mirrored.iter().for_each(|a| line(&mut out, format_args!("a={a}")));
            continue;
        }
        attributes(&mut out, local);
        if let Media::Message(m) = media
            && m.direction != Direction::SendRecv
        {
            line(&mut out, format_args!("a={}", m.direction.reversed().as_str()));
        }
    }
    out
}

/// Offers one media line for messages.
#[must_use]
pub fn offer(local: &Local<'_>) -> String {
    let mut out = session(local);
    let proto = if local.secure { "TCP/TLS/MSRP" } else { "TCP/MSRP" };
    line(&mut out, format_args!("m=message {} {proto} *", local.port));
    attributes(&mut out, local);
    out
}

fn session(local: &Local<'_>) -> String {
    let host = local.host.trim_start_matches('[').trim_end_matches(']');
    // A name says nothing of the family; IP4 is what everybody writes and reads.
    let family = if host.parse::<Ipv6Addr>().is_ok() { "IP6" } else { "IP4" };
    let word =
        |text: &str| text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect::<String>();
    let (user, host) = (word(local.username), word(host));
    let user = if user.is_empty() { "-" } else { &user };
    let mut out = String::with_capacity(512);
    line(&mut out, format_args!("v=0"));
    line(&mut out, format_args!("o={user} {} {} IN {family} {host}", local.session, local.version));
    line(&mut out, format_args!("s=-"));
    line(&mut out, format_args!("c=IN {family} {host}"));
    line(&mut out, format_args!("t=0 0"));
    out
}

/// In the order that SylkServer's clients know.
fn attributes(out: &mut String, local: &Local<'_>) {
    line(out, format_args!("a=path:{}", local.path));
    line(out, format_args!("a=accept-types:{}", local.accept_types));
    if !local.wrapped_types.is_empty() {
        line(out, format_args!("a=accept-wrapped-types:{}", local.wrapped_types));
    }
    line(out, format_args!("a=setup:{}", local.setup.as_str()));
    if local.max_size > 0 {
        line(out, format_args!("a=max-size:{}", local.max_size));
    }
    match local.chatroom {
        None => (),
        Some("") => line(out, format_args!("a=chatroom")),
        Some(tokens) => line(out, format_args!("a=chatroom:{tokens}")),
    }
}

/// Writes a line without any control a value may hold.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let start = out.len();
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
    if out[start..].contains(char::is_control) {
        let clean: String = out[start..].chars().filter(|c| !c.is_control()).collect();
        out.truncate(start);
        out.push_str(&clean);
    }
    out.push_str("\r\n");
}
