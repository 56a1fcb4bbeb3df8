//! Amounts of one tick, as they were read: what the detector works on and a trace holds.
//!
//! Times are in nanoseconds of CPU time or of wait, or in microseconds where the kernel counts so; all
//! but the gauges are amounts within the tick.

use crate::SeriesId;

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

impl ThreadUse {
    /// Both.
    #[must_use]
    pub fn and(self, after: Self) -> Self {
        Self {
            run_nsec: self.run_nsec.saturating_add(after.run_nsec),
            wait_nsec: self.wait_nsec.saturating_add(after.wait_nsec),
            throttled_nsec: self.throttled_nsec.saturating_add(after.throttled_nsec),
            sibling_nsec_cpus: self.sibling_nsec_cpus.saturating_add(after.sibling_nsec_cpus),
        }
    }
}

/// What one thread did since it was last read: raw, before any fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadReading {
    /// Its number.
    pub tid: u32,
    /// CPU time.
    pub run_nsec: u64,
    /// Run-queue wait that has ended.
    pub wait_nsec: u64,
}

/// Time in which tasks stood still, from pressure files. Slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Some task wanted a CPU and had none; its own throttling counts too.
    pub cpu_some_usec: u64,
    /// Some task wanted a CPU and none of them had one; of the whole node always 0, because somebody has.
    pub cpu_full_usec: u64,
    /// Some task waited for memory.
    pub memory_some_usec: u64,
    /// All tasks waited for memory.
    pub memory_full_usec: u64,
    /// Some task waited for block I/O.
    pub io_some_usec: u64,
    /// All tasks waited for block I/O.
    pub io_full_usec: u64,
}

impl Pressure {
    /// Both.
    #[must_use]
    pub fn and(self, after: Self) -> Self {
        Self {
            cpu_some_usec: self.cpu_some_usec.saturating_add(after.cpu_some_usec),
            cpu_full_usec: self.cpu_full_usec.saturating_add(after.cpu_full_usec),
            memory_some_usec: self.memory_some_usec.saturating_add(after.memory_some_usec),
            memory_full_usec: self.memory_full_usec.saturating_add(after.memory_full_usec),
            io_some_usec: self.io_some_usec.saturating_add(after.io_some_usec),
            io_full_usec: self.io_full_usec.saturating_add(after.io_full_usec),
        }
    }
}

/// Stops by a CPU quota: the container's own, or the nearest one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttling {
    /// Periods that passed while it wanted to run.
    pub periods: u64,
    /// Those in which it was stopped.
    pub throttled_periods: u64,
    /// For how long, summed over CPUs.
    pub throttled_usec: u64,
}

impl Throttling {
    /// Both.
    #[must_use]
    pub fn and(self, after: Self) -> Self {
        Self {
            periods: self.periods.saturating_add(after.periods),
            throttled_periods: self.throttled_periods.saturating_add(after.throttled_periods),
            throttled_usec: self.throttled_usec.saturating_add(after.throttled_usec),
        }
    }
}

/// For how long CPU quotas stopped a container, and those above its own. What several stop at once counts
/// for the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaUse {
    /// By its own.
    pub own_usec: u64,
    /// By that or its pod's.
    pub pod_usec: u64,
    /// By these or one above its pod.
    pub any_usec: u64,
    /// Its pod's limit; `None` for none.
    pub pod_cpu_millicpu: Option<u64>,
    /// The least limit above its pod; `None` for none.
    pub slice_cpu_millicpu: Option<u64>,
}

impl QuotaUse {
    /// Both; limits as they were last.
    #[must_use]
    pub fn and(self, after: Self) -> Self {
        Self {
            own_usec: self.own_usec.saturating_add(after.own_usec),
            pod_usec: self.pod_usec.saturating_add(after.pod_usec),
            any_usec: self.any_usec.saturating_add(after.any_usec),
            pod_cpu_millicpu: after.pod_cpu_millicpu.or(self.pod_cpu_millicpu),
            slice_cpu_millicpu: after.slice_cpu_millicpu.or(self.slice_cpu_millicpu),
        }
    }
}

/// How its memory is used and reclaimed. Slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reclaim {
    /// Anonymous memory now.
    pub anon_bytes: u64,
    /// Page cache now.
    pub file_bytes: u64,
    /// Page faults that had to read from a device.
    pub major_faults: u64,
    /// Pages that were evicted and wanted again.
    pub refaults: u64,
    /// Pages that its own tasks had to reclaim.
    pub direct_reclaim_pages: u64,
    /// Charges that its own limit turned away.
    pub limit_hits: u64,
    /// Tasks killed for memory.
    pub oom_kills: u64,
}

impl Reclaim {
    /// Both; gauges as they were after.
    #[must_use]
    pub fn and(self, after: Self) -> Self {
        Self {
            anon_bytes: after.anon_bytes,
            file_bytes: after.file_bytes,
            major_faults: self.major_faults.saturating_add(after.major_faults),
            refaults: self.refaults.saturating_add(after.refaults),
            direct_reclaim_pages: self.direct_reclaim_pages.saturating_add(after.direct_reclaim_pages),
            limit_hits: self.limit_hits.saturating_add(after.limit_hits),
            oom_kills: self.oom_kills.saturating_add(after.oom_kills),
        }
    }
}

/// Its block I/O. Slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoUse {
    /// Read from devices.
    pub read_bytes: u64,
    /// Written to devices.
    pub write_bytes: u64,
    /// Reads.
    pub read_ops: u64,
    /// Writes.
    pub write_ops: u64,
}

impl IoUse {
    /// Both.
    #[must_use]
    pub fn and(self, after: Self) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_add(after.read_bytes),
            write_bytes: self.write_bytes.saturating_add(after.write_bytes),
            read_ops: self.read_ops.saturating_add(after.read_ops),
            write_ops: self.write_ops.saturating_add(after.write_ops),
        }
    }
}

/// One GPU, or a MIG instance of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuUse {
    /// Its own series: the same GPU has the same one for the life of the agent.
    pub key: SeriesId,
    /// The part of the time in which any kernel was resident on it.
    pub sm_permille: Option<u64>,
    /// Its memory in use now.
    pub memory_used_bytes: Option<u64>,
    /// All of its memory.
    pub memory_total_bytes: u64,
    /// Who uses it, as far as the driver shows.
    pub users: Vec<GpuUser>,
}

/// One user of one GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuUser {
    /// The key of the container; `None`: nobody knows whose it is.
    pub container: Option<SeriesId>,
    /// The part of the time in which a kernel of it was resident; a MIG instance shows none.
    pub sm_permille: Option<u64>,
    /// Memory of the GPU that it holds now.
    pub memory_used_bytes: Option<u64>,
}

/// What it may use; `None` for no limit. Slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// CPUs, in thousandths.
    pub cpu_millicpu: Option<u64>,
    /// In v2's scale, 1 to 10,000.
    pub cpu_weight: Option<u64>,
    /// Memory.
    pub memory_bytes: Option<u64>,
}
