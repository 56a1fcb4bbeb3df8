//! A trial with its label and its trace.

use std::{fs, path::Path};

use anyhow::Context as _;
use berth_core::{
    contention::{Detector, Input},
    time::AxisNsec,
};

use super::{figure::mean, finding::owner};
use crate::{
    blocks::Phase,
    result::{self, BlockDone, DEFAULT_SAMPLE_HZ, Half, Outcome, Share},
    soak::{self, Soak},
    trace,
};

/// At least this much slower, by the interval's lower end, is hurt ...
const POSITIVE_LO: f64 = 1.10;

/// ... and at most this much, by its upper end, is not; between them nothing is claimed.
const NEGATIVE_HI: f64 = 1.05;

/// From here on a miss counts against recall.
pub(super) const STRONG: f64 = 1.25;

/// What the label says of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The victim was hurt.
    Positive,
    /// It was not.
    Negative,
    /// The interval allows both, or there is none.
    Grey,
}

/// One trial, ready to be judged.
#[derive(Debug)]
pub struct Labelled {
    /// Its result file.
    pub outcome: Outcome,
    /// The detector's input, as recorded.
    pub inputs: Vec<Input>,
}

impl Labelled {
    /// What its measured slowdown says. Trials with nothing to switch are negative by their halves.
    pub fn truth(&self) -> Truth {
        match self.outcome.slowdown {
            Some(slowdown) if slowdown.lo >= POSITIVE_LO => Truth::Positive,
            Some(slowdown) if slowdown.hi <= NEGATIVE_HI => Truth::Negative,
            _ => Truth::Grey,
        }
    }

    /// The measured slowdown; 1 where there is none.
    pub(super) fn slowdown(&self) -> f64 {
        self.outcome.slowdown.map_or(1.0, |slowdown| slowdown.estimate)
    }

    /// What the detector tells of the victim's slowdown just before the first switch: what it waits for then
    /// is in the on blocks too, and no part of a label that is a ratio of on to off. 1 where nothing is told.
    pub(super) fn slowdown_before(&self) -> f64 {
        let is_switched = |input: &&Input| matches!(input, Input::Step(at) if self.onset().is_none_or(|onset| *at >= onset));
        let before = self.inputs.iter().take_while(|input| !is_switched(input));
        let mut detector = Detector::new(String::new());
        before.for_each(|input| drop(detector.take(input.clone())));
        let states = detector.models();
        let victim = states.iter().find(|state| owner(&state.who) == self.outcome.victim.name);
        victim.and_then(|state| state.slowdown).map_or(1.0, |slowdown| slowdown.estimate)
    }

    /// Hurt enough that a miss counts.
    pub(super) fn is_strong(&self) -> bool {
        self.truth() == Truth::Positive && self.slowdown() >= STRONG
    }

    /// What should be found is another's doing.
    pub(super) fn expects_others(&self) -> bool {
        matches!(self.outcome.expected.verdict.as_str(), "neighbour" | "unowned")
    }

    /// What should be found is the victim's own doing.
    pub(super) fn expects_self(&self) -> bool {
        let verdict = self.outcome.expected.verdict.as_str();
        matches!(verdict, "self_throttled" | "self_oversubscribed" | "over_entitlement" | "memory_own_limit")
    }

    /// Each suspect's share by who ran while the victim waited; none where that is not known.
    pub(super) fn switched(&self) -> &[Share] {
        self.outcome.switches.as_ref().map_or(&[], |switches| &switches.shares)
    }

    /// The same where there is more than one culprit: one alone has all of it, which anybody can tell.
    pub(super) fn switched_among_several(&self) -> &[Share] {
        if self.outcome.expected.culprits.len() > 1 { self.switched() } else { &[] }
    }

    /// How far the two truths are from each other, in the mean of the suspects of whom both are known.
    pub(super) fn truths_apart(&self) -> Option<f64> {
        let pairs = self.outcome.shapley.iter().flat_map(|by_shapley| {
            self.switched().iter().filter(|one| one.name == by_shapley.name).map(move |one| (by_shapley, one))
        });
        let apart = pairs.map(|(by_shapley, by_switches)| (by_shapley.share - by_switches.share).abs());
        mean(&apart.collect::<Vec<_>>())
    }

