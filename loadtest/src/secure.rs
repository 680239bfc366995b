//! SIP over TLS (RFC 3261 §26.2): whom to trust, and what it means when a handshake fails.
//!
//! Touches: the file of certificates, the machine's store of them, the connection it is given. Bounds: [`SHAKE_WAIT`]
//! for a handshake. Proved by: the tests below, and `tests/over_tls.rs` against a server behind a TLS front.

use crate::scenario::Scenario;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// From the connection to the end of the handshake.
const SHAKE_WAIT: Duration = Duration::from_secs(10);

/// How connections are secured.
#[derive(Clone)]
pub(crate) struct Trust {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Trust {
    /// As the scenario says: `tls_ca`, `tls_server_name`, `tls_insecure`.
    ///
    /// # Errors
    /// Which file or name cannot be used, and what it must be.
    pub(crate) fn of(s: &Scenario) -> Result<Self, String> {
        let name = if s.tls_server_name.is_empty() { host_of(&s.server) } else { &s.tls_server_name };
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            format!(
                "tls_server_name must be a host name or an address, as certificates hold them, not {name}"
            )
        })?;
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS cannot be set up: {e}"))?;
        let config = if s.tls_insecure {
            let anybody = Arc::new(Anybody(provider));
            versions.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
        } else {
            versions.with_root_certificates(roots(&s.tls_ca)?).with_no_client_auth()
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Connects to the server and shakes hands; returns this end's address too.
    ///
    /// # Errors
    /// `Err(Ok(…))`: the connection failed; `Err(Err(…))`: the handshake did, with what to do.
    pub(crate) async fn connect(
        &self,
        server: SocketAddr,
    ) -> Result<(TlsStream<TcpStream>, SocketAddr), Result<io::Error, String>> {
        let stream = TcpStream::connect(server).await.map_err(Ok)?;
        stream.set_nodelay(true).map_err(Ok)?;
        let local = stream.local_addr().map_err(Ok)?;
        match timeout(SHAKE_WAIT, self.connector.connect(self.name.clone(), stream)).await {
            Ok(Ok(secured)) => Ok((secured, local)),
            Ok(Err(e)) => Err(Err(explain(&e))),
            Err(_) => Err(Err(format!("no TLS handshake within {} s; {NO_TLS}", SHAKE_WAIT.as_secs()))),
        }
    }
}

/// The host of HOST:PORT; of an IPv6 address without its brackets.
fn host_of(server: &str) -> &str {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// Whom to trust: those in the file, or those whom this machine trusts.
fn roots(file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if file.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this machine trusts no certificate of its own; name one with tls_ca".into());
        }
        return Ok(roots);
    }
    let wrong = |why: &dyn std::fmt::Display| format!("tls_ca: {file}: {why}");
    let read = CertificateDer::pem_file_iter(Path::new(file)).map_err(|e| wrong(&e))?;
    for certificate in read {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    if roots.is_empty() {
        return Err(wrong(
            &"it holds no certificate; it must have some as PEM (-----BEGIN CERTIFICATE-----)",
        ));
    }
    Ok(roots)
}

const NO_TLS: &str = "is this its port for SIP over TLS (5061 usually)?";

/// What a failed handshake means here, and what to do.
fn explain(e: &io::Error) -> String {
    let Some(tls) = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return format!("the server ended the connection instead of shaking hands ({e}); {NO_TLS}");
    };
    match tls {
        Error::InvalidMessage(_) => format!("the server does not speak TLS there; {NO_TLS}"),
        Error::InvalidCertificate(why) => {
            let hint = match why {
                // A bad signature: a CA of the same name, with another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "nobody trusted here has signed it; name the CA that has with tls_ca, or set tls_insecure"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "it belongs to another name; say which is right with tls_server_name, or set tls_insecure"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "give the server one that is valid, or set tls_insecure"
                }
                _ => "give the server another one, or set tls_insecure",
            };
            format!("the server's certificate is not accepted ({why}): {hint}")
        }
        Error::AlertReceived(alert) => format!(
            "the server refused the handshake ({alert:?}); the harness speaks TLS 1.2 and 1.3, and has no certificate \
             of its own to show"
        ),
        other => format!("no TLS with the server: {other}"),
    }
}

/// Takes any certificate, as `tls_insecure` asks; that the server has its key is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(s: Scenario) -> String {
        Trust::of(&s).map(drop).unwrap_err()
    }

    #[test]
    fn the_name_to_check_is_that_of_the_server_without_its_port() {
        assert_eq!(
            ["a.example:5061", "192.0.2.1:1", "[::1]:5061", "x"].map(host_of),
            ["a.example", "192.0.2.1", "::1", "x"]
        );
    }

    #[test]
    fn a_wrong_file_or_name_is_named() {
        let s = || Scenario { server: "h:1".into(), tls_insecure: true, ..Scenario::default() };
        assert!(Trust::of(&s()).is_ok());
        assert!(refused(Scenario { tls_server_name: "a b".into(), ..s() }).contains("tls_server_name"));
        let ca = |file: &str| refused(Scenario { tls_insecure: false, tls_ca: file.into(), ..s() });
        assert!(ca("/nowhere/ca.pem").starts_with("tls_ca: /nowhere/ca.pem: "));
        // A file without a certificate.
        assert!(ca(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).contains("BEGIN CERTIFICATE"));
    }
}
