//! Sockets: what is accepted, how much of it, and the limits of HTTP/2.
//!
//! Invariant: every limit of the transport is set here, with its reason; the libraries' defaults
//! leave several of them open (tonic hands its unset options through, which switches hyper's bounds
//! on streams and on locally reset ones off), and tonic bounds neither the number nor the time of
//! handshakes, so they are made here. Deliberately absent: authentication, which is of each call.

mod connection;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use berth::limits;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;

pub(crate) use self::connection::Connection;
use crate::error::StartError;

/// gRPC connections: 5,000 agents, load workers and people, with headroom.
pub(crate) const GRPC_CONNECTIONS: usize = 6_000;

/// HTTP connections: a scraper, probes, a person.
pub(crate) const HTTP_CONNECTIONS: usize = 64;

/// Streams of one connection: an agent needs one, a worker two, a person's command a few.
const STREAMS: u32 = 16;

/// Bytes in flight of one stream, and of all streams of one connection: times the connections that
/// is 375 MiB at worst; hyper's own 1 MiB would make it 6 GiB.
const WINDOW_BYTES: u32 = 64 * 1024;

/// A frame: the least that HTTP/2 allows, so that no frame holds a connection up for long.
const FRAME_BYTES: u32 = 16 * 1024;

/// All headers of a request: a token has 1 to 2 KiB.
const HEADER_BYTES: u32 = 16 * 1024;

/// Streams that a peer may open and reset before they are accepted, before its connection is closed:
/// an honest peer resets few (CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Streams that we reset for a peer's errors before its connection is closed (RUSTSEC-2024-0003).
const LOCAL_ERROR_RESETS: usize = 64;

/// A TLS handshake takes two round trips; a peer that takes longer holds a slot.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Handshakes under way: each costs the CPU 0.1 ms, so what is bounded here are peers that are slow,
/// or silent; the rest of the connections is left to those that have shaken hands.
const HANDSHAKES: usize = 512;

/// After an accept that failed, as when file descriptors ran out, before the next one: some may be
/// free by then, and the log gets one line a second.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The gRPC server, with every limit set.
pub(crate) fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_adaptive_window(Some(false))
        .max_frame_size(FRAME_BYTES)
        .http2_max_header_list_size(HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(LOCAL_ERROR_RESETS))
        .http2_keepalive_interval(Some(limits::KEEPALIVE_PERIOD))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .accept_http1(false)
}

/// Binds a socket; a port that is taken is the usual reason why it fails.
pub(crate) async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { address, flag },
        _ => StartError::Listen { address, flag, source },
    })
}

/// Accepts connections, so many at once.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener {
    /// At most `connections` at once; further ones wait in the kernel's queue.
    pub(crate) fn new(socket: TcpListener, connections: usize) -> Self {
        Self { socket, places: Arc::new(Semaphore::new(connections)) }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Connection {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    // Without it small messages wait for acknowledgements of others.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection ended as it was accepted");
                        continue;
                    }
                    return Connection::new(stream, place);
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed, trying again");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Accepts, and shakes hands where it is asked to, for as long as somebody takes the connections.
    pub(crate) async fn accept_into(
        self,
        tls: Option<TlsAcceptor>,
        connections: mpsc::Sender<io::Result<Connection>>,
    ) {
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                connection = self.accept(), if handshakes.len() < HANDSHAKES => {
                    handshakes.spawn(secured(connection, tls.clone()));
                }
                Some(secured) = handshakes.join_next() => {
                    if let Ok(Some(connection)) = secured
                        && connections.send(Ok(connection)).await.is_err()
                    {
                        return;
                    }
                }
                () = connections.closed() => return,
            }
        }
    }
}

/// The connection after its handshake; peers that do not finish one are many and harmless.
async fn secured(connection: Connection, tls: Option<TlsAcceptor>) -> Option<Connection> {
    let Some(tls) = tls else { return Some(connection) };
    match timeout(HANDSHAKE_TIMEOUT, connection.secure(&tls)).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}
