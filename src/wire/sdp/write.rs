//! Writing what we say of ourselves: strict, one order, nothing that a value could break (SEC-09).

use super::{Description, Direction, Media, Setup};
use crate::base::octets::plain;
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
    if !plain(&out.as_bytes()[start..]) && out[start..].contains(char::is_control) {
        let clean: String = out[start..].chars().filter(|c| !c.is_control()).collect();
        out.truncate(start);
        out.push_str(&clean);
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local<'a>() -> Local<'a> {
        Local {
            username: "focus",
            session: 3_924_670_044,
            version: 1,
            host: "chat.example.com",
            port: 2855,
            path: "msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp",
            setup: Setup::Passive,
            wrapped_types: "*",
            accept_types: "message/cpim",
            max_size: 10_485_760,
            chatroom: Some("nickname private-messages"),
            secure: true,
        }
    }

    const SESSION: &str = "v=0\r\no=focus 3924670044 1 IN IP4 chat.example.com\r\ns=-\r\nc=IN IP4 chat.example.com\r\nt=0 0\r\n";
    const LINES: &str = "a=path:msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp\r\na=accept-types:message/cpim\r\n\
        a=accept-wrapped-types:*\r\na=setup:passive\r\na=max-size:10485760\r\na=chatroom:nickname private-messages\r\n";

    fn alice() -> Description {
        let text = "v=0\r\no=alice 3924670013 1 IN IP4 pc.alice.example.com\r\ns=-\r\nc=IN IP4 pc.alice.example.com\r\n\
            t=0 0\r\nm=message 2855 TCP/TLS/MSRP *\r\na=accept-types:message/cpim\r\n\
            a=accept-wrapped-types:text/plain text/html image/* application/im-iscomposing+xml message/imdn+xml\r\n\
            a=path:msrps://pc.alice.example.com:2855/q7Wc0ZrT4hNfK2uX9sBd;tcp\r\na=setup:actpass\r\n\
            a=chatroom:nickname private-messages\r\n";
        Description::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_answer_to_alice_is_written_octet_by_octet() {
        // SDP-01, SDP-12, SDP-16, CHAT-JOIN-02, CHAT-JOIN-03
        let offer = alice();
        let chosen = offer.chat().unwrap();
        assert_eq!(answering_role(chosen.setup), Setup::Passive);
        let text = answer(&offer, chosen.index, &local());
        assert_eq!(text, format!("{SESSION}m=message 2855 TCP/TLS/MSRP *\r\n{LINES}"));
        assert_eq!(text.len(), 315);
    }

    #[test]
    fn an_offer_reads_back_as_it_was_meant() {
        // SDP-01, CHAT-JOIN-02, CHAT-JOIN-03
        let text = offer(&Local { setup: Setup::Actpass, ..local() });
        assert_eq!(
            text,
            format!("{SESSION}m=message 2855 TCP/TLS/MSRP *\r\n{LINES}").replace("passive", "actpass")
        );
        let read = Description::parse(text.as_bytes()).unwrap();
        let m = read.chat().unwrap();
        assert_eq!(
            (m.port, m.secure, m.setup, m.max_size),
            (2855, true, Some(Setup::Actpass), Some(10_485_760))
        );
        assert_eq!(read.origin.line, "focus 3924670044 1 IN IP4 chat.example.com");
        assert_eq!((read.origin.session.as_str(), read.origin.version), ("3924670044", 1));
        let plain =
            offer(&Local { secure: false, chatroom: Some(""), max_size: 0, wrapped_types: "", ..local() });
        assert!(
            plain.contains("m=message 2855 TCP/MSRP *\r\n") && plain.ends_with("a=chatroom\r\n"),
            "{plain}"
        );
        assert!(!plain.contains("max-size") && !plain.contains("wrapped"), "{plain}");
        assert!(!offer(&Local { chatroom: None, ..local() }).contains("chatroom"));
    }

    #[test]
    fn every_other_media_line_is_refused_in_its_place() {
        // SDP-05, SDP-21
        let text = "v=0\r\no=a 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n\
            m=message 7 TCP/MSRP *\r\na=accept-types:message/cpim\r\na=path:msrp://h:7/f;tcp\r\na=sendonly\r\n\
            a=file-selector:name:\"a b.png\" type:image/png size:4092\r\na=file-transfer-id:x1\r\n\
            m=message 7 TCP/MSRP *\r\na=accept-types:message/cpim\r\na=path:msrp://h:7/s;tcp\r\na=sendonly\r\n\
            m=weird 9 A/B c d\r\n";
        let offer = Description::parse(text.as_bytes()).unwrap();
        let text = answer(&offer, offer.chat().unwrap().index, &local());
        let media = "m=audio 0 RTP/AVP 0 8\r\nm=message 0 TCP/MSRP *\r\na=file-selector:name:\"a b.png\" type:image/png size:4092\r\n\
            a=file-transfer-id:x1\r\nm=message 2855 TCP/MSRP *\r\n";
        assert_eq!(text, format!("{SESSION}{media}{LINES}a=recvonly\r\nm=weird 0 A/B c d\r\n"));
    }

    #[test]
    fn four_offers_have_their_roles() {
        // SDP-14, SDP-12
        for (offered, ours) in [
            (Some("active"), Setup::Passive),
            (None, Setup::Passive),
            (Some("holdconn"), Setup::Passive),
            (Some("actpass"), Setup::Passive),
            (Some("passive"), Setup::Active),
        ] {
            assert_eq!(answering_role(offered.and_then(Setup::parse)), ours, "{offered:?}");
        }
    }

    #[test]
    fn the_family_follows_the_host() {
        for (host, line) in [
            ("[2001:db8::1]", "c=IN IP6 2001:db8::1\r\n"),
            ("::1", "c=IN IP6 ::1\r\n"),
            ("192.0.2.1", "c=IN IP4 192.0.2.1\r\n"),
            ("chat.example.com", "c=IN IP4 chat.example.com\r\n"),
        ] {
            assert!(offer(&Local { host, ..local() }).contains(line), "{host}");
        }
    }

    #[test]
    fn no_value_makes_a_line_of_its_own() {
        // SEC-09
        let text = offer(&Local {
            username: "a b\r\nm=audio 1 RTP/AVP 0",
            host: "h\r\na=x",
            path: "msrp://h:1/s;tcp\r\na=y\0",
            chatroom: Some("nickname\na=z"),
            ..local()
        });
        assert_eq!(text.lines().count(), 12, "{text}");
        assert!(text.starts_with("v=0\r\no=abm=audio1RTP/AVP0 3924670044 1 IN IP4 ha=x\r\n"), "{text}");
        assert!(
            text.contains("a=path:msrp://h:1/s;tcpa=y\r\n") && text.ends_with("a=chatroom:nicknamea=z\r\n")
        );
    }

    #[test]
    fn what_nothing_is_known_of_is_tried() {
        // CHAT-MSG-12
        let with = |lines: &str| {
            let text = format!("v=0\r\nm=message 7 TCP/MSRP *\r\na=path:msrp://h:7/s;tcp\r\n{lines}");
            Description::parse(text.as_bytes()).unwrap().chat().unwrap().wrapped_types()
        };
        assert!(with("a=accept-types:message/cpim\r\n").is_any());
        assert!(with("a=accept-types:*\r\n").is_any());
        assert!(with("a=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\n").is_any());
        // The offer of RFC 7701 §9.1.
        let both = with("a=accept-types:message/cpim text/plain text/html\r\n");
        assert!(both.allows("text/html") && !both.allows("image/png"));
        let both = with("a=accept-types:message/cpim text/plain\r\na=accept-wrapped-types:image/*\r\n");
        assert!(both.allows("text/plain") && both.allows("image/png") && !both.allows("text/html"));
    }
}
