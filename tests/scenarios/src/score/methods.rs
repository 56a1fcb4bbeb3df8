//! The ways to judge a trace: Berth's, Berth's with a part left out, and what is done elsewhere.

use berth_core::{
    contention::{Detector, Input, Part, Severity},
    frame::{Limits, Pressure, ThreadUse},
    time::AxisNsec,
    who::Role,
};

use super::{
    baselines,
    finding::{Finding, Said},
};

/// A way to judge a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it ships.
    Berth,
    /// With a part of the detector left out.
    Without(Part),
    /// What its own quota stopped counts as wait for others: run delay as the kernel gives it.
    NoThrottleSplit,
    /// Its own threads are nobody's doing, so that their part falls to others.
    NoOwnThreads,
    /// Who may run where is ignored.
    NoCpusets,
    /// Blame by CPU time alone, however long and at what weight somebody was there.
    NoPresence,
    /// What is heard of late is ignored.
    NoCorrections,
    /// Pressure averaged over 10 s above a tenth; the largest consumer is to blame.
    PressureAverage,
    /// 100 ms of pressure a second for 15 s; blame by shares of CPU time.
    PressureHeld,
    /// Correlation of wait with the suspects' use, at 0.35.
    Correlation,
}

impl Method {
    /// What the product does, and what it does not.
    pub const ALL: [Self; 15] = [
        Self::Berth,
        Self::Without(Part::OwnLoad),
        Self::Without(Part::PressureFile),
        Self::Without(Part::Newcomers),
        Self::Without(Part::SlowPath),
        Self::Without(Part::Entitlement),
        Self::Without(Part::Spared),
        Self::NoThrottleSplit,
        Self::NoOwnThreads,
        Self::NoCpusets,
        Self::NoPresence,
        Self::NoCorrections,
        Self::PressureAverage,
        Self::PressureHeld,
        Self::Correlation,
    ];

    /// As the page calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Berth => "Berth",
            Self::Without(Part::OwnLoad) => "own requests' wait for each other is no load",
            Self::Without(Part::PressureFile) => "few threads seen, no pressure file",
            Self::Without(Part::Newcomers) => "newcomers begin no episode",
            Self::Without(Part::SlowPath) => "without the slow path",
            Self::Without(Part::Entitlement) => "without entitlement",
            Self::Without(Part::Spared) => "all of a wait is added",
            Self::NoThrottleSplit => "wait without throttle subtraction",
            Self::NoOwnThreads => "without the own threads' part",
            Self::NoCpusets => "without physical possibility",
            Self::NoPresence => "blame by CPU time alone, without weights",
            Self::NoCorrections => "without late corrections",
            Self::PressureAverage => "PSI avg10 > 10 % + top consumer",
            Self::PressureHeld => "PSI 100 ms/s for 15 s + CPU share (the blocks are shorter)",
            Self::Correlation => "correlation at 0.35",
        }
    }

    /// What it finds.
    pub(super) fn judge(self, inputs: &[Input]) -> Vec<Finding> {
        match self {
            Self::Berth => detect(inputs.iter().cloned()),
            Self::Without(part) => detect_without(Some(part), inputs.iter().cloned()),
            Self::NoThrottleSplit => {
                let without = |threads: ThreadUse| ThreadUse { throttled_nsec: 0, ..threads };
                detect(inputs.iter().cloned().map(|input| without_stops(with_threads(input, without))))
            }
            Self::NoOwnThreads => {
                let without = |threads: ThreadUse| ThreadUse { sibling_nsec_cpus: 0, ..threads };
                detect(inputs.iter().cloned().map(|input| with_threads(input, without)))
            }
            Self::NoCpusets => detect(inputs.iter().cloned().map(without_cpusets)),
            Self::NoPresence => detect(inputs.iter().cloned().map(without_presence)),
            Self::NoCorrections => {
                detect(inputs.iter().filter(|input| !matches!(input, Input::Late(_))).cloned())
            }
            Self::PressureAverage => baselines::pressure_average(inputs),
            Self::PressureHeld => baselines::pressure_held(inputs),
            Self::Correlation => baselines::correlation(inputs),
        }
    }
}

fn with_threads(mut input: Input, change: impl Fn(ThreadUse) -> ThreadUse) -> Input {
    match &mut input {
        Input::Frame(frame) => {
            frame
                .containers
                .iter_mut()
                .for_each(|container| container.threads = container.threads.map(&change));
        }
        Input::Late(late) => late.add = change(late.add),
        Input::Step(_) | Input::Reset(_) => {}
    }
    input
}

/// Nothing tells what a quota stopped.
fn without_stops(mut input: Input) -> Input {
    if let Input::Frame(frame) = &mut input {
        for container in &mut frame.containers {
            container.throttling = None;
            container.quotas = None;
        }
    }
    input
}

fn without_cpusets(mut input: Input) -> Input {
    if let Input::Frame(frame) = &mut input {
        frame.containers.iter_mut().for_each(|container| container.cpus = None);
    }
    input
}

fn without_presence(mut input: Input) -> Input {
    if let Input::Frame(frame) = &mut input {
        for container in &mut frame.containers {
            // A model's own is what it waits, where its threads are not seen.
            if container.who.role != Role::Model {
                container.pressure =
                    container.pressure.map(|pressure| Pressure { cpu_full_usec: 0, ..pressure });
            }
            container.limits = container.limits.map(|limits| Limits { cpu_weight: None, ..limits });
        }
    }
    input
}

/// The product's own detector; what it says is said at the time of the newest tick.
pub(super) fn detect(inputs: impl Iterator<Item = Input>) -> Vec<Finding> {
    detect_without(None, inputs)
}

fn detect_without(part: Option<Part>, inputs: impl Iterator<Item = Input>) -> Vec<Finding> {
    let mut detector = Detector::without(String::new(), part);
    let mut findings: Vec<(u64, Finding)> = Vec::new();
    let mut now = AxisNsec::default();
    for input in inputs {
        if let Input::Step(at) | Input::Reset(at) = &input {
            now = *at;
        }
        for episode in detector.take(input) {
            let said = Said::of(&episode, now);
            let held = episode.severity >= Severity::Contended;
            match findings.iter_mut().find(|(id, _)| *id == episode.id.0) {
                Some((_, finding)) => {
                    finding.cleared = episode.cleared;
                    finding.held |= held;
                    finding.said.push(said);
                }
                None => findings.push((
                    episode.id.0,
                    Finding {
                        onset: episode.onset,
                        alarm: episode.alarm,
                        told: now,
                        held,
                        cleared: episode.cleared,
                        said: vec![said],
                    },
                )),
            }
        }
    }
    findings.into_iter().map(|(_, finding)| finding).collect()
}
