//! The gRPC services on one server.
//!
//! Invariant: every message in is bounded by the contract's limit; answers that are no streams have
//! their own bound, in `query`.

use std::{io, sync::Arc};

use berth::{
    limits,
    wire::{
        FILE_DESCRIPTOR_SET, advisor_server::AdvisorServer, episodes_server::EpisodesServer,
        ingest_server::IngestServer, load_server::LoadServer, load_workers_server::LoadWorkersServer,
        samples_server::SamplesServer, traces_server::TracesServer,
    },
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;

use crate::{
    advisory::Advisory,
    error::StartError,
    ingest::IngestService,
    listener::{self, Connection},
    load::{LoadService, WorkerService},
    parts::Parts,
    query::{AdvisorService, EpisodeService, SampleService, TraceService},
    trust::{Gate, Guarded},
};

/// Serves, behind the gate if there is one, until the stop, which ends every stream.
pub(crate) fn serve(
    parts: Parts,
    gate: Option<Arc<Gate>>,
    connections: ReceiverStream<io::Result<Connection>>,
) -> Result<impl Future<Output = Result<(), tonic::transport::Error>>, StartError> {
    const MOST: usize = limits::MESSAGE_BYTES;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| StartError::Server(error.into()))?;
    // The empty service name, which stands for the whole server, is healthy from the start.
    let (_, health) = tonic_health::server::health_reporter();
    let Parts { clock, counters, journal, nodes, load, tasks, mut stop, .. } = parts;
    let ingest = IngestService {
        nodes: Arc::clone(&nodes),
        clock,
        counters,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let episodes = EpisodeService {
        journal: Arc::clone(&journal),
        nodes: Arc::clone(&nodes),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let advisor = AdvisorService { advisory: Arc::new(Advisory::new(clock, Arc::clone(&nodes), journal)) };
    let traces = TraceService::new(Arc::clone(&nodes), clock, stop.clone());
    let samples = SampleService::new(nodes, clock, tasks, stop.clone());
    let loads = LoadService::new(Arc::clone(&load));
    let routes = Routes::new(reflection)
        .add_service(health)
        .add_service(IngestServer::new(ingest).max_decoding_message_size(MOST))
        .add_service(EpisodesServer::new(episodes).max_decoding_message_size(MOST))
        .add_service(AdvisorServer::new(advisor).max_decoding_message_size(MOST))
        .add_service(SamplesServer::new(samples).max_decoding_message_size(MOST))
        .add_service(TracesServer::new(traces).max_decoding_message_size(MOST))
        .add_service(LoadServer::new(loads).max_decoding_message_size(MOST))
        .add_service(LoadWorkersServer::new(WorkerService::new(load)).max_decoding_message_size(MOST))
        .prepare();
    let services = Guarded::new(routes, gate);
    Ok(listener::server().serve_with_incoming_shutdown(
        services,
        connections,
        async move { stop.asked().await },
    ))
}
