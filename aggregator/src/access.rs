//! How gRPC travels, and who may call.
//!
//! Invariant: what leaves the machine is encrypted, and on a cluster nobody calls without a token.

use std::{fs, io, path::PathBuf, sync::Arc};

use tokio_rustls::TlsAcceptor;

use crate::{
    error::StartError,
    kubernetes,
    parts::Parts,
    trust::{Authority, CertificateError, Gate, Keeper, Pods, Serving, acceptor, pair},
};

/// Where the certificate and its key lie.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// How gRPC travels, and who may call.
#[derive(Debug, Clone)]
pub enum Access {
    /// In the clear, on loopback only; whoever reaches it may call.
    Loopback,
    /// Under this certificate; whoever reaches it may call.
    Files(TlsFiles),
    /// On a cluster, of which this namespace is Berth's: under a certificate of its own, with a token.
    Kubernetes {
        /// Berth's own namespace.
        namespace: String,
    },
    /// As on a cluster, but with this authority in place of the API server.
    Guarded(Authority),
}

/// What stands between a socket and the services.
#[derive(Default)]
pub(crate) struct Entrance {
    /// Shakes hands, where there is a certificate.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Asks for a token.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Looks after the certificate.
    pub(crate) keeper: Option<Keeper>,
    /// What is served, where it may not be there yet.
    pub(crate) serving: Option<Arc<Serving>>,
    /// The way to the API server.
    pub(crate) client: Option<kube::Client>,
}

impl Access {
    /// Errors: a file cannot be used, or there is no cluster.
    pub(crate) async fn entrance(&self, parts: &Parts) -> Result<Entrance, StartError> {
        match self {
            Self::Loopback => Ok(Entrance::default()),
            Self::Files(files) => {
                Ok(Entrance { tls: Some(acceptor(files.serving()?)), ..Entrance::default() })
            }
            Self::Kubernetes { namespace } => {
                let client = kubernetes::connect().await?;
                let authority = Authority::of_cluster(client.clone(), namespace.clone());
                Ok(Entrance { client: Some(client), ..Entrance::guarded(&authority, parts) })
            }
            Self::Guarded(authority) => Ok(Entrance::guarded(authority, parts)),
        }
    }
}

impl Entrance {
    fn guarded(authority: &Authority, parts: &Parts) -> Self {
        let Authority { reviewer, vault, namespace } = authority;
        let serving = Arc::<Serving>::default();
        let counters = Arc::clone(&parts.counters);
        let pods = parts.directory.clone().map(|directory| directory as Arc<dyn Pods>);
        let gate = Gate::new(Arc::clone(reviewer), pods, namespace.clone(), parts.clock, counters);
        let keeper = Keeper::new(Arc::clone(vault), Arc::clone(&serving), authority.names(), parts.clock);
        Self {
            tls: Some(acceptor(Arc::clone(&serving))),
            gate: Some(Arc::new(gate)),
            keeper: Some(keeper),
            serving: Some(serving),
            client: None,
        }
    }
}

impl TlsFiles {
    fn serving(&self) -> Result<Arc<Serving>, StartError> {
        let read = |flag: &'static str, path: &PathBuf| {
            let unusable =
                |source: io::Error| StartError::Tls { flag, path: path.clone(), source: source.into() };
            fs::read(path).map_err(unusable)
        };
        let key = pair(&read("--tls-cert", &self.cert)?, &read("--tls-key", &self.key)?);
        let unusable = |source: CertificateError| StartError::Tls {
            flag: "--tls-cert",
            path: self.cert.clone(),
            source: source.into(),
        };
        let serving = Arc::<Serving>::default();
        serving.install(key.map_err(unusable)?);
        Ok(serving)
    }
}
