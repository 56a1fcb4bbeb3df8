//! The threads of one container, folded into four amounts a tick.
//!
//! The kernel's counters are lumpy and late: a thread's wait is added only when it next runs
//! (`sched_info_arrive`), a cgroup's throttled time only when the throttle ends
//! (`unthrottle_cfs_rq`). So an increment d seen at time t is laid back over [t-d, t]:
//!
//! - run R: each increment over the time since the reading before it;
//! - wait W: each increment over the interval in which it happened;
//! - its throttled part T: the overlap of each thread's wait with the union of the throttled
//!   intervals, whichever of the two is heard of first. Subtracting the throttled time once would be
//!   wrong for threaded containers: three stopped threads wait three times as long;
//! - X: the sum over threads of wait x CPUs that the *other* threads used in that tick. A thread
//!   never blames itself.
//!
//! What comes in for ticks already sent leaves as corrections. Invariants: over ticks and
//! corrections, R and W add up to the counters' increments exactly, and 0 <= T <= W for each tick
//! and in sum. Pure: no I/O, no clock; and nothing is allocated after a thread was added.

pub mod span;
mod ticks;

use std::collections::VecDeque;

pub use ticks::Amounts;
use ticks::Ticks;

use crate::{
    clock::SECOND_NSEC,
    fold::span::{Span, Union},
    host::text::Schedstat,
};

/// Throttled intervals kept: one ends per CFS period (100 ms unless somebody chose otherwise), so
/// these are the last 25 s, longer than threads of an oversubscribed container wait.
const THROTTLES: usize = 256;

/// How long waits are remembered, for throttled time that is heard of after them: a throttle lasts
/// at most one period, and the longest that the kernel allows is 1 s.
const WAITS_NSEC: u64 = 2 * SECOND_NSEC;

/// The part of one tick that one thread has.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    run_nsec: u64,
    wait_nsec: u64,
}

/// What the fold knows of one thread.
#[derive(Debug)]
pub struct Thread {
    /// Its counters when it was last read; none before the first reading.
    last: Option<Schedstat>,
    read_nsec: u64,
    waits: VecDeque<Span>,
    parts: Box<[Part]>,
}

/// One quota above the container's threads: its own, or an ancestor's.
#[derive(Debug, Clone, Copy, Default)]
struct Quota {
    /// Throttled time when it was last read; none before the first reading.
    last_usec: Option<u64>,
    /// When it last grew.
    grown_nsec: u64,
}

/// One container in Focus.
#[derive(Debug)]
pub struct Fold {
    ticks: Ticks,
    throttled: Union,
    quotas: Vec<Quota>,
    threads: Vec<Thread>,
    waits_kept: usize,
}

