//! An aggregator played by hand: it believes nothing, and checks the contract's rules as it listens.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use berth::{
    Batch, Correction, Gap, Group, Hello, RawThreads, Retire, Schema, Seq, Series, SeriesId, Subject,
    batch::Bases,
    wire::{self, agent_message::Message, aggregator_message},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::ServerTlsConfig};

/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

type Opened = (Streaming<wire::AgentMessage>, mpsc::Sender<Result<wire::AggregatorMessage, Status>>);

struct Fake {
    opened: mpsc::Sender<Opened>,
}

#[tonic::async_trait]
impl wire::ingest_server::Ingest for Fake {
    type StreamStream = ReceiverStream<Result<wire::AggregatorMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (orders, to_send) = mpsc::channel(16);
        let opened = self.opened.send((request.into_inner(), orders)).await;
        opened.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ReceiverStream::new(to_send)))
    }
}

/// A listening aggregator; it stops listening, and breaks its streams, when dropped.
pub(crate) struct Aggregator {
    pub(crate) address: SocketAddr,
    opened: mpsc::Receiver<Opened>,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Aggregator {
    /// Listens on a free port of the loopback.
    pub(crate) async fn listen() -> Self {
        Self::listen_at(([127, 0, 0, 1], 0).into()).await
    }

    /// Listens on a given one, as a restarted aggregator does.
    pub(crate) async fn listen_at(address: SocketAddr) -> Self {
        Self::listen_with(address, None).await
    }

    /// Listens, over TLS if it is given.
    pub(crate) async fn listen_with(address: SocketAddr, tls: Option<ServerTlsConfig>) -> Self {
        let listener = timeout(DEADLINE, async {
            loop {
                if let Ok(listener) = TcpListener::bind(address).await {
                    break listener;
                }
                tokio::task::yield_now().await;
            }
        });
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, opened) = mpsc::channel(4);
        let service = wire::ingest_server::IngestServer::new(Fake { opened: sender });
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let server = server.add_service(service);
        let mut tasks = JoinSet::new();
        tasks.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, opened, _server: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for an agent, and hears its Hello.
    pub(crate) async fn accept(&mut self) -> (Hello, Conversation) {
        let (mut stream, orders) = timeout(DEADLINE, self.opened.recv()).await.unwrap().unwrap();
        let first = timeout(DEADLINE, stream.message()).await.unwrap().unwrap().unwrap();
        let Some(Message::Hello(hello)) = first.message else {
            panic!("the first message is Hello: {first:?}")
        };
        (hello.try_into().unwrap(), Conversation { stream, orders })
    }
}

/// An open stream.
pub(crate) struct Conversation {
    stream: Streaming<wire::AgentMessage>,
    orders: mpsc::Sender<Result<wire::AggregatorMessage, Status>>,
}

impl Conversation {
    pub(crate) async fn order(&self, message: aggregator_message::Message) {
        self.orders.send(Ok(wire::AggregatorMessage { message: Some(message) })).await.unwrap();
    }

    pub(crate) async fn resume(&self, from: Seq) {
        self.order(aggregator_message::Message::Resume(wire::Resume { from_seq: from.get() })).await;
    }

    /// The next message; `None` when the agent ended the stream.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let message = timeout(DEADLINE, self.stream.message()).await.unwrap();
        message.ok().flatten().map(|message| message.message.unwrap())
    }
}

/// One cell: series, metric, tick.
pub(crate) type Cell = (SeriesId, usize, u64);

/// What an aggregator has come to know of one incarnation.
#[derive(Default)]
pub(crate) struct Known {
    schema: Schema,
    bases: Bases,
    pub(crate) next: Option<Seq>,
    pub(crate) series: BTreeMap<SeriesId, Series>,
    pub(crate) values: BTreeMap<Cell, Option<i64>>,
    pub(crate) times_nsec: BTreeMap<u64, u64>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) retired: Vec<SeriesId>,
    pub(crate) raw: Vec<RawThreads>,
    produced: u64,
    is_whole_due: bool,
}

