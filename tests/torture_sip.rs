//! The 50 messages in the archive of RFC 4475, octet for octet, each with what becomes of it here.
//!
//! A message is judged as a datagram and as a stream; a sound request goes on to the focus, whose
//! domain is the host it asks for. Every message is also cut at every octet and has octets changed,
//! to see that nothing panics.

use openmsrp::base::clock::Now;
use openmsrp::base::entropy::Entropy;
use openmsrp::focus::accounts::Accounts;
use openmsrp::focus::signalling::{Flow, SipUri, Transport};
use openmsrp::focus::stream::{Step, step};
use openmsrp::focus::strict::{Message, read};
use openmsrp::focus::{Config, Focus, Input, Output, TxId};
use std::net::SocketAddr;
use std::path::Path;

/// What becomes of a message that came as a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Refused without a transaction, with this code.
    Refused(u16),
    /// Dropped without an answer.
    Dropped,
    /// Answered by the focus, with this code.
    Answered(u16),
    /// An INVITE that makes the focus ask a shard.
    Asked,
    /// A sound response.
    Response(u16),
}

use Fate::{Answered, Asked, Dropped, Refused, Response};

/// Name, RFC 4475 section, fate.
const TABLE: [(&str, &str, Fate); 50] = [
    ("wsinv", "3.1.1.1", Answered(481)),
    ("intmeth", "3.1.1.2", Refused(501)),
    ("esc01", "3.1.1.3", Answered(488)),
    ("escnull", "3.1.1.4", Answered(405)),
    ("esc02", "3.1.1.5", Refused(501)),
    ("lwsdisp", "3.1.1.6", Answered(200)),
    ("longreq", "3.1.1.7", Answered(488)),
    ("dblreq", "3.1.1.8", Answered(405)),
    ("semiuri", "3.1.1.9", Answered(200)),
    ("transports", "3.1.1.10", Answered(200)),
    ("mpart01", "3.1.1.11", Answered(405)),
    ("unreason", "3.1.1.12", Response(200)),
    ("noreason", "3.1.1.13", Response(100)),
    ("badinv01", "3.1.2.1", Refused(400)),
    ("clerr", "3.1.2.2", Refused(400)),
    ("ncl", "3.1.2.3", Refused(400)),
    ("scalar02", "3.1.2.4", Refused(400)),
    ("scalarlg", "3.1.2.5", Dropped),
    ("quotbal", "3.1.2.6", Refused(400)),
    ("ltgtruri", "3.1.2.7", Refused(400)),
    ("lwsruri", "3.1.2.8", Refused(400)),
    ("lwsstart", "3.1.2.9", Refused(400)),
    ("trws", "3.1.2.10", Refused(400)),
    ("escruri", "3.1.2.11", Refused(400)),
    ("baddate", "3.1.2.12", Answered(488)),
    ("regbadct", "3.1.2.13", Refused(400)),
    ("badaspec", "3.1.2.14", Refused(400)),
    ("baddn", "3.1.2.15", Refused(400)),
    ("badvers", "3.1.2.16", Refused(505)),
    ("mismatch01", "3.1.2.17", Refused(400)),
    ("mismatch02", "3.1.2.18", Refused(400)),
    ("bigcode", "3.1.2.19", Dropped),
    ("badbranch", "3.2.1", Answered(200)),
    ("insuf", "3.3.1", Refused(400)),
    ("unkscm", "3.3.2", Refused(416)),
    ("novelsc", "3.3.3", Refused(416)),
    ("unksm2", "3.3.4", Answered(405)),
    ("bext01", "3.3.5", Answered(420)),
    ("invut", "3.3.6", Answered(415)),
    ("regaut01", "3.3.7", Answered(405)),
    ("multi01", "3.3.8", Refused(400)),
    ("mcl01", "3.3.9", Refused(400)),
    ("bcast", "3.3.10", Response(200)),
    ("zeromf", "3.3.11", Answered(200)),
    ("cparam01", "3.3.12", Answered(405)),
    ("cparam02", "3.3.13", Answered(405)),
    ("regescrt", "3.3.14", Answered(405)),
    ("sdp01", "3.3.15", Answered(406)),
    ("inv2543", "3.4.1", Refused(400)),
    ("test", "archive only", Dropped),
];

fn message(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/sip").join(format!("{name}.dat"));
    std::fs::read(path).unwrap()
}

fn peer() -> SocketAddr {
    "192.0.2.200:5060".parse().unwrap()
}

fn fate(octets: &[u8]) -> Fate {
    let request = match read(octets) {
        Ok(Message::Request(request)) => request,
        Ok(Message::Response { code, .. }) => return Response(code),
        Err(fault) => {
            let answer = fault.answer(peer()).map(|(octets, _)| String::from_utf8(octets).unwrap());
            let start = format!("SIP/2.0 {} ", fault.code);
            assert!(answer.iter().all(|a| a.starts_with(&start) && a.ends_with("\r\n\r\n")), "{answer:?}");
            return if answer.is_some() { Refused(fault.code) } else { Dropped };
        }
    };
    let host = SipUri::parse(&request.uri).unwrap().host.to_owned();
    let config = Config {
        domains: vec![host],
        addresses: vec![],
        msrp_host: "127.0.0.1".into(),
        msrp_port: 2855,
        rooms: Default::default(),
        factory: String::new(),
        directory: "rooms".into(),
        moderators_see_identity: false,
        outbound_proxy: None,
        roster_whole_max: 500,
        accounts: Accounts::default(),
        floods: openmsrp::base::flood::Limits::default(),
        shards: 1,
    };
    let mut focus = Focus::new(config, Entropy::from_seed(1));
    let flow = Flow { transport: Transport::Udp, link: 0, peer: peer(), local: "127.0.0.1:5060".into() };
    focus.handle(Now(1), Input::Request { tx: TxId(1), request, flow });
    match focus.poll() {
        Some(Output::Respond { response, .. }) => Answered(response.code),
        Some(Output::Tell { .. }) => Asked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_message_meets_its_fate() {
    // SIP-PARSE-01, SIP-PARSE-02, SIP-PARSE-03
    let wrong: Vec<_> = TABLE
        .iter()
        .map(|&(name, section, expected)| (name, section, expected, fate(&message(name))))
        .filter(|(_, _, expected, got)| expected != got)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn streams_end_where_their_length_cannot_be_known() {
    // SIP-PARSE-02 (clerr, ncl), SIP-PARSE-03 (mcl01), SIP-PARSE-01 (dblreq)
    for (name, expected) in [("clerr", "wait"), ("ncl", "broken"), ("mcl01", "broken"), ("dblreq", "message")]
    {
        let octets = message(name);
        let start = octets.iter().take_while(|b| b"\r\n".contains(b)).count();
        let got = match step(&octets[start..]) {
            Step::Wait => "wait",
            Step::Message(n) if n < octets.len() => "message",
            Step::Broken(..) => "broken",
            _ => "other",
        };
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn no_cut_and_no_changed_octet_panics() {
    // SIP-PARSE-02
    for (name, ..) in TABLE {
        let whole = message(name);
        for at in 0..whole.len() {
            let _ = step(&whole[..at]);
            let _ = read(&whole[..at]).map_err(|fault| fault.answer(peer()));
            let mut changed = whole.clone();
            for octet in [b'"', b'\r', 0xff] {
                changed[at] = octet;
                let _ = step(&changed);
                let _ = read(&changed).map_err(|fault| fault.answer(peer()));
            }
        }
    }
}
