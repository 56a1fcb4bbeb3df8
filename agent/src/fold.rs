//! The threads of one container, folded into four amounts a tick.
//!
//! The kernel's counters are lumpy and late: a thread's wait is added only when it next runs
//! (`sched_info_arrive`), a cgroup's throttled time only when the throttle ends
//! (`unthrottle_cfs_rq`). So an increment d seen at time t is laid back over [t-d, t]:
//!
//! - run R: each increment over the time since the reading before it;
//! - wait W: each increment over the interval in which it happened; that ended somewhere since the
//!   reading before t, which is settled by the throttle that it contains, if there is one;
//! - its throttled part T: for each thread the overlap of its waits with the throttled intervals,
//!   whichever of the two is heard of first. Both are unions: laid back from their readings, two
//!   waits of one thread may overlap, although it cannot wait twice at once. Subtracting the
//!   throttled time once would be wrong for threaded containers: three stopped threads wait three
//!   times as long;
//! - X: the sum over threads of wait x CPUs that the *other* threads used meanwhile: none while a
//!   quota stopped them, else their run in that tick, evenly. A thread never blames itself.
//!
//! What comes in for ticks already sent leaves as corrections. Invariants: over ticks and
//! corrections, R and W add up to the counters' increments exactly, and 0 <= T <= W for each tick
//! and in sum. Pure: no I/O, no clock; and nothing is allocated after a thread was added.

pub mod span;
mod ticks;

pub use ticks::Amounts;
use ticks::Ticks;

use crate::{
    fold::span::{Span, Union},
    host::text::Schedstat,
    limits::Level,
};

/// Throttled intervals kept: one ends per CFS period (100 ms unless somebody chose otherwise), so
/// these are the last 25 s, longer than threads of an oversubscribed container wait.
const THROTTLES: usize = 256;

/// Ticks that are open, correctable or not yet sent: two seconds of the highest rate, one flush, and
/// a few for good measure. Every thread has as many parts, so they are small.
const SLOTS: usize = 224;

/// Waits remembered of each thread, for throttled time that is heard of after them: two seconds of
/// the highest rate. A throttle lasts at most one period, and the kernel allows no longer one than
/// 1 s.
const WAITS: usize = 200;

/// The part of one tick that one thread has. It serves to tell siblings' amounts from its own only;
/// beyond 4.3 s in one tick it is cut.
#[expect(clippy::struct_field_names, reason = "the unit is in the name")]
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    run_nsec: u32,
    wait_nsec: u32,
    throttled_nsec: u32,
}

impl Part {
    fn add(nsec: &mut u32, more_nsec: u64) {
        *nsec = nsec.saturating_add(u32::try_from(more_nsec).unwrap_or(u32::MAX));
    }

    fn contended_nsec(self) -> u64 {
        u64::from(self.wait_nsec.saturating_sub(self.throttled_nsec))
    }
}

/// What the fold knows of one thread.
#[derive(Debug)]
pub struct Thread {
    /// Its counters when it was last read; none before the first reading.
    last: Option<Schedstat>,
    read_nsec: u64,
    waits: Union,
    parts: Box<[Part]>,
}

/// One quota above the container's threads: its own, or an ancestor's.
#[derive(Debug, Clone, Copy)]
struct Quota {
    level: Level,
    /// Throttled time when it was last read; none before the first reading.
    last_usec: Option<u64>,
    /// When it last grew, or was first read.
    grown_nsec: u64,
    /// What the threads had run by then.
    run_nsec: u64,
}

impl Quota {
    /// One that was not read yet.
    fn new(level: Level) -> Self {
        Self { level, last_usec: None, grown_nsec: 0, run_nsec: 0 }
    }

