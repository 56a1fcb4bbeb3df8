//! The streams of load workers: hello, reports up, orders down, and their payloads.
//!
//! Invariant: a message that breaks the contract closes its own stream and no other; whatever ends a
//! stream, the coordinator is told once.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use berth::{
    ProtocolError, limits,
    wire::{self, load_workers_server::LoadWorkers},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Load,
    ids::WorkerId,
    payloads::Payload,
    service::hash,
    wire_form::{self, Said},
    workers::{ORDERS_WAITING, Order, Session, WORKERS, WorkerHello},
};
use crate::{
    clock::Clock,
    downlink::{Downlink, downlink},
    edge::undecodable,
    pings::PingLog,
    tasks::{Stop, stopping},
    trust::{Lease, lease, pod_gone, speaks_for},
};

/// Payloads that are being fetched at once: each worker of two runs, as many as may be connected.
const FETCHES: usize = WORKERS;

/// The service for load workers.
#[derive(Debug, Clone)]
pub(crate) struct WorkerService {
    load: Arc<Load>,
    fetches: Arc<Semaphore>,
}

impl WorkerService {
    /// Over this load.
    pub(crate) fn new(load: Arc<Load>) -> Self {
        Self { load, fetches: Arc::new(Semaphore::new(FETCHES)) }
    }
}

/// One worker's stream, as its reading task holds it.
struct Link {
    load: Arc<Load>,
    worker: WorkerId,
    session: Session,
    pings: PingLog,
    /// Closed when the transport has dropped the sending half.
    orders: mpsc::Sender<Order>,
}

impl Link {
    async fn read(self, mut messages: Streaming<wire::WorkerMessage>, mut lease: Lease) {
        let mut stop = self.load.stop.clone();
        let end = loop {
            let message = tokio::select! {
                message = messages.message() => message,
                () = self.orders.closed() => break None,
                () = stop.asked() => break Some(stopping()),
                () = lease.ended() => break Some(pod_gone()),
            };
            let taken = match message {
                Ok(Some(message)) => self.take(message).map_err(Status::from),
                // The worker has closed its half.
                Ok(None) => break None,
                Err(status) => Err(undecodable(&status)),
            };
            if let Err(status) = taken {
                say_closed(&self.load, &self.worker, &status);
                break Some(status);
            }
        };
        self.load.coordinator().leave(&self.worker, self.session, end, self.load.clock.now());
    }

    fn take(&self, message: wire::WorkerMessage) -> Result<(), ProtocolError> {
        let now = self.load.clock.now();
        let said = Said::try_from(message)?;
        match said.timed(|ping| self.pings.answered(ping)) {
            Some(report) => self.load.coordinator().report(&self.worker, self.session, report, now),
            None => Ok(()),
        }
    }
}

fn say_closed(load: &Load, worker: &impl std::fmt::Display, status: &Status) {
    if let Some(left_out) = load.closed_lines.due(load.clock.now()) {
        let error = status.message();
        tracing::warn!(%worker, error, left_out, "load worker's stream closed");
    }
}

