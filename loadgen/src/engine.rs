//! The engine's thread: releases requests when they are due, keeps enough connections open, and cuts
//! the run into seconds.
//!
//! Invariant: nothing here waits for an answer. A target that stalls delays what it answers, and
//! never when the next request is sent. One thread shares nothing with another: a second engine
//! thread would be a second stripe.

use std::collections::BTreeMap;
use std::io;
use std::iter::Peekable;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alarm::{Alarm, sharpen_timers};
use crate::answer::ErrorClass;
use crate::clock::{MonoNanos, NANOS_PER_SEC};
use crate::connection;
use crate::error::LoadError;
use crate::plan::Plan;
use crate::report::Report;
use crate::schedule::{Arrival, Arrivals};
use crate::shard::Shard;
use crate::spec::{Pace, Spec};
use crate::tally::{Interval, Phase, Totals};
use berth::Latencies;

/// From readiness to the first request of a run that starts at once: enough to arm the timer, so
/// that the first request is not late.
const START_LEAD_NANOS: u64 = 2_000_000;

/// When a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// As soon as the engine is ready.
    Now,
    /// At this time, which must not have passed: several workers start together.
    At(MonoNanos),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// At its time.
    Completed,
    /// It was stopped.
    Stopped,
}

/// A run that took place.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// When the first request was due.
    pub start: MonoNanos,
    /// The sum of its intervals.
    pub totals: Totals,
    /// How long the requests without an end had been due when the drain ended.
    pub censored_age: Latencies,
    /// The first error of each class, in words.
    pub examples: BTreeMap<ErrorClass, String>,
}

/// What the engine's thread is given.
pub(crate) struct Order {
    pub(crate) spec: Spec,
    pub(crate) plan: Plan,
    pub(crate) start: StartAt,
    pub(crate) events: mpsc::Sender<Interval>,
    pub(crate) stop: CancellationToken,
}

/// The body of the engine's thread. When nobody waits for the result any more, the run ends.
pub(crate) fn thread(order: Order, mut result: oneshot::Sender<Result<Outcome, LoadError>>) {
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            // A receiver that has gone needs no answer.
            let _unread = result.send(Err(LoadError::Setup(error)));
            return;
        }
    };
    let run = async move {
        let outcome = tokio::select! {
            outcome = run(order) => outcome,
            () = result.closed() => return,
        };
        let _unread = result.send(outcome);
    };
    runtime.block_on(async {
        // As a task the engine is woken within the thread; the future given to `block_on` would be
        // woken through a system call each time.
        let mut engine = JoinSet::new();
        engine.spawn_local(run);
        // A panic has dropped the sender of the result, which says so.
        let _panicked = engine.join_next().await;
    });
}

async fn run(order: Order) -> Result<Outcome, LoadError> {
    let Order { spec, plan, start, events, stop } = order;
    sharpen_timers().map_err(LoadError::Setup)?;
    let alarm = Alarm::new().map_err(LoadError::Setup)?;
    let now = MonoNanos::now();
    let start = match start {
        StartAt::Now => now.plus(START_LEAD_NANOS),
        StartAt::At(start) if start < now => {
            return Err(LoadError::LateStart { late: Duration::from_nanos(now.since(start)) });
        }
        StartAt::At(start) => start,
    };
    let (shard, arrivals) = match &spec.pace {
        Pace::Open(schedule) => {
            (Shard::open(), Some(Arrivals::new(schedule.clone(), spec.stripe).peekable()))
        }
        Pace::Closed { .. } => (Shard::closed(spec.stripe, spec.requests), None),
    };
    let report = Report::new(events, start);
    let connections = JoinSet::new();
    Engine { spec, plan: Rc::new(plan), shard, alarm, connections, report, start, arrivals }.run(&stop).await
}

struct Engine {
    spec: Spec,
    plan: Rc<Plan>,
    shard: Rc<Shard>,
    alarm: Alarm,
    connections: JoinSet<()>,
    report: Report,
    start: MonoNanos,
    /// What is not due yet, of an open run.
    arrivals: Option<Peekable<Arrivals>>,
}

