//! A load worker that is played by hand, with a clock of its own.

use berth::{
    Latencies,
    wire::{self, load_workers_client::LoadWorkersClient, worker_message::Message, worker_order::Order},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use crate::{scene::boottime_nsec, server::within};

pub(crate) struct Worker {
    /// How far its clock is ahead of this machine's.
    pub(crate) ahead_nsec: u64,
    up: mpsc::Sender<wire::WorkerMessage>,
    orders: mpsc::Receiver<Result<Order, Status>>,
    _tasks: JoinSet<()>,
}

impl Worker {
    pub(crate) async fn join(channel: &Channel, id: &str, ahead_nsec: u64) -> Self {
        let (up, messages) = mpsc::channel(64);
        let (told, orders) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(channel.clone(), messages, up.clone(), told, ahead_nsec));
        let worker = Self { ahead_nsec, up, orders, _tasks: tasks };
        let hello = wire::WorkerHello {
            protocol: 1,
            id: id.to_owned(),
            node: "load-1".into(),
            version: "test".into(),
            cpus: 1,
        };
        worker.say(Message::Hello(hello)).await;
        worker
    }

    pub(crate) async fn say(&self, message: Message) {
        drop(self.up.send(wire::WorkerMessage { message: Some(message) }).await);
    }

    /// The next order that is no ping, or how the stream ended.
    pub(crate) async fn told(&mut self) -> Result<Order, Status> {
        within("an order", self.orders.recv()).await.unwrap_or_else(|| Err(Status::ok("")))
    }

    pub(crate) async fn prepared(&mut self) -> wire::Prepare {
        match self.told().await {
            Ok(Order::Prepare(prepare)) => prepare,
            other => panic!("{other:?} instead of a prepare"),
        }
    }

    /// Says that it is ready and is told when to begin, by this machine's clock.
    pub(crate) async fn ready(&mut self, run_id: &str) {
        self.say(Message::Ready(wire::WorkerReady { run_id: run_id.to_owned() })).await;
    }

    pub(crate) async fn begun(&mut self) -> u64 {
        match self.told().await {
            Ok(Order::Begin(begin)) => begin.start_nsec - self.ahead_nsec,
            other => panic!("{other:?} instead of a begin"),
        }
    }

    pub(crate) async fn stopped(&mut self) {
        let order = self.told().await;
        assert!(matches!(order, Ok(Order::Stop(_))), "{order:?} instead of a stop");
    }

    /// One second in which each of so many requests took 1 ms.
    pub(crate) async fn interval(&self, run_id: &str, seq: u64, sent: u64) {
        let (counts, histograms) = figures(sent);
        let interval = wire::RunInterval {
            seq,
            from_nsec: seq * 1_000_000_000,
            to_nsec: (seq + 1) * 1_000_000_000,
            counts: Some(counts),
            histograms: Some(histograms),
            cost: None,
            draining: false,
        };
        let interval = wire::WorkerInterval { run_id: run_id.to_owned(), interval: Some(interval) };
        self.say(Message::Interval(interval)).await;
    }

    /// The final report over so many intervals and requests.
    pub(crate) async fn report(&self, run_id: &str, intervals: u64, sent: u64) {
        let (counts, histograms) = figures(sent);
        let totals = wire::Totals { counts: Some(counts), histograms: Some(histograms), cost: None };
        let generator = wire::Generator { verdict: wire::GeneratorVerdict::Ok.into(), reason: String::new() };
        let report = wire::WorkerFinal {
            run_id: run_id.to_owned(),
            totals: Some(totals),
            intervals,
            generator: Some(generator),
        };
        self.say(Message::Final(report)).await;
    }
}

fn figures(sent: u64) -> (wire::Counts, wire::Histograms) {
    let mut latencies = Latencies::new();
    for _ in 0..sent {
        latencies.record_nanos(1_000_000);
    }
    let hdr = latencies.encode("hdr").unwrap();
    let counts = wire::Counts { scheduled: sent, sent, completed: sent, ..Default::default() };
    let histograms = wire::Histograms {
        response_hdr: hdr.clone(),
        service_hdr: hdr.clone(),
        send_lag_hdr: hdr.clone(),
        pacing_lag_hdr: hdr.clone(),
        connect_hdr: bytes::Bytes::new(),
        first_byte_hdr: hdr,
    };
    (counts, histograms)
}

async fn listen(
    channel: Channel,
    messages: mpsc::Receiver<wire::WorkerMessage>,
    answers: mpsc::Sender<wire::WorkerMessage>,
    told: mpsc::Sender<Result<Order, Status>>,
    ahead_nsec: u64,
) {
    let mut client = LoadWorkersClient::new(channel);
    let mut orders = match client.work(ReceiverStream::new(messages)).await {
        Ok(orders) => orders.into_inner(),
        Err(status) => return drop(told.send(Err(status)).await),
    };
    loop {
        let order = match orders.message().await {
            Ok(Some(order)) => order.order.unwrap(),
            Ok(None) => return,
            Err(status) => return drop(told.send(Err(status)).await),
        };
        if let Order::Ping(ping) = order {
            let now = boottime_nsec() + ahead_nsec;
            let pong = wire::ClockPong { id: ping.id, received_nsec: now, sent_nsec: now };
            drop(answers.send(wire::WorkerMessage { message: Some(Message::Pong(pong)) }).await);
        } else {
            drop(told.send(Ok(order)).await);
        }
    }
}
