//! What the detector says: one victim, one resource, from onset to clear.

use std::fmt;

use crate::{
    time::AxisNsec,
    who::{ContainerKey, WhoRef},
};

/// What is fought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
    /// Block I/O.
    Io,
    /// Time on a GPU.
    GpuTime,
    /// Memory of a GPU.
    GpuMemory,
    /// Caches and memory bandwidth; only where counters show it.
    Cache,
}

/// What is to blame; `episodes.proto` says more of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nobody hurts it.
    Nobody,
    /// Other pods.
    Neighbour,
    /// Its own CPU limit, or its pod's.
    SelfThrottled,
    /// Its own threads.
    SelfOversubscribed,
    /// It has more than its requests entitle it to.
    OverEntitlement,
    /// Its own memory limit.
    MemoryOwnLimit,
    /// The machine under this one.
    Hypervisor,
    /// Work in no sampled cgroup.
    Unowned,
    /// Several of these.
    Mixed,
    /// A CPU limit above its pod.
    SliceThrottled,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For a moment.
    Transient,
    /// Held.
    Contended,
    /// Much, and held.
    Severe,
}

/// How sure the attribution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It may be so.
    Possible,
    /// It is probably so.
    Likely,
    /// It is so.
    Confirmed,
}

/// What the machine let us see, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Each thread's wait, and throttling.
    Threads,
    /// Pressure totals only.
    Pressure,
    /// Use only: of a GPU it says how long the wait can have been, of CPU time nothing.
    Usage,
}

/// Where a part of the wait came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The victim's own other threads.
    Own,
    /// The victim's own CPU limit.
    Throttle,
    /// That of its pod.
    PodThrottle,
    /// One above its pod.
    SliceThrottle,
    /// Somebody else.
    Culprit(WhoRef),
    /// Interrupts.
    Irq,
    /// The hypervisor.
    Steal,
    /// CPU time in no sampled cgroup.
    Unowned,
}

/// A part of the victim's wait; the shares of one episode sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Where it came from.
    pub cause: Cause,
    /// 0 to 1.
    pub share: f64,
}

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The best single value.
    pub estimate: f64,
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

/// A number that the verdict rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// In snake_case with its unit.
    pub name: &'static str,
    /// In that unit.
    pub value: f64,
}

/// Derived from victim, resource and onset, so that a replay gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpisodeId(pub u64);

impl fmt::Display for EpisodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One victim, one resource, from onset to clear.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// The same after a replay.
    pub id: EpisodeId,
    /// Where.
    pub node: String,
    /// Who suffers.
    pub victim: WhoRef,
    /// On what.
    pub resource: Resource,
    /// From what.
    pub verdict: Verdict,
    /// How badly; grows only while the episode is open.
    pub severity: Severity,
    /// When the wait began.
    pub onset: AxisNsec,
    /// When the change was noticed.
    pub alarm: AxisNsec,
    /// When the effect had held long enough for the first severity.
    pub verdict_at: AxisNsec,
    /// When it had ended; `None` while open.
    pub cleared: Option<AxisNsec>,
    /// Wall seconds per second of the model's work: its CPU time, and what its own requests wait for each
    /// other when it is alone; of a GPU, per second that it held it, if it always had work. This and what
    /// follows cover the last 10 s in which it was felt, and all of the episode once it is cleared.
    pub slowdown: Estimate,
    /// Its queue grows: work comes faster than it is done, so response times have no bound.
    pub saturated: bool,
    /// What the wait adds to each second of that work, in milliseconds.
    pub added_wait_msec_per_cpu_sec: f64,
    /// Largest first; they sum to 1.
    pub shares: Vec<Share>,
    /// How sure the attribution is.
    pub confidence: Confidence,
    /// What could be seen.
    pub tier: Tier,
    /// CPU time of the threads seen over CPU time of the container.
    pub coverage: f64,
    /// The numbers behind it.
    pub evidence: Vec<Evidence>,
}

/// How one model fares now, hurt or not.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelState {
    /// Which container.
    pub key: ContainerKey,
    /// Who that is.
    pub who: WhoRef,
    /// The open episode, if any.
    pub episode: Option<EpisodeId>,
    /// Of the open episode; `Nobody` without one.
    pub verdict: Verdict,
    /// Of the open episode.
    pub severity: Option<Severity>,
    /// Over the last 10 s, of the open episode's resource, else of CPU time; `None` while nothing was seen.
    pub slowdown: Option<Estimate>,
    /// Over the last 10 s; empty without wait.
    pub shares: Vec<Share>,
    /// What could be seen.
    pub tier: Tier,
    /// Over the last 10 s.
    pub coverage: f64,
    /// CPUs in use, mean over the last 10 s.
    pub cpus: f64,
}
