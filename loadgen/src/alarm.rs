//! Waking at an absolute time, within tens of microseconds.
//!
//! A timer descriptor under epoll wakes about 11 us after its time at the median; an epoll timeout,
//! which runtimes round up to whole milliseconds, wakes about 557 us after it (measured, Linux 6.18,
//! HZ = 250). So the schedule is paced by this and never by the runtime's own timers.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::clock::{MonoNanos, NANOS_PER_SEC};
use crate::sys;

/// The least slack that `PR_SET_TIMERSLACK` accepts: 0 would mean the default of 50 us.
const TIMER_SLACK: NonZeroU64 = NonZeroU64::MIN;

/// Lets the kernel add no slack to timers of the calling thread (`prctl(2)`, `PR_SET_TIMERSLACK`).
pub(crate) fn sharpen_timers() -> io::Result<()> {
    Ok(rustix::thread::set_current_timer_slack(Some(TIMER_SLACK))?)
}

/// One timer, armed again and again.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// Needs a runtime with I/O, and belongs to it.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { timer: sys::readable(timerfd_create(TimerfdClockId::Monotonic, flags)?)? })
    }

    /// Returns when `due` has come, with the time it is then.
    pub(crate) async fn until(&self, due: MonoNanos) -> io::Result<MonoNanos> {
        loop {
            let now = MonoNanos::now();
            if now >= due {
                return Ok(now);
            }
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once_at(due))?;
            // The expiry count is not read: arming resets it (`timerfd_setup` in fs/timerfd.c), and
            // the clock, not the count, says whether the time has come.
            self.timer.readable().await?.clear_ready();
        }
    }
}

fn once_at(due: MonoNanos) -> Itimerspec {
    let sec = i64::try_from(due.0 / NANOS_PER_SEC).expect("seconds of a u64 of nanoseconds fit an i64");
    let nsec = i64::try_from(due.0 % NANOS_PER_SEC).expect("less than 1e9");
    Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: sec, tv_nsec: nsec },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_never_wakes_early_and_can_be_armed_again() {
        let alarm = Alarm::new().unwrap();
        let start = MonoNanos::now();
        for step in 1..=5 {
            let due = start.plus(step * 2_000_000);
            assert!(alarm.until(due).await.unwrap() >= due);
        }
    }

    #[tokio::test]
    async fn an_alarm_whose_wait_was_given_up_still_keeps_the_next_time() {
        let alarm = Alarm::new().unwrap();
        let start = MonoNanos::now();
        tokio::select! {
            biased;
            _ = alarm.until(start.plus(1_000_000)) => panic!("the first poll is before its time"),
            () = std::future::ready(()) => {}
        }
        let due = start.plus(5_000_000);
        assert!(alarm.until(due).await.unwrap() >= due);
    }

    #[tokio::test]
    async fn a_time_that_has_passed_returns_at_once() {
        let alarm = Alarm::new().unwrap();
        alarm.until(MonoNanos(1)).await.unwrap();
    }
}
