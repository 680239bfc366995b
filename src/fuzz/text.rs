//! Texts: wrappers, session descriptions, rosters and addresses. What was read can be written, and what was
//! written is read as it was meant.

use super::cuts;
use crate::base::address::Address;
use crate::wire::conference::{self, Endpoint, Roster, State, User};
use crate::wire::cpim::{self, CpimError, Draft, Parsed};
use crate::wire::sdp::{self, Description, Local, Media, Setup};

/// The texts in some octets, apart by NUL.
fn texts(octets: &[u8]) -> Vec<String> {
    octets.split(|octet| *octet == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// CPIM: an answer once certain does not change; both readers agree; what was written says what was meant.
/// Reads 32 KiB.
pub fn cpim(octets: &[u8]) {
    let message = &octets[..octets.len().min(32 * 1024)];
    let whole = cpim::parse(message, true);
    let mut certain = false;
    for cut in cuts(message.len(), 128) {
        match cpim::parse(&message[..cut], false) {
            Ok(Parsed::Partial) => assert!(!certain, "uncertain again at {cut}"),
            answer => {
                certain = true;
                assert_eq!(answer, whole, "at {cut}");
            }
        }
    }
    assert!(certain || whole == Err(CpimError::Truncated), "never certain");
    let read = cpim::read(message);
    assert_eq!(read.is_ok(), whole.is_ok(), "the readers disagree");
    if let (Ok(read), Ok(Parsed::Complete(wrapper))) = (read, whole) {
        assert_eq!((read.from.uri, read.content_type), (wrapper.from, wrapper.content_type));
        assert_eq!((read.to[0].uri, read.to.len()), (wrapper.to, usize::from(wrapper.to_count)));
        assert_eq!(read.content, &message[wrapper.content..]);
        if message.len() < 2048 {
            let (from_name, to_name) = (&read.from.name, &read.to[0].name);
            written(&Draft {
                from: read.from.uri,
                from_name,
                to: read.to[0].uri,
                to_name,
                date_time: read.date_time.unwrap_or_default(),
                headers: &[("Subject", read.subject.as_deref().unwrap_or_default())],
                content_type: read.content_type,
                content: read.content,
            });
        }
    }
    let texts = texts(&message[..message.len().min(1024)]);
    let text = |n: usize| texts.get(n).map_or("", String::as_str);
    let uri = format!("sip:{}", text(0));
    let name = text(1).chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    written(&Draft {
        from: &uri,
        from_name: text(1),
        to: &uri,
        to_name: text(2),
        date_time: text(3),
        headers: &[("Subject", text(4)), (text(5), text(6)), (&format!("X{name}"), text(7))],
        content_type: "text/plain",
        content: text(8).as_bytes(),
    });
}

/// A wrapper is read as it was meant when it was written.
fn written(draft: &Draft<'_>) {
    let mut out = Vec::new();
    cpim::write(&mut out, draft);
    let read = cpim::read(&out);
    assert!(read.is_ok(), "unreadable once written: {read:?}");
    let Ok(read) = read else { return };
    let clean = |uri: &str| uri.chars().all(|c| c > ' ' && !c.is_control() && !"<>\"\\".contains(c));
    if clean(draft.from) {
        assert_eq!(read.from.uri, draft.from);
    }
    assert_eq!(read.from.name, draft.from_name.trim_matches(' '));
    assert!(!read.to.is_empty() && read.content == draft.content);
    assert_eq!(read.to[0].name, draft.to_name.trim_matches(' '));
    assert_eq!(read.content_type, draft.content_type);
    let subject = draft.headers[0].1.trim_matches(' ');
    assert_eq!(read.subject.as_deref().unwrap_or_default(), subject);
}

/// Session descriptions: what was read has an answer, which is read as it was meant. Reads 8 KiB and 1.
pub fn sdp(octets: &[u8]) {
    let Ok(offer) = Description::parse(octets) else { return };
    let chosen = offer.chat().ok();
    let secure = chosen.is_some_and(|m| m.secure);
    let path = if secure { "msrps://h.example:2855/s;tcp" } else { "msrp://h.example:2855/s;tcp" };
    let local = Local {
        username: "-",
        session: 7,
        version: 8,
        host: "192.0.2.1",
        port: 2855,
        path,
        setup: sdp::answering_role(chosen.and_then(|m| m.setup)),
        wrapped_types: "*",
        accept_types: "message/cpim",
        max_size: 1000,
        chatroom: Some("nickname"),
        secure,
    };
    for index in [chosen.map_or(usize::MAX, |m| m.index), usize::MAX] {
        let text = sdp::answer(&offer, index, &local);
        let answer = Description::parse(text.as_bytes());
        let Ok(answer) = answer else {
            // An answer can be longer than what it answers: it repeats odd octets as characters.
            assert!(octets.len() > 2048, "{answer:?}: {text}");
            return;
        };
        assert_eq!((answer.origin.session.as_str(), answer.origin.version), ("7", 8));
        assert_eq!(answer.media.len(), offer.media.len());
        for (at, (answered, offered)) in answer.media.iter().zip(&offer.media).enumerate() {
            let usable = matches!(answered, Media::Message(_));
            assert_eq!(usable, at == index, "line {at}: {answered:?} to {offered:?}");
            if let (Media::Message(ours), Media::Message(theirs)) = (answered, offered) {
                assert_eq!((ours.port, ours.path.as_str(), ours.secure), (2855, path, theirs.secure));
                assert_eq!(ours.direction, theirs.direction.reversed());
                assert!(ours.accept_types.allows("message/cpim") && ours.setup != Some(Setup::Actpass));
            }
        }
    }
    if let Some(m) = chosen {
        assert!(!m.path.is_empty() && !m.path.contains('\n'));
        let wrapped = m.wrapped_types();
        assert!(m.accept_types.iter().all(|t| wrapped.allows(t) || wrapped.is_any()));
    }
}

/// Rosters: what was read can be written and says the same; whatever the values, what was written is read.
/// Reads 64 KiB.
pub fn conference_xml(octets: &[u8]) {
    let input = &octets[..octets.len().min(64 * 1024)];
    if let Ok(read) = conference::read(input) {
        let endpoints: Vec<Vec<Endpoint<'_>>> = read
            .users
            .iter()
            .map(|user| {
                let endpoint =
                    |e: &'_ conference::EndpointUpdate| (e.state == State::Deleted, e.message_media);
                user.endpoints
                    .iter()
                    .map(|e| {
                        let (deleted, message) = endpoint(e);
                        let status = if message { "connected" } else { "disconnected" };
                        Endpoint {
                            entity: &e.entity,
                            status,
                            joining_method: "dialed-in",
                            muted: false,
                            deleted,
                        }
                    })
                    .collect()
            })
            .collect();
        let users: Vec<User<'_>> = read
            .users
            .iter()
            .zip(&endpoints)
            .map(|(user, endpoints)| User {
                entity: &user.entity,
                display_text: user.display_text.as_deref().unwrap_or_default(),
                nickname: user.nickname.as_deref(),
                associated: &[],
                role: "",
                deleted: user.state == State::Deleted,
                endpoints,
            })
            .collect();
        for full in [true, false] {
            roster(&Roster {
                entity: &read.entity,
                version: read.version,
                full,
                display_text: read.display_text.as_deref().unwrap_or_default(),
                subject: read.subject.as_deref().unwrap_or_default(),
                note: "",
                users: &users,
                user_count: read.user_count,
            });
        }
    }
    let texts = texts(&input[..input.len().min(1024)]);
    let text = |n: usize| texts.get(n).map_or("", String::as_str);
    let endpoints =
        [Endpoint { entity: text(0), status: text(1), joining_method: text(2), muted: true, deleted: false }];
    let users = [User {
        entity: text(3),
        display_text: text(4),
        nickname: texts.get(5).map(String::as_str),
        associated: &[text(9)],
        role: text(10),
        deleted: false,
        endpoints: &endpoints,
    }];
    roster(&Roster {
        entity: text(6),
        version: 1,
        full: true,
        display_text: text(7),
        subject: text(8),
        note: text(10),
        users: &users,
        user_count: Some(1),
    });
}

/// A document is read as it was meant when it was written.
fn roster(roster: &Roster<'_>) {
    let mut out = String::new();
    conference::write(&mut out, roster);
    if out.len() > conference::DOCUMENT_BYTES_MAX {
        return;
    }
    let read = conference::read(out.as_bytes());
    assert!(read.is_ok(), "{read:?}: {out}");
    let Ok(read) = read else { return };
    let meant = |text: &str| -> String {
        let plain = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || matches!(c, '\u{fffe}' | '\u{ffff}');
        text.chars().map(|c| if plain(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
    };
    let shown = |text: &str| meant(text).trim().to_owned();
    assert_eq!((read.entity, read.version), (meant(roster.entity), roster.version));
    assert_eq!((read.state == State::Full, read.user_count), (roster.full, roster.user_count));
    if roster.full {
        assert_eq!(read.display_text, Some(shown(roster.display_text)));
        assert_eq!(read.subject, Some(shown(roster.subject)));
    }
    let kept: Vec<_> = roster.users.iter().filter(|user| !(roster.full && user.deleted)).collect();
    assert_eq!(read.users.len(), kept.len());
    for (read, meant_user) in read.users.iter().zip(kept) {
        assert_eq!(read.entity, meant(meant_user.entity));
        assert_eq!(read.state == State::Deleted, meant_user.deleted);
        if meant_user.deleted {
            continue;
        }
        assert_eq!(read.nickname, meant_user.nickname.map(meant));
        let kept: Vec<_> = meant_user.endpoints.iter().filter(|e| !(roster.full && e.deleted)).collect();
        assert_eq!(read.endpoints.len(), kept.len());
        for (read, meant_endpoint) in read.endpoints.iter().zip(kept) {
            assert_eq!(read.entity, meant(meant_endpoint.entity));
            let connected = !meant_endpoint.deleted && meant_endpoint.status == "connected";
            assert_eq!(read.message_media, connected);
        }
    }
}

/// Addresses: the normal form is its own normal form, and both ways to compare agree. Reads 2 KiB, two
/// addresses apart by a line feed.
pub fn address(octets: &[u8]) {
    let text = String::from_utf8_lossy(&octets[..octets.len().min(2048)]);
    let mut lines = text.split('\n');
    let (left, right) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(address) = Address::parse(left) else { return };
    assert!(address.is(left), "not what it was read from");
    assert!(address.is(address.as_str()), "not its own spelling");
    assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(&address), "{left}");
    assert!(!address.as_str().contains(|c: char| c <= ' ' || c.is_control() || "<>\"\\".contains(c)));
    assert!(!address.user().contains(char::is_control), "a control in the name");
    assert!(address.as_str().starts_with("tel:") || !address.host().is_empty(), "no host");
    let other = Address::parse(right);
    assert_eq!(address.is(right), other.as_ref() == Ok(&address), "{left} {right}");
    if let Ok(other) = other {
        assert_eq!(address.is(right), other.is(left), "one-sided");
    }
}
