//! Wrappers and session descriptions from the RFCs, from the field and from attackers.
//!
//! Every wrapper is fed whole and cut at every octet; every description also with lines left out and
//! octets changed, to see that nothing panics.

#[path = "torture/cpim/table.rs"]
mod cpim_table;
#[path = "torture/octets.rs"]
mod octets;
#[path = "torture/sdp/table.rs"]
mod sdp_table;

use octets::octets;
use openmsrp::base::address::Address;
use openmsrp::base::limits::{SDP_BYTES_MAX, SDP_MEDIA_MAX, WRAPPER_BYTES_MAX};
use openmsrp::wire::cpim::{self, CpimError, Parsed, Wrapper};
use openmsrp::wire::sdp::{Description, Direction, Media, MessageMedia, NoChat, SdpError};
use std::fmt::Write;

fn told(message: &[u8], w: &Wrapper<'_>) -> String {
    let content = String::from_utf8_lossy(&message[w.content..]);
    format!("{}|{}|{}|{}|{}|{content}", w.from, w.from_name, w.to, w.to_count, w.content_type)
}

#[test]
fn every_wrapper_is_read_as_the_table_says() {
    // CPIM-01, CPIM-02, CPIM-03, CPIM-04, CPIM-06, CPIM-07, CPIM-08, CPIM-11, CHAT-MSG-06, SEC-03, IMDN-01
    assert!(cpim_table::CASES.len() >= 40);
    for (name, text, expected) in cpim_table::CASES {
        let message = octets(text);
        let found = cpim::parse(&message, true).map(|parsed| match parsed {
            Parsed::Complete(w) => told(&message, &w),
            Parsed::Partial => panic!("{name}: partial at the end"),
        });
        assert_eq!(found, expected.map(str::to_owned), "{name}");
        let read = cpim::read(&message).map(|m| m.from.uri.to_owned());
        assert_eq!(read.is_ok(), expected.is_ok(), "{name}: read and parse disagree");
    }
}

#[test]
fn a_wrapper_cut_anywhere_is_partial_until_its_answer_is_certain() {
    // CHAT-CHUNK-02
    for (name, text, expected) in cpim_table::CASES {
        let message = octets(text);
        let whole = cpim::parse(&message, true);
        let mut certain = false;
        for cut in 0..=message.len() {
            match cpim::parse(&message[..cut], false) {
                Ok(Parsed::Partial) => assert!(!certain, "{name}: uncertain again at {cut}"),
                answer => {
                    certain = true;
                    assert_eq!(answer, whole, "{name} at {cut}");
                }
            }
        }
        assert!(certain || *expected == Err(CpimError::Truncated), "{name}: never certain");
    }
}

#[test]
fn headers_longer_than_the_bound_are_refused_wherever_they_are_cut() {
    let mut message = b"From: <sip:a@h>\r\nTo: <sip:r@h>\r\n".to_vec();
    while message.len() < WRAPPER_BYTES_MAX {
        message.extend_from_slice(b"X: y\r\n");
    }
    message.extend_from_slice(b"\r\nContent-Type: text/plain\r\n\r\nx");
    assert_eq!(cpim::parse(&message, true), Err(CpimError::TooLong));
    assert_eq!(cpim::parse(&message[..WRAPPER_BYTES_MAX], false), Err(CpimError::TooLong));
    assert_eq!(cpim::parse(&message[..WRAPPER_BYTES_MAX - 1], false), Ok(Parsed::Partial));
    let longest = "é".repeat(WRAPPER_BYTES_MAX);
    assert_eq!(cpim::parse(longest.as_bytes(), false), Err(CpimError::TooLong));
}

fn summary(text: &[u8]) -> String {
    let sdp = match Description::parse(text) {
        Ok(sdp) => sdp,
        Err(error) => return format!("error: {error:?}"),
    };
    let lines: Vec<String> = sdp.media.iter().map(line).collect();
    let chosen = match sdp.chat() {
        Ok(m) => m.index.to_string(),
        Err(NoChat::NoMessageMedia) => "NoMessageMedia".into(),
        Err(NoChat::Problem(why)) => format!("{why:?}"),
    };
    format!("{} => {chosen}", lines.join(" / ")).trim_start().to_owned()
}

fn line(media: &Media) -> String {
    match media {
        Media::Other => "other".into(),
        Media::Refused(why) => format!("refused {why:?}"),
        Media::Message(m) => message_line(m),
    }
}

fn message_line(m: &MessageMedia) -> String {
    let mut out = format!("msg {}", m.port);
    let mut add = |text: String| write!(out, " {text}").unwrap();
    let types = |list: &openmsrp::wire::sdp::TypeList| list.iter().collect::<Vec<_>>().join(",");
    if m.secure {
        add("tls".into());
    }
    add(format!("types={}", types(&m.accept_types)));
    m.accept_wrapped_types.iter().for_each(|list| add(format!("wrapped={}", types(list))));
    if m.path.contains(' ') {
        add(format!("path={}", m.path.split(' ').count()));
    }
    m.setup.iter().for_each(|s| add(format!("setup={}", s.as_str())));
    if m.direction != Direction::SendRecv {
        add(format!("dir={}", m.direction.as_str()));
    }
    m.max_size.iter().for_each(|n| add(format!("max={n}")));
    m.chatroom.iter().for_each(|c| {
        let tokens = [("nick", c.nickname), ("pm", c.private_messages)];
        let on: Vec<_> = tokens.into_iter().filter(|t| t.1).map(|t| t.0).collect();
        add(format!("room={}", on.join("+")));
    });
    if m.file_transfer {
        add("file".into());
    }
    if m.cema {
        add("cema".into());
    }
    m.fingerprints.iter().for_each(|f| add(format!("fp={}/{}", f.hash, f.octets.len())));
    out
}

