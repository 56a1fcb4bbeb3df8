//! The agents' gRPC service: messages in, orders out.

use std::sync::Arc;

use berth::{
    Batch, Correction, Gap, Hello, ProtocolError, RawThreads, Record, Retire, Series, limits,
    wire::{self, agent_message::Message, aggregator_message, ingest_server::Ingest},
};
use berth_core::{node::Order, time::AxisNsec, timeline::Pong};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{
    Nodes,
    owner::{Event, Handle, Session},
};
use crate::{
    clock::Clock,
    counters::Counters,
    downlink::{Downlink, downlink},
    edge::{refused, undecodable},
    pings::PingLog,
    tasks::{Stop, Tasks, stopping},
    trust::{Lease, lease, pod_gone, speaks_for},
};

/// Orders that may wait for an agent: a stream begins with four, and a ping comes on top every 10 s.
const ORDERS_WAITING: usize = 32;

/// The service for agents.
#[derive(Debug, Clone)]
pub(crate) struct IngestService {
    /// Where the owners are.
    pub(crate) nodes: Arc<Nodes>,
    /// The axis.
    pub(crate) clock: Clock,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// Who owns the reading tasks.
    pub(crate) tasks: Tasks,
    /// When to end.
    pub(crate) stop: Stop,
}

impl IngestService {
    /// Counts a stream that broke the contract.
    fn refused(&self, status: Status) -> Status {
        if status.code() == Code::InvalidArgument {
            Counters::add(&self.counters.streams_refused);
        }
        status
    }

    /// A stream that had no owner yet, who would log it.
    fn nameless(&self, status: &Status) -> Status {
        if let Some(left_out) = self.counters.closed_lines.due(self.clock.now()) {
            tracing::warn!(error = status.message(), left_out, "agent's stream closed");
        }
        self.refused(status.clone())
    }
}

/// What a message says.
enum Said {
    Event(Event),
    Pong(wire::ClockPong),
}

fn said(message: wire::AgentMessage, now: AxisNsec) -> Result<Said, ProtocolError> {
    let message = message.message.ok_or(ProtocolError::Missing { field: "message" })?;
    let record = |record| Said::Event(Event::Record(record, now));
    Ok(match message {
        Message::Hello(_) => {
            return Err(refused("hello", "a second one", "only the first message"));
        }
        Message::Series(series) => Said::Event(Event::Series(Box::new(Series::try_from(series)?))),
        Message::Batch(batch) => record(Record::Batch(Batch::try_from(batch)?)),
        Message::Correction(correction) => record(Record::Correction(Correction::try_from(correction)?)),
        Message::Retire(retire) => record(Record::Retire(Retire::try_from(retire)?)),
        Message::Gap(gap) => record(Record::Gap(Gap::try_from(gap)?)),
        Message::Pong(pong) => Said::Pong(pong),
        Message::RawThreads(raw) => Said::Event(Event::RawThreads(RawThreads::try_from(raw)?)),
    })
}

async fn hello(messages: &mut Streaming<wire::AgentMessage>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(limits::FIRST_MESSAGE_TIMEOUT, messages.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello came"))?
        .map_err(|status| undecodable(&status))?;
    match first.and_then(|first| first.message) {
        Some(Message::Hello(hello)) => Ok(Hello::try_from(hello)?),
        Some(_) | None => Err(ProtocolError::Missing { field: "hello" }.into()),
    }
}

/// An order, as agents see it; the time of a ping is taken as it leaves.
fn outgoing(pings: PingLog, clock: Clock) -> impl FnMut(Order) -> Result<wire::AggregatorMessage, Status> {
    use aggregator_message::Message;
    move |order| {
        let message = match order {
            Order::Resume(from) => Message::Resume(wire::Resume { from_seq: from.get() }),
            Order::Focus { series, thread_hz, raw_threads } => Message::Focus(wire::Focus {
                series: series.into_iter().map(berth::SeriesId::get).collect(),
                thread_hz,
                raw_threads,
            }),
            Order::Rate { tick_hz } => Message::Rate(wire::Rate { tick_hz }),
            Order::Ping { id } => {
                pings.left(id, clock.now());
                Message::Ping(wire::ClockPing { id })
            }
        };
        Ok(wire::AggregatorMessage { message: Some(message) })
    }
}

/// One agent's stream, as its reading task holds it.
struct Link {
    service: IngestService,
    owner: Arc<Handle>,
    session: Session,
    pings: PingLog,
    /// Closed when the transport has dropped the sending half.
    orders: mpsc::Sender<Order>,
}

impl Link {
    async fn read(self, mut messages: Streaming<wire::AgentMessage>, mut lease: Lease) {
        let mut stop = self.service.stop.clone();
        let end = loop {
            let message = tokio::select! {
                message = messages.message() => message,
                () = self.orders.closed() => break None,
                () = stop.asked() => break Some(stopping()),
                () = lease.ended() => break Some(pod_gone()),
            };
            let now = self.service.clock.now();
            let said = match message {
                Ok(Some(message)) => said(message, now).map_err(Status::from),
                // The agent has closed its half.
                Ok(None) => break None,
                Err(status) => Err(undecodable(&status)),
            };
            let event = match said {
                Ok(Said::Event(event)) => event,
                Ok(Said::Pong(pong)) => match self.pings.answered(pong.id) {
                    Some(ping_sent) => {
                        let pong = Pong { received_nsec: pong.received_nsec, sent_nsec: pong.sent_nsec };
                        Event::Pong(ping_sent, pong, now)
                    }
                    None => continue,
                },
                Err(status) => break Some(self.service.refused(status)),
            };
            if self.tell(event).await.is_err() {
                return;
            }
        };
        // An owner that is gone has nothing to detach.
        drop(self.tell(Event::Detach(end)).await);
    }

    async fn tell(&self, event: Event) -> Result<(), mpsc::error::SendError<(Session, Event)>> {
        self.owner.events.send((self.session, event)).await
    }
}

#[tonic::async_trait]
impl Ingest for IngestService {
    type StreamStream = Downlink<Order, wire::AggregatorMessage>;

    async fn stream(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (_, extensions, mut messages) = request.into_parts();
        let hello = hello(&mut messages).await.map_err(|status| self.nameless(&status))?;
        speaks_for(&extensions, &hello.node).map_err(|status| self.nameless(&status))?;
        Counters::add(&self.counters.streams);
        let (owner, session) = self.nodes.owner(&hello.node)?;
        let pings = PingLog::default();
        let (sender, stream) = downlink(ORDERS_WAITING, outgoing(pings.clone(), self.clock));
        let link = Link { service: self.clone(), owner, session, pings, orders: sender.items.clone() };
        link.tell(Event::Attach(Box::new(hello), sender))
            .await
            .map_err(|_| Status::internal("the node's owner is gone: connect again"))?;
        self.tasks.start(link.read(messages, lease(&extensions)));
        Ok(Response::new(stream))
    }
}
