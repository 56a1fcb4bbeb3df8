//! Load runs: clients start them, workers send, the aggregator brings them together.
//!
//! A worker dials in and waits; a run goes PREPARE, READY of all, one start time on the aggregator's
//! axis, merged seconds, final reports, done. Invariant: percentiles come from merged histograms
//! only, and a figure that could not be checked is never called good. The state ([`coordinator`],
//! [`run`]) is pure; [`service`] and [`worker_link`] are its edges.

mod coordinator;
mod figures;
mod ids;
mod payloads;
mod run;
mod service;
mod wire_form;
mod worker_link;
mod workers;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use coordinator::Coordinator;
use payloads::{Payloads, STORE_BYTES};
pub(crate) use run::RunLimits;
pub(crate) use service::LoadService;
pub(crate) use worker_link::WorkerService;

use crate::{
    clock::Clock,
    seldom::Seldom,
    tasks::{Stop, Tasks},
};

/// How often deadlines and pings are looked at: a tenth of the shortest of them.
const TICK: Duration = Duration::from_millis(100);

/// All load, shared by its services.
#[derive(Debug)]
pub(crate) struct Load {
    clock: Clock,
    coordinator: Mutex<Coordinator>,
    payloads: Mutex<Payloads>,
    closed_lines: Seldom,
    tasks: Tasks,
    stop: Stop,
}

/// How much load there is now, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoadSizes {
    /// Workers connected.
    pub(crate) workers: usize,
    /// Runs that go on.
    pub(crate) runs: usize,
    /// Payloads kept.
    pub(crate) payload_bytes: usize,
}

impl Load {
    /// No worker, no run.
    pub(crate) fn new(limits: RunLimits, clock: Clock, tasks: Tasks, stop: Stop) -> Self {
        Self {
            clock,
            coordinator: Mutex::new(Coordinator::new(limits)),
            payloads: Mutex::new(Payloads::new(STORE_BYTES)),
            closed_lines: Seldom::default(),
            tasks,
            stop,
        }
    }

    /// Keeps time for the runs, for ever.
    pub(crate) async fn keep_time(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.coordinator().tick(self.clock.now());
        }
    }

    /// How much there is now.
    pub(crate) fn sizes(&self) -> LoadSizes {
        let (workers, runs) = self.coordinator().sizes();
        LoadSizes { workers, runs, payload_bytes: self.payloads().bytes() }
    }

    // A panic under a lock is a bug that the panicking task has reported; each method leaves the
    // state usable at every step, so the others go on.
    fn coordinator(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn payloads(&self) -> MutexGuard<'_, Payloads> {
        self.payloads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