impl Fold {
    /// A fold from `now_nsec` on. `slots` ticks may be open or correctable at once; each thread is
    /// read `thread_hz` times a second at most, under `quotas` quotas.
    pub fn new(now_nsec: u64, slots: usize, thread_hz: u32, quotas: usize) -> Self {
        let readings = u64::from(thread_hz) * WAITS_NSEC / SECOND_NSEC;
        Self {
            ticks: Ticks::new(now_nsec, slots),
            throttled: Union::new(THROTTLES),
            quotas: vec![Quota::default(); quotas],
            threads: Vec::new(),
            waits_kept: usize::try_from(readings).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Takes a thread in, as the last one. `started_nsec` is given for a thread that began under our
    /// eyes: then everything that it ever ran and waited counts. Of others the first reading is
    /// where counting starts.
    pub fn add(&mut self, started_nsec: Option<u64>) {
        self.threads.push(Thread {
            last: started_nsec.map(|_| Schedstat { run_nsec: 0, wait_nsec: 0 }),
            read_nsec: started_nsec.unwrap_or(0),
            waits: VecDeque::with_capacity(self.waits_kept + 1),
            parts: vec![Part::default(); self.ticks.slots()].into_boxed_slice(),
        });
    }

    /// Drops the thread at `index`; the last one takes its place. What it did stays counted.
    pub fn remove(&mut self, index: usize) {
        self.threads.swap_remove(index);
    }

    /// A reading of the thread at `index`.
    pub fn thread(&mut self, index: usize, at_nsec: u64, now: Schedstat) {
        let Self { ticks, throttled, threads, waits_kept, .. } = self;
        let Some(thread) = threads.get_mut(index) else { return };
        if let Some(last) = thread.last {
            let run_nsec = now.run_nsec.saturating_sub(last.run_nsec);
            let since = Span { start: thread.read_nsec.min(at_nsec), end: at_nsec };
            lay_run(ticks, &mut thread.parts, since, run_nsec);
            let wait = Span::ending(at_nsec, now.wait_nsec.saturating_sub(last.wait_nsec));
            if wait.nsec() > 0 {
                lay_wait(ticks, &mut thread.parts, wait);
                for stopped in throttled.within(wait) {
                    ticks.lay(stopped, |tick, part| tick.throttled_nsec += part.nsec());
                }
                thread.waits.push_back(wait);
                if thread.waits.len() > *waits_kept {
                    thread.waits.pop_front();
                }
            }
        }
        thread.last = Some(now);
        thread.read_nsec = at_nsec;
    }

    /// A reading of the throttled time of the quota at `index`. It is summed over CPUs, so an
    /// increment may be longer than the time in which it happened; of one CPU it never is, and
    /// throttles of one CPU do not overlap: so it reaches back to the increment before it at most.
    pub fn throttled(&mut self, index: usize, at_nsec: u64, now_usec: u64) {
        let Self { ticks, throttled, quotas, threads, .. } = self;
        let Some(quota) = quotas.get_mut(index) else { return };
        let before = quota.last_usec.replace(now_usec);
        let nsec = before.map_or(0, |before| now_usec.saturating_sub(before)).saturating_mul(1_000);
        if nsec == 0 {
            return;
        }
        let span = Span { start: at_nsec.saturating_sub(nsec).max(quota.grown_nsec), end: at_nsec };
        quota.grown_nsec = at_nsec;
        throttled.insert(span, |fresh| {
            for thread in &mut *threads {
                let near = thread.waits.iter().rev().take_while(|wait| wait.end > fresh.start);
                for stopped in near.filter_map(|wait| wait.overlap(fresh)) {
                    ticks.lay(stopped, |tick, part| tick.throttled_nsec += part.nsec());
                }
            }
        });
    }

    /// The base tick `ordinal` was read at `at_nsec`: what comes in from now on, of a time after
    /// that, belongs to the next.
    pub fn tick(&mut self, ordinal: u64, at_nsec: u64) {
        let slot = self.ticks.close(ordinal, at_nsec);
        for thread in &mut self.threads {
            if let Some(part) = thread.parts.get_mut(slot) {
                *part = Part::default();
            }
        }
    }

    /// What is known of the tick `ordinal`, once.
    pub fn send(&mut self, ordinal: u64) -> Amounts {
        self.ticks.send(ordinal)
    }

    /// Names what came in since for ticks already sent; those read before `horizon_nsec` may no
    /// longer change.
    pub fn corrections(&mut self, horizon_nsec: u64, changed: impl FnMut(u64, Amounts)) {
        self.ticks.corrections(horizon_nsec, changed);
    }
}

/// Lays `run_nsec` evenly over `since`. The product of wait and the siblings' run grows by the run
/// times the other threads' wait.
fn lay_run(ticks: &mut Ticks, parts: &mut [Part], since: Span, run_nsec: u64) {
    if run_nsec == 0 {
        return;
    }
    let length = u128::from(since.nsec());
    let (mut passed, mut laid) = (0_u128, 0_u64);
    ticks.lay(since, |tick, part| {
        passed += u128::from(part.nsec());
        let due = (u128::from(run_nsec) * passed).checked_div(length);
        let due = due.map_or(run_nsec, |due| u64::try_from(due).unwrap_or(run_nsec));
        let run_nsec = due - laid;
        laid = due;
        let own = &mut parts[tick.slot];
        let others_wait = u128::from(tick.wait_nsec.saturating_sub(own.wait_nsec));
        tick.wait_run_nsec2 += u128::from(run_nsec) * others_wait;
        tick.run_nsec += run_nsec;
        own.run_nsec += run_nsec;
    });
}

/// Lays a wait over its own interval. The product grows by the wait times the other threads' run.
fn lay_wait(ticks: &mut Ticks, parts: &mut [Part], wait: Span) {
    ticks.lay(wait, |tick, part| {
        let own = &mut parts[tick.slot];
        let others_run = u128::from(tick.run_nsec.saturating_sub(own.run_nsec));
        tick.wait_run_nsec2 += u128::from(part.nsec()) * others_run;
        tick.wait_nsec += part.nsec();
        own.wait_nsec += part.nsec();
    });
}

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
