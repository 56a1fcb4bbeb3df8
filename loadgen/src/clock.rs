//! The crate's clocks: nanoseconds of `CLOCK_MONOTONIC` to pace and measure on, and of
//! `CLOCK_BOOTTIME` to agree with the aggregator on a start.
//!
//! Invariant: two stamps of one type may be subtracted, because they come from one clock that never
//! goes back. Deliberately absent: wall time, and the aggregator's axis.

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

/// A point on `CLOCK_BOOTTIME`, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootNanos(pub(crate) u64);

impl BootNanos {
    /// The time now.
    pub(crate) fn now() -> Self {
        Self(nanos(clock_gettime(ClockId::Boottime)))
    }

    /// The same point on `CLOCK_MONOTONIC`, which stands still while a machine sleeps: over the
    /// seconds to a start the two run alike. A point that has passed becomes now.
    pub(crate) fn monotonic(self) -> MonoNanos {
        MonoNanos::now().plus(self.0.saturating_sub(Self::now().0))
    }
}

/// CPU time that the calling thread has used, in microseconds.
pub(crate) fn thread_cpu_usec() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime)) / 1_000
}

fn nanos(time: Timespec) -> u64 {
    let sec = u64::try_from(time.tv_sec).expect("none of the three clocks goes below zero");
    let nsec = u64::try_from(time.tv_nsec).expect("the kernel keeps tv_nsec in 0..1e9");
    sec * NANOS_PER_SEC + nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_as_far_ahead_on_either_clock() {
        let (boot, mono) = (BootNanos::now(), MonoNanos::now());
        let start = BootNanos(boot.0 + 60 * NANOS_PER_SEC).monotonic();
        assert!(start.since(mono) <= 61 * NANOS_PER_SEC && start.since(mono) >= 59 * NANOS_PER_SEC);
        assert!(BootNanos(0).monotonic() <= MonoNanos::now(), "the past is now");
    }
}
