//! The way to a room's switch: what its answer names, and the connection there.

use super::JoinError;
use crate::base::limits::CONNECT_WAIT;
use crate::wire::msrp::uri::{MsrpUri, path};
use crate::wire::sdp::{Description, MessageMedia, Setup};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;

/// Addresses of one name that are tried. Beyond: not tried.
const ADDRESSES_MAX: usize = 8;

/// The token of `a=chatroom` that offers to count who has a message.
pub(super) const DELIVERY_COUNT_TOKEN: &str = "org.openmsrp.delivery-count";

/// The media of an answer, if we can use it.
pub(super) fn usable(answer: &str) -> Result<MessageMedia, JoinError> {
    let description = Description::parse(answer.as_bytes()).map_err(|e| JoinError::Answer(e.to_string()))?;
    let media = description.chat().map_err(|e| JoinError::Answer(e.to_string()))?;
    if media.secure {
        return Err(JoinError::Answer("it wants TLS, which this client does not speak".to_string()));
    }
    if media.setup == Some(Setup::Active) {
        return Err(JoinError::Answer("it wants to connect to us".to_string()));
    }
    Ok(media.clone())
}

/// Whether the room shows a token of `a=chatroom` (RFC 7701 §8).
pub(super) fn shows(answer: &str, token: &str) -> bool {
    let tokens = answer.lines().filter_map(|line| line.strip_prefix("a=chatroom:"));
    tokens.flat_map(str::split_ascii_whitespace).any(|shown| shown.eq_ignore_ascii_case(token))
}

/// Connects to the leftmost URI of a path (SDP-03).
pub(super) async fn connect(remote: &str) -> Result<TcpStream, JoinError> {
    let unusable = |what: &str| JoinError::Answer(format!("{what} in its path: {remote}"));
    let first = path(remote.as_bytes()).next().unwrap_or_default();
    let uri = MsrpUri::parse(first).map_err(|e| unusable(&e.to_string()))?;
    let host = std::str::from_utf8(uri.host).map_err(|_| unusable("bad host"))?;
    let port = uri.port.ok_or_else(|| unusable("no port"))?;
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![(ip, port).into()],
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            found.map(|all| all.take(ADDRESSES_MAX).collect()).unwrap_or_default()
        }
    };
    connect_to_any(&found).await.ok_or_else(|| unusable("unknown host"))?
}

/// Connects to the first address that answers (MSRP-URI-05); `None` if there are none.
async fn connect_to_any(found: &[SocketAddr]) -> Option<Result<TcpStream, JoinError>> {
    let mut result = None;
    for to in found {
        match connect_to(*to).await {
            Ok(stream) => return Some(Ok(stream)),
            Err(e) => result = Some(Err(JoinError::Connect(*to, e))),
        }
    }
    result
}

async fn connect_to(to: SocketAddr) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(to)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn of_several_addresses_the_first_that_answers_is_taken() {
        // MSRP-URI-05
        run(async {
            let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let all = [dead, first.local_addr().unwrap(), second.local_addr().unwrap()];
            let stream = connect_to_any(&all).await.unwrap().unwrap();
            assert_eq!(stream.peer_addr().unwrap(), all[1]);
            let failed = connect_to_any(&all[..1]).await.unwrap().unwrap_err();
            assert!(matches!(failed, JoinError::Connect(to, _) if to == dead));
            assert!(connect_to_any(&[]).await.is_none());
        });
    }

    #[test]
    fn names_and_literals_are_connected_to() {
        // MSRP-URI-05: the name may be known by an address of the other family too, where nobody listens.
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            for host in ["localhost", "127.0.0.1"] {
                let stream = connect(&format!("msrp://{host}:{port}/s;tcp")).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap().port(), port);
            }
            for bad in ["msrp://127.0.0.1/s;tcp", "sip:x", ""] {
                assert!(matches!(connect(bad).await, Err(JoinError::Answer(_))), "{bad}");
            }
        });
    }

    #[test]
    fn a_token_is_one_word_of_the_attribute() {
        for (answer, expected) in [
            ("v=0\r\na=chatroom:nickname org.openmsrp.delivery-count private-messages\r\n", true),
            ("a=chatroom:ORG.openmsrp.Delivery-Count\r\n", true),
            ("a=chatroom:nickname org.openmsrp.delivery-counter\r\n", false),
            ("a=chatroom\r\na=x:org.openmsrp.delivery-count\r\n", false),
        ] {
            assert_eq!(shows(answer, DELIVERY_COUNT_TOKEN), expected, "{answer}");
        }
    }
}
