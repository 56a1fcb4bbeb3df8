//! What clients ask of load: payloads, runs, and how they go.

use std::{sync::Arc, time::Duration};

use berth::{
    limits,
    load::{PayloadHash, RunSpec},
    wire::{self, load_server},
};
use bytes::BytesMut;
use tokio::sync::{Semaphore, broadcast};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Load,
    coordinator::{News, StartError},
    ids::RunId,
    payloads::Payload,
    wire_form,
};
use crate::{
    downlink::{Downlink, Sender, downlink},
    edge::{at_most, refused, undecodable},
    entropy,
    tasks::{Stop, stopping},
};

/// Payloads that are being uploaded at once, each in memory until it is whole.
const UPLOADS: usize = 2;

/// A whole upload: 64 MiB at 10 Mbit/s; one that takes longer holds a place for nothing.
const UPLOAD_TIME: Duration = Duration::from_secs(60);

/// How long Stop waits for the run to end, so that its answer usually is the result.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Events on their way to one watcher; more wait in the run's own queue.
const EVENTS_WAITING: usize = 4;

/// The service for people and sweeps.
#[derive(Debug, Clone)]
pub(crate) struct LoadService {
    load: Arc<Load>,
    uploads: Arc<Semaphore>,
}

impl LoadService {
    /// Over this load.
    pub(crate) fn new(load: Arc<Load>) -> Self {
        Self { load, uploads: Arc::new(Semaphore::new(UPLOADS)) }
    }
}

impl From<StartError> for Status {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Spec(error) => error.into(),
            StartError::Connections { .. } | StartError::InFlight { .. } => {
                Self::invalid_argument(error.to_string())
            }
            StartError::Busy { .. } | StartError::Workers { .. } => {
                Self::failed_precondition(error.to_string())
            }
            StartError::Runs => Self::resource_exhausted(error.to_string()),
        }
    }
}

fn known(id: &str) -> Result<RunId, Status> {
    RunId::parse(id).ok_or_else(|| no_run(id))
}

fn no_run(id: &str) -> Status {
    Status::not_found(format!("no run {id:.64} is kept here: runs do not outlive the aggregator"))
}

/// No histogram of a real run is too large for its message; if one is, say so rather than send none.
#[expect(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn too_large(error: berth::ProtocolError) -> Status {
    Status::out_of_range(error.to_string())
}

async fn receive(mut chunks: Streaming<wire::PayloadChunk>) -> Result<Payload, Status> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.message().await.map_err(|status| undecodable(&status))? {
        at_most("chunk.data", chunk.data.len(), limits::PAYLOAD_CHUNK_BYTES)?;
        at_most("payload", bytes.len() + chunk.data.len(), limits::PAYLOAD_BYTES)?;
        bytes.extend_from_slice(&chunk.data);
    }
    Ok(Payload::new(bytes.freeze())?)
}

async fn follow(mut news: broadcast::Receiver<News>, first: News, to: Sender<News>, mut stop: Stop) {
    let mut next = first;
    let end = loop {
        let over = matches!(&next, News::Run(run) if run.phase.is_end());
        if to.items.send(next).await.is_err() || over {
            return;
        }
        let received = tokio::select! {
            received = news.recv() => received,
            () = to.items.closed() => return,
            () = stop.asked() => break stopping(),
        };
        next = match received {
            Ok(news) => news,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                break Status::resource_exhausted(format!("{missed} events were not read: watch again"));
            }
            // The run ended and was crowded out, and its end was told before.
            Err(broadcast::error::RecvError::Closed) => return,
        };
    };
    // A watcher that has gone needs no reason.
    drop(to.end.send(end));
}

#[tonic::async_trait]
impl load_server::Load for LoadService {
    async fn put_payload(
        &self,
        request: Request<Streaming<wire::PayloadChunk>>,
    ) -> Result<Response<wire::PutPayloadResponse>, Status> {
        let _place = self
            .uploads
            .try_acquire()
            .map_err(|_| Status::resource_exhausted("other payloads are being uploaded: try again"))?;
        let received = tokio::time::timeout(UPLOAD_TIME, receive(request.into_inner())).await;
        let payload = received.map_err(|_| Status::deadline_exceeded("the payload came too slowly"))??;
        let payload = Arc::new(payload);
        let answer = wire::PutPayloadResponse { sha256: payload.sha256.to_vec().into(), rows: payload.rows };
        if self.load.payloads().put(payload) {
            Ok(Response::new(answer))
        } else {
            Err(Status::resource_exhausted("runs use all the room for payloads: wait for one to end"))
        }
    }

    async fn start(&self, request: Request<wire::StartRunRequest>) -> Result<Response<wire::Run>, Status> {
        let spec = request.into_inner().spec.ok_or(berth::ProtocolError::Missing { field: "spec" })?;
        let spec = RunSpec::try_from(spec)?;
        let payload = self.load.payloads().get(&spec.payload);
        let payload = payload.ok_or_else(|| {
            Status::failed_precondition("the payload is not here: put it again, then start")
        })?;
        let id =
            entropy::random_u64().map_err(|error| Status::internal(format!("draw a run's id: {error}")))?;
        let now = self.load.clock.now();
        let run = self.load.coordinator().start(RunId(id), spec, payload, now)?;
        tracing::info!(run = %run.id, target = run.spec.target_url, "load run begins");
        Ok(Response::new(wire_form::run(&run).map_err(too_large)?))
    }

    type WatchStream = Downlink<News, wire::RunEvent>;

    async fn watch(
        &self,
        request: Request<wire::WatchRunRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let id = request.into_inner().id;
        let watched = self.load.coordinator().watch(known(&id)?);
        let (snapshot, news) = watched.ok_or_else(|| no_run(&id))?;
        let (sender, stream) =
            downlink(EVENTS_WAITING, |news: News| wire_form::event(&news).map_err(too_large));
        let first = News::Run(Arc::new(snapshot));
        self.load.tasks.start(follow(news, first, sender, self.load.stop.clone()));
        Ok(Response::new(stream))
    }

    async fn stop(&self, request: Request<wire::StopRunRequest>) -> Result<Response<wire::Run>, Status> {
        let id = known(&request.into_inner().id)?;
        let gone = || no_run(&id.to_string());
        let (_, mut news) = self.load.coordinator().watch(id).ok_or_else(gone)?;
        let mut run = self.load.coordinator().stop(id, self.load.clock.now()).ok_or_else(gone)?;
        let ended = async {
            while !run.phase.is_end() {
                match news.recv().await {
                    Ok(News::Run(snapshot)) => run = (*snapshot).clone(),
                    Ok(News::Second(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        };
        // Draining may take longer; the answer then is the run as it is.
        drop(tokio::time::timeout(STOP_WAIT, ended).await);
        let run = self.load.coordinator().get(id).ok_or_else(gone)?;
        Ok(Response::new(wire_form::run(&run).map_err(too_large)?))
    }

    async fn get(&self, request: Request<wire::GetRunRequest>) -> Result<Response<wire::Run>, Status> {
        let id = request.into_inner().id;
        let run = self.load.coordinator().get(known(&id)?).ok_or_else(|| no_run(&id))?;
        Ok(Response::new(wire_form::run(&run).map_err(too_large)?))
    }
}

/// The hash of a request. Errors: it is not 32 bytes.
pub(super) fn hash(sha256: &[u8]) -> Result<PayloadHash, berth::ProtocolError> {
    PayloadHash::try_from(sha256).map_err(|_| refused("sha256", sha256.len(), "32 bytes"))
}
