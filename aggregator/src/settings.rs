//! What an aggregator is started with, found consistent.

use std::{net::SocketAddr, path::PathBuf};

use crate::{config::Config, error::StartError};

/// Where the certificate and its key lie.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// What an aggregator is started with.
#[derive(Debug)]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) config: Config,
    pub(crate) data_dir: Option<PathBuf>,
}

impl Settings {
    /// Errors: gRPC would leave the machine in plaintext.
    pub fn new(
        listen: SocketAddr,
        http: SocketAddr,
        tls: Option<TlsFiles>,
        config: Config,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, StartError> {
        if tls.is_none() && !listen.ip().is_loopback() {
            return Err(StartError::Plaintext(listen));
        }
        Ok(Self { listen, http, tls, config, data_dir })
    }
}
