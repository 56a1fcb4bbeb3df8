//! One tick of one node, as the detector reads it.
//!
//! Slow files are read once a second: what they say lies in the tick in which they were read, and
//! happened in the second before it. What was not seen is absent; it is never a zero.

use std::sync::Arc;

use berth::CpuList;
pub use berth::usage::{
    GpuUse, GpuUser, IoUse, Limits, NodeUse, Pressure, QuotaUse, Reclaim, ThreadReading, ThreadUse,
    Throttling,
};

use crate::{
    time::AxisNsec,
    who::{ContainerKey, WhoRef},
};

/// One container in one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUse {
    /// Which.
    pub key: ContainerKey,
    /// Who that is, as known when the frame was made.
    pub who: WhoRef,
    /// CPUs that it may use; `None`: all of the node's, as far as is known.
    pub cpus: Option<Arc<CpuList>>,
    /// CPU time from its cgroup.
    pub usage_nsec: u64,
    /// Present while it is in Focus.
    pub threads: Option<ThreadUse>,
    /// Present where a quota can stop it.
    pub throttling: Option<Throttling>,
    /// Present where the kernel keeps pressure.
    pub pressure: Option<Pressure>,
    /// Charged to it now.
    pub memory_bytes: Option<u64>,
    /// Present where its memory is accounted.
    pub reclaim: Option<Reclaim>,
    /// Present where its I/O is accounted.
    pub io: Option<IoUse>,
    /// As they stood at the newest reading.
    pub limits: Option<Limits>,
    /// Whose quota stopped it; present while it is in Focus, of an agent that says.
    pub quotas: Option<QuotaUse>,
}

impl ContainerUse {
    /// A container of which only its CPU time was seen.
    pub fn new(key: ContainerKey, who: WhoRef, usage_nsec: u64) -> Self {
        Self {
            key,
            who,
            cpus: None,
            usage_nsec,
            threads: None,
            throttling: None,
            pressure: None,
            memory_bytes: None,
            reclaim: None,
            io: None,
            limits: None,
            quotas: None,
        }
    }
}

/// One tick of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Ordinal within the agent's incarnation.
    pub tick: u64,
    /// When it was read.
    pub at: AxisNsec,
    /// Since the tick before.
    pub dt_nsec: u64,
    /// None when the node's own counters were not seen.
    pub node: Option<NodeUse>,
    /// The whole node's; `None` where the kernel keeps none.
    pub node_pressure: Option<Pressure>,
    /// Memory that could be had without swapping, now. Slow.
    pub available_bytes: Option<u64>,
    /// Every container seen, victims and suspects alike, by rising key.
    pub containers: Vec<ContainerUse>,
    /// Every GPU, and MIG instance, by rising key. A user that is none of the containers is nobody's.
    pub gpus: Vec<GpuUse>,
}

/// Late news about one container in one earlier tick: amounts to add, which may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// The frame it belongs to.
    pub tick: u64,
    /// The container.
    pub key: ContainerKey,
    /// What to add.
    pub add: ThreadUse,
}

/// What single threads of one container did, as they were read. No detector takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawThreads {
    /// When they were read.
    pub at: AxisNsec,
    /// Since the reading before.
    pub dt_nsec: u64,
    /// Whose threads they are.
    pub key: ContainerKey,
    /// Who that is.
    pub who: WhoRef,
    /// CPUs that it may use; `None`: all of the node's, as far as is known.
    pub cpus: Option<Arc<CpuList>>,
    /// Those that ran or waited.
    pub threads: Vec<ThreadReading>,
    /// Readings of any container that are missing before this one.
    pub lost: u64,
}

impl RawThreads {
    /// Its memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.threads.as_slice())
    }
}
