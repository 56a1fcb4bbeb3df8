//! The whole aggregator, from its settings to its end.
//!
//! Invariant: once it has started, it listens; once it has stopped, nothing of it is left: every
//! task is owned here. Streams that are open at the stop end with UNAVAILABLE.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    access::Entrance,
    edge::services,
    error::StartError,
    http, kubernetes,
    listener::{self, GRPC_CONNECTIONS, HTTP_CONNECTIONS, Listener},
    parts::Parts,
    settings::Settings,
    tasks::{Stopper, Tasks},
};

/// How long open streams may take to end; the kubelet kills after 30 s, and a person waits for less.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// Connections that were accepted and wait for the server, which takes them at once.
const ACCEPTED_WAITING: usize = 16;

/// A running aggregator.
#[derive(Debug)]
pub struct Aggregator {
    grpc: SocketAddr,
    http: SocketAddr,
    stopper: Stopper,
    servers: JoinSet<()>,
    keepers: JoinSet<()>,
    tasks: Tasks,
}

impl Aggregator {
    /// Binds its ports and serves. Errors: a port, a file or the certificate cannot be used.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let grpc_socket = listener::bind(settings.listen, "--listen").await?;
        let http_socket = listener::bind(settings.http, "--http").await?;
        let (grpc, http) = (address(&grpc_socket, "--listen")?, address(&http_socket, "--http")?);
        let (stopper, stop) = Stopper::new();
        let tasks = Tasks::default();
        let access = settings.access.clone();
        let parts = Parts::new(settings, tasks.clone(), stop)?;
        let Entrance { tls, gate, keeper, serving, client } = access.entrance(&parts).await?;
        let mut keepers = JoinSet::new();
        let (load, nodes) = (Arc::clone(&parts.load), Arc::clone(&parts.nodes));
        keepers.spawn(async move { load.keep_time().await });
        keepers.spawn(async move { nodes.sweep().await });
        if let Some(keeper) = keeper {
            keepers.spawn(keeper.keep());
        }
        if let Some((client, directory)) = client.zip(parts.directory.clone()) {
            let gate = gate.clone();
            let gone = move |uid: Arc<str>| gate.iter().for_each(|gate| gate.forget_pod(&uid));
            kubernetes::start(&client, &parts, &directory, gone, &mut keepers);
        }
        let mut servers = JoinSet::new();
        let pages = Arc::new(parts.metrics(serving));
        let listener = Listener::new(http_socket, HTTP_CONNECTIONS);
        servers.spawn(http::serve(listener, pages, parts.stop.clone()));
        let (accepted, connections) = mpsc::channel(ACCEPTED_WAITING);
        keepers.spawn(Listener::new(grpc_socket, GRPC_CONNECTIONS).accept_into(tls, accepted));
        let serving = services::serve(parts, gate, ReceiverStream::new(connections))?;
        servers.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the gRPC server ended; restart the aggregator");
            }
        });
        Ok(Self { grpc, http, stopper, servers, keepers, tasks })
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Ends every stream and every task, within 5 s.
    pub async fn stop(mut self) {
        self.stopper.stop();
        let served = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, served).await.is_err() {
            tracing::warn!("some streams did not end in time");
        }
        self.servers.shutdown().await;
        self.keepers.shutdown().await;
        self.tasks.shutdown().await;
    }
}

fn address(socket: &TcpListener, flag: &'static str) -> Result<SocketAddr, StartError> {
    let unknown = |source: io::Error| StartError::Listen { address: ([0, 0, 0, 0], 0).into(), flag, source };
    socket.local_addr().map_err(unknown)
}
