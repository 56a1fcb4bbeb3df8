//! One tick of one node, as the detector reads it.
//!
//! Everything is an amount within the tick, in nanoseconds of CPU time or of wait. A container that
//! was not seen in the tick is not in the frame; it is never a zero.

use crate::{
    time::AxisNsec,
    who::{ContainerKey, WhoRef},
};

/// The node's own CPUs in one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeUse {
    /// Logical CPUs.
    pub cpus: u32,
    /// Idle and iowait.
    pub idle_nsec: u64,
    /// Hard and soft interrupts.
    pub irq_nsec: u64,
    /// Taken by the hypervisor.
    pub steal_nsec: u64,
}

/// A container's threads in one tick: the four folded columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadUse {
    /// CPU time of its threads.
    pub run_nsec: i64,
    /// Their run-queue wait.
    pub wait_nsec: i64,
    /// The part of the wait inside a throttled interval.
    pub throttled_nsec: i64,
    /// Over threads, wait x CPUs that the container's other threads used meanwhile.
    pub sibling_nsec_cpus: i64,
}

/// One container in one tick.
#[derive(Debug, Clone)]
pub struct ContainerUse {
    /// Which.
    pub key: ContainerKey,
    /// Who that is, as known when the frame was made.
    pub who: WhoRef,
    /// CPU time from its cgroup.
    pub usage_nsec: u64,
    /// Present while it is in Focus.
    pub threads: Option<ThreadUse>,
}

/// One tick of one node.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Ordinal within the agent's incarnation.
    pub tick: u64,
    /// When it was read.
    pub at: AxisNsec,
    /// Since the tick before.
    pub dt_nsec: u64,
    /// None when the node's own counters were not seen.
    pub node: Option<NodeUse>,
    /// Every container seen, victims and suspects alike, by rising key.
    pub containers: Vec<ContainerUse>,
}

/// Late news about one container in one earlier tick: amounts to add, which may be negative.
#[derive(Debug, Clone, Copy)]
pub struct Late {
    /// The frame it belongs to.
    pub tick: u64,
    /// The container.
    pub key: ContainerKey,
    /// What to add.
    pub add: ThreadUse,
}
