//! The binary's one clock.
//!
//! Invariant: the axis never steps: the wall clock is read once, at the start, and advanced by
//! CLOCK_BOOTTIME, which also counts the time that a machine was suspended. Deliberately absent:
//! any other reading of the wall clock; a set clock must not move an episode.

use std::time::SystemTime;

use berth_core::time::AxisNsec;
use rustix::time::{ClockId, clock_gettime};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// The aggregator's time axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall_nsec: u64,
    boot_nsec: u64,
}

impl Clock {
    /// Anchors the axis at the wall clock of this moment.
    #[expect(clippy::disallowed_methods, reason = "this is the binary's clock module")]
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall_nsec = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        Self { wall_nsec, boot_nsec: boottime_nsec() }
    }

    /// Now, on the axis.
    pub(crate) fn now(&self) -> AxisNsec {
        AxisNsec(self.wall_nsec.saturating_add(boottime_nsec().saturating_sub(self.boot_nsec)))
    }
}

fn boottime_nsec() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * NSEC_PER_SEC + part(now.tv_nsec)
}
