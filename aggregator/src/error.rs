//! Why the aggregator does not start, and the exit code that says so.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::config::ConfigError;

/// The exit code of a wrong command line or configuration.
const USAGE: u8 = 2;

/// The exit code of an environment that does not let it start.
const ENVIRONMENT: u8 = 3;

/// Why it does not start; the text names the mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Plaintext may not leave the machine.
    #[error(
        "--listen {0} is not loopback: give --kubernetes on a cluster, --tls-cert and --tls-key elsewhere, or listen on 127.0.0.1"
    )]
    Plaintext(SocketAddr),
    /// A wrong configuration.
    #[error("--config {}", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// The port is taken.
    #[error("port {} is in use: stop what listens on it, or choose another with {flag}", address.port())]
    PortInUse {
        /// Where.
        address: SocketAddr,
        /// Which flag chooses it.
        flag: &'static str,
    },
    /// Another reason not to listen there.
    #[error("listening on {address} fails: choose another address with {flag}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Which flag chooses it.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("{flag} {} cannot be used: give a PEM file", path.display())]
    Tls {
        /// Which flag names it.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cluster cannot be spoken to.
    #[error("--kubernetes: there is no cluster here: run in a pod with a service account, or set KUBECONFIG")]
    Kubernetes(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data directory cannot be written.
    #[error("--data-dir {} cannot be written: give a directory that is yours", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel gives no random numbers.
    #[error("getrandom(2) fails: allow it where system calls are filtered")]
    Entropy(#[source] io::Error),
    /// The gRPC server did not come up.
    #[error("the gRPC server does not start")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// As scripts see it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Plaintext(_) | Self::Config { .. } => USAGE,
            Self::PortInUse { .. }
            | Self::Listen { .. }
            | Self::Tls { .. }
            | Self::Kubernetes(_)
            | Self::DataDir { .. }
            | Self::Entropy(_)
            | Self::Server(_) => ENVIRONMENT,
        }
    }
}