impl Known {
    /// A new stream begins here. Where `from` is what came last plus one, nothing may be missing.
    pub(crate) fn begin(&mut self, from: Seq) {
        self.schema = Schema::new();
        self.is_whole_due = true;
        self.next = Some(from);
    }

    pub(crate) fn hear(&mut self, message: Message) {
        match message {
            Message::Series(series) => {
                let series: Series = series.try_into().unwrap();
                self.schema.add(series.clone()).unwrap();
                self.series.insert(series.id, series);
            }
            Message::Batch(batch) => self.store(&batch.try_into().unwrap()),
            Message::Correction(correction) => self.correct(&correction.try_into().unwrap()),
            Message::Retire(retire) => {
                let retire: Retire = retire.try_into().unwrap();
                self.advance(retire.seq, retire.seq);
                self.schema.retire(&retire);
                self.retired.extend(retire.series);
            }
            Message::Gap(gap) => {
                let gap: Gap = gap.try_into().unwrap();
                self.advance(gap.seq, gap.last_seq);
                self.is_whole_due = true;
                self.gaps.push(gap);
            }
            Message::RawThreads(raw) => self.raw.push(raw.try_into().unwrap()),
            Message::Pong(_) => {}
            Message::Hello(_) => panic!("Hello comes once"),
        }
    }

    fn advance(&mut self, first: Seq, last: Seq) {
        assert_eq!(Some(first), self.next, "records come in order, without a hole, once");
        self.next = Some(last.next());
    }

    fn store(&mut self, batch: &Batch) {
        self.advance(batch.seq, batch.seq);
        assert!(batch.absolute || !self.is_whole_due, "the first batch, and one after a gap, is absolute");
        self.is_whole_due = false;
        if self.values.is_empty() {
            self.produced = batch.produced_before;
        }
        assert_eq!(batch.produced_before, self.produced, "every value produced before this batch has come");
        self.produced += batch.value_count(&self.schema);
        for (tick, &at_nsec) in (batch.first_tick..).zip(&batch.times_nsec) {
            assert_eq!(self.times_nsec.insert(tick, at_nsec), None, "each tick comes once");
        }
        for columns in batch.unpack(&self.schema, &mut self.bases).unwrap() {
            for (metric, values) in columns.metrics.into_iter().enumerate() {
                for (tick, value) in (batch.first_tick..).zip(values) {
                    self.values.insert((columns.series, metric, tick), value);
                }
            }
        }
    }

    fn correct(&mut self, correction: &Correction) {
        self.advance(correction.seq, correction.seq);
        let amounts = correction.unpack(Group::ContainerThreads).unwrap();
        for (metric, amounts) in amounts.into_iter().enumerate() {
            for (tick, amount) in (correction.first_tick..).zip(amounts) {
                let known = self.values.get_mut(&(correction.series, metric, tick));
                let known = known.expect("late news is of a tick that was sent").as_mut().unwrap();
                *known += amount;
            }
        }
    }

    /// The series of a group of one cgroup, or of the node for "".
    pub(crate) fn find(&self, group: Group, cgroup: &str) -> Option<SeriesId> {
        let of = |series: &&Series| match &series.subject {
            Subject::Container(container) => container.cgroup == cgroup,
            Subject::Node => cgroup.is_empty(),
            Subject::Gpu(_) | Subject::GpuContainer(_) => false,
        };
        let mut found = self.series.values().filter(|series| series.group == group).filter(of);
        found.next_back().map(|series| series.id)
    }

    /// One metric of a series, tick after tick.
    pub(crate) fn column(&self, series: SeriesId, metric: usize) -> Vec<Option<i64>> {
        let cells = self.values.range((series, metric, 0)..=(series, metric, u64::MAX));
        cells.map(|(_, value)| *value).collect()
    }

    /// Listens until `done`; panics at the deadline.
    pub(crate) async fn listen_until(
        &mut self,
        talk: &mut Conversation,
        mut done: impl FnMut(&Self) -> bool,
    ) {
        let listening = timeout(DEADLINE, async {
            while !done(self) {
                let message = talk.next().await.expect("the stream is open");
                self.hear(message);
            }
        });
        listening.await.expect("it happens before the deadline");
    }
}
