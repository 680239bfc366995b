//! What one idle session costs in memory: octets of the heap that the data plane holds for each, counted by the
//! allocator, without sockets and system.
//!
//! `cargo test --test footprint -- --nocapture` prints the figures.

#![allow(unsafe_code, reason = "an allocator that counts")]

mod counting;

use counting::held;
use openmsrp::base::address::Address;
use openmsrp::base::clock::Now;
use openmsrp::base::entropy::Entropy;
use openmsrp::base::id::{EndpointId, SessionId, ShardId};
use openmsrp::shard::core::{Outputs, ShardConfig, ShardCore, write_uri};
use openmsrp::shard::message::{FromShard, Join, Terms, ToShard};
use openmsrp::wire::sdp::TypeList;

/// Participants: just below a power of two, so that lists are full and tables half empty.
const PEOPLE: usize = 8_000;

/// Octets of one session. A ratchet: lower it when less is needed, think twice before raising it.
const SESSION_BYTES_MAX: usize = 1_024;

fn peer_path(n: usize) -> String {
    format!("msrp://192.0.2.{}:{}/peer{n:016};tcp", n % 250, 20_000 + n)
}

fn join(n: usize, room: &str) -> ToShard {
    let terms = Terms {
        peer_path: peer_path(n).into_bytes().into(),
        accepts: TypeList::any(),
        private_messages: Some(true),
        may_send: true,
        may_receive: true,
        max_size: None,
        connect_to: None,
    };
    ToShard::Join(Box::new(Join {
        endpoint: EndpointId(n as u64),
        room: Address::parse(room).expect("an address"),
        participant: Address::parse(&format!("sip:user{n}@example.com")).expect("an address"),
        aliases: Vec::new(),
        display_name: "".into(),
        contact: format!("sip:user{n}@192.0.2.1:5060").as_str().into(),
        caller: Default::default(),
        password: None,
        terms: Some(terms),
    }))
}

fn bind(session: &SessionId, n: usize) -> Vec<u8> {
    let mut to = Vec::new();
    write_uri(&mut to, "chat.example.com", 2855, session);
    let to = String::from_utf8(to).expect("a URI");
    let path = peer_path(n);
    format!(
        "MSRP bind{n:08} SEND\r\nTo-Path: {to}\r\nFrom-Path: {path}\r\nMessage-ID: first{n:08}\r\n\
         Byte-Range: 1-0/0\r\n-------bind{n:08}$\r\n"
    )
    .into_bytes()
}

/// Joins everybody, `per_room` in a room; octets that each costs.
fn data_plane(per_room: usize) -> usize {
    let config = ShardConfig {
        id: ShardId(0),
        shards: 1,
        host: "chat.example.com".into(),
        port: 2855,
        rooms: Default::default(),
    };
    let now = Now(1_000_000_000);
    let mut core = ShardCore::new(config, Entropy::from_seed(1));
    let mut outputs = Outputs::default();
    let before = held();
    for n in 0..PEOPLE {
        core.command(now, join(n, &format!("sip:room{}@chat.example.com", n / per_room)));
        core.outputs(&mut outputs);
        let Some(FromShard::Granted { session, .. }) = outputs.control.pop() else { panic!("{outputs:?}") };
        let conn = core.accepted(now).expect("a connection");
        core.bytes(now, conn, &bind(&session, n));
        core.outputs(&mut outputs);
        outputs.control.clear();
        let mut writes = Vec::new();
        core.take_writes(&mut writes);
        for id in writes {
            let octets = core.waiting(id).map(<[u8]>::len).sum();
            core.wrote(now, id, octets);
        }
    }
    core.check();
    // A minute later no timer has anything left to look at.
    core.tick(now + std::time::Duration::from_secs(60));
    (held() - before) / PEOPLE
}

#[test]
fn an_idle_session_costs_little() {
    for per_room in [10, 1000, PEOPLE] {
        let each = data_plane(per_room);
        println!("{per_room} in a room: {each} octets for each session in the data plane");
        assert!(each <= SESSION_BYTES_MAX, "{each}");
    }
}
