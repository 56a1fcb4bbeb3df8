//! One CPU with always-runnable threads, whose counters are as lumpy as the kernel's.
//!
//! A thread's wait is added when it next runs, throttled time when the throttle ends, and the run
//! of a thread that is on the CPU only at the kernel's tick (HZ=250). The cgroup and the hog outside
//! it share the CPU evenly. Deterministic.

use std::collections::VecDeque;

use crate::{clock::SECOND_NSEC, host::text::Schedstat};

const STEP_NSEC: u64 = 100_000;
const KERNEL_TICK_NSEC: u64 = 4_000_000;
/// Slices differ a little, so that nothing beats with the period.
const SLICES_NSEC: [u64; 4] = [3_000_000, 3_600_000, 4_000_000, 3_300_000];
pub(super) const PERIOD_NSEC: u64 = 100_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    Thread(usize),
    Hog,
    Nobody,
}

#[expect(clippy::struct_field_names, reason = "the unit is in the name")]
#[derive(Clone, Copy, Default)]
struct SimulatedThread {
    run_nsec: u64,
    shown_run_nsec: u64,
    wait_nsec: u64,
    queued_nsec: u64,
}

pub(super) struct Simulator {
    pub(super) now_nsec: u64,
    quota_nsec: Option<u64>,
    hog: bool,
    threads: Vec<SimulatedThread>,
    queue: VecDeque<usize>,
    running: Running,
    slice_left_nsec: u64,
    slices: usize,
    used_nsec: u64,
    throttled_since: Option<u64>,
    pub(super) throttled_nsec: u64,
    /// How much more of the CPU the cgroup has had than the hog.
    lead_nsec: i64,
    /// The hog's run while the cgroup was not throttled: only then does it hurt.
    pub(super) hog_contending_nsec: u64,
}

impl Simulator {
    pub(super) fn new(threads: usize, quota_nsec: Option<u64>, hog: bool, start_nsec: u64) -> Self {
        let fresh = SimulatedThread { queued_nsec: start_nsec, ..SimulatedThread::default() };
        Self {
            now_nsec: start_nsec,
            quota_nsec,
            hog,
            threads: vec![fresh; threads],
            queue: (0..threads).collect(),
            running: Running::Nobody,
            slice_left_nsec: 0,
            slices: 0,
            used_nsec: 0,
            throttled_since: None,
            throttled_nsec: 0,
            lead_nsec: 0,
            hog_contending_nsec: 0,
        }
    }

    pub(super) fn schedstat(&self, thread: usize) -> Schedstat {
        let SimulatedThread { shown_run_nsec, wait_nsec, .. } = self.threads[thread];
        Schedstat { run_nsec: shown_run_nsec, wait_nsec }
    }

    fn stop_running(&mut self, to_front: bool) {
        if let Running::Thread(index) = self.running {
            let thread = &mut self.threads[index];
            thread.shown_run_nsec = thread.run_nsec;
            thread.queued_nsec = self.now_nsec;
            if to_front { self.queue.push_front(index) } else { self.queue.push_back(index) }
        }
        self.running = Running::Nobody;
    }

    fn pick(&mut self) {
        let contend = self.throttled_since.is_none();
        self.running = if contend && (!self.hog || self.lead_nsec <= 0) {
            let index = self.queue.pop_front().unwrap();
            self.threads[index].wait_nsec += self.now_nsec - self.threads[index].queued_nsec;
            Running::Thread(index)
        } else if self.hog {
            Running::Hog
        } else {
            Running::Nobody
        };
        self.slice_left_nsec = SLICES_NSEC[self.slices % SLICES_NSEC.len()];
        self.slices += 1;
    }

    fn start_period(&mut self) {
        self.used_nsec = 0;
        if let Some(since) = self.throttled_since.take() {
            self.throttled_nsec += self.now_nsec - since;
            self.lead_nsec = 0;
            self.stop_running(false);
        }
    }

    pub(super) fn run_until(&mut self, end_nsec: u64) {
        while self.now_nsec < end_nsec {
            if self.now_nsec.is_multiple_of(PERIOD_NSEC) {
                self.start_period();
            }
            if self.slice_left_nsec == 0 || self.running == Running::Nobody {
                self.stop_running(false);
                self.pick();
            }
            self.now_nsec += STEP_NSEC;
            self.slice_left_nsec = self.slice_left_nsec.saturating_sub(STEP_NSEC);
            self.account();
        }
    }

    fn account(&mut self) {
        let step = STEP_NSEC.cast_signed();
        match self.running {
            Running::Thread(index) => {
                self.threads[index].run_nsec += STEP_NSEC;
                if self.now_nsec.is_multiple_of(KERNEL_TICK_NSEC) {
                    self.threads[index].shown_run_nsec = self.threads[index].run_nsec;
                }
                self.lead_nsec += step;
                self.used_nsec += STEP_NSEC;
                if self.quota_nsec.is_some_and(|quota| self.used_nsec >= quota) {
                    self.throttled_since = Some(self.now_nsec);
                    self.stop_running(true);
                }
            }
            Running::Hog if self.throttled_since.is_none() => {
                self.lead_nsec -= step;
                self.hog_contending_nsec += STEP_NSEC;
            }
            Running::Hog | Running::Nobody => {}
        }
    }
}

/// Boot was a while ago.
pub(super) const START_NSEC: u64 = 1_000 * SECOND_NSEC;
