//! Sockets: what is accepted, how much of it, and the limits of HTTP/2.
//!
//! Invariant: every limit of the transport is set here, with its reason; the libraries' defaults
//! leave several of them open (tonic hands its unset options through, which switches hyper's bounds
//! on streams and on locally reset ones off). Deliberately absent: authentication.

use std::{
    fs, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use berth::limits;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tonic::transport::{
    Identity, Server, ServerTlsConfig,
    server::{Connected, TcpConnectInfo},
};

use crate::{error::StartError, settings::TlsFiles};

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

/// After an accept that failed, as when file descriptors ran out, before the next one: some may be
/// free by then, and the log gets one line a second.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The gRPC server, with every limit set.
pub(crate) fn server(tls: Option<&TlsFiles>) -> Result<Server, StartError> {
    let server = Server::builder()
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
        .accept_http1(false);
    let Some(files) = tls else { return Ok(server) };
    let read = |flag: &'static str, path: &std::path::Path| {
        let unusable =
            |source: io::Error| StartError::Tls { flag, path: path.to_owned(), source: source.into() };
        fs::read(path).map_err(unusable)
    };
    let identity = Identity::from_pem(read("--tls-cert", &files.cert)?, read("--tls-key", &files.key)?);
    let config = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_TIMEOUT);
    server.tls_config(config).map_err(|source| StartError::Tls {
        flag: "--tls-cert",
        path: files.cert.clone(),
        source: source.into(),
    })
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
                    return Connection { stream, _place: place };
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed, trying again");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Accepts for as long as somebody takes the connections.
    pub(crate) async fn accept_into(self, connections: mpsc::Sender<io::Result<Connection>>) {
        loop {
            let connection = tokio::select! {
                connection = self.accept() => connection,
                () = connections.closed() => return,
            };
            if connections.send(Ok(connection)).await.is_err() {
                return;
            }
        }
    }
}

/// A connection that gives its place back when it ends.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
