//! The whole aggregator, from its settings to its end.
//!
//! Invariant: once it has started, it listens; once it has stopped, nothing of it is left: every
//! task is owned here. Streams that are open at the stop end with UNAVAILABLE.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use berth::{
    limits,
    wire::{
        FILE_DESCRIPTOR_SET, advisor_server::AdvisorServer, episodes_server::EpisodesServer,
        ingest_server::IngestServer, load_server::LoadServer, load_workers_server::LoadWorkersServer,
        samples_server::SamplesServer,
    },
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::{
    advisory::Advisory,
    clock::Clock,
    counters::Counters,
    entropy::random_u64,
    error::StartError,
    http,
    ingest::{IngestService, Nodes},
    journal::Journal,
    listener::{self, GRPC_CONNECTIONS, HTTP_CONNECTIONS, Listener},
    load::{Load, LoadService, WorkerService},
    metrics::Metrics,
    query::{AdvisorService, EpisodeService, SampleService},
    settings::Settings,
    tasks::{Stop, Stopper, Tasks},
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

/// What its services share.
struct Parts {
    clock: Clock,
    counters: Arc<Counters>,
    journal: Arc<Journal>,
    nodes: Arc<Nodes>,
    load: Arc<Load>,
    tasks: Tasks,
    stop: Stop,
}

impl Aggregator {
    /// Binds its ports and serves. Errors: a port, a file or the certificate cannot be used.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let server = listener::server(settings.tls.as_ref())?;
        let grpc_socket = listener::bind(settings.listen, "--listen").await?;
        let http_socket = listener::bind(settings.http, "--http").await?;
        let (grpc, http) = (address(&grpc_socket, "--listen")?, address(&http_socket, "--http")?);
        let (stopper, stop) = Stopper::new();
        let tasks = Tasks::default();
        let parts = Parts::new(settings, tasks.clone(), stop)?;
        let mut keepers = JoinSet::new();
        let (load, nodes) = (Arc::clone(&parts.load), Arc::clone(&parts.nodes));
        keepers.spawn(async move { load.keep_time().await });
        keepers.spawn(async move { nodes.sweep().await });
        let mut servers = JoinSet::new();
        let pages = Arc::new(parts.metrics());
        let listener = Listener::new(http_socket, HTTP_CONNECTIONS);
        servers.spawn(http::serve(listener, pages, parts.stop.clone()));
        let (accepted, connections) = mpsc::channel(ACCEPTED_WAITING);
        keepers.spawn(Listener::new(grpc_socket, GRPC_CONNECTIONS).accept_into(accepted));
        let serving = parts.serve(server, ReceiverStream::new(connections))?;
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
        self.tasks.abort();
    }
}

fn address(socket: &TcpListener, flag: &'static str) -> Result<SocketAddr, StartError> {
    let unknown = |source: io::Error| StartError::Listen { address: ([0, 0, 0, 0], 0).into(), flag, source };
    socket.local_addr().map_err(unknown)
}

impl Parts {
    fn new(settings: Settings, tasks: Tasks, stop: Stop) -> Result<Self, StartError> {
        let clock = Clock::start();
        let counters = Arc::new(Counters::default());
        let data_dir = settings.data_dir.as_deref();
        let journal = Journal::open(random_u64(), data_dir).map_err(|source| StartError::DataDir {
            path: data_dir.unwrap_or_else(|| std::path::Path::new("")).to_owned(),
            source,
        })?;
        let journal = Arc::new(journal);
        let roster = settings.config.roster;
        let nodes = Nodes::new(roster, clock, Arc::clone(&journal), Arc::clone(&counters), tasks.clone());
        let load = Load::new(settings.config.load, clock, tasks.clone(), stop.clone());
        Ok(Self { clock, counters, journal, nodes: Arc::new(nodes), load: Arc::new(load), tasks, stop })
    }

    fn metrics(&self) -> Metrics {
        Metrics {
            nodes: Arc::clone(&self.nodes),
            journal: Arc::clone(&self.journal),
            load: Arc::clone(&self.load),
            counters: Arc::clone(&self.counters),
        }
    }

    /// The gRPC services on one server. Requests are small, so every message in is.
    fn serve(
        self,
        mut server: Server,
        connections: ReceiverStream<io::Result<listener::Connection>>,
    ) -> Result<impl Future<Output = Result<(), tonic::transport::Error>>, StartError> {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(|error| StartError::Server(error.into()))?;
        // The empty service name, which stands for the whole server, is healthy from the start.
        let (_, health) = tonic_health::server::health_reporter();
        let (clock, tasks, stop) = (self.clock, self.tasks, self.stop);
        let (nodes, journal, load) = (self.nodes, self.journal, self.load);
        let ingest = IngestService {
            nodes: Arc::clone(&nodes),
            clock,
            counters: self.counters,
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let episodes = EpisodeService {
            journal: Arc::clone(&journal),
            nodes: Arc::clone(&nodes),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let advisory = Advisory::new(clock, Arc::clone(&nodes), journal);
        let advisor = AdvisorService { advisory: Arc::new(advisory) };
        let samples = SampleService::new(nodes, clock, tasks, stop.clone());
        let router = server
            .add_service(reflection)
            .add_service(health)
            .add_service(IngestServer::new(ingest).max_decoding_message_size(limits::MESSAGE_BYTES))
            .add_service(EpisodesServer::new(episodes).max_decoding_message_size(limits::MESSAGE_BYTES))
            .add_service(AdvisorServer::new(advisor).max_decoding_message_size(limits::MESSAGE_BYTES))
            .add_service(SamplesServer::new(samples).max_decoding_message_size(limits::MESSAGE_BYTES))
            .add_service(
                LoadServer::new(LoadService::new(Arc::clone(&load)))
                    .max_decoding_message_size(limits::MESSAGE_BYTES),
            )
            .add_service(
                LoadWorkersServer::new(WorkerService::new(load))
                    .max_decoding_message_size(limits::MESSAGE_BYTES),
            );
        let mut stop = stop;
        Ok(router.serve_with_incoming_shutdown(connections, async move { stop.asked().await }))
    }
}
