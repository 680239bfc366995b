//! Many people enter one room at once, each of them watching it: what the news of each other cost.
//!
//! `OPENMSRP_STORM=2000 cargo test --release --test end_to_end storm -- --nocapture` runs one storm of that
//! size with the settings of a new server, and prints its figures.

use super::phone::{ABLE, Phone};
use super::standard::CONFERENCE;
use super::{Server, settings};
use openmsrp::base::clock::now;
use openmsrp::client::call::Transport;
use openmsrp::control::config::Raw;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// No storm takes longer.
const LIMIT: Duration = Duration::from_secs(600);

/// What a storm cost.
struct Cost {
    notices: usize,
    octets: usize,
    took: Duration,
}

/// So many people enter; over when each of them has heard that all are there. With `patient` they look at the
/// news only when everybody is in, and come a few at a time, so that the figure tells nothing of how fast this
/// machine is: each is told twice, of what they find and of who came later.
async fn storm(people: usize, raw: Raw, patient: bool) -> Cost {
    let (shards, driver) = settings().into_iter().find(|(shards, _)| *shards == 2).unwrap();
    let server = Server::start_with(shards, driver, raw).await;
    let (sip, msrp) = (server.sip, server.msrp);
    let at_once = if patient { 4 } else { 64 };
    let (gate, all) = (Arc::new(Semaphore::new(at_once)), Arc::new(Barrier::new(people)));
    let began = now();
    let mut tasks = JoinSet::new();
    for n in 0..people {
        let (gate, all) = (gate.clone(), all.clone());
        tasks.spawn(async move {
            let turn = gate.acquire_owned().await.unwrap();
            let mut phone = Phone::new(sip, Transport::Tcp, &format!("p{n}")).await;
            let seat = phone.join(msrp, "lobby", "", ABLE).await;
            let mut dialog = phone.dialog("sip:lobby@localhost");
            let lines = format!("{CONFERENCE}Expires: 3600\r\n");
            let ok = phone.ask(&mut dialog, "SUBSCRIBE", &lines, "").await;
            assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
            drop(turn);
            if patient {
                all.wait().await;
            }
            phone.notice(&format!("<user-count>{people}</user-count>")).await;
            // Nobody leaves before all have heard.
            (phone, seat)
        });
    }
    let over = timeout(LIMIT, tasks.join_all()).await.expect("in time");
    let took = now().since(began);
    let notices = over.iter().map(|(phone, _)| phone.notices).sum();
    Cost { notices, octets: over.iter().map(|(phone, _)| phone.notice_octets).sum(), took }
}

#[tokio::test]
async fn four_times_the_people_cost_about_four_times_the_octets() {
    // CONF-07
    if let Some(people) = std::env::var("OPENMSRP_STORM").ok().and_then(|n| n.parse().ok()) {
        let Cost { notices, octets, took } = storm(people, Raw::default(), false).await;
        println!("{people} people: {notices} notices, {octets} octets, {} each, {took:?}", octets / people);
        return;
    }
    let raw = Raw { roster_whole_max: Some(20), ..Raw::default() };
    let few = storm(60, raw.clone(), true).await;
    let many = storm(240, raw, true).await;
    assert!(many.octets < 5 * few.octets, "{} and {} octets", few.octets, many.octets);
}
