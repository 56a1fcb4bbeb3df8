//! One load run, from PREPARE to the merged result, as a state machine.
//!
//! Invariant: a run always ends: every state but the last has a deadline, and whoever is missing at
//! it is named. What the workers sent is merged exactly and in order; a worker's final report must
//! equal the sum of its intervals. Pure: no clock, no network; what is to be done comes out as
//! [`Effect`]s.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use berth::{
    ProtocolError,
    load::{Model, OnLoss, RunSpec},
};
use berth_core::time::AxisNsec;

use super::{
    figures::{Figures, FinalReport, Generator, GeneratorVerdict, Second},
    ids::{RunId, WorkerId},
};
use crate::edge::refused;

/// From the last READY to the first send: long enough for Begin to reach every worker through a
/// busy network, short enough not to be waited for.
const START_LEAD: Duration = Duration::from_secs(1);

/// From the end of the drain to the final report: a report is a message, and a message that takes
/// this long will not come.
pub(crate) const FINAL_GRACE: Duration = Duration::from_secs(10);

/// Intervals of which some worker's part is missing yet: a worker this many seconds behind the
/// others is lost.
const SECONDS_BEHIND: usize = 16;

/// How far a worker's clock of the run may be ahead of ours before its interval is not believed.
const SECONDS_AHEAD: u64 = 5;

/// A closed model goes as fast as the target answers; this far over the cap is no rounding.
const RATE_TOLERANCE: f64 = 1.1;

/// The longest reason that a run gives: some sentences.
const REASON_BYTES: usize = 1_024;

/// What the configuration allows a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RunLimits {
    /// Requests a second, over all workers.
    pub(crate) max_rate_per_sec: f64,
    /// How long requests are sent.
    pub(crate) max_duration: Duration,
    /// From PREPARE to the last READY.
    pub(crate) prepare: Duration,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Workers fetch the payload and dial the target.
    Preparing,
    /// A start time is set, or they are sending.
    Running,
    /// As before, but told to stop.
    Stopping,
    /// Ended on its own.
    Done,
    /// Something failed or somebody is missing.
    Failed,
    /// Stopped by a person.
    Stopped,
}

impl Phase {
    /// Nothing more will happen.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Stopped)
    }
}

/// What the run wants done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Send PREPARE; this worker's place among so many.
    Prepare(WorkerId, u32, u32),
    /// Send BEGIN for this time of the axis.
    Begin(WorkerId, AxisNsec),
    /// Send STOP.
    Stop(WorkerId),
    /// Tell the watchers how the run is now.
    Changed,
    /// Tell the watchers a merged second.
    Second(Arc<Second>),
}

/// A worker's part in a run.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Who.
    pub(crate) id: WorkerId,
    /// Where.
    pub(crate) node: String,
    /// It was lost before its final report.
    pub(crate) lost: bool,
    ready: bool,
    reported: bool,
    next_seq: u64,
    intervals: u64,
    sum: Figures,
}

impl Member {
    fn is_out(&self) -> bool {
        self.lost || self.reported
    }
}

/// A load run.
#[derive(Debug)]
pub(crate) struct Run {
    id: RunId,
    spec: Arc<RunSpec>,
    limits: RunLimits,
    phase: Phase,
    until: AxisNsec,
    members: Vec<Member>,
    pending: BTreeMap<u64, Second>,
    emitted: u64,
    totals: Figures,
    verdict: GeneratorVerdict,
    doubts: String,
    reason: String,
    started: Option<AxisNsec>,
    ended: Option<AxisNsec>,
}

/// A run as it was at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Which.
    pub(crate) id: RunId,
    /// What was asked for.
    pub(crate) spec: Arc<RunSpec>,
    /// How far it has come.
    pub(crate) phase: Phase,
    /// Why it failed.
    pub(crate) reason: String,
    /// The first send.
    pub(crate) started: Option<AxisNsec>,
    /// When it ended.
    pub(crate) ended: Option<AxisNsec>,
    /// Id, node, lost.
    pub(crate) workers: Vec<(WorkerId, String, bool)>,
    /// So far, merged.
    pub(crate) totals: Figures,
    /// `None` until it has ended.
    pub(crate) generator: Option<Generator>,
}

fn append(text: &mut String, more: &str) {
    let separator = if text.is_empty() { "" } else { "; " };
    if text.len() + separator.len() + more.len() <= REASON_BYTES {
        text.push_str(separator);
        text.push_str(more);
    }
}

impl Run {
    /// A run on these workers, told to prepare.
    pub(crate) fn new(
        id: RunId,
        spec: Arc<RunSpec>,
        workers: Vec<(WorkerId, String)>,
        limits: RunLimits,
        now: AxisNsec,
    ) -> (Self, Vec<Effect>) {
        let member = |(id, node)| Member {
            id,
            node,
            lost: false,
            ready: false,
            reported: false,
            next_seq: 0,
            intervals: 0,
            sum: Figures::default(),
        };
        let members: Vec<Member> = workers.into_iter().map(member).collect();
        let of = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let prepare =
            members.iter().zip(0..).map(|(member, index)| Effect::Prepare(member.id.clone(), index, of));
        let effects = prepare.collect();
        let run = Self {
            id,
            spec,
            limits,
            phase: Phase::Preparing,
            until: now + limits.prepare,
            members,
            pending: BTreeMap::new(),
            emitted: 0,
            totals: Figures::default(),
            verdict: GeneratorVerdict::Ok,
            doubts: String::new(),
            reason: String::new(),
            started: None,
            ended: None,
        };
        (run, effects)
    }

