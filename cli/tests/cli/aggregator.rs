//! An aggregator that answers by heart, over real gRPC on a loopback port.

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use berth::wire;
use berth::wire::advisor_server::{Advisor, AdvisorServer};
use berth::wire::episodes_server::{Episodes, EpisodesServer};
use berth::wire::samples_server::{Samples, SamplesServer};
use berth::wire::traces_server::{Traces, TracesServer};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::service::InterceptorLayer;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// What it knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) models: Vec<wire::ModelSummary>,
    pub(crate) episodes: Vec<wire::Episode>,
    pub(crate) events: Vec<wire::episode_event::Event>,
    pub(crate) advice: Vec<wire::Advice>,
    pub(crate) notes: Vec<String>,
    pub(crate) nodes: Vec<wire::NodeStatus>,
    pub(crate) subjects: Vec<wire::Subject>,
    pub(crate) samples: Vec<wire::SampleChunk>,
    pub(crate) trace: Vec<wire::TraceEntry>,
    /// What ends the trace; without it silence follows.
    pub(crate) trace_end: Option<Status>,
}

/// It serves until it is dropped; then its connections are closed.
pub(crate) struct Aggregator {
    url: String,
    watched: Arc<Mutex<Vec<wire::WatchEpisodesRequest>>>,
    bearers: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

/// A port of its own, which outlives an aggregator: so one can be restarted.
pub(crate) fn port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

impl Aggregator {
    pub(crate) fn start(script: Script) -> Self {
        Self::on(&port(), script, None)
    }

    pub(crate) fn on(port: &TcpListener, script: Script, identity: Option<Identity>) -> Self {
        let scheme = if identity.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", port.local_addr().unwrap());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let watched = Arc::default();
        let answers = Answers { script: Arc::new(script), watched: Arc::clone(&watched) };
        let bearers: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&bearers);
        let who = InterceptorLayer::new(move |request: Request<()>| {
            let bearer =
                request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            heard.lock().unwrap().extend(bearer);
            Ok(request)
        });
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        }
        let serving = server
            .layer(who)
            .add_service(EpisodesServer::new(answers.clone()))
            .add_service(AdvisorServer::new(answers.clone()))
            .add_service(SamplesServer::new(answers.clone()))
            .add_service(TracesServer::new(answers));
        let listener = port.try_clone().unwrap();
        listener.set_nonblocking(true).unwrap();
        let incoming = {
            let _inside = runtime.enter();
            TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap())
        };
        let handle = runtime.handle().clone();
        handle.spawn(async move { serving.serve_with_incoming(incoming).await.unwrap() });
        Self { url, watched, bearers, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What each call said of who asks.
    pub(crate) fn bearers(&self) -> Vec<String> {
        self.bearers.lock().unwrap().clone()
    }

    /// Where each watch wanted to go on.
    pub(crate) fn watched(&self) -> Vec<wire::WatchEpisodesRequest> {
        self.watched.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Answers {
    script: Arc<Script>,
    watched: Arc<Mutex<Vec<wire::WatchEpisodesRequest>>>,
}

type Endless<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What is known, and then silence.
fn endless<T: Send + 'static>(known: Vec<T>) -> Response<Endless<T>> {
    let known = tokio_stream::iter(known.into_iter().map(Ok));
    Response::new(Box::pin(known.chain(tokio_stream::pending())))
}

#[tonic::async_trait]
impl Episodes for Answers {
    async fn list(
        &self,
        request: Request<wire::ListEpisodesRequest>,
    ) -> Result<Response<wire::ListEpisodesResponse>, Status> {
        let open_only = request.into_inner().filter.is_some_and(|filter| filter.open_only);
        let episodes = self.script.episodes.iter().filter(|one| !open_only || one.cleared.is_none());
        Ok(Response::new(wire::ListEpisodesResponse {
            episodes: episodes.cloned().collect(),
            ..wire::ListEpisodesResponse::default()
        }))
    }

    async fn get(
        &self,
        request: Request<wire::GetEpisodeRequest>,
    ) -> Result<Response<wire::Episode>, Status> {
        let id = request.into_inner().id;
        let found = self.script.episodes.iter().find(|episode| episode.id.starts_with(&id));
        found
            .cloned()
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("no episode begins with {id}")))
    }

    type WatchStream = Endless<wire::EpisodeEvent>;

    async fn watch(
        &self,
        request: Request<wire::WatchEpisodesRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.watched.lock().unwrap().push(request.into_inner());
        let events = self.script.events.iter().cloned();
        Ok(endless(events.map(|event| wire::EpisodeEvent { event: Some(event) }).collect()))
    }

    async fn list_models(
        &self,
        _request: Request<wire::ListModelsRequest>,
    ) -> Result<Response<wire::ListModelsResponse>, Status> {
        let Script { models, notes, .. } = &*self.script;
        Ok(Response::new(wire::ListModelsResponse { models: models.clone(), notes: notes.clone() }))
    }
}

#[tonic::async_trait]
impl Advisor for Answers {
    async fn list(
        &self,
        request: Request<wire::ListAdviceRequest>,
    ) -> Result<Response<wire::ListAdviceResponse>, Status> {
        let code = request.into_inner().code;
        let advice = self.script.advice.iter().filter(|advice| code.is_empty() || advice.code == code);
        let notes = self.script.notes.clone();
        Ok(Response::new(wire::ListAdviceResponse { advice: advice.cloned().collect(), notes }))
    }

    async fn get(&self, _request: Request<wire::GetAdviceRequest>) -> Result<Response<wire::Advice>, Status> {
        Err(Status::unimplemented("no command asks for it"))
    }
}

#[tonic::async_trait]
impl Samples for Answers {
    async fn list_nodes(
        &self,
        _request: Request<wire::ListNodesRequest>,
    ) -> Result<Response<wire::ListNodesResponse>, Status> {
        Ok(Response::new(wire::ListNodesResponse { nodes: self.script.nodes.clone() }))
    }

    async fn list_subjects(
        &self,
        _request: Request<wire::ListSubjectsRequest>,
    ) -> Result<Response<wire::ListSubjectsResponse>, Status> {
        Ok(Response::new(wire::ListSubjectsResponse { subjects: self.script.subjects.clone() }))
    }

    type RangeStream = Endless<wire::SampleChunk>;

    async fn range(
        &self,
        _request: Request<wire::RangeRequest>,
    ) -> Result<Response<Self::RangeStream>, Status> {
        let known = self.script.samples.clone().into_iter().map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(known))))
    }

    type TailStream = Endless<wire::SampleChunk>;

    async fn tail(&self, _request: Request<wire::TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        Ok(endless(self.script.samples.clone()))
    }
}

#[tonic::async_trait]
impl Traces for Answers {
    type RecordStream = Endless<wire::TraceEntry>;

    async fn record(
        &self,
        request: Request<wire::RecordTraceRequest>,
    ) -> Result<Response<Self::RecordStream>, Status> {
        let node = request.into_inner().node;
        if !self.script.nodes.iter().any(|one| one.node == node) {
            return Err(Status::not_found(format!("no agent of node {node} was heard")));
        }
        let Script { trace, trace_end, .. } = &*self.script;
        let Some(end) = trace_end.clone() else { return Ok(endless(trace.clone())) };
        let known = trace.clone().into_iter().map(Ok).chain([Err(end)]);
        Ok(Response::new(Box::pin(tokio_stream::iter(known.collect::<Vec<_>>()))))
    }
}
