//! What a node's detector takes, for those who record it.
//!
//! Invariant: a recording holds everything from its start on, in its order, or it ends with the
//! reason. Names, and single threads, leave only where they were asked for. Bounded: recordings at
//! once; what waits for each is where it comes from.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use berth::{
    NodeName,
    trace::{Entry, Header, NamedWho},
    wire::{self, traces_server::Traces},
};
use berth_core::{time::AxisNsec, trace::Encoder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::pseudonyms::Pseudonyms;
use crate::{
    clock::Clock,
    downlink::Downlink,
    ingest::{Nodes, Published, Round, recorder},
    tasks::{Stop, stopping},
};

/// Recordings at once: each may keep 32 MiB of rounds that wait for it in memory.
const RECORDINGS: usize = 4;

/// The node's name where names are not asked for.
const SOME_NODE: &str = "node-1";

/// The service for traces.
#[derive(Debug, Clone)]
pub(crate) struct TraceService {
    nodes: Arc<Nodes>,
    clock: Clock,
    stop: Stop,
    places: Arc<Semaphore>,
}

impl TraceService {
    /// Over these nodes.
    pub(crate) fn new(nodes: Arc<Nodes>, clock: Clock, stop: Stop) -> Self {
        Self { nodes, clock, stop, places: Arc::new(Semaphore::new(RECORDINGS)) }
    }
}

/// Entries as they come, until the client has enough or the aggregator stops.
pub(crate) struct Recording {
    rounds: Downlink<Round, Vec<Entry>>,
    /// What of the last round was not asked for yet.
    ready: VecDeque<Entry>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Recording {
    fn poll_entry(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Entry, Status>>> {
        if self.stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(stopping())));
        }
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(entry)));
            }
            match ready!(Pin::new(&mut self.rounds).poll_next(context)) {
                Some(Ok(entries)) => self.ready.extend(entries),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Recording {
    type Item = Result<wire::TraceEntry, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_entry(context));
        self.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next.map(|entry| entry.map(Into::into)))
    }
}

/// A round as entries, with names or without.
fn entries(start: AxisNsec, named: bool) -> impl FnMut(Round) -> Result<Vec<Entry>, Status> {
    let mut encoder = Encoder::new(start);
    let mut pseudonyms = (!named).then(Pseudonyms::default);
    let too_many = |error| Status::resource_exhausted(format!("{error}: begin another trace"));
    move |Round { inputs, threads, .. }| {
        let mut entries = Vec::new();
        for input in &*inputs {
            entries.extend(encoder.encode(input).map_err(too_many)?);
        }
        for raw in &*threads {
            entries.extend(encoder.encode_threads(raw).map_err(too_many)?);
        }
        for entry in &mut entries {
            if let (Entry::Who(NamedWho { who, .. }), Some(pseudonyms)) = (entry, &mut pseudonyms) {
                *who = pseudonyms.hide(who);
            }
        }
        Ok(entries)
    }
}

fn header(node: &Published, start: AxisNsec, named: bool, threads: bool) -> Result<Entry, Status> {
    let agent = node.view.agent.as_ref();
    let agent = agent.ok_or_else(|| Status::not_found("its agent has not said hello yet: try again"))?;
    if threads && !agent.facts.thread_waits {
        let why = "its agent can read no thread's wait there: record without single threads";
        return Err(Status::failed_precondition(why));
    }
    let some_node = || NodeName::new(SOME_NODE).expect("it is a valid name");
    Ok(Entry::Header(Box::new(Header {
        berth_version: env!("CARGO_PKG_VERSION").to_owned(),
        node: if named { node.view.name.clone() } else { some_node() },
        facts: agent.facts.clone(),
        start_unix_nsec: start.0,
        named,
        threads,
    })))
}

#[tonic::async_trait]
impl Traces for TraceService {
    type RecordStream = Recording;

    async fn record(
        &self,
        request: Request<wire::RecordTraceRequest>,
    ) -> Result<Response<Self::RecordStream>, Status> {
        let wire::RecordTraceRequest { node, names, threads } = request.into_inner();
        let node = NodeName::new(node)?;
        let taken = format!("{RECORDINGS} traces are being recorded: wait for one to end");
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Status::resource_exhausted(taken))?;
        let start = self.clock.now();
        let (to, rounds) = recorder(threads, entries(start, names));
        let header = self.nodes.record(&node, to, |node| header(node, start, names, threads)).await?;
        let ready = VecDeque::from([header]);
        let mut stop = self.stop.clone();
        let stop = Box::pin(async move { stop.asked().await });
        Ok(Response::new(Recording { rounds, ready, stop, ended: false, _place: place }))
    }
}
