//! The certificate that is served, and TLS with it.
//!
//! Invariant: each handshake takes the certificate of its moment, so that a new one needs no new
//! listener and ends no connection; while there is none, no handshake succeeds. TLS 1.3 only: every
//! client is one of ours, or as young as gRPC.

use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::{CryptoProvider, ring},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
        version::TLS13,
    },
};

/// The one crypto library of every program of Berth.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What is served now.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    current: RwLock<Option<Arc<CertifiedKey>>>,
}

impl Serving {
    /// Whether there is anything to serve.
    pub(crate) fn is_ready(&self) -> bool {
        self.current().is_some()
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, key: &CertifiedKey) -> bool {
        self.current().is_some_and(|current| current.cert == key.cert)
    }

    /// Serves this from the next handshake on.
    pub(crate) fn install(&self, key: CertifiedKey) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// Shakes hands with whatever is served.
pub(crate) fn acceptor(serving: Arc<Serving>) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring knows TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(serving);
    // gRPC is HTTP/2, and clients look for it here (RFC 7301).
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
