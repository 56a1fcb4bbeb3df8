//! The crate's one clock: nanoseconds of `CLOCK_MONOTONIC`, as a value.
//!
//! Invariant: two stamps may be subtracted, because they come from one clock that never goes back.
//! Deliberately absent: wall time, and the aggregator's axis (the worker maps to it at its edge).

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds in a second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A point on `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoNanos(pub u64);

impl MonoNanos {
    /// The time now.
    pub fn now() -> Self {
        Self(nanos(clock_gettime(ClockId::Monotonic)))
    }

    /// This point and `nanos` more.
    #[must_use]
    pub fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to here; 0 when `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// CPU time that the calling thread has used, in microseconds.
pub(crate) fn thread_cpu_usec() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime)) / 1_000
}

fn nanos(time: Timespec) -> u64 {
    let sec = u64::try_from(time.tv_sec).expect("neither clock starts before zero");
    let nsec = u64::try_from(time.tv_nsec).expect("the kernel keeps tv_nsec in 0..1e9");
    sec * NANOS_PER_SEC + nsec
}
