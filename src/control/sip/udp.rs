//! Datagrams: one socket per listener, one task that reads it.
//!
//! Bounds: one buffer of 64 KiB per listener. What is no SIP is dropped and counted; what is nearly SIP
//! gets a stateless answer (SIP-PARSE-02).

use super::link::{Counters, Shared, Source};
use crate::focus::signalling::{Flow, Transport};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};

/// What the kernel may hold for us: a few thousand INVITEs that come at once.
const RECEIVE_BYTES: usize = 4 * 1024 * 1024;

/// How often a port that is free for TCP but not for UDP is given back and another is asked for.
const PORT_TRIES: u32 = 16;

/// Binds UDP and TCP of one address, on the same port.
pub(super) async fn bind_pair(address: SocketAddr) -> io::Result<(Arc<UdpSocket>, TcpListener)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let named = |over: &str, e: io::Error| io::Error::new(e.kind(), format!("{address} ({over}): {e}"));
        let tcp = TcpListener::bind(address).await.map_err(|e| named("TCP", e))?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => {
                // A smaller buffer than asked for still works.
                let _ = socket2::SockRef::from(&udp).set_recv_buffer_size(RECEIVE_BYTES);
                return Ok((Arc::new(udp), tcp));
            }
            Err(_) if address.port() == 0 && tries < PORT_TRIES => {}
            Err(e) => return Err(named("UDP", e)),
        }
    }
}

/// The address this machine would use to reach others, for a listener on all addresses.
pub(super) fn outward(unspecified: IpAddr) -> IpAddr {
    // Connecting a datagram socket sends nothing; it only makes the system choose.
    let (from, to, fallback) = match unspecified {
        IpAddr::V4(_) => ("0.0.0.0:0", "198.51.100.1:9", IpAddr::from([127, 0, 0, 1])),
        IpAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9", IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
    };
    let chosen = StdSocket::bind(from).and_then(|s| s.connect(to).and_then(|()| s.local_addr()));
    chosen.map_or(fallback, |a| a.ip())
}

/// Reads the socket of a listener. A panic in the library costs the datagram that caused it.
pub(super) async fn serve(shared: Arc<Shared>, index: usize) {
    loop {
        let read = tokio::spawn(read(shared.clone(), index)).await;
        if shared.over.is_cancelled() {
            return;
        }
        tracing::error!(?read, "the reader of a SIP socket failed and is started again");
    }
}

async fn read(shared: Arc<Shared>, index: usize) {
    let Some(listener) = shared.listeners.get(index) else { return };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let received = tokio::select! {
            received = listener.socket.recv_from(&mut buffer) => received,
            () = shared.over.cancelled() => return,
        };
        match received {
            Ok((length, peer)) => datagram(&shared, index, &buffer[..length], peer).await,
            Err(error) => {
                tracing::debug!(%error, "receiving a datagram failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn datagram(shared: &Shared, index: usize, raw: &[u8], peer: SocketAddr) {
    let Some(listener) = shared.listeners.get(index) else { return };
    let start = raw.iter().take_while(|b| matches!(b, b'\r' | b'\n' | 0)).count();
    let raw = &raw[start..];
    if raw.is_empty() {
        return;
    }
    let link = index as u64;
    let flow = Flow { transport: Transport::Udp, link, peer, local: listener.local.clone() };
    let source = Source { connection: &listener.connection, flow };
    let Err(fault) = shared.deliver(raw, source).await else { return };
    tracing::debug!(%peer, code = fault.code, why = fault.why, "SIP message refused");
    match fault.answer(peer) {
        Some((octets, destination)) => {
            if listener.socket.send_to(&octets, destination).await.is_err() {
                Counters::add(&shared.counters.unsent);
            }
        }
        None => Counters::add(&shared.counters.dropped),
    }
}
