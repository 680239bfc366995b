//! SIP over TLS as people use it: a TLS front that passes on to the SIP port of a whole server, and servers that are not
//! what they should be.

mod common;

use common::{Files, Server, run, text};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A CA: the front's certificate is signed by it, and it is written to a file.
fn certified(name: &str, ca_file: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("CA of {name}"));
    let ca = params.self_signed(&key).unwrap();
    std::fs::write(ca_file, ca.pem()).unwrap();
    let own = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params, key);
    let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    (signed.der().clone(), own.serialize_der().try_into().unwrap())
}

/// Listens with TLS and passes all on to `behind`, until the test ends. Counts the handshakes.
fn front(
    behind: SocketAddr,
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
) -> (SocketAddr, Arc<std::sync::atomic::AtomicU32>) {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let shaken = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = Arc::clone(&shaken);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    // A handshake that fails is what some tests are about.
                    let Ok(mut secured) = acceptor.accept(stream).await else { return };
                    count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let mut plain = tokio::net::TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut secured, &mut plain).await;
                });
            }
        });
    });
    (at, shaken)
}

#[test]
fn participants_come_in_over_tls_and_the_handshake_counts_where_each_has_its_own() {
    let (server, files) = (Server::start(), Files::new("tls"));
    let ca = files.path("ca.pem");
    let (at, shaken) = front(server.sip, certified("127.0.0.1", &ca));
    let load = format!(
        "run --server {at} --transport tls --tls-ca {ca} --rooms 2 --participants 3 --rate 10 --visits 10 --visit-seconds 0.2 \
         --warmup 0 --duration 1 --drain 60 --sleep --json {}",
        files.path("a.json")
    );
    let out = run(&load);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let handshakes = || shaken.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(handshakes(), 1);
    let out = run(&format!("{load} --sip-connections each"));
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let report = files.json("a.json");
    let visits = &report["runs"][0]["visits"];
    assert_eq!((report["joined"]["participants"].as_u64(), visits["entered"].as_u64()), (Some(6), Some(10)));
    assert_eq!(handshakes(), 1 + 6 + 10);
    // Each had to shake hands before it could call: that part is there, and in the whole.
    for (whole, stages) in [
        (&report["joined"]["invite_us"], &report["joined"]["stages"]),
        (&visits["invite_us"], &visits["stages"]),
    ] {
        let ready = stages["ready_us"]["p50"].as_f64().unwrap();
        assert!(ready > 0.0 && ready < whole["max"].as_f64().unwrap(), "{stages} of {whole}");
    }
}

#[test]
fn a_server_that_cannot_be_trusted_is_told_with_what_to_do() {
    let (server, files) = (Server::start(), Files::new("distrust"));
    let (ca, other) = (files.path("ca.pem"), files.path("other.pem"));
    certified("x.example", &other);
    let (at, _) = front(server.sip, certified("chat.example", &ca));
    let joined = |keys: &str| {
        let out = run(&format!(
            "run --server {at} --transport tls --rooms 1 --participants 2 --rate 20 --warmup 0 --duration 0.1 --drain 60 --sleep {keys}"
        ));
        (out.status.code(), text(&out))
    };
    for (keys, what, remedy) in [
        (format!("--tls-ca {other} --tls-server-name chat.example"), "UnknownIssuer", "tls_ca"),
        (format!("--tls-ca {ca}"), "certificate not valid for name", "tls_server_name"),
    ] {
        let (code, said) = joined(&keys);
        assert!(code == Some(2) && said.contains(what) && said.contains(remedy), "{keys}: {said}");
    }
    for keys in [format!("--tls-ca {ca} --tls-server-name chat.example"), "--tls-insecure".into()] {
        let (code, said) = joined(&keys);
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told_so() {
    let server = Server::start();
    // The SIP port answers what is no SIP with its end, others with words of their own.
    let chatter = TcpListener::bind("127.0.0.1:0").unwrap();
    let wordy = chatter.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = chatter.accept() {
            let _ = stream.read(&mut [0; 512]);
            let _ = std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP, say EHLO first\r\n");
        }
    });
    for at in [server.sip, wordy] {
        let out =
            run(&format!("run --server {at} --transport tls --tls-insecure --rooms 1 --participants 2"));
        assert!(
            out.status.code() == Some(2) && text(&out).contains("port for SIP over TLS"),
            "{}",
            text(&out)
        );
    }
}
