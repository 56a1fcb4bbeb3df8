//! What an aggregator is started with, found consistent.

use std::{net::SocketAddr, path::PathBuf};

use crate::{access::Access, config::Config, error::StartError};

/// What an aggregator is started with.
#[derive(Debug)]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) access: Access,
    pub(crate) config: Config,
    pub(crate) data_dir: Option<PathBuf>,
}

impl Settings {
    /// Errors: gRPC would leave the machine in plaintext.
    pub fn new(
        listen: SocketAddr,
        http: SocketAddr,
        access: Access,
        config: Config,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, StartError> {
        if matches!(access, Access::Loopback) && !listen.ip().is_loopback() {
            return Err(StartError::Plaintext(listen));
        }
        Ok(Self { listen, http, access, config, data_dir })
    }
}