/// The first message of a worker's stream, which must be its hello and must come soon.
async fn hello(messages: &mut Streaming<wire::WorkerMessage>) -> Result<WorkerHello, Status> {
    let first = tokio::time::timeout(limits::FIRST_MESSAGE_TIMEOUT, messages.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello came"))?
        .map_err(|status| undecodable(&status))?;
    match first.and_then(|first| first.message) {
        Some(wire::worker_message::Message::Hello(hello)) => Ok(hello.try_into()?),
        Some(_) | None => Err(ProtocolError::Missing { field: "hello" }.into()),
    }
}

fn outgoing(pings: PingLog, clock: Clock) -> impl FnMut(Order) -> Result<wire::WorkerOrder, Status> {
    move |order| {
        if let Order::Ping { id } = order {
            pings.left(id, clock.now());
        }
        Ok(wire_form::order(order))
    }
}

#[tonic::async_trait]
impl LoadWorkers for WorkerService {
    type WorkStream = Downlink<Order, wire::WorkerOrder>;

    async fn work(
        &self,
        request: Request<Streaming<wire::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let (_, extensions, mut messages) = request.into_parts();
        let hello = hello(&mut messages).await?;
        let load = Arc::clone(&self.load);
        speaks_for(&extensions, &hello.node).inspect_err(|status| say_closed(&load, &hello.id, status))?;
        let pings = PingLog::default();
        let (sender, stream) = downlink(ORDERS_WAITING, outgoing(pings.clone(), load.clock));
        let (worker, orders) = (hello.id.clone(), sender.items.clone());
        let session = load.coordinator().join(hello, sender, load.clock.now());
        let session =
            session.ok_or_else(|| Status::resource_exhausted("too many load workers are connected"))?;
        let tasks = load.tasks.clone();
        tasks.start(Link { load, worker, session, pings, orders }.read(messages, lease(&extensions)));
        Ok(Response::new(stream))
    }

    type GetPayloadStream = Chunks;

    async fn get_payload(
        &self,
        request: Request<wire::GetPayloadRequest>,
    ) -> Result<Response<Self::GetPayloadStream>, Status> {
        let hash = hash(&request.into_inner().sha256)?;
        let place = Arc::clone(&self.fetches).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{FETCHES} payloads are being fetched: try again"))
        })?;
        let payload = self.load.payloads().get(&hash);
        let payload = payload.ok_or_else(|| Status::not_found("that payload is not here any more"))?;
        let stop = self.load.stop.clone();
        Ok(Response::new(Chunks::new(payload, stop, place)))
    }
}

/// A payload in pieces, made as the transport asks for them; it is not crowded out meanwhile.
pub(crate) struct Chunks {
    payload: Arc<Payload>,
    sent: usize,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Chunks {
    fn new(payload: Arc<Payload>, mut stop: Stop, place: OwnedSemaphorePermit) -> Self {
        let stopped = Box::pin(async move { stop.asked().await });
        Self { payload, sent: 0, stopped, ended: false, _place: place }
    }
}

impl Stream for Chunks {
    type Item = Result<wire::PayloadChunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.stopped.as_mut().poll(context).is_ready() {
            self.ended = true;
            return Poll::Ready(Some(Err(stopping())));
        }
        let end = self.payload.bytes.len().min(self.sent + limits::PAYLOAD_CHUNK_BYTES);
        let data = self.payload.bytes.slice(self.sent..end);
        self.sent = end;
        self.ended = data.is_empty();
        Poll::Ready((!self.ended).then_some(Ok(wire::PayloadChunk { data })))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::tasks::Stopper;

    async fn chunks(payload: &Arc<Payload>, stop: Stop) -> Chunks {
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        Chunks::new(Arc::clone(payload), stop, place)
    }

    #[tokio::test]
    async fn a_payload_is_held_while_it_is_fetched_and_a_stop_ends_the_fetch() {
        let mut framed = Vec::new();
        let body = vec![7; 2 * limits::PAYLOAD_CHUNK_BYTES];
        berth::columns::put_unsigned(&mut framed, u64::try_from(body.len()).unwrap());
        framed.extend(body);
        let payload = Arc::new(Payload::new(framed.clone().into()).unwrap());
        let (stopper, stop) = Stopper::new();

        let mut fetch = chunks(&payload, stop.clone()).await;
        let mut fetched = Vec::new();
        while let Some(chunk) = fetch.next().await {
            fetched.extend_from_slice(&chunk.unwrap().data);
            assert_eq!(Arc::strong_count(&payload), 2);
        }
        assert_eq!(fetched, framed);
        drop(fetch);
        assert_eq!(Arc::strong_count(&payload), 1);

        let mut fetch = chunks(&payload, stop).await;
        assert!(fetch.next().await.unwrap().is_ok());
        stopper.stop();
        assert_eq!(fetch.next().await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
        assert!(fetch.next().await.is_none());
    }
}
