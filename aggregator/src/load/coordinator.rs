//! Brings workers and runs together: who is free, who runs what, who is told.
//!
//! Invariant: a worker is in one run at most, a target under one run at most, and the number of runs
//! that are kept is bounded. Every method returns at once; time comes in as a value. A run does not
//! need its client: it is kept, and can be watched again, when the client is gone.

use std::{collections::VecDeque, sync::Arc};

use berth::{
    ProtocolError,
    load::{Model, RunSpec},
};
use berth_core::{time::AxisNsec, timeline::Pong};
use tokio::sync::broadcast;
use tonic::Status;

use super::{
    figures::{FinalReport, Second},
    ids::{RunId, Target, WorkerId},
    payloads::Payload,
    run::{Effect, FINAL_GRACE, Run, RunLimits, Snapshot},
    workers::{Duty, Gone, Order, Session, WorkerHello, Workers},
};
use crate::{downlink::Sender, edge::refused, seldom::Seldom};

/// Runs that are kept after their end: a sweep has some dozens of steps.
const RUNS_KEPT: usize = 64;

/// Runs at once: each merges five histograms a second for each of its workers.
const RUNS_AT_ONCE: usize = 8;

/// Connections of one worker: 28,232 ephemeral ports to one destination is the kernel's default
/// (`net.ipv4.ip_local_port_range`), and a closed connection holds its port for a minute. A worker
/// refuses more.
const WORKER_CONNECTIONS: u32 = 20_000;

/// News that a slow watcher may leave unread: a minute.
const NEWS_WAITING: usize = 64;

/// What a watcher is told.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// How the run is now.
    Run(Arc<Snapshot>),
    /// A merged second.
    Second(Arc<Second>),
}

/// Why a run cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartError {
    /// The spec breaks a rule.
    #[error(transparent)]
    Spec(#[from] ProtocolError),
    /// Fewer connections than workers, or more than a worker holds.
    #[error(
        "spec.connections is {connections} over {workers} workers: give each worker from 1 to {WORKER_CONNECTIONS}"
    )]
    Connections {
        /// So many were asked for.
        connections: u32,
        /// Over so many workers.
        workers: u32,
    },
    /// Requests in flight without a connection each, or workers without a request.
    #[error(
        "spec.closed.in_flight is {in_flight} over {workers} workers with {connections} connections: give at \
         least one to each worker, and not more than connections, for each takes one of its own"
    )]
    InFlight {
        /// So many were asked for.
        in_flight: u32,
        /// Over so many connections.
        connections: u32,
        /// Over so many workers.
        workers: u32,
    },
    /// The target is taken.
    #[error("run {run} on {target} goes on: wait for it or stop it")]
    Busy {
        /// By this run.
        run: RunId,
        /// Host and port.
        target: String,
    },
    /// Too few workers.
    #[error(
        "{wanted} load workers are needed, {free} of {connected} connected ones are free: start more berth-loadgen"
    )]
    Workers {
        /// So many are needed.
        wanted: u32,
        /// So many have nothing to do.
        free: usize,
        /// So many are here.
        connected: usize,
    },
    /// Too many runs.
    #[error("{RUNS_AT_ONCE} runs go on already: wait for one or stop it")]
    Runs,
}

/// What a worker reports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Report {
    /// Payload and connections are ready.
    Ready(RunId),
    /// What came in a second.
    Second(RunId, Box<Second>),
    /// The whole part.
    Final(RunId, Box<FinalReport>),
    /// It can't go on.
    Failed(RunId, String),
    /// The answer to a ping that left then.
    Pong(AxisNsec, Pong),
}

#[derive(Debug)]
struct Hosted {
    run: Run,
    target: Target,
    // Held so that the payload is not crowded out while workers still fetch it.
    payload: Option<Arc<Payload>>,
    news: broadcast::Sender<News>,
}

/// Everything about load runs.
#[derive(Debug)]
pub(crate) struct Coordinator {
    limits: RunLimits,
    workers: Workers,
    runs: VecDeque<Hosted>,
    gone_lines: Seldom,
}

impl Coordinator {
    /// Nobody here yet.
    pub(crate) fn new(limits: RunLimits) -> Self {
        Self { limits, workers: Workers::default(), runs: VecDeque::new(), gone_lines: Seldom::default() }
    }

