//! A trace: what one node's detector takes, entry by entry.
//!
//! An [`Entry`] is valid by itself; that it speaks only of what was named before it is for whoever
//! reads entries in their order. Deliberately absent: files, compression, and what an entry means.

mod form;

use crate::{
    CpuList, NodeFacts, NodeName, SeriesId,
    usage::{
        GpuUse, IoUse, Limits, NodeUse, Pressure, QuotaUse, Reclaim, ThreadReading, ThreadUse, Throttling,
    },
};

/// The format that this build reads and writes.
pub const FORMAT: u32 = 1;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The first, and only that.
    Header(Box<Header>),
    /// Somebody who is spoken of later.
    Who(NamedWho),
    /// What a key means from here on.
    Container(Container),
    /// One tick.
    Frame(Frame),
    /// Late news of an earlier tick.
    Late(Late),
    /// The detector is asked what has changed, at this time.
    Step(SinceStart),
    /// The detector starts over, at this time.
    Reset(SinceStart),
    /// What single threads did, which no detector takes.
    RawThreads(RawThreads),
}

/// Nanoseconds since the recording began; a tick may have been read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SinceStart(pub i64);

/// Whose detector, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Of the aggregator, for people.
    pub berth_version: String,
    /// The node.
    pub node: NodeName,
    /// What it is, and what it lets its agent see.
    pub facts: NodeFacts,
    /// When the recording began.
    pub start_unix_nsec: u64,
    /// The names are the true ones.
    pub named: bool,
    /// Raw threads were asked for.
    pub threads: bool,
}

/// What a pod is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves predictions.
    Model,
    /// Batch work.
    Scanner,
    /// Generates load.
    LoadGenerator,
    /// Everything else.
    Other,
}

/// The outermost controller of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Such as Deployment; kind and name are not both empty.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Who a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Empty for system slices.
    pub namespace: String,
    /// Empty for system slices.
    pub pod: String,
    /// Empty off Kubernetes.
    pub pod_uid: String,
    /// The container's name, or the slice's.
    pub container: String,
    /// None when nothing controls it.
    pub owner: Option<Owner>,
    /// What it is for.
    pub role: Role,
    /// Below the hierarchy's root.
    pub cgroup: String,
}

/// Somebody, and the number that stands for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedWho {
    /// From 0, in order.
    pub index: u32,
    /// Who that is.
    pub who: Who,
}

/// A key, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The key.
    pub key: SeriesId,
    /// The index of who it is.
    pub who: u32,
    /// CPUs that it may use; `None`: all of the node's, as far as is known.
    pub cpus: Option<CpuList>,
}

/// One container in one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerUse {
    /// Which.
    pub key: SeriesId,
    /// CPU time from its cgroup.
    pub usage_nsec: u64,
    /// Its threads.
    pub threads: Option<ThreadUse>,
    /// Stops by a quota.
    pub throttling: Option<Throttling>,
    /// Time in which its tasks stood still.
    pub pressure: Option<Pressure>,
    /// Charged to it now.
    pub memory_bytes: Option<u64>,
    /// How its memory is reclaimed.
    pub reclaim: Option<Reclaim>,
    /// Its block I/O.
    pub io: Option<IoUse>,
    /// What it may use.
    pub limits: Option<Limits>,
    /// Whose quota stopped it; of a container in Focus.
    pub quotas: Option<QuotaUse>,
}

/// One tick of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it was read.
    pub at: SinceStart,
    /// Ordinal within the agent's incarnation.
    pub tick: u64,
    /// Since the tick before.
    pub dt_nsec: u64,
    /// The node's own CPUs.
    pub node: Option<NodeUse>,
    /// The whole node's.
    pub node_pressure: Option<Pressure>,
    /// Memory that could be had without swapping.
    pub available_bytes: Option<u64>,
    /// By rising key.
    pub containers: Vec<ContainerUse>,
    /// By rising key; empty where there is none.
    pub gpus: Vec<GpuUse>,
}

/// Late news about one container in one earlier tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// The frame it belongs to.
    pub tick: u64,
    /// The container.
    pub key: SeriesId,
    /// What to add.
    pub add: ThreadUse,
}

/// What single threads of a container did, as its agent read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawThreads {
    /// When they were read.
    pub at: SinceStart,
    /// The container.
    pub key: SeriesId,
    /// Since the reading before.
    pub dt_nsec: u64,
    /// Those that ran or waited.
    pub threads: Vec<ThreadReading>,
    /// Readings of any container that are missing before this one.
    pub lost: u64,
}
