//! TLS to the target: whom it must be, and who we say we are.
//!
//! Invariant: a target is verified unless the caller asked for exactly the contrary. Handshakes are
//! resumed where the target lets them be, as a browser's are.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What a caller says of TLS; the default trusts whom this machine trusts.
#[derive(Clone, Default)]
pub struct TlsDraft {
    /// Certificates (PEM) that may have signed the target's, instead of those that this machine trusts.
    pub ca_pem: Option<Vec<u8>>,
    /// Certificate and key (PEM) to show to the target.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// Take any certificate: whoever answers is measured.
    pub insecure: bool,
}

/// Without the key.
impl std::fmt::Debug for TlsDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsDraft")
            .field("ca", &self.ca_pem.is_some())
            .field("client", &self.client_pem.is_some())
            .field("insecure", &self.insecure)
            .finish()
    }
}

/// Certificates or a key that TLS cannot be spoken with, with the mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in it.
    #[error("the {what} holds no certificate: give a file that begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// Which file.
        what: &'static str,
    },
    /// No key in it.
    #[error("the client key holds no private key: give a file with a -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// One that rustls refuses.
    #[error("the {what} cannot be used: {source}")]
    Refused {
        /// Which file.
        what: &'static str,
        /// Why not.
        source: rustls::Error,
    },
    /// This machine trusts nobody.
    #[error(
        "this machine has no certificates to verify the target by: install ca-certificates, or give the CA"
    )]
    NoRoots,
    /// The host is neither a name nor an address that a certificate could be of.
    #[error("the host {host} is no name that a certificate could be of")]
    Name {
        /// What was given.
        host: String,
    },
}

/// How connections to one target are secured.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn new(draft: &TlsDraft, host: &str) -> Result<Self, TlsError> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name { host: host.to_owned() })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Refused { what: "TLS library", source })?;
        let builder = if draft.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(roots(draft.ca_pem.as_deref())?)
        };
        let config = match &draft.client_pem {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
                builder
                    .with_client_auth_cert(certificates(certificate, "client certificate")?, key)
                    .map_err(|source| TlsError::Refused { what: "client certificate", source })?
            }
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shakes hands.
    pub(crate) async fn secure(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
    if all.is_empty() { Err(TlsError::NoCertificate { what }) } else { Ok(all) }
}

fn roots(ca_pem: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
    const CA: &str = "CA file";
    let mut roots = RootCertStore::empty();
    let Some(pem) = ca_pem else {
        // Some of a machine's certificates may be of a kind that rustls does not take.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) };
    };
    for certificate in certificates(pem, CA)? {
        roots.add(certificate).map_err(|source| TlsError::Refused { what: CA, source })?;
    }
    Ok(roots)
}

/// Takes any certificate; the handshake's signatures are verified all the same.
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_or_key_is_refused_with_the_mend() {
        let told = |draft: TlsDraft, host: &str| Tls::new(&draft, host).unwrap_err().to_string();
        let nothing = || Some(b"nothing".to_vec());
        assert!(
            told(TlsDraft { ca_pem: nothing(), ..TlsDraft::default() }, "a").contains("CA file holds no")
        );
        let insecure = TlsDraft { insecure: true, ..TlsDraft::default() };
        let client_pem = nothing().zip(nothing());
        assert!(told(TlsDraft { client_pem, ..insecure.clone() }, "a").contains("no private key"));
        assert!(told(insecure, "a_b..").contains("no name that a certificate"));
    }
}