    /// Which.
    pub(crate) fn id(&self) -> RunId {
        self.id
    }

    /// What was asked for.
    pub(crate) fn spec(&self) -> &Arc<RunSpec> {
        &self.spec
    }

    /// How far it has come.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// It was told to begin, so its workers have something to drain.
    pub(crate) fn began(&self) -> bool {
        self.started.is_some()
    }

    /// Those that still owe a final report.
    fn owing(&self) -> impl Iterator<Item = &WorkerId> {
        self.members.iter().filter(|member| !member.is_out()).map(|member| &member.id)
    }

    /// As it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let worker = |member: &Member| (member.id.clone(), member.node.clone(), member.lost);
        Snapshot {
            id: self.id,
            spec: Arc::clone(&self.spec),
            phase: self.phase,
            reason: self.reason.clone(),
            started: self.started,
            ended: self.ended,
            workers: self.members.iter().map(worker).collect(),
            totals: self.totals.clone(),
            generator: self
                .phase
                .is_end()
                .then(|| Generator { verdict: self.verdict, reason: self.doubts.clone() }),
        }
    }

    /// A worker is ready; the last one sets the start time.
    pub(crate) fn ready(&mut self, worker: &WorkerId, now: AxisNsec, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Preparing {
            return;
        }
        if let Some(member) = self.members.iter_mut().find(|member| member.id == *worker) {
            member.ready = true;
        }
        if self.members.iter().all(|member| member.ready) {
            let start = now + START_LEAD;
            self.phase = Phase::Running;
            self.started = Some(start);
            self.until = start + self.spec.duration + self.spec.drain + FINAL_GRACE;
            effects.extend(self.members.iter().map(|member| Effect::Begin(member.id.clone(), start)));
            effects.push(Effect::Changed);
        }
    }

    /// A worker's second. A repeated one is passed over; what skips some makes the run invalid.
    /// Errors: it cannot have happened yet.
    pub(crate) fn second(
        &mut self,
        worker: &WorkerId,
        second: &Second,
        now: AxisNsec,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ProtocolError> {
        if self.phase.is_end() {
            return Ok(());
        }
        let elapsed = self.started.map(|started| now.since(started).as_secs());
        if elapsed.is_none_or(|elapsed| second.seq > elapsed + SECONDS_AHEAD) {
            return Err(refused("interval.seq", second.seq, "of a second that has been"));
        }
        let Some(at) = self.members.iter().position(|member| member.id == *worker && !member.is_out()) else {
            return Ok(());
        };
        let member = &mut self.members[at];
        if second.seq < member.next_seq {
            return Ok(());
        }
        if second.seq > member.next_seq {
            self.verdict = GeneratorVerdict::Invalid;
            append(&mut self.doubts, &format!("{worker} skipped interval {}", member.next_seq));
        }
        member.next_seq = second.seq + 1;
        member.intervals += 1;
        member.sum.add(&second.figures);
        self.totals.add(&second.figures);
        match self.pending.entry(second.seq) {
            Entry::Vacant(entry) => drop(entry.insert(second.clone())),
            Entry::Occupied(mut entry) => entry.get_mut().add(second),
        }
        self.emit(now, effects);
        self.leave_stragglers(now, effects);
        Ok(())
    }

    /// A worker's whole part. It must equal the sum of the worker's intervals.
    pub(crate) fn report(
        &mut self,
        worker: &WorkerId,
        report: &FinalReport,
        now: AxisNsec,
        effects: &mut Vec<Effect>,
    ) {
        let going = matches!(self.phase, Phase::Running | Phase::Stopping);
        let found = self.members.iter_mut().find(|member| member.id == *worker && !member.is_out());
        let Some(member) = found.filter(|_| going) else { return };
        member.reported = true;
        let sum = std::mem::take(&mut member.sum);
        let broken = if report.intervals == member.intervals {
            sum.difference(&report.figures)
        } else {
            Some("number of intervals")
        };
        if let Some(figure) = broken {
            self.doubt(
                GeneratorVerdict::Invalid,
                &format!("the final report of {worker} is not the sum of its intervals: {figure}"),
            );
        }
        if report.generator.verdict != GeneratorVerdict::Ok {
            self.doubt(report.generator.verdict, &format!("{worker}: {}", report.generator.reason));
        }
        self.settle(now, effects);
    }

    /// A worker is gone or gives up.
    pub(crate) fn lost(&mut self, worker: &WorkerId, why: &str, now: AxisNsec, effects: &mut Vec<Effect>) {
        let found = self.members.iter_mut().find(|member| member.id == *worker && !member.is_out());
        let Some(member) = found.filter(|_| !self.phase.is_end()) else { return };
        member.lost = true;
        let story = format!("worker {worker} was lost: {why}");
        let degrade = self.spec.on_loss == OnLoss::Degrade && self.phase == Phase::Running;
        if degrade || self.phase == Phase::Stopping {
            self.doubt(GeneratorVerdict::Limited, &story);
            effects.push(Effect::Changed);
            self.settle(now, effects);
        } else {
            self.fail(&story, now, effects);
        }
    }

    /// A person wants it to end.
    pub(crate) fn stop(&mut self, now: AxisNsec, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Preparing => {
                effects.extend(self.owing().map(|worker| Effect::Stop(worker.clone())));
                self.end(Phase::Stopped, now, effects);
            }
            Phase::Running => {
                self.phase = Phase::Stopping;
                self.until = now + self.spec.drain + FINAL_GRACE;
                effects.extend(self.owing().map(|worker| Effect::Stop(worker.clone())));
                effects.push(Effect::Changed);
            }
            Phase::Stopping | Phase::Done | Phase::Failed | Phase::Stopped => {}
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: AxisNsec, effects: &mut Vec<Effect>) {
        if now < self.until || self.phase.is_end() {
            return;
        }
        if self.phase == Phase::Preparing {
            let missing: Vec<_> =
                self.members.iter().filter(|member| !member.ready).map(|member| member.id.as_str()).collect();
            let waited = self.limits.prepare.as_secs_f64();
            self.fail(&format!("not ready within {waited} s: {}", missing.join(", ")), now, effects);
            return;
        }
        let owing: Vec<WorkerId> = self.owing().cloned().collect();
        for worker in owing {
            self.lost(&worker, "no final report", now, effects);
        }
    }

    fn doubt(&mut self, verdict: GeneratorVerdict, why: &str) {
        self.verdict = self.verdict.max(verdict);
        append(&mut self.doubts, why);
    }

    /// Hands out the seconds to which nobody can add any more.
    fn emit(&mut self, now: AxisNsec, effects: &mut Vec<Effect>) {
        let live = self.members.iter().filter(|member| !member.is_out());
        let whole = live.map(|member| member.next_seq).min().unwrap_or(u64::MAX);
        while let Some(entry) = self.pending.first_entry().filter(|entry| *entry.key() < whole) {
            let mut second = entry.remove();
            second.seq = self.emitted;
            self.emitted += 1;
            let too_fast = self.over_the_cap(&second);
            effects.push(Effect::Second(Arc::new(second)));
            if too_fast && self.phase == Phase::Running {
                let cap = self.limits.max_rate_per_sec;
                self.fail(&format!("more than load.max_rate_per_sec, {cap}, was sent"), now, effects);
            }
        }
    }

    /// A closed model's rate is known only once it was sent.
    fn over_the_cap(&self, second: &Second) -> bool {
        let seconds = Duration::from_nanos(second.to_nsec.saturating_sub(second.from_nsec)).as_secs_f64();
        let cap = self.limits.max_rate_per_sec * RATE_TOLERANCE * seconds.max(1.0);
        matches!(self.spec.model, Model::Closed { .. }) && second.figures.counts.sent as f64 > cap
    }

    /// Gives up on those who are too far behind the others to wait for.
    fn leave_stragglers(&mut self, now: AxisNsec, effects: &mut Vec<Effect>) {
        while self.pending.len() > SECONDS_BEHIND && !self.phase.is_end() {
            let live = self.members.iter().filter(|member| !member.is_out());
            let Some(slowest) = live.min_by_key(|member| member.next_seq).map(|member| member.id.clone())
            else {
                return;
            };
            self.lost(&slowest, &format!("it is {SECONDS_BEHIND} s behind the others"), now, effects);
            self.emit(now, effects);
        }
    }

    /// Ends the run once nobody owes a report.
    fn settle(&mut self, now: AxisNsec, effects: &mut Vec<Effect>) {
        self.emit(now, effects);
        if self.phase.is_end() || self.owing().next().is_some() {
            return;
        }
        let stopped = self.phase == Phase::Stopping;
        if self.members.iter().all(|member| member.lost) && !stopped {
            let doubts = self.doubts.clone();
            self.fail(&doubts, now, effects);
        } else {
            self.end(if stopped { Phase::Stopped } else { Phase::Done }, now, effects);
        }
    }

    fn fail(&mut self, reason: &str, now: AxisNsec, effects: &mut Vec<Effect>) {
        append(&mut self.reason, reason);
        effects.extend(self.owing().map(|worker| Effect::Stop(worker.clone())));
        self.doubt(GeneratorVerdict::Invalid, "the run failed");
        self.end(Phase::Failed, now, effects);
    }

    fn end(&mut self, phase: Phase, now: AxisNsec, effects: &mut Vec<Effect>) {
        self.phase = phase;
        self.ended = Some(now);
        self.pending.clear();
        for member in &mut self.members {
            member.sum = Figures::default();
        }
        effects.push(Effect::Changed);
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
