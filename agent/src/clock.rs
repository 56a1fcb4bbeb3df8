//! The agent's clocks. Every time that leaves the node is CLOCK_BOOTTIME in nanoseconds: it never
//! steps, and goes on through a suspend, so that one axis holds for the life of a boot.
//!
//! Deliberately absent: wall time.

use rustix::{
    thread::clock_nanosleep_absolute,
    time::{ClockId, Timespec, clock_gettime},
};

/// Nanoseconds in a second.
pub const SECOND_NSEC: u64 = 1_000_000_000;

fn nsec(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(SECOND_NSEC).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// CLOCK_BOOTTIME.
pub fn now_nsec() -> u64 {
    nsec(clock_gettime(ClockId::Boottime))
}

/// CPU time that all threads of this process have used.
pub fn process_cpu_nsec() -> u64 {
    nsec(clock_gettime(ClockId::ProcessCPUTime))
}

/// Sleeps until CLOCK_BOOTTIME reaches `deadline_nsec`, or until a signal: the caller looks at the
/// clock again anyway.
pub fn sleep_until(deadline_nsec: u64) {
    let tv_sec = i64::try_from(deadline_nsec / SECOND_NSEC).unwrap_or(i64::MAX);
    let tv_nsec = i64::try_from(deadline_nsec % SECOND_NSEC).unwrap_or(0);
    match clock_nanosleep_absolute(ClockId::Boottime, &Timespec { tv_sec, tv_nsec }) {
        Ok(()) | Err(_) => {}
    }
}

/// A length of time in nanoseconds, for sums with times of this clock.
pub fn nsec_of(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
