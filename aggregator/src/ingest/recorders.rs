//! Those who record what one node's detector takes, and what single threads of it do.
//!
//! Invariant: whoever does not keep up loses the recording and is told so; the owner waits for
//! nobody, and keeps nothing while nobody records. Single threads are asked for only while somebody
//! records them, and go to nobody else.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use berth_core::{
    contention::Input,
    frame::RawThreads,
    node::{Node, Overflow},
};
use tokio::sync::mpsc::error::TrySendError;
use tonic::Status;

use crate::downlink::{Downlink, Sender, downlink};

/// Rounds of the owner that wait for one recording: 6 s of a node at its usual five a second.
const ROUNDS_WAITING: usize = 32;

/// Memory of the rounds that wait for one recording: 30 s of 300 containers at 10 Hz, half a second of
/// the fullest node at 100 Hz, and more than any one round takes.
const WAITING_BYTES: usize = 32 * 1024 * 1024;

/// What was recorded in one round of the owner, shared by all who record it.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    /// What the detector took.
    pub(crate) inputs: Arc<[Input]>,
    /// What single threads did; nothing where that is not recorded.
    pub(crate) threads: Arc<[RawThreads]>,
    bytes: usize,
}

impl Round {
    fn new(inputs: Vec<Input>) -> Self {
        let bytes = inputs.iter().map(Input::bytes).sum();
        Self { inputs: inputs.into(), threads: Arc::default(), bytes }
    }

    /// The same with single threads.
    fn with(&self, threads: Vec<RawThreads>) -> Self {
        let bytes = self.bytes + threads.iter().map(RawThreads::bytes).sum::<usize>();
        Self { inputs: Arc::clone(&self.inputs), threads: threads.into(), bytes }
    }

    fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.threads.is_empty()
    }
}

/// Somebody who records a node.
#[derive(Debug)]
pub(crate) struct Recorder {
    to: Sender<Round>,
    /// Bytes of the rounds that wait.
    waiting: Arc<AtomicUsize>,
    /// Records single threads too.
    threads: bool,
}

/// A recorder, and what it hears, each round turned into a message by `message` as it leaves.
pub(crate) fn recorder<M>(
    threads: bool,
    mut message: impl FnMut(Round) -> Result<M, Status> + Send + 'static,
) -> (Recorder, Downlink<Round, M>) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&waiting);
    let (to, heard) = downlink(ROUNDS_WAITING, move |round: Round| {
        left.fetch_sub(round.bytes, Ordering::Relaxed);
        message(round)
    });
    (Recorder { to, waiting, threads }, heard)
}

impl Recorder {
    /// Hands a round on. Gives the recorder back, if it goes on.
    fn take(self, round: Round) -> Option<Self> {
        if round.is_empty() {
            return Some(self).filter(|recorder| !recorder.to.items.is_closed());
        }
        let waiting = self.waiting.fetch_add(round.bytes, Ordering::Relaxed);
        if waiting.saturating_add(round.bytes) > WAITING_BYTES {
            return self.does_not_keep_up();
        }
        match self.to.items.try_send(round) {
            Ok(()) => Some(self),
            Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(_)) => self.does_not_keep_up(),
        }
    }

    fn does_not_keep_up(self) -> Option<Self> {
        self.end("this recorder does not keep up: record nearer to the aggregator")
    }

    /// Gives back nobody. One that has gone already needs no reason.
    fn end(self, why: impl Into<String>) -> Option<Self> {
        drop(self.to.end.send(Status::resource_exhausted(why)));
        None
    }
}

/// Everybody who records this node.
#[derive(Debug, Default)]
pub(super) struct Recorders {
    all: Vec<Recorder>,
}

impl Recorders {
    /// One more, from now on.
    pub(super) fn add(&mut self, recorder: Recorder, node: &mut Node) {
        if self.all.is_empty() {
            node.record_input(true);
        }
        self.all.push(recorder);
        self.ask_for_threads(node);
    }

    /// Hands on what was recorded since the last call.
    pub(super) fn hand_on(&mut self, node: &mut Node) {
        if self.all.is_empty() {
            return;
        }
        let threads = node.recorded_threads();
        let all = std::mem::take(&mut self.all).into_iter();
        self.all = match node.recorded_input() {
            Ok(inputs) => {
                let without = Round::new(inputs);
                let with = without.with(threads);
                let take = |recorder: Recorder| {
                    let round = if recorder.threads { with.clone() } else { without.clone() };
                    recorder.take(round)
                };
                all.filter_map(take).collect()
            }
            Err(Overflow) => all.filter_map(|recorder| recorder.end(Overflow.to_string())).collect(),
        };
        if self.all.is_empty() {
            node.record_input(false);
        }
        self.ask_for_threads(node);
    }