impl Engine {
    async fn run(mut self, stop: &CancellationToken) -> Result<Outcome, LoadError> {
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ended::Stopped,
            started = self.alarm.until(self.start) => {
                started.map_err(LoadError::Setup)?;
                self.load(stop).await.map_err(LoadError::Setup)?
            }
        };
        self.shard.stop_issuing();
        if ended == Ended::Stopped {
            self.shard.censor_waiting();
        }
        self.report.cut(&self.shard, Phase::Load, MonoNanos::now().max(self.start));
        if self.shard.outstanding() > 0 {
            self.drain().await.map_err(LoadError::Setup)?;
        }
        let Self { shard, report, start, .. } = self;
        let totals = report.finish().await;
        let (censored_age, examples) = (shard.censored_age(), shard.examples());
        Ok(Outcome { ended, start, totals, censored_age, examples })
    }

    /// Sends until the run's time is over.
    async fn load(&mut self, stop: &CancellationToken) -> io::Result<Ended> {
        if let Pace::Closed { in_flight } = self.spec.pace {
            (0..in_flight).for_each(|_| self.open());
        }
        let end = self.start.plus(nanos(self.spec.duration));
        let mut next_cut = self.next_second(self.start);
        let stopped = stop.cancelled();
        tokio::pin!(stopped);
        loop {
            let now = MonoNanos::now();
            let next_due = self.release(now);
            if now >= end {
                return Ok(Ended::Completed);
            }
            if now >= next_cut {
                self.report.second(&self.shard, Phase::Load, now);
                next_cut = self.next_second(now);
            }
            tokio::select! {
                biased;
                woken = self.alarm.until(next_due.unwrap_or(end).min(next_cut).min(end)) => {
                    woken?;
                }
                Some(closed) = self.connections.join_next() => {
                    rethrow(closed);
                    self.replace();
                }
                // A run of a number of requests is over with the last answer.
                () = self.shard.quiet() => return Ok(Ended::Completed),
                () = &mut stopped => return Ok(Ended::Stopped),
            }
        }
    }

    /// Waits for answers, not longer than the grace; what has none then is censored.
    async fn drain(&mut self) -> io::Result<()> {
        let began = MonoNanos::now();
        let end = began.plus(nanos(self.spec.drain));
        let mut next_cut = self.next_second(began);
        loop {
            let now = MonoNanos::now();
            if now >= end || self.shard.outstanding() == 0 {
                break;
            }
            if now >= next_cut {
                self.report.second(&self.shard, Phase::Drain, now);
                next_cut = self.next_second(now);
            }
            tokio::select! {
                biased;
                () = self.shard.quiet() => {}
                woken = self.alarm.until(next_cut.min(end)) => {
                    woken?;
                }
                Some(closed) = self.connections.join_next() => {
                    rethrow(closed);
                    if self.shard.is_waited_for() {
                        self.place();
                    }
                }
            }
        }
        // Dropping a connection drops the ticket of its request in flight.
        self.connections.shutdown().await;
        self.shard.censor_waiting();
        self.report.cut(&self.shard, Phase::Drain, MonoNanos::now());
        Ok(())
    }

    /// The next whole second of the run: one that was slept through has no interval of its own.
    fn next_second(&self, now: MonoNanos) -> MonoNanos {
        let seconds = now.since(self.start) / NANOS_PER_SEC + 1;
        self.start.plus(seconds * NANOS_PER_SEC)
    }

    /// Offers every request that is due; returns when the next one will be.
    fn release(&mut self, now: MonoNanos) -> Option<MonoNanos> {
        while let Some(arrival) = self.next_due(now) {
            if self.shard.offer(arrival.k, self.start.plus(arrival.due_nanos), now) {
                self.place();
            }
        }
        let next = self.arrivals.as_mut()?.peek();
        if next.is_none() && self.spec.requests < u64::MAX {
            self.shard.stop_issuing();
        }
        next.map(|arrival| self.start.plus(arrival.due_nanos))
    }

    fn next_due(&mut self, now: MonoNanos) -> Option<Arrival> {
        let start = self.start;
        self.arrivals.as_mut()?.next_if(|arrival| start.plus(arrival.due_nanos) <= now)
    }

    /// Finds a connection for a request that waits: an idle one, or a new one while there may be
    /// more. Else the next one that has answered takes it.
    fn place(&mut self) {
        let open = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        if !self.shard.wake_idle() && open < self.spec.connections {
            self.open();
        }
    }

    /// A connection has closed: a closed run needs another, an open one if somebody waits.
    fn replace(&mut self) {
        match self.spec.pace {
            Pace::Open(_) if self.shard.is_waited_for() => self.place(),
            Pace::Closed { .. } if self.shard.is_issuing() => self.open(),
            Pace::Open(_) | Pace::Closed { .. } => {}
        }
    }

    fn open(&mut self) {
        self.connections.spawn_local(connection::serve(Rc::clone(&self.shard), Rc::clone(&self.plan)));
    }
}

/// A panic in a connection is a bug, and ends the run.
fn rethrow(closed: Result<(), tokio::task::JoinError>) {
    if let Err(error) = closed
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("every duration of a Spec is at most an hour")
}