    /// The interval in which `nsec` of throttled time happened. The kernel sums it over CPUs without
    /// saying over how many, but since it last grew each of them was either throttled or ran our
    /// threads: run and throttled time over elapsed time is their number, or 1 where others held
    /// the CPU too. Throttles of one CPU do not overlap, so none reaches back beyond the last one.
    fn grow(&mut self, at_nsec: u64, nsec: u64, run_nsec: u64) -> Span {
        let elapsed = at_nsec.saturating_sub(self.grown_nsec).max(1);
        let held = nsec.saturating_add(run_nsec.saturating_sub(self.run_nsec));
        let cpus = (held.saturating_add(elapsed / 2) / elapsed).max(1);
        let start = at_nsec.saturating_sub(nsec / cpus).max(self.grown_nsec);
        self.grown(at_nsec, run_nsec);
        Span { start, end: at_nsec }
    }

    fn grown(&mut self, at_nsec: u64, run_nsec: u64) {
        (self.grown_nsec, self.run_nsec) = (at_nsec, run_nsec);
    }
}

/// One container in Focus.
#[derive(Debug)]
pub struct Fold {
    ticks: Ticks,
    throttled: Union,
    /// The parts of `throttled` that its own quota made, and that this or its pod's did.
    nearer: [Union; 2],
    /// How long those two and `throttled` are.
    stopped_nsec: [u64; 3],
    quotas: Vec<Quota>,
    threads: Vec<Thread>,
    /// All that they have run since the fold began.
    run_nsec: u64,
}

impl Fold {
    /// A fold from `now_nsec` on, on a node of `cpus` CPUs, for threads under no quota yet.
    pub fn new(now_nsec: u64, cpus: u32) -> Self {
        Self {
            ticks: Ticks::new(now_nsec, SLOTS, cpus),
            throttled: Union::new(THROTTLES),
            nearer: [Union::new(THROTTLES), Union::new(THROTTLES)],
            stopped_nsec: [0; 3],
            quotas: Vec::new(),
            threads: Vec::new(),
            run_nsec: 0,
        }
    }

    /// The threads are under these quotas from here on. Of each the first reading is where counting starts.
    pub fn set_quotas(&mut self, levels: impl Iterator<Item = Level>) {
        self.quotas = levels.map(Quota::new).collect();
    }

    /// For how long quotas have stopped the threads so far: their own, that or their pod's, any.
    pub fn stopped_nsec(&self) -> [u64; 3] {
        self.stopped_nsec
    }

    /// Takes a thread in, as the last one. `started_nsec` is given for a thread that began under our
    /// eyes: then everything that it ever ran and waited counts. Of others the first reading is
    /// where counting starts.
    pub fn add(&mut self, started_nsec: Option<u64>) {
        self.threads.push(Thread {
            last: started_nsec.map(|_| Schedstat { run_nsec: 0, wait_nsec: 0 }),
            read_nsec: started_nsec.unwrap_or(0),
            waits: Union::new(WAITS),
            parts: vec![Part::default(); SLOTS].into_boxed_slice(),
        });
    }

    /// Drops the thread at `index`; the last one takes its place. What it did stays counted.
    pub fn remove(&mut self, index: usize) {
        self.threads.swap_remove(index);
    }

    /// A reading of the thread at `index`. Gives by how much its counters grew.
    pub fn thread(&mut self, index: usize, at_nsec: u64, now: Schedstat) -> Schedstat {
        let Self { ticks, throttled, threads, .. } = self;
        let mut grown = Schedstat { run_nsec: 0, wait_nsec: 0 };
        let Some(thread) = threads.get_mut(index) else { return grown };
        let since = Span { start: thread.read_nsec.min(at_nsec), end: at_nsec };
        thread.read_nsec = at_nsec;
        let Some(last) = thread.last.replace(now) else { return grown };
        grown.run_nsec = now.run_nsec.saturating_sub(last.run_nsec);
        grown.wait_nsec = now.wait_nsec.saturating_sub(last.wait_nsec);
        self.run_nsec = self.run_nsec.saturating_add(grown.run_nsec);
        lay_run(ticks, &mut thread.parts, since, grown.run_nsec);
        let wait = Span::ending(at_nsec, grown.wait_nsec);
        if wait.nsec() > 0 {
            let wait = begun_with_throttle(wait, since.nsec(), throttled);
            lay_wait(ticks, &mut thread.parts, wait);
            let Thread { waits, parts, .. } = thread;
            waits.insert(wait, |fresh| {
                throttled.within(fresh).for_each(|stopped| lay_throttled(ticks, parts, stopped));
            });
        }
        grown
    }