    fn ask_for_threads(&self, node: &mut Node) {
        node.record_threads(self.all.iter().any(|recorder| recorder.threads));
    }
}

#[cfg(test)]
mod tests {
    use berth::{CgroupVersion, Hello, Incarnation, NodeFacts, NodeName, Seq};
    use berth_core::{node::NodeLimits, time::AxisNsec};
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;

    /// One that hears how much came.
    fn counting(threads: bool) -> (Recorder, Downlink<Round, usize>) {
        recorder(threads, |round| Ok(round.inputs.len()))
    }

    fn round_of(bytes: usize) -> Round {
        Round { inputs: Arc::new([Input::Step(AxisNsec(1))]), threads: Arc::default(), bytes }
    }

    fn node() -> Node {
        Node::new(NodeName::new("node-1").unwrap(), Arc::default(), NodeLimits::default())
    }

    /// Another life of the agent: the detector starts over and is asked what that ended.
    fn another_agent(node: &mut Node, life: u64) {
        let facts = NodeFacts {
            cpus: 2,
            cpu_list: "0-1".to_owned(),
            memory_bytes: 0,
            cgroup_version: CgroupVersion::V2,
            pressure: true,
            thread_waits: true,
            kernel: String::new(),
            gpus: 0,
            hidden_processes: 0,
        };
        let hello = Hello {
            node: NodeName::new("node-1").unwrap(),
            incarnation: Incarnation::new(life).unwrap(),
            boot_id: String::new(),
            agent_version: String::new(),
            oldest_seq: Seq::FIRST,
            next_seq: Seq::FIRST,
            tick_hz: 10,
            facts,
        };
        node.attach(hello, AxisNsec(life));
    }

    #[tokio::test]
    async fn everybody_who_records_gets_what_comes_from_then_on() {
        let (mut node, mut recorders) = (node(), Recorders::default());
        another_agent(&mut node, 1);
        let (first, mut heard_first) = counting(false);
        recorders.add(first, &mut node);
        another_agent(&mut node, 2);
        recorders.hand_on(&mut node);
        let (second, mut heard_second) = counting(false);
        recorders.add(second, &mut node);
        another_agent(&mut node, 3);
        recorders.hand_on(&mut node);
        assert_eq!(heard_first.next().await.unwrap().unwrap(), 2, "a reset and a step");
        assert_eq!(heard_first.next().await.unwrap().unwrap(), 2);
        assert_eq!(heard_second.next().await.unwrap().unwrap(), 2);
        drop(heard_first);
        drop(heard_second);
        recorders.hand_on(&mut node);
        assert!(recorders.all.is_empty());
        another_agent(&mut node, 4);
        assert_eq!(node.recorded_input().unwrap(), [], "nobody records any more");
    }

    #[tokio::test]
    async fn one_that_does_not_keep_up_is_told_and_the_others_go_on() {
        let (mut node, mut recorders) = (node(), Recorders::default());
        let ((slow, mut heard_slow), (quick, mut heard_quick)) = (counting(false), counting(false));
        recorders.add(slow, &mut node);
        recorders.add(quick, &mut node);
        for life in (1..).take(ROUNDS_WAITING + 1) {
            another_agent(&mut node, life);
            recorders.hand_on(&mut node);
            assert_eq!(heard_quick.next().await.unwrap().unwrap(), 2);
        }
        let told = heard_slow.next().await.unwrap().unwrap_err();
        assert_eq!(told.code(), Code::ResourceExhausted, "{told}");
        assert_eq!(recorders.all.len(), 1);
    }

    #[tokio::test]
    async fn few_large_rounds_are_too_many_as_well_and_what_was_read_does_not_count() {
        let (mut one, mut heard) = counting(false);
        for _ in 0..3 {
            one = one.take(round_of(WAITING_BYTES / 2)).expect("it keeps up");
            one = one.take(round_of(WAITING_BYTES / 2)).expect("it keeps up");
            for _ in 0..2 {
                assert_eq!(heard.next().await.unwrap().unwrap(), 1);
            }
        }
        let one = one.take(round_of(WAITING_BYTES / 2)).expect("it keeps up");
        assert!(one.take(round_of(WAITING_BYTES / 2 + 1)).is_none());
        assert_eq!(heard.next().await.unwrap().unwrap_err().code(), Code::ResourceExhausted);
    }
}
