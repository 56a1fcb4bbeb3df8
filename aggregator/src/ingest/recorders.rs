//! Those who record what one node's detector takes.
//!
//! Invariant: whoever does not keep up loses the recording and is told so; the owner waits for
//! nobody, and keeps nothing while nobody records.

use std::sync::Arc;

use berth_core::{
    contention::Input,
    node::{Node, Overflow},
};
use tokio::sync::mpsc::error::TrySendError;
use tonic::Status;

use crate::downlink::Sender;

/// What the detector took in one round of the owner, shared by all who record it.
pub(crate) type Inputs = Arc<[Input]>;

/// Everybody who records this node.
#[derive(Debug, Default)]
pub(super) struct Recorders {
    to: Vec<Sender<Inputs>>,
}

impl Recorders {
    /// One more, from now on.
    pub(super) fn add(&mut self, recorder: Sender<Inputs>, node: &mut Node) {
        if self.to.is_empty() {
            node.record_input(true);
        }
        self.to.push(recorder);
    }

    /// Hands on what the node's detector took since the last call.
    pub(super) fn hand_on(&mut self, node: &mut Node) {
        if self.to.is_empty() {
            return;
        }
        let inputs = node.recorded_input().map(Inputs::from);
        let to = std::mem::take(&mut self.to).into_iter();
        self.to = to.filter_map(|recorder| still(recorder, &inputs)).collect();
        if self.to.is_empty() {
            node.record_input(false);
        }
    }
}

/// The recorder, if it goes on.
fn still(recorder: Sender<Inputs>, inputs: &Result<Inputs, Overflow>) -> Option<Sender<Inputs>> {
    let sent = match inputs {
        Ok(inputs) if inputs.is_empty() => return Some(recorder).filter(|to| !to.items.is_closed()),
        Ok(inputs) => recorder.items.try_send(Arc::clone(inputs)),
        Err(overflow) => {
            // One that has gone already needs no reason.
            drop(recorder.end.send(Status::resource_exhausted(overflow.to_string())));
            return None;
        }
    };
    match sent {
        Ok(()) => Some(recorder),
        Err(TrySendError::Closed(_)) => None,
        Err(TrySendError::Full(_)) => {
            let mend = "this recorder does not keep up: record nearer to the aggregator";
            drop(recorder.end.send(Status::resource_exhausted(mend)));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use berth::{CgroupVersion, Hello, Incarnation, NodeFacts, NodeName, Seq};
    use berth_core::{node::NodeLimits, time::AxisNsec};
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;
    use crate::downlink::{Downlink, downlink};

    fn recorder(waiting: usize) -> (Sender<Inputs>, Downlink<Inputs, usize>) {
        downlink(waiting, |inputs: Inputs| Ok(inputs.len()))
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
        let (first, mut heard_first) = recorder(8);
        recorders.add(first, &mut node);
        another_agent(&mut node, 2);
        recorders.hand_on(&mut node);
        let (second, mut heard_second) = recorder(8);
        recorders.add(second, &mut node);
        another_agent(&mut node, 3);
        recorders.hand_on(&mut node);
        assert_eq!(heard_first.next().await.unwrap().unwrap(), 2, "a reset and a step");
        assert_eq!(heard_first.next().await.unwrap().unwrap(), 2);
        assert_eq!(heard_second.next().await.unwrap().unwrap(), 2);
        drop(heard_first);
        drop(heard_second);
        recorders.hand_on(&mut node);
        assert!(recorders.to.is_empty());
        another_agent(&mut node, 4);
        assert_eq!(node.recorded_input().unwrap(), [], "nobody records any more");
    }

    #[tokio::test]
    async fn one_that_does_not_keep_up_is_told_and_the_others_go_on() {
        let (mut node, mut recorders) = (node(), Recorders::default());
        let ((slow, mut heard_slow), (quick, mut heard_quick)) = (recorder(1), recorder(8));
        recorders.add(slow, &mut node);
        recorders.add(quick, &mut node);
        for life in 1..=3 {
            another_agent(&mut node, life);
            recorders.hand_on(&mut node);
        }
        let told = heard_slow.next().await.unwrap().unwrap_err();
        assert_eq!(told.code(), Code::ResourceExhausted, "{told}");
        for _ in 0..3 {
            assert_eq!(heard_quick.next().await.unwrap().unwrap(), 2);
        }
    }
}
