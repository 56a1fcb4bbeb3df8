//! Why a load run could not be made. A run that was made and went badly is an outcome, not an error.

use std::io;
use std::time::Duration;

use crate::payload::PayloadError;

/// A run that did not take place, or whose engine broke.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody answers at the target's address.
    #[error("cannot connect to {target}: start the service there, or correct host and port")]
    Unreachable {
        /// The URL.
        target: String,
        /// What the connection attempt met.
        source: io::Error,
    },
    /// It answers, and no TLS connection to it can be trusted.
    #[error("no TLS with {target}: give the CA that signed its certificate, or correct the name")]
    Untrusted {
        /// The URL.
        target: String,
        /// What the handshake met.
        source: io::Error,
    },
    /// The payload does not fit the check that was asked for.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The start time of a coordinated run had passed before the engine was ready.
    #[error(
        "the start time passed {late:?} before the engine was ready: start later, or ready the worker sooner"
    )]
    LateStart {
        /// By how much.
        late: Duration,
    },
    /// The process may not open as many connections as the run may need.
    #[error(
        "{needed} open files are needed for the connections, {limit} are allowed: raise the hard limit (ulimit -Hn) or use fewer connections"
    )]
    FileLimit {
        /// Descriptors needed.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// The engine's thread, runtime or timer could not be set up.
    #[error("set up the load engine")]
    Setup(#[source] io::Error),
    /// A bug: the engine's thread ended without a result.
    #[error("the load engine ended without a result; its thread's panic message is on stderr")]
    Died,
}
