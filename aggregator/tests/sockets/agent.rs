//! An agent that is played by hand: a test says what it sends, and hears what it is told.

use std::sync::{Arc, Mutex};

use berth::wire::{self, agent_message::Message, aggregator_message, ingest_client::IngestClient};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use crate::{
    scene::{Scene, boottime_nsec},
    server::until,
};

/// What it was told so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) resume: Option<u64>,
    pub(crate) focus: Option<Vec<u32>>,
    pub(crate) raw_threads: bool,
    pub(crate) end: Option<Status>,
}

pub(crate) struct Agent {
    up: mpsc::Sender<wire::AgentMessage>,
    heard: Arc<Mutex<Heard>>,
    _tasks: JoinSet<()>,
}

impl Agent {
    /// Dials in and says hello.
    pub(crate) async fn hello(channel: &Channel, hello: wire::Hello) -> Self {
        let (up, messages) = mpsc::channel(64);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut tasks = JoinSet::new();
        let answers = up.clone();
        tasks.spawn(listen(channel.clone(), messages, answers, Arc::clone(&heard)));
        let agent = Self { up, heard, _tasks: tasks };
        agent.say(Message::Hello(hello)).await;
        agent
    }

    /// Dials in, is told where to go on, names its series, and sends its batches up to `last`.
    pub(crate) async fn play(channel: &Channel, scene: &Scene, last: u64) -> Self {
        let agent = Self::hello(channel, scene.hello(1, last + 1)).await;
        let from = agent.resumed().await;
        agent.name_series().await;
        agent.batches(scene, from..=last).await;
        agent
    }

    pub(crate) async fn name_series(&self) {
        for series in Scene::series() {
            self.say(Message::Series(series)).await;
        }
    }

    pub(crate) async fn batches(&self, scene: &Scene, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            self.say(Message::Batch(scene.batch(seq))).await;
        }
    }

    /// Sends a message; one that the aggregator does not take any more is dropped.
    pub(crate) async fn say(&self, message: Message) {
        drop(self.up.send(wire::AgentMessage { message: Some(message) }).await);
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// The sequence that it was asked to go on from.
    pub(crate) async fn resumed(&self) -> u64 {
        until("resume", || async { self.heard().resume }).await
    }

    /// How its stream ended.
    pub(crate) async fn ended(&self) -> Status {
        until("the stream to end", || async { self.heard().end }).await
    }
}

async fn listen(
    channel: Channel,
    messages: mpsc::Receiver<wire::AgentMessage>,
    answers: mpsc::Sender<wire::AgentMessage>,
    heard: Arc<Mutex<Heard>>,
) {
    let end = converse(channel, messages, answers, &heard).await;
    heard.lock().unwrap().end = Some(end.err().unwrap_or_else(|| Status::ok("")));
}

async fn converse(
    channel: Channel,
    messages: mpsc::Receiver<wire::AgentMessage>,
    answers: mpsc::Sender<wire::AgentMessage>,
    heard: &Mutex<Heard>,
) -> Result<(), Status> {
    use aggregator_message::Message as Down;
    let mut orders = IngestClient::new(channel).stream(ReceiverStream::new(messages)).await?.into_inner();
    while let Some(order) = orders.message().await? {
        match order.message.unwrap() {
            Down::Resume(resume) => heard.lock().unwrap().resume = Some(resume.from_seq),
            Down::Focus(focus) => {
                let mut heard = heard.lock().unwrap();
                (heard.focus, heard.raw_threads) = (Some(focus.series), focus.raw_threads);
            }
            Down::Rate(_) => {}
            Down::Ping(ping) => {
                let now = boottime_nsec();
                let pong = wire::ClockPong { id: ping.id, received_nsec: now, sent_nsec: now };
                drop(answers.send(wire::AgentMessage { message: Some(Message::Pong(pong)) }).await);
            }
        }
    }
    Ok(())
}