    /// A worker has said hello. `None`: there are too many.
    pub(crate) fn join(&mut self, hello: WorkerHello, link: Sender<Order>, now: AxisNsec) -> Option<Session> {
        let (session, gone) = self.workers.join(hello, link, now);
        self.mourn(gone, now);
        session
    }

    /// A worker's stream has ended, or is to be ended with this status.
    pub(crate) fn leave(&mut self, worker: &WorkerId, session: Session, end: Option<Status>, now: AxisNsec) {
        let gone = self.workers.leave(worker, session, end);
        self.mourn(gone, now);
    }

    /// What a worker said. Errors: it cannot be; its stream is to be closed.
    pub(crate) fn report(
        &mut self,
        worker: &WorkerId,
        session: Session,
        report: Report,
        now: AxisNsec,
    ) -> Result<(), ProtocolError> {
        if !self.workers.heard(worker, session, now) {
            return Ok(());
        }
        let mut result = Ok(());
        match report {
            Report::Pong(ping_sent, pong) => self.workers.pong(worker, ping_sent, pong, now),
            Report::Ready(run) => self.with_run(run, now, |run, effects| run.ready(worker, now, effects)),
            Report::Second(run, second) => self.with_run(run, now, |run, effects| {
                result = run.second(worker, &second, now, effects);
            }),
            Report::Final(run, report) => {
                self.workers.finished(worker, run);
                self.with_run(run, now, |run, effects| run.report(worker, &report, now, effects));
            }
            Report::Failed(run, reason) => {
                self.workers.finished(worker, run);
                self.with_run(run, now, |run, effects| run.lost(worker, &reason, now, effects));
            }
        }
        result
    }

    /// Starts a run.
    pub(crate) fn start(
        &mut self,
        id: RunId,
        spec: RunSpec,
        payload: Arc<Payload>,
        now: AxisNsec,
    ) -> Result<Snapshot, StartError> {
        self.check(&spec)?;
        let target = Target::of(&spec.target_url)?;
        let mut going = self.runs.iter().filter(|hosted| !hosted.run.phase().is_end());
        if let Some(busy) = going.clone().find(|hosted| hosted.target == target) {
            return Err(StartError::Busy { run: busy.run.id(), target: target.to_string() });
        }
        if going.nth(RUNS_AT_ONCE - 1).is_some() {
            return Err(StartError::Runs);
        }
        let (wanted, mut free) = (spec.workers, self.workers.free());
        let count = usize::try_from(wanted).unwrap_or(usize::MAX);
        if free.len() < count {
            return Err(StartError::Workers { wanted, free: free.len(), connected: self.workers.len() });
        }
        free.truncate(count);
        for (worker, _) in &free {
            self.workers.set_duty(worker, Duty::Run(id));
        }
        let members = free.into_iter().map(|(worker, node)| (worker, node.to_string())).collect();
        let (run, effects) = Run::new(id, Arc::new(spec), members, self.limits, now);
        self.make_room();
        let news = broadcast::channel(NEWS_WAITING).0;
        self.runs.push_back(Hosted { run, target, payload: Some(payload), news });
        self.apply(id, effects, now);
        Ok(self.get(id).expect("it was added just now"))
    }

    /// Ends a run. `None`: there is no such run.
    pub(crate) fn stop(&mut self, id: RunId, now: AxisNsec) -> Option<Snapshot> {
        self.with_run(id, now, |run, effects| run.stop(now, effects));
        self.get(id)
    }

    /// A run as it is now. `None`: there is no such run.
    pub(crate) fn get(&self, id: RunId) -> Option<Snapshot> {
        self.runs.iter().find(|hosted| hosted.run.id() == id).map(|hosted| hosted.run.snapshot())
    }

    /// A run as it is now, and what comes. `None`: there is no such run.
    pub(crate) fn watch(&self, id: RunId) -> Option<(Snapshot, broadcast::Receiver<News>)> {
        let hosted = self.runs.iter().find(|hosted| hosted.run.id() == id)?;
        Some((hosted.run.snapshot(), hosted.news.subscribe()))
    }