    /// A reading of the throttled time of the quota at `index`.
    pub fn throttled(&mut self, index: usize, at_nsec: u64, now_usec: u64) {
        let Self { ticks, throttled, nearer, stopped_nsec, quotas, threads, run_nsec, .. } = self;
        let Some(quota) = quotas.get_mut(index) else { return };
        let Some(before_usec) = quota.last_usec.replace(now_usec) else {
            // What it stopped before is not counted, so no stop reaches back beyond this.
            quota.grown(at_nsec, *run_nsec);
            return;
        };
        let nsec = now_usec.saturating_sub(before_usec).saturating_mul(1_000);
        if nsec == 0 {
            return;
        }
        let stopped = quota.grow(at_nsec, nsec, *run_nsec);
        let [own_nsec, pod_nsec, any_nsec] = stopped_nsec;
        let [own, pod] = nearer;
        if quota.level == Level::Own {
            own.insert(stopped, |fresh| *own_nsec += fresh.nsec());
        }
        if quota.level <= Level::Pod {
            pod.insert(stopped, |fresh| *pod_nsec += fresh.nsec());
        }
        throttled.insert(stopped, |fresh| {
            *any_nsec += fresh.nsec();
            ticks.lay(fresh, |tick, part| tick.stopped_nsec += part.nsec());
            for Thread { waits, parts, .. } in &mut *threads {
                waits.within(fresh).for_each(|stopped| lay_throttled(ticks, parts, stopped));
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

/// A wait seen now ended at any time since the reading before it, `slack_nsec` ago. It is taken to
/// have ended now, unless it is long enough to contain a throttle which began just before it would
/// have: a thread that is stopped waits through all of the throttle.
fn begun_with_throttle(wait: Span, slack_nsec: u64, throttled: &Union) -> Span {
    let begun = throttled.around(wait.start).filter(|stopped| stopped.nsec() <= wait.nsec());
    let early_nsec = begun.map_or(0, |stopped| wait.start.saturating_sub(stopped.start));
    if early_nsec <= slack_nsec { wait.earlier(early_nsec) } else { wait }
}

/// Lays `run_nsec` evenly over `since`. The product of contended wait and the siblings' run grows
/// by the run times the other threads' contended wait.
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
        let all = tick.wait_nsec.saturating_sub(tick.throttled_nsec);
        let others = all.saturating_sub(own.contended_nsec());
        tick.contended_run_nsec2 += u128::from(run_nsec) * u128::from(others);
        tick.run_nsec += run_nsec;
        Part::add(&mut own.run_nsec, run_nsec);
    });
}

/// Lays a wait over its own interval. The product grows by the wait times the other threads' run.
fn lay_wait(ticks: &mut Ticks, parts: &mut [Part], wait: Span) {
    ticks.lay(wait, |tick, part| {
        let own = &mut parts[tick.slot];
        let others = tick.run_nsec.saturating_sub(own.run_nsec.into());
        tick.contended_run_nsec2 += u128::from(part.nsec()) * u128::from(others);
        tick.wait_nsec += part.nsec();
        Part::add(&mut own.wait_nsec, part.nsec());
    });
}

/// Marks a part of a wait as throttled: it was not contended, so the product shrinks again.
fn lay_throttled(ticks: &mut Ticks, parts: &mut [Part], stopped: Span) {
    ticks.lay(stopped, |tick, part| {
        let own = &mut parts[tick.slot];
        let others = tick.run_nsec.saturating_sub(own.run_nsec.into());
        let product = u128::from(part.nsec()) * u128::from(others);
        tick.contended_run_nsec2 = tick.contended_run_nsec2.saturating_sub(product);
        tick.throttled_nsec += part.nsec();
        Part::add(&mut own.throttled_nsec, part.nsec());
    });
}

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
