//! The two clocks of a trial: the load engine's, on which it is scheduled, and the wall clock, on which
//! its result is written and which the aggregator's answers are on.
//!
//! Invariant: one trial maps one onto the other once, so no step of the wall clock falls between two of
//! its times. Deliberately absent: any other use of the time of day.

use std::time::Duration;

use berth_loadgen::{MonoNanos, NANOS_PER_SEC};
use rustix::time::{ClockId, clock_gettime};

/// When a trial began, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    start: MonoNanos,
    start_unix_nsec: i64,
}

impl Axis {
    /// A trial that begins `lead` from now.
    pub fn beginning_in(lead: Duration) -> Self {
        let start = MonoNanos::now().plus(nanos(lead));
        Self { start, start_unix_nsec: unix_nsec().saturating_add_unsigned(nanos(lead)) }
    }

    /// When it begins.
    pub fn start(self) -> MonoNanos {
        self.start
    }

    /// A point of the trial on the wall clock.
    pub fn unix_nsec(self, into: Duration) -> i64 {
        self.start_unix_nsec.saturating_add_unsigned(nanos(into))
    }

    /// How far into the trial it is now; zero before it begins.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(MonoNanos::now().since(self.start))
    }

    /// Returns at a point of the trial, at most a millisecond late on an idle CPU.
    pub async fn until(self, into: Duration) {
        let target = self.start.plus(nanos(into));
        let left = Duration::from_nanos(target.since(MonoNanos::now()));
        tokio::time::sleep(left).await;
    }
}

/// The time of day.
pub fn unix_nsec() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    let per_sec = i64::try_from(NANOS_PER_SEC).expect("1e9 fits");
    now.tv_sec.saturating_mul(per_sec).saturating_add(now.tv_nsec)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