    /// Workers connected, and runs that go on.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.workers.len(), self.runs.iter().filter(|hosted| !hosted.run.phase().is_end()).count())
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: AxisNsec) {
        let gone = self.workers.tick(now);
        self.mourn(gone, now);
        let going: Vec<RunId> = self.runs.iter().map(|hosted| hosted.run.id()).collect();
        for id in going {
            self.with_run(id, now, |run, effects| run.tick(now, effects));
        }
    }

    /// The rules that depend on the configuration or on several fields. What a worker would refuse
    /// is refused here, before anybody prepares.
    fn check(&self, spec: &RunSpec) -> Result<(), StartError> {
        let limits = &self.limits;
        let RunSpec { connections, workers, .. } = *spec;
        if spec.duration > limits.max_duration {
            let asked = spec.duration.as_secs_f64();
            return Err(refused("spec.duration_sec", asked, "at most load.max_duration_sec").into());
        }
        if connections < workers || connections.div_ceil(workers) > WORKER_CONNECTIONS {
            return Err(StartError::Connections { connections, workers });
        }
        match spec.model {
            Model::Open { ref rate, .. } if rate.max_per_sec() > limits.max_rate_per_sec => {
                let rule = "at most load.max_rate_per_sec";
                Err(refused("spec.open.rate_per_sec", rate.max_per_sec(), rule).into())
            }
            Model::Closed { in_flight } if in_flight < workers || in_flight > connections => {
                Err(StartError::InFlight { in_flight, connections, workers })
            }
            Model::Open { .. } | Model::Closed { .. } => Ok(()),
        }
    }

    fn with_run(&mut self, id: RunId, now: AxisNsec, act: impl FnOnce(&mut Run, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        if let Some(hosted) = self.runs.iter_mut().find(|hosted| hosted.run.id() == id) {
            act(&mut hosted.run, &mut effects);
        }
        self.apply(id, effects, now);
    }

    fn apply(&mut self, id: RunId, effects: Vec<Effect>, now: AxisNsec) {
        let mut gone = Vec::new();
        for effect in effects {
            match effect {
                Effect::Prepare(worker, index, of) => {
                    let run = self.runs.iter().find(|hosted| hosted.run.id() == id);
                    let spec = run.map(|hosted| Arc::clone(hosted.run.spec()));
                    let order = spec.map(|spec| Order::Prepare { run: id, spec, index, of });
                    gone.extend(order.and_then(|order| self.workers.send(&worker, order)));
                }
                Effect::Begin(worker, at) => {
                    let start_nsec = self.workers.at_worker(&worker, at);
                    let order = start_nsec.map(|start_nsec| Order::Begin { run: id, start_nsec });
                    gone.extend(order.and_then(|order| self.workers.send(&worker, order)));
                }
                Effect::Stop(worker) => gone.extend(self.workers.send(&worker, Order::Stop { run: id })),
                Effect::Changed => self.publish(id, now),
                Effect::Second(second) => self.tell(id, News::Second(second)),
            }
        }
        self.mourn(gone, now);
    }

    fn tell(&self, id: RunId, news: News) {
        if let Some(hosted) = self.runs.iter().find(|hosted| hosted.run.id() == id) {
            // Nobody watches: nobody needs to know.
            drop(hosted.news.send(news));
        }
    }

    fn publish(&mut self, id: RunId, now: AxisNsec) {
        let Some(hosted) = self.runs.iter_mut().find(|hosted| hosted.run.id() == id) else { return };
        drop(hosted.news.send(News::Run(Arc::new(hosted.run.snapshot()))));
        if hosted.run.phase().is_end() {
            hosted.payload = None;
            let drained = now + hosted.run.spec().drain + FINAL_GRACE;
            // Before the start there is nothing to drain, so nothing to wait for.
            let duty = if hosted.run.began() { Duty::Leaving(id, drained) } else { Duty::Idle };
            self.workers.release(id, duty);
        }
    }

    fn mourn(&mut self, gone: impl IntoIterator<Item = Gone>, now: AxisNsec) {
        for gone in gone {
            if let Some(left_out) = self.gone_lines.due(now) {
                tracing::info!(worker = %gone.worker, why = gone.why, left_out, "load worker gone");
            }
            if let Some(run) = gone.run {
                self.with_run(run, now, |run, effects| run.lost(&gone.worker, gone.why, now, effects));
            }
        }
    }

    fn make_room(&mut self) {
        while self.runs.len() >= RUNS_KEPT {
            match self.runs.iter().position(|hosted| hosted.run.phase().is_end()) {
                Some(at) => drop(self.runs.remove(at)),
                None => return,
            }
        }
    }
}