#[test]
fn every_description_is_read_as_the_table_says() {
    // SDP-02, SDP-03, SDP-04, SDP-08, SDP-09, SDP-10, SDP-11, SDP-12, SDP-16, SDP-18, SDP-20, SDP-21,
    // CHAT-JOIN-01, CHAT-JOIN-04, MSRP-URI-02, MSRP-URI-04
    assert!(sdp_table::CASES.len() >= 60);
    for (name, text, expected) in sdp_table::CASES {
        assert_eq!(summary(&octets(text)), *expected, "{name}");
    }
}

#[test]
fn a_damaged_description_is_an_error_or_read_but_never_a_panic() {
    for (_, text, _) in sdp_table::CASES {
        let whole = octets(text);
        for at in 0..whole.len() {
            let _ = Description::parse(&whole[..at]);
            for octet in [0, b'\n', b' ', b':', b'=', 0xff] {
                let mut changed = whole.clone();
                changed[at] = octet;
                if let Ok(sdp) = Description::parse(&changed) {
                    let _ = sdp.chat();
                }
            }
        }
    }
}

#[test]
fn a_description_has_bounds() {
    let long = format!("v=0\r\na={}\r\n", "x".repeat(SDP_BYTES_MAX));
    assert_eq!(Description::parse(long.as_bytes()), Err(SdpError::TooLong));
    let many = format!("v=0\r\n{}", "m=x 1 y z\r\n".repeat(SDP_MEDIA_MAX));
    assert!(Description::parse(many.as_bytes()).is_ok());
    let many = format!("{many}m=x 1 y z\r\n");
    assert_eq!(Description::parse(many.as_bytes()), Err(SdpError::TooManyMedia));
}

/// Ways to speak as Bob in the session of Alice: what stands before the To line.
const SPOOFS: &[&str] = &[
    "From: <sip:bob@example.net>\n",
    "From: alice@example.com <sip:bob@example.net>\n",
    "From: \"<sip:alice@example.com>\" <sip:bob@example.net>\n",
    "From: Bob <sip:bob@example.net> <sip:alice@example.com>\n",
    "From: <sip:alice@example.com>\nFrom: <sip:bob@example.net>\n",
    "From: <sip:bob@example.net>\nFrom: <sip:alice@example.com>\n",
    "From: <sip:alice@example.com>\nfrom: <sip:bob@example.net>\n",
    "FROM: <sip:bob@example.net>\nFrom: <sip:alice@example.com>\n",
    "NS: p <urn:ietf:params:cpim-headers:>\np.From: <sip:bob@example.net>\n",
    "NS: p <urn:ietf:params:cpim-headers:>\nFrom: <sip:alice@example.com>\np.From: <sip:bob@example.net>\n",
    "From: <sip:alice@example.com>\nNS: <urn:x>\nFrom: <sip:bob@example.net>\n",
    "NS: <urn:x>\nFrom: <sip:bob@example.net>\nNS: <urn:ietf:params:cpim-headers:>\nFrom: <sip:alice@example.com>\n",
    "Fr\\u006fm: <sip:bob@example.net>\nFrom: <sip:alice@example.com>\n",
    "From: <sip:alice@example.com>\n From: <sip:bob@example.net>\n",
    "From: <sip:alice@example.com>␊From: <sip:bob@example.net>\n",
    "From: <sip:alice@example.com>␍From: <sip:bob@example.net>\n",
    "From: <sip:\\u0061lice@example.com>\n",
    "From: <sip:Alice@example.com>\n",
    "From: <sip:alice@example.com@example.net>\n",
    "From: <sip:alice%40example.com@example.net>\n",
    "From: <sip:alice@ex%61mple.com>\n",
    "From: <sip:alice@example.com%00.example.net>\n",
    "From: <sip:alice@example.net?From=sip:alice@example.com>\n",
    "From: <sip:alice:x@example.com>\n",
    "From: <sip:alice@example.com:5070>\n",
    "From: <sips:alice@example.com>\n",
    "From: <im:alice@example.com>\n",
    "From: <sip:alice@example.com;gr=bob>\n",
    "From: <sip:alice@[2001:db8::1]>\n",
    "From: <sip:\u{430}lice@example.com>\n",
    "From: <>\n",
    "",
];

#[test]
fn nobody_speaks_as_somebody_else() {
    // SEC-03, CHAT-MSG-03, CHAT-MSG-06
    let alice = Address::parse("sip:alice@example.com").unwrap();
    let said = |start: &str| {
        let message = octets(&format!("{start}To: <sip:r@h>\n\nContent-Type: text/plain\n\nx"));
        match cpim::parse(&message, true) {
            Ok(Parsed::Complete(w)) => alice.is(w.from),
            _ => false,
        }
    };
    for spoof in SPOOFS {
        assert!(!said(spoof), "{spoof}");
    }
    for own in
        ["From: Bob <SIP:%61lice@Example.COM:5060;transport=tcp>\n", "From: \"x\"<sip:alice@example.com>\n"]
    {
        assert!(said(own), "{own}");
    }
}