    /// The first block in which everything was on, for long enough to be judged by.
    pub(super) fn detection(&self) -> Option<(AxisNsec, AxisNsec)> {
        let all_on = |block: &&BlockDone| block.phase == Phase::Detect && !block.on.is_empty();
        self.outcome.blocks.iter().find(all_on).map(span)
    }

    /// Every block in which anything was on.
    pub(super) fn on_blocks(&self) -> impl Iterator<Item = (AxisNsec, AxisNsec)> + '_ {
        self.outcome.blocks.iter().filter(|block| !block.on.is_empty()).map(span)
    }

    /// When the first part was switched on.
    pub(super) fn onset(&self) -> Option<AxisNsec> {
        self.outcome.onset_unix_nsec.map(axis)
    }

    /// How long the trial lasted, in hours of its one victim.
    pub(super) fn victim_hours(&self) -> f64 {
        let (Some(first), Some(last)) = (self.outcome.blocks.first(), self.outcome.blocks.last()) else {
            return 0.0;
        };
        axis(last.end_unix_nsec).since(axis(first.start_unix_nsec)).as_secs_f64() / 3600.0
    }
}

fn span(block: &BlockDone) -> (AxisNsec, AxisNsec) {
    (axis(block.start_unix_nsec), axis(block.end_unix_nsec))
}

/// The aggregator's axis is its wall clock at its start: the trial's, which began a moment before.
pub(super) fn axis(unix_nsec: i64) -> AxisNsec {
    AxisNsec(u64::try_from(unix_nsec).unwrap_or_default())
}

/// A soak with its trace.
#[derive(Debug)]
pub struct Soaked {
    /// Its result file.
    pub soak: Soak,
    /// The detector's input, as recorded.
    pub inputs: Vec<Input>,
}

impl Soaked {
    /// How long all its victims had their load, in hours of all of them.
    pub(super) fn victim_hours(&self) -> f64 {
        f64::from(self.soak.victims) * f64::from(self.soak.loaded_seconds()) / 3600.0
    }

    /// How long the load of a victim swung up, in hours of all of them.
    pub(super) fn swing_hours(&self) -> f64 {
        let hours = |block| span(block).1.since(span(block).0).as_secs_f64() / 3600.0;
        self.soak.blocks.iter().map(hours).sum()
    }
}

/// What was measured, by the names of the files.
#[derive(Debug, Default)]
pub struct Measured {
    /// Trials at the agent's default rate.
    pub trials: Vec<Labelled>,
    /// Trials at other rates.
    pub at_other_rates: Vec<Labelled>,
    /// Soaks.
    pub soaks: Vec<Soaked>,
}

/// Everything in a folder that has a trace; `half` of the seeds or all. What has none is told on stderr.
pub fn read_all(dir: &Path, half: Option<Half>) -> anyhow::Result<Measured> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut ids: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    ids.sort();
    let wanted = |of: Half| half.is_none_or(|half| half == of);
    let mut measured = Measured::default();
    for id in ids {
        let (file, trace) = (result::file(dir, &id), trace::file(dir, &id));
        if !trace.try_exists().with_context(|| format!("look for {}", trace.display()))? {
            eprintln!("{id} is left out: it has no trace");
            continue;
        }
        if soak::is_soak(&id) {
            let soak: Soak = result::read(&file)?;
            if wanted(soak.half) {
                measured.soaks.push(Soaked { soak, inputs: trace::read(&trace)? });
            }
        } else {
            let outcome: Outcome = result::read(&file)?;
            if wanted(outcome.half) {
                let is_default = outcome.sample_hz == DEFAULT_SAMPLE_HZ;
                let trials = if is_default { &mut measured.trials } else { &mut measured.at_other_rates };
                trials.push(Labelled { outcome, inputs: trace::read(&trace)? });
            }
        }
    }
    Ok(measured)
}
